// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/identity"
)

// wordsAsked is how many words are asked back.
const wordsAsked = 3

// wordTries is how often a person may mistype before the check ends.
const wordTries = 3

func (a *app) wordsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "words",
		Short: "Show or check the 24 words that bring everything back",
		Long: `Your 24 words are the key to everything: with them and the address of one machine
of your circle a new computer gets all your files back. Whoever else has them
has your files.

They are shown until you proved to have them. Then this machine forgets them,
and nobody can read them from it.`,
		Example: "  preezm words show\n  preezm words check",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.wordsShowCommand(), a.wordsCheckCommand())
	return cmd
}

func (a *app) wordsShowCommand() *cobra.Command {
	var lang string
	var really bool
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Show the 24 words on this screen, until they were checked",
		Example: "  preezm words show --words-language fr",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				l, err := a.wordsLang(lang)
				if err != nil {
					return err
				}
				return a.showWords(ctx, api, l, really)
			})
		},
	}
	addLang(cmd, &lang)
	cmd.Flags().BoolVar(&really, "print-words", false, "print them although this is no screen, or as JSON")
	return cmd
}

func addLang(cmd *cobra.Command, lang *string) {
	cmd.Flags().StringVar(lang, "words-language", "", "`language` of the words: en or fr (default: as at 'preezm init', else en)")
}

// wordsLang is the language that was named, else the home's.
func (a *app) wordsLang(named string) (identity.Lang, error) {
	if l := identity.Lang(named); slices.Contains(identity.Langs, l) {
		return l, nil
	} else if named != "" {
		return "", usagef("--words-language %q: %v", named, identity.ErrLang)
	}
	home, err := a.home()
	if err != nil {
		return "", err
	}
	s, err := node.ReadSettings(home)
	return cmp.Or(s.WordsLanguage, identity.English), err
}

// showWords prints the words on a terminal, and elsewhere only when told to.
func (a *app) showWords(ctx context.Context, api node.API, lang identity.Lang, really bool) error {
	if _, ok := a.terminal(a.out); (!ok || a.json) && !really {
		return usagef("the words are shown on a screen only; --print-words prints them all the same, for everybody who can read where this goes")
	}
	words, err := api.Words(ctx, lang)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(struct {
			Language identity.Lang `json:"language"`
			Words    []string      `json:"words"`
		}{lang, words})
	}
	if err := a.say("Write these 24 words down, in this order, on paper. Take no photograph."); err != nil {
		return err
	}
	const rows = identity.WordCount / 3
	for i := range rows {
		line := ""
		for c := range 3 {
			n := i + c*rows
			line += fmt.Sprintf("%4d  %-12s", n+1, words[n])
		}
		if err := a.say("%s", strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) wordsCheckCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Prove that you have the words; nothing is shown",
		Long: `Compare words that you type with those of this home. Three of them are asked
while this machine still holds them, and all 24 afterwards or with --all. Nothing
is shown of the right ones.

A script types them on standard input.`,
		Example: "  preezm words check\n  preezm words check --all",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				k, err := api.Key(ctx)
				if err != nil {
					return err
				}
				if k.WordsThere && !all {
					err = a.askThree(ctx, api)
				} else {
					err = a.askAll(ctx, api)
				}
				if err != nil {
					return err
				}
				if a.json {
					k, err := api.Key(ctx)
					if err != nil {
						return err
					}
					return a.printJSON(k)
				}
				return a.say("%s", wordsRight(k.WordsThere))
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "compare all 24 words")
	return cmd
}

func wordsRight(first bool) string {
	if first {
		return "Right. This machine has forgotten the words now: they are on your paper only."
	}
	return "Right: these are the words of this home."
}

// askThree asks for three words by chance.
func (a *app) askThree(ctx context.Context, api node.API) error {
	places, err := somePlaces()
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		o := node.WordsOrder{At: places}
		for _, at := range places {
			w, err := a.line(fmt.Sprintf("Word %d: ", at))
			if err != nil {
				return err
			}
			o.Words = append(o.Words, w)
		}
		_, err := api.CheckWords(ctx, o)
		_, typing := a.keyboard()
		if err == nil || try == wordTries || !typing || ctx.Err() != nil {
			return err
		}
		a.note("%s. Look at your paper and try again.", oneLine(err.Error()))
	}
}

// somePlaces draws the places of the words to ask, in order.
func somePlaces() ([]int, error) {
	var places []int
	for len(places) < wordsAsked {
		n, err := rand.Int(rand.Reader, big.NewInt(identity.WordCount))
		if err != nil {
			return nil, err
		}
		if at := int(n.Int64()) + 1; !slices.Contains(places, at) {
			places = append(places, at)
		}
	}
	slices.Sort(places)
	return places, nil
}

// askAll reads 24 words, on one line or many.
func (a *app) askAll(ctx context.Context, api node.API) error {
	words, err := a.readWords()
	if err != nil {
		return err
	}
	_, err = api.CheckWords(ctx, node.WordsOrder{Words: words})
	return err
}

// readWords reads words until there are enough of them.
func (a *app) readWords() ([]string, error) {
	var words []string
	for len(words) < identity.WordCount {
		text, err := a.line(fmt.Sprintf("Words from %d on: ", len(words)+1))
		if err != nil && len(words) > 0 && !errors.Is(err, context.Canceled) {
			break // MasterOf says how many are missing
		}
		if err != nil {
			return nil, err
		}
		words = append(words, identity.SplitWords(text)...)
	}
	return words, nil
}

// firstWords shows the words of a new home and asks for three. Whoever puts it
// off is reminded by status.
func (a *app) firstWords(ctx context.Context, api node.API, lang identity.Lang, really bool) error {
	if err := a.showWords(ctx, api, lang, really); err != nil {
		return err
	}
	if _, ok := a.keyboard(); !ok {
		return nil
	}
	if _, err := a.line("Press Enter once they are on paper: "); err != nil {
		return nil // the keyboard went away
	}
	// The terminal keeps what it showed: the words move out of sight.
	a.note("%s", strings.Repeat("\n", 60))
	if err := a.askThree(ctx, api); err != nil {
		if errors.Is(err, context.Canceled) {
			return err
		}
		a.note("%s. 'preezm words show' shows them again, 'preezm words check' asks again.", oneLine(err.Error()))
		return nil
	}
	return a.say("%s", wordsRight(true))
}

// remindWords says once more that there is nothing on paper yet.
const remindWords = "Your 24 words were not checked yet: one lost computer is everything lost. 'preezm words show', then 'preezm words check'."
