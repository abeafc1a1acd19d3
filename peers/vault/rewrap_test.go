// SPDX-License-Identifier: MPL-2.0

package vault

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// memory is a keychain; vaulttest's cannot be imported from here.
type memory map[string][]byte

func (m memory) Get(ref string) ([]byte, error) {
	if k, ok := m[ref]; ok {
		return k, nil
	}
	return nil, ErrKeyGone
}
func (m memory) Set(ref string, key []byte) error { m[ref] = append([]byte(nil), key...); return nil }
func (m memory) Delete(ref string) error          { delete(m, ref); return nil }

// TestRewrapDies stops a change of keys at every step and looks whether the
// home opens, the old way or the new one.
func TestRewrapDies(t *testing.T) {
	ways := []By{ByKeychain, ByPassphrase, ByKeyFile}
	for _, from := range ways {
		for _, to := range ways {
			for _, point := range []string{"key kept", "written"} {
				t.Run(string(from)+" to "+string(to)+" dies at "+point, func(t *testing.T) {
					rewrapDies(t, from, to, point)
				})
			}
		}
	}
}

func rewrapDies(t *testing.T, from, to By, point string) {
	dir, chain := t.TempDir(), memory{}
	how := func(by By, phrase string) map[Part]How {
		h := How{By: by, Passphrase: []byte(phrase)}
		return map[Part]How{Machine: h, Owner: h}
	}
	v, boxes, err := Create(dir, chain, how(from, "first passphrase"), false)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "f")
	if err := boxes[Owner].Replace(path, []byte("text")); err != nil {
		t.Fatal(err)
	}
	died := errors.New("died")
	v.step = func(p string) {
		if p == point {
			panic(died)
		}
	}
	func() {
		defer func() {
			if recover() != died {
				t.Fatal("it did not get there")
			}
		}()
		_ = v.Rewrap(boxes, how(to, "second passphrase"))
	}()
	again, err := Open(dir, chain)
	if err != nil {
		t.Fatal(err)
	}
	phrase := map[string]string{"key kept": "first passphrase", "written": "second passphrase"}[point]
	opened, err := again.Unlock(func() ([]byte, error) { return []byte(phrase), nil }, Parts...)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := opened[Owner].ReadFile(path, 100); err != nil || string(b) != "text" {
		t.Fatalf("%q, %v", b, err)
	}
	if err := again.Tidy(); err != nil {
		t.Fatal(err)
	}
	// Once it went through, nothing of the old way is left.
	if err := again.Rewrap(opened, how(to, "third passphrase")); err != nil {
		t.Fatal(err)
	}
	left := 0
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), keyFileSuffix) {
			left++
		}
	}
	if want := map[bool]int{true: 1}[to == ByKeyFile]; left != want {
		t.Errorf("%d key files, want %d", left, want)
	}
}
