// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bytes"
	"context"
	_ "embed" // the page
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"rsc.io/qr"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers/durable"
)

//go:embed sheet.html
var sheetText string

// sheetWords is what a sheet says, by language.
var sheetWords = map[identity.Lang]map[string]string{
	identity.English: {
		"title": "Recovery sheet", "of": "Home", "made": "Made",
		"warn":  "Whoever holds this sheet has all your files. Keep it where you keep your passport, not beside the computer.",
		"words": "Your 24 words, in this order", "blank": "This computer no longer holds the words. Write yours here by hand.",
		"how":   "On a new computer: install Preezm, run 'preezm recover', type the words and name one of these machines.",
		"where": "Machines that keep your pieces", "none": "No machine keeps anything yet. Print this sheet again when one does.",
		"device": "This computer", "scan": "The same to scan",
	},
	identity.French: {
		"title": "Feuille de secours", "of": "Maison", "made": "Faite le",
		"warn":  "Qui tient cette feuille a tous vos fichiers. Rangez-la avec votre passeport, pas à côté de l’ordinateur.",
		"words": "Vos 24 mots, dans cet ordre", "blank": "Cet ordinateur n’a plus les mots. Écrivez les vôtres ici à la main.",
		"how":   "Sur un nouvel ordinateur : installez Preezm, lancez « preezm recover », tapez les mots et nommez une de ces machines.",
		"where": "Les machines qui gardent vos morceaux", "none": "Aucune machine ne garde rien encore. Imprimez cette feuille à nouveau ensuite.",
		"device": "Cet ordinateur", "scan": "La même chose à scanner",
	},
}

func (a *app) sheetCommand() *cobra.Command {
	var out, lang string
	var force bool
	cmd := &cobra.Command{
		Use:   "sheet -o FILE",
		Short: "Write the recovery sheet to print",
		Long: `Write a page to print on A4: your 24 words while this machine holds them (lines to
fill in by hand afterwards), and the device IDs and addresses of three machines
that keep your pieces. Open it in a browser, print it, and remove the file.`,
		Example: "  preezm sheet -o sheet.html --words-language fr",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if lang != "" && sheetWords[identity.Lang(lang)] == nil {
				return usagef("--words-language %q: %v", lang, identity.ErrLang)
			}
			if out == "" {
				return usagef("name the file with -o")
			}
			if ext := strings.ToLower(filepath.Ext(out)); ext != ".html" && ext != ".htm" {
				// Under another name no browser shows it.
				return usagef("the sheet is a page for a browser, which prints it or saves it as PDF: name the file .html")
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				l, err := a.wordsLang(lang)
				if err != nil {
					return err
				}
				s, err := api.Sheet(ctx)
				if err != nil {
					return err
				}
				words, err := api.Words(ctx, l)
				if err != nil && !errors.Is(err, node.ErrWordsGone) {
					return err
				}
				page, err := sheetPage(s, words, l, time.Now())
				if err != nil {
					return err
				}
				if err := writeSheet(out, page, force); err != nil {
					return err
				}
				if a.json {
					return a.printJSON(struct {
						File  string `json:"file"`
						Words bool   `json:"words"`
					}{out, len(words) > 0})
				}
				return a.say("The sheet is in %s. Open it in a browser, print it, then remove the file.", printable(out))
			})
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "`file` to write, such as sheet.html")
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	addLang(cmd, &lang)
	return cmd
}

func writeSheet(out string, page []byte, force bool) error {
	if force {
		return durable.Replace(out, page)
	}
	err := durable.WriteNew(out, page, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; --force replaces it", printable(out))
	}
	return err
}

// sheetPage is the sheet as one HTML file that needs nothing else.
func sheetPage(s node.Sheet, words []string, lang identity.Lang, now time.Time) ([]byte, error) {
	page, err := template.New("sheet").Parse(sheetText)
	if err != nil {
		return nil, err
	}
	blank := len(words) == 0
	if blank {
		words = make([]string, identity.WordCount)
	}
	type word struct {
		N    int
		Word string
	}
	var list []word
	for i, w := range words {
		list = append(list, word{i + 1, w})
	}
	code, err := sheetCode(s, words, blank)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	err = page.Execute(&buf, struct {
		Lang    identity.Lang
		T       map[string]string
		Sheet   node.Sheet
		Date    string
		Blank   bool
		Words   []word
		Code    template.HTML
		Keepers []node.SheetKeeper
	}{lang, sheetWords[lang], s, now.Format(time.DateOnly), blank, list, code, s.Keepers})
	return buf.Bytes(), err
}

// sheetCode is the sheet's text as a code to scan.
func sheetCode(s node.Sheet, words []string, blank bool) (template.HTML, error) {
	var text strings.Builder
	text.WriteString("preezm recovery sheet 1\n")
	if !blank {
		text.WriteString(strings.Join(words, " ") + "\n")
	}
	for _, k := range s.Keepers {
		text.WriteString(k.Device.String())
		for _, addr := range k.Addresses[:min(len(k.Addresses), 2)] {
			text.WriteString(" " + addr)
		}
		text.WriteString("\n")
	}
	code, err := qr.Encode(text.String(), qr.L)
	if err != nil {
		return "", fmt.Errorf("draw the code: %w", err)
	}
	var path strings.Builder
	for y := range code.Size {
		for x := range code.Size {
			if code.Black(x, y) {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x+4, y+4)
			}
		}
	}
	// Only numbers of our own are in it.
	return template.HTML(fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[1]d" width="62mm" height="62mm" role="img"><rect width="%[1]d" height="%[1]d" fill="#fff"/><path d="%[2]s" fill="#000"/></svg>`,
		code.Size+8, path.String())), nil
}
