// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/assets"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// codes are what the node can say: each code, with the values that every place
// which says it gives.
func codes(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for code := range said.Known() {
		all[code] = nil
	}
	found := func(where token.Position, call *ast.CallExpr, from int, values ...string) {
		lit, ok := call.Args[from].(*ast.BasicLit)
		if !ok {
			t.Errorf("%s: a code that is no literal", where)
			return
		}
		code, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		for _, arg := range call.Args[from+2:] {
			if lit, ok := arg.(*ast.BasicLit); ok {
				value, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				values = append(values, value)
			}
		}
		if before, ok := all[code]; ok {
			values = slices.DeleteFunc(values, func(v string) bool { return !slices.Contains(before, v) })
		}
		all[code] = values
	}
	for _, root := range []string{"../../peers", "../../engine", "../node", "."} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "peers/said") {
				return err
			}
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				fun, ok := call.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if pkg, ok := fun.X.(*ast.Ident); !ok || pkg.Name != "said" {
					return true
				}
				switch fun.Sel.Name {
				case "Error", "As":
					found(set.Position(call.Pos()), call, 0)
				case "Wrap", "Because", "Given":
					found(set.Position(call.Pos()), call, 1, "why")
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// Every code of the node has words in every language, which need no value that
// the node does not give, and no words are left of a code that is gone.
func TestEveryCodeHasWords(t *testing.T) {
	all := codes(t)
	if len(all) < 300 {
		t.Fatalf("only %d codes were found", len(all))
	}
	hole := regexp.MustCompile(`\{([a-z]+)\}`)
	for _, lang := range i18n.Languages() {
		l, err := i18n.Load(assets.Catalogs, "i18n", lang)
		if err != nil {
			t.Fatal(err)
		}
		texts := l.Texts()
		for code, values := range all {
			if texts["said."+code] == nil {
				t.Errorf("%s.json has no words for the code %q", lang, code)
			}
			for _, key := range []string{"said." + code, "why." + code} {
				for _, text := range texts[key] {
					for _, h := range hole.FindAllStringSubmatch(text, -1) {
						if !slices.Contains(values, h[1]) {
							t.Errorf("%s %q fills in {%s}, which the node does not give: it gives %q", lang, key, h[1], values)
						}
					}
				}
			}
		}
		for key := range texts {
			for _, kind := range []string{"said.", "why."} {
				if code, ok := strings.CutPrefix(key, kind); ok {
					if _, ok := all[code]; !ok {
						t.Errorf("%s.json has words for %q, which nothing says", lang, key)
					}
				}
			}
		}
	}
}

// The window says what the node says in its own words, with the reason, and
// shows the text of a code that it does not know.
func TestTheNodeSpeaksFrench(t *testing.T) {
	fr, err := i18n.Load(assets.Catalogs, "i18n", "fr")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, time.March, 14, 9, 0, 0, 0, time.UTC)
	away := fmt.Errorf("study: %w (no answer within 5s)", peers.ErrUnreachable)
	for _, c := range []struct {
		note said.Note
		want string
	}{
		{said.By(away), "L’autre appareil est injoignable. Est-il allumé, et Preezm y est-il ouvert\u00a0?"},
		{said.Because(away, "log-unread", "{why}", "name", "study"), "le journal de study n’a pas été lu\u00a0: il ne répond pas"},
		{said.By(fmt.Errorf("put: %w", engine.ErrTooFewKeepers)), "Trop peu d’appareils de votre cercle ont répondu. Réessayez quand ils seront plus nombreux à être allumés."},
		{said.As("watch-gone", "gone", "n", "1", "all", "1200"), "1 fichier sur 1\u00a0200 n’est plus dans le dossier. Il reste conservé\u00a0: un disque manque peut-être."},
		{said.As("into-file", "no", "path", "a", "kind", "folder"), "«\u00a0a\u00a0» est conservé comme dossier\u00a0: rien ne peut y entrer. Choisissez un autre dossier, ou retirez-le d’abord."},
		{said.As("overlap", "no", "first", "2024", "second", "2024/may"), "«\u00a02024\u00a0» et «\u00a02024/may\u00a0» se recouvrent. N’en choisissez qu’un."},
		{said.As("bad-entries", "no", "number", "1200", "end", "1300"), "les entrées 1\u00a0200 à 1\u00a0300 manquent ou ont été changées"},
		{said.As("of-a-later-version", "something new"), "something new"},
		{said.As("one-seat", "two of one"), "two of one"}, // the names are missing
		{said.By(errors.New("plain")), "plain"},
		{said.By(node.ErrLocked), "Cet espace est verrouillé. Ouvrez-le avec votre phrase de passe\u00a0: preezm unlock."},
	} {
		if got := spelled(fr, c.note, now); got != c.want {
			t.Errorf("%+v: %q, want %q", c.note, got, c.want)
		}
	}
	for code := range maps.Keys(said.Known()) {
		if _, ok := fr.Said(code, true, nil); !ok {
			t.Errorf("no words for %s", code)
		}
	}
}
