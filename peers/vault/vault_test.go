// SPDX-License-Identifier: MPL-2.0

package vault_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/preezm/preezm/peers/vault"
	"github.com/preezm/preezm/peers/vault/vaulttest"
)

var secret = []byte("the name of a brand that nobody may read")

const phrase = "correct horse battery"

func both(by vault.By) map[vault.Part]vault.How {
	h := vault.How{By: by, Passphrase: []byte(phrase)}
	return map[vault.Part]vault.How{vault.Machine: h, vault.Owner: h}
}

func say(text string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(text), nil }
}

func create(t *testing.T, dir string, chain vault.Keychain, how map[vault.Part]vault.How) map[vault.Part]*vault.Box {
	t.Helper()
	_, boxes, err := vault.Create(dir, chain, how, false)
	if err != nil {
		t.Fatal(err)
	}
	return boxes
}

func TestEveryWay(t *testing.T) {
	for _, by := range []vault.By{vault.ByKeychain, vault.ByPassphrase, vault.ByKeyFile} {
		t.Run(string(by), func(t *testing.T) {
			dir, chain := t.TempDir(), &vaulttest.Keychain{}
			boxes := create(t, dir, chain, both(by))
			path := filepath.Join(dir, "owner.key")
			if err := boxes[vault.Owner].WriteNew(path, secret); err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(path)
			if err != nil || bytes.Contains(raw, secret) {
				t.Fatalf("%q, %v", raw, err)
			}
			v, err := vault.Open(dir, chain)
			if err != nil {
				t.Fatal(err)
			}
			asked := 0
			again, err := v.Unlock(func() ([]byte, error) { asked++; return []byte(phrase), nil }, vault.Parts...)
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{true: 1}[by == vault.ByPassphrase]; asked != want {
				t.Errorf("asked %d times", asked)
			}
			if got, err := again[vault.Owner].ReadFile(path, 1000); err != nil || !bytes.Equal(got, secret) {
				t.Errorf("%q, %v", got, err)
			}
			if !bytes.Equal(again[vault.Owner].DBKey("a"), boxes[vault.Owner].DBKey("a")) ||
				bytes.Equal(again[vault.Owner].DBKey("a"), again[vault.Machine].DBKey("a")) {
				t.Error("the keys of databases are not each their own")
			}
			if runtime.GOOS != "windows" {
				files, err := filepath.Glob(filepath.Join(dir, "*"))
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range files {
					if fi, err := os.Stat(f); err != nil || fi.Mode().Perm() != 0o600 {
						t.Errorf("%s: %v, %v", f, fi.Mode(), err)
					}
				}
			}
		})
	}
}

func TestPassphrases(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := vault.Create(dir, nil, map[vault.Part]vault.How{vault.Machine: {By: vault.ByKeyFile}, vault.Owner: {By: vault.ByPassphrase, Passphrase: []byte("short")}}, false); !errors.Is(err, vault.ErrWeak) {
		t.Fatalf("a weak one: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Fatalf("a refused vault left %v, %v", left, err)
	}
	h := vault.How{By: vault.ByPassphrase, Passphrase: []byte("crème brûlée")}
	create(t, dir, nil, map[vault.Part]vault.How{vault.Machine: {By: vault.ByKeyFile}, vault.Owner: h})
	v, err := vault.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Unlock(nil, vault.Machine); err != nil {
		t.Errorf("the machine's part needs a passphrase: %v", err)
	}
	for _, c := range []struct {
		ask  func() ([]byte, error)
		want error
	}{
		{nil, vault.ErrNeedPassphrase}, {say(""), vault.ErrNeedPassphrase}, {say("creme brulee"), vault.ErrPassphrase},
		{say("cre\u0300me bru\u0302le\u0301e"), nil}, {func() ([]byte, error) { return nil, fs.ErrClosed }, fs.ErrClosed},
	} {
		if _, err := v.Unlock(c.ask, vault.Owner); !errors.Is(err, c.want) {
			t.Errorf("got %v, want %v", err, c.want)
		}
	}
}

// A file opens at its place in its home, whole, and nowhere else.
func TestFilesAreBound(t *testing.T) {
	dir := t.TempDir()
	boxes := create(t, dir, nil, both(vault.ByKeyFile))
	other := create(t, t.TempDir(), nil, both(vault.ByKeyFile))
	o := boxes[vault.Owner]
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "brand", "b")
	if err := o.Replace(a, secret); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if _, err := o.Open(a, bad); err == nil {
			t.Fatalf("a changed byte %d is not seen", i)
		}
	}
	for i := range raw {
		if _, err := o.Open(a, raw[:i]); err == nil {
			t.Fatalf("cut to %d bytes and not seen", i)
		}
	}
	for name, err := range map[string]error{
		"another place": second(o.Open(b, raw)),
		"another part":  second(boxes[vault.Machine].Open(a, raw)),
		"another home":  second(other[vault.Owner].Open(a, raw)),
		"outside":       second(o.Open(filepath.Join(t.TempDir(), "a"), raw)),
	} {
		if err == nil {
			t.Errorf("it opens at %s", name)
		}
	}
	if _, err := o.Open(a, secret); !errors.Is(err, vault.ErrPlain) {
		t.Errorf("a plain file: %v", err)
	}
	if _, err := o.ReadFile(a, len(secret)-1); !errors.Is(err, vault.ErrTooLarge) {
		t.Errorf("a large file: %v", err)
	}
	if err := o.WriteNew(a, secret); !errors.Is(err, fs.ErrExist) {
		t.Errorf("written over: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestDamagedVault(t *testing.T) {
	dir := t.TempDir()
	create(t, dir, nil, both(vault.ByKeyFile))
	path := filepath.Join(dir, vault.File)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"empty":          {"", vault.ErrDamaged},
		"cut":            {string(good[:len(good)/2]), vault.ErrDamaged},
		"more":           {string(good) + "{}", vault.ErrDamaged},
		"unknown field":  {strings.Replace(string(good), `"format"`, `"x": 1, "format"`, 1), vault.ErrDamaged},
		"newer":          {strings.Replace(string(good), `"format": 1`, `"format": 2, "new": true`, 1), vault.ErrNewer},
		"another way":    {strings.ReplaceAll(string(good), `"keyfile"`, `"cloud"`), vault.ErrDamaged},
		"no parameters":  {strings.ReplaceAll(string(good), `"keyfile"`, `"passphrase"`), vault.ErrDamaged},
		"path for a ref": {strings.Replace(string(good), `"ref": "`, `"ref": "../`, 1), vault.ErrDamaged},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := vault.Open(dir, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := filepath.Glob(filepath.Join(dir, "home-*.key"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	if err := os.Remove(keys[0]); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Unlock(nil, vault.Machine); !errors.Is(err, vault.ErrKeyGone) {
		t.Errorf("without the key file: %v", err)
	}
}

// An old home's plain files are read while it is being sealed, and not after.
func TestSealingAnOldHome(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "circle.json")
	if err := os.WriteFile(path, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	v, boxes, err := vault.Create(dir, nil, both(vault.ByKeyFile), true)
	if err != nil {
		t.Fatal(err)
	}
	m := boxes[vault.Machine]
	for range 2 { // the second time it is sealed already
		if got, err := m.ReadFile(path, 1000); err != nil || !bytes.Equal(got, secret) {
			t.Fatalf("%q, %v", got, err)
		}
		if err := m.SealFile(path, 1000); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Sealed(boxes); err != nil {
		t.Fatal(err)
	}
	again, err := vault.Open(dir, nil)
	if err != nil || again.Sealing() {
		t.Fatalf("still sealing, %v", err)
	}
	if err := os.WriteFile(path, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.ReadFile(path, 1000); !errors.Is(err, vault.ErrPlain) {
		t.Errorf("a plain file after the sealing: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	_, boxes, err := vault.Create(dir, nil, both(vault.ByKeyFile), false)
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(dir, "x")
	good, err := boxes[vault.Owner].Seal(path, secret)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:20])
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := boxes[vault.Owner].Open(path, raw); err == nil && !bytes.Equal(raw, good) {
			t.Error("something else opens")
		}
	})
}
