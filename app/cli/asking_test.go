// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/engine/grants"
)

// Whoever is asked something can stop the command: the first Ctrl-C ends the
// question, although nothing was typed.
func TestStopWhileAsked(t *testing.T) {
	for name, asks := range map[string]func(a *app) error{
		"line":  func(a *app) error { _, err := a.line("Word 3: "); return err },
		"ask":   func(a *app) error { _, err := a.ask("Same? [y/n] ", "nothing was done"); return err },
		"words": func(a *app) error { _, err := a.wordList(""); return err },
		"all":   func(a *app) error { _, err := a.readWords(); return err },
		"sure":  func(a *app) error { return a.sureHelpers(5, false) },
		"enter": func(a *app) error { _, err := a.untilEnter(bufio.NewReader(a.in)); return err },
	} {
		t.Run(name, func(t *testing.T) {
			a, _, errs := spoken()
			in, out := io.Pipe()
			t.Cleanup(func() { in.Close(); out.Close() })
			ctx, stop := context.WithCancel(t.Context())
			a.in, a.stopped = in, ctx.Done()
			got := make(chan error, 1)
			go func() { got <- asks(a) }()
			stop()
			err := <-got
			var said *saidError
			if !errors.Is(err, context.Canceled) && !errors.As(err, &said) {
				t.Errorf("%v", err)
			}
			if text := a.explain(err); text != "stopped" && text != "nobody answered; nothing was done" {
				t.Errorf("it says %q", text)
			}
			if !strings.HasSuffix(errs.String(), "\n") {
				t.Errorf("the prompt of the shell follows %q", errs)
			}
		})
	}
}

// A file that is to be written anew is looked for before anything is done.
func TestMayWrite(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"": "", filepath.Join(dir, "new"): "", "new in this folder": "",
		there: "is there already", dir: "is there already", filepath.Join(dir, "link"): "is there already",
		filepath.Join(dir, "none", "new"): "no such folder", filepath.Join(there, "new"): "no such folder",
	} {
		err := mayWrite(path)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", path, err, want)
		}
		if path != "" && want != "" && writeNew(path, []byte("other")) == nil {
			t.Errorf("%q was written", path)
		}
	}
	if raw, err := os.ReadFile(there); err != nil || string(raw) != "mine" {
		t.Errorf("%q, %v", raw, err)
	}
}

// The beginning of a name stands for one grant, or for none.
func TestOneOfTheGrants(t *testing.T) {
	all := []grants.Info{{ID: "g-1a2b3c4d"}, {ID: "g-1a2b9999"}, {ID: "g-5e6f7081"}}
	for id, want := range map[string]string{
		"g-5e6f7081": "g-5e6f7081", "5e6f": "g-5e6f7081", "G-1A2B3": "g-1a2b3c4d",
		"1a2b": "", "": "", "g-": "", "5e6": "", "g-00000000": "", "g-5e6f70812": "",
	} {
		g, err := oneOf(all, id)
		if (err == nil) != (want != "") || err == nil && g.ID != want {
			t.Errorf("%q: %+v, %v", id, g, err)
		}
	}
}

// Every command explains itself, with an example.
func TestEveryCommandHasAnExample(t *testing.T) {
	a, _, _ := spoken()
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		if c.Example == "" || c.Short == "" {
			t.Errorf("%s: no example, or nothing said of it", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			look(sub)
		}
	}
	look(a.root())
}
