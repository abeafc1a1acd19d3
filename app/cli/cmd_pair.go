// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/preezm/preezm/app/node"
)

// language is the one of the person's settings that Preezm has words in.
func (a *app) language() string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := a.getenv(name); v != "" {
			if strings.HasPrefix(v, "fr") {
				return "fr"
			}
			return "en"
		}
	}
	return "en"
}

// printWords shows the four words.
func (a *app) printWords(words map[string][]string) error {
	return a.say("\n    %s\n", a.fourWords(words))
}

// fourWords are a pairing's, in the person's language.
func (a *app) fourWords(words map[string][]string) string {
	return strings.Join(words[a.language()], "   ")
}

// readCode takes a code from standard input: what a person pastes and ends
// with Enter, or all of it when it is no terminal. On a command line everybody
// on the machine could read it.
func (a *app) readCode() (string, error) {
	if f, ok := a.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(a.err, "Paste the code and press Enter: ")
		return a.untilEnter(bufio.NewReader(io.LimitReader(a.in, maxCode)))
	}
	raw, err := io.ReadAll(io.LimitReader(a.in, maxCode))
	return string(raw), err
}

// await waits for the machine that uses an invite, shows the words and asks
// whether they are the same over there.
func (a *app) await(ctx context.Context, api node.API, inv node.Invite) error {
	a.note("Waiting for it to be used; Ctrl-C stops waiting, and the code stays good.")
	p, err := api.Paired(ctx, node.PairedOrder{ID: inv.ID})
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(struct {
			node.Invite
			Joined node.Paired `json:"joined"`
		}{inv, p})
	}
	err = errors.Join(
		a.say("%s (%s) joined. Compare these words with those on its screen:", printable(p.Name), p.Device.Short()),
		a.printWords(p.Words),
	)
	if err != nil {
		return err
	}
	same, err := a.ask("Are they the same? [y/n] ", printable(p.Name)+" stays in your circle: 'preezm circle remove' takes it out")
	if err != nil {
		return err
	}
	if same {
		return a.say("Good. You and %s keep for each other.", printable(p.Name))
	}
	if _, err := api.Dismiss(ctx, p.Device); err != nil {
		return err
	}
	return &saidError{printable(p.Name) + " is out of your circle again: somebody else had the code. Make a new one, and send it another way"}
}

// ask asks a question until it is answered by yes or no. No answer is an error,
// which says what is so then.
func (a *app) ask(question, otherwise string) (bool, error) {
	in := bufio.NewReader(io.LimitReader(a.in, maxCode))
	for {
		fmt.Fprint(a.err, question)
		line, err := a.untilEnter(in)
		if yes, clear := yesOrNo(line); clear {
			return yes, nil
		}
		if err != nil {
			return false, &saidError{"nobody answered; " + otherwise}
		}
	}
}

// yesOrNo reads an answer; clear: it is one.
func yesOrNo(line string) (yes, clear bool) {
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes", "o", "oui":
		return true, true
	case "n", "no", "non":
		return false, true
	}
	return false, false
}
