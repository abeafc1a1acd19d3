// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers/vault"
	"github.com/preezm/preezm/peers/vault/vaulttest"
)

const testPhrase = "correct horse battery"

// sealedHome makes a home with a passphrase.
func sealedHome(t *testing.T, unattended bool) string {
	t.Helper()
	home := filepath.Join(t.TempDir(), "home")
	err := Init(home, InitOptions{Name: "me", Listen: []string{"127.0.0.1:0"}, Offer: OfferNothing,
		Seal: Seal{By: vault.ByPassphrase, Passphrase: []byte(testPhrase), Unattended: unattended}})
	if err != nil {
		t.Fatal(err)
	}
	return home
}

// runHome runs a node until the test ends.
func runHome(t *testing.T, home string, o Options) {
	t.Helper()
	o.Role, o.NoDiscovery, o.Wait = RoleServe, true, 10*time.Second
	ctx, stop := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- Run(ctx, home, o, func(*Node) { close(ready) }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
}

// dialUntil gives the API of the running node once its key is as wanted.
func dialUntil(t *testing.T, home string, locked bool) API {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		api, err := Dial(t.Context(), home)
		if err != nil {
			continue
		}
		if k, err := api.Key(t.Context()); err == nil && k.Locked == locked {
			return api
		}
		api.Close()
	}
	t.Fatalf("never locked=%v", locked)
	return nil
}

func TestLockAndUnlock(t *testing.T) {
	home := sealedHome(t, true)
	runHome(t, home, Options{})
	ctx := t.Context()
	api := dialUntil(t, home, true)
	about, err := api.About(ctx)
	if err != nil || !about.Locked || !about.Running {
		t.Fatalf("%+v, %v", about, err)
	}
	for name, call := range map[string]func() error{
		"list":   func() error { _, err := api.List(ctx, engine.ListOptions{}); return err },
		"put":    func() error { _, err := api.Put(ctx, engine.PutOptions{}, nil); return err },
		"brand":  func() error { _, err := api.Brand(ctx); return err },
		"words":  func() error { _, err := api.Words(ctx, identity.French); return err },
		"rewrap": func() error { _, err := api.Rewrap(ctx, Seal{By: vault.ByKeyFile}); return err },
		"circle": func() error { _, err := api.Circle(ctx, false); return err },
	} {
		if err := call(); !errors.Is(err, ErrLocked) {
			t.Errorf("%s while locked: %v", name, err)
		}
	}
	if _, err := api.Unlock(ctx, []byte("another horse")); !errors.Is(err, vault.ErrPassphrase) {
		t.Errorf("a wrong passphrase: %v", err)
	}
	if _, err := api.Unlock(ctx, nil); !errors.Is(err, vault.ErrNeedPassphrase) {
		t.Errorf("none: %v", err)
	}
	if _, err := api.Unlock(ctx, []byte(testPhrase)); err != nil {
		t.Fatal(err)
	}
	api.Close()
	api = dialUntil(t, home, false)
	if _, err := api.List(ctx, engine.ListOptions{}); err != nil {
		t.Error(err)
	}
	after, err := api.About(ctx)
	if err != nil || after.Addresses[0] != about.Addresses[0] {
		t.Errorf("it listens at %v now, not %v: %v", after.Addresses, about.Addresses, err)
	}
	if _, err := api.Lock(ctx, LockOrder{}); err != nil {
		t.Fatal(err)
	}
	api.Close()
	dialUntil(t, home, true).Close()
}

func TestLocksWhenIdle(t *testing.T) {
	home := sealedHome(t, false)
	after := time.Second
	runHome(t, home, Options{LockAfter: &after, Passphrase: func() ([]byte, error) { return []byte(testPhrase), nil }})
	dialUntil(t, home, true).Close()
	s, err := ReadSettings(home)
	if err != nil || s.LockAfter != 1 {
		t.Errorf("settings say %d, %v", s.LockAfter, err)
	}
}

func TestPassphraseHomes(t *testing.T) {
	home := sealedHome(t, false)
	ask := func(text string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(text), nil } }
	for _, c := range []struct {
		ask  func() ([]byte, error)
		want error
	}{{nil, ErrLocked}, {ask(""), ErrLocked}, {ask("wrong horse"), vault.ErrPassphrase}} {
		for _, role := range []Role{RoleCommand, RoleServe, RoleWindow} {
			if _, err := Open(t.Context(), home, Options{Role: role, Passphrase: c.ask}); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", role, err, c.want)
			}
		}
	}
	n, err := Open(t.Context(), home, Options{Passphrase: ask(testPhrase)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Lock(t.Context(), LockOrder{}); !errors.Is(err, ErrNothingRuns) {
		t.Errorf("locking what does not run: %v", err)
	}
	if _, err := n.Rewrap(t.Context(), Seal{By: vault.ByKeychain}); !errors.Is(err, vault.ErrNoKeychain) {
		t.Errorf("no keychain: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	// The vault of a sealed home is not made anew.
	if err := os.Remove(filepath.Join(home, vault.File)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), home, Options{}); err == nil {
		t.Error("a sealed home without its vault opens")
	}
}

func TestKeychainHome(t *testing.T) {
	home, chain := filepath.Join(t.TempDir(), "home"), &vaulttest.Keychain{}
	if err := Init(home, InitOptions{Name: "me", Offer: OfferNothing, Keychain: chain}); err != nil {
		t.Fatal(err)
	}
	if chain.Len() != 1 {
		t.Fatalf("%d keys in the keychain", chain.Len())
	}
	if _, err := Open(t.Context(), home, Options{}); !errors.Is(err, vault.ErrKeyGone) {
		t.Errorf("without the keychain: %v", err)
	}
	n, err := Open(t.Context(), home, Options{Keychain: chain})
	if err != nil {
		t.Fatal(err)
	}
	k, err := n.Rewrap(t.Context(), Seal{By: vault.ByKeyFile})
	if err != nil || k.By != vault.ByKeyFile || chain.Len() != 0 {
		t.Errorf("%+v, %d keys left, %v", k, chain.Len(), err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	// A keychain that takes nothing is none.
	other := filepath.Join(t.TempDir(), "home")
	if err := Init(other, InitOptions{Name: "me", Offer: OfferNothing, Keychain: &vaulttest.Keychain{Err: errors.New("no bus")}}); err != nil {
		t.Fatal(err)
	}
	if by, err := KeyKeptBy(other); by != vault.ByKeyFile || err != nil {
		t.Errorf("%s, %v", by, err)
	}
}

func TestWordsAreForgotten(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	if err := Init(home, InitOptions{Name: "me", Offer: OfferNothing}); err != nil {
		t.Fatal(err)
	}
	open := func() *Node {
		n, err := Open(t.Context(), home, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n, ctx := open(), t.Context()
	words, err := n.Words(ctx, identity.French)
	if err != nil {
		t.Fatal(err)
	}
	secrets := n.owner.Secrets()
	for name, o := range map[string]WordsOrder{
		"a wrong word": {At: []int{1, 2, 3}, Words: []string{words[0], words[1], words[1]}},
		"two words":    {At: []int{1, 2}, Words: words[:2]},
		"one thrice":   {At: []int{1, 1, 1}, Words: []string{words[0], words[0], words[0]}},
		"word 25":      {At: []int{1, 2, 25}, Words: words[:3]},
		"word 0":       {At: []int{0, 1, 2}, Words: words[:3]},
		"23 words":     {Words: words[:23]},
		"no words":     {},
	} {
		if k, err := n.CheckWords(ctx, o); err == nil {
			t.Errorf("%s: %+v", name, k)
		}
	}
	k, err := n.CheckWords(ctx, WordsOrder{At: []int{2, 7, 24}, Words: []string{words[1], string([]rune(words[6])[:4]), words[23]}})
	if err != nil || k.WordsThere {
		t.Fatalf("%+v, %v", k, err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = open()
	defer n.Close()
	if _, err := n.Words(ctx, identity.French); !errors.Is(err, ErrWordsGone) {
		t.Errorf("the words are still there: %v", err)
	}
	if n.owner.Secrets() != secrets {
		t.Error("other keys than before")
	}
	if _, err := n.CheckWords(ctx, WordsOrder{Words: words}); err != nil {
		t.Errorf("the right words: %v", err)
	}
	words[0], words[1] = words[1], words[0]
	if _, err := n.CheckWords(ctx, WordsOrder{Words: words}); err == nil {
		t.Error("two words in each other's place")
	}
}
