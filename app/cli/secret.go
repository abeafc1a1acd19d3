// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/peers/vault"
)

// Where a passphrase may come from besides the keyboard.
const (
	passphraseEnv    = "PREEZM_PASSPHRASE"
	newPassphraseEnv = "PREEZM_NEW_PASSPHRASE"

	maxPassphrase = 4 << 10
)

// keychain is the system's, unless it was turned off.
func (a *app) keychain() vault.Keychain { return node.SystemKeychain(a.getenv) }

// options are what opening a home takes, whatever the command.
func (a *app) options() node.Options {
	return node.Options{Version: a.version, Keychain: a.keychain(), Passphrase: a.passphrase}
}

// passphrase is that of the home: from the file or variable that was named,
// or from the keyboard. None: there is nobody to ask.
func (a *app) passphrase() ([]byte, error) {
	given, ok, err := a.givenPassphrase(a.passphraseFile, passphraseEnv)
	if ok || err != nil {
		return given, err
	}
	if _, ok := a.keyboard(); !ok {
		return nil, nil
	}
	return a.typed("Passphrase of this home: ")
}

func (a *app) givenPassphrase(file, env string) ([]byte, bool, error) {
	if file != "" {
		b, err := readPassphrase(file)
		return b, err == nil, err
	}
	if text := a.getenv(env); text != "" {
		return []byte(text), true, nil
	}
	return nil, false, nil
}

// readPassphrase reads the first line of a file.
func readPassphrase(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPassphrase+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxPassphrase {
		return nil, fmt.Errorf("%s: %w", file, vault.ErrTooLarge)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return nil, fmt.Errorf("%s: its first line is empty, and that is where the passphrase is read", file)
	}
	return line, nil
}

// newPassphrase asks for one twice, unless it was given.
func (a *app) newPassphrase(file, env string) ([]byte, error) {
	given, ok, err := a.givenPassphrase(file, env)
	if ok || err != nil {
		return given, err
	}
	if _, ok := a.keyboard(); !ok {
		return nil, usagef("a passphrase is needed and there is no keyboard to ask: give it in %s or a file", env)
	}
	first, err := a.typed(fmt.Sprintf("New passphrase, at least %d characters: ", vault.MinPassphrase))
	if err != nil {
		return nil, err
	}
	if len([]rune(string(first))) < vault.MinPassphrase {
		return nil, vault.ErrWeak
	}
	again, err := a.typed("The same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, again) {
		return nil, errors.New("the two differ; nothing was changed")
	}
	return first, nil
}

// keyboard gives the terminal a person types on.
func (a *app) keyboard() (*os.File, bool) {
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, false
	}
	return f, true
}

// typed reads a line that is not shown.
func (a *app) typed(prompt string) ([]byte, error) {
	f, ok := a.keyboard()
	if !ok {
		return nil, errors.New("there is no keyboard to ask")
	}
	was, err := term.GetState(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	fmt.Fprint(a.err, prompt)
	b, err := unlessStopped(a, func() ([]byte, error) { return term.ReadPassword(int(f.Fd())) })
	if errors.Is(err, context.Canceled) { // it would go on hiding what is typed
		err = errors.Join(err, term.Restore(int(f.Fd()), was))
	}
	fmt.Fprintln(a.err)
	return b, err
}

// unlessStopped waits for a person who types, and no longer once the command is
// told to stop: reading from a keyboard cannot be interrupted, and ends with the
// process.
func unlessStopped[T any](a *app, read func() (T, error)) (T, error) {
	type typed struct {
		what T
		err  error
	}
	got := make(chan typed, 1)
	go func() {
		what, err := read()
		got <- typed{what, err}
	}()
	select {
	case t := <-got:
		return t.what, t.err
	case <-a.stopped:
		var none T
		return none, context.Canceled
	}
}

// untilEnter reads a line that a person types, with its end.
func (a *app) untilEnter(in *bufio.Reader) (string, error) {
	text, err := unlessStopped(a, func() (string, error) { return in.ReadString('\n') })
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.err) // behind the question
	}
	return text, err
}

// line reads one line that is shown as it is typed.
func (a *app) line(prompt string) (string, error) {
	fmt.Fprint(a.err, prompt)
	if a.lines == nil {
		a.lines = bufio.NewReader(io.LimitReader(a.in, 1<<20))
	}
	text, err := a.untilEnter(a.lines)
	if errors.Is(err, context.Canceled) {
		return "", err
	}
	if err != nil && text == "" {
		return "", errors.New("nothing was typed")
	}
	return strings.TrimSpace(text), nil
}

// sealFlags says what keeps the key of a home.
type sealFlags struct {
	with       string
	unattended bool
}

func (f *sealFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.with, "with", "", "what keeps the key: `keychain`, passphrase or keyfile")
	cmd.Flags().BoolVar(&f.unattended, "unattended", false, "with a passphrase: let the machine's part start without it, to keep for others")
}

// firstSeal is for a new home. Where there is neither a flag nor a keychain, a
// person is asked and a script gets a key file.
func (a *app) firstSeal(f sealFlags) (node.Seal, error) {
	given, ok, err := a.givenPassphrase(a.passphraseFile, passphraseEnv)
	if err != nil {
		return node.Seal{}, err
	}
	_, typing := a.keyboard()
	switch {
	case f.with != "":
	case ok:
		f.with = string(vault.ByPassphrase)
	case typing && !a.json && !vault.Works(a.keychain()):
		a.note("This system has no keychain to keep the home's key. A passphrase does it, too;\nwith none the key lies in a file beside, and who copies the folder can open it.")
		text, err := a.typed(fmt.Sprintf("Passphrase, at least %d characters (Enter for none): ", vault.MinPassphrase))
		if err != nil {
			return node.Seal{}, err
		}
		if len(text) == 0 {
			f.with = string(vault.ByKeyFile)
			break
		}
		again, err := a.typed("The same again: ")
		if err != nil {
			return node.Seal{}, err
		}
		if !bytes.Equal(text, again) {
			return node.Seal{}, errors.New("the two differ; nothing was made")
		}
		f.with, given, ok = string(vault.ByPassphrase), text, true
	}
	return a.seal(f, func() ([]byte, error) {
		if ok {
			return given, nil
		}
		return a.newPassphrase("", passphraseEnv)
	})
}

// seal turns the flags into a node.Seal; ask gets a new passphrase.
func (a *app) seal(f sealFlags, ask func() ([]byte, error)) (node.Seal, error) {
	s := node.Seal{Unattended: f.unattended}
	switch by := vault.By(f.with); by {
	case "", vault.ByKeychain, vault.ByKeyFile:
		s.By = by
	case vault.ByPassphrase:
		s.By = by
		var err error
		s.Passphrase, err = ask()
		return s, err
	default:
		return s, usagef("--with %q: the key is kept by keychain, passphrase or keyfile", f.with)
	}
	if f.unattended {
		return s, usagef("--unattended goes with a passphrase: otherwise nothing asks for one anyway")
	}
	return s, nil
}

// keptBy tells a person what keeps the key.
func keptBy(by vault.By) string {
	switch by {
	case vault.ByKeychain:
		return "in this system's keychain"
	case vault.ByPassphrase:
		return "behind your passphrase; it is kept nowhere"
	}
	return "in a file beside it: who copies the whole folder can open it ('preezm rewrap' changes that)"
}
