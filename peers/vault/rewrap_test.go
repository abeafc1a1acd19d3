// SPDX-License-Identifier: MPL-2.0

package vault

import (
	"errors"
	"path/filepath"
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
			for _, point := range []string{"noted", "key kept", "written", "dropped"} {
				if (from == ByPassphrase || to == ByPassphrase) && (point == "noted" || point == "dropped") {
					continue // each costs a second, and shows nothing new
				}
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
	phrase, by := "first passphrase", from
	if point == "written" || point == "dropped" {
		phrase, by = "second passphrase", to
	}
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
	// Nothing of the other way is left.
	files, err := filepath.Glob(filepath.Join(dir, keyFilePrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	if again.By(Owner) != by || len(files) != map[By]int{ByKeyFile: 1}[by] || len(chain) != map[By]int{ByKeychain: 1}[by] || len(again.in.Spare) != 0 {
		t.Errorf("by %s: files %q, %d keys in the keychain, %v noted", again.By(Owner), files, len(chain), again.in.Spare)
	}
}

// TestRewrapAfterRewrapDies stops a change of keys at every step, twice, while
// the keychain in which the first one left a key is out of reach. The home opens,
// and once the keychain is back no key of before is left in it.
func TestRewrapAfterRewrapDies(t *testing.T) {
	points := []string{"noted", "key kept", "written", "dropped", ""}
	for _, first := range points {
		for _, second := range points {
			t.Run(first+", then "+second, func(t *testing.T) {
				dir, c := t.TempDir(), &sleepy{memory: memory{}}
				v, boxes, err := Create(dir, c, allBy(ByKeychain), false)
				if err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(dir, "f")
				if err := boxes[Owner].Replace(path, []byte("text")); err != nil {
					t.Fatal(err)
				}
				for i, point := range []string{first, second} {
					// The first puts a key into the keychain and may take one
					// from it, the second only takes.
					to := []By{ByKeychain, ByKeyFile}[i]
					rewrapUpTo(t, v, boxes, to, point, func() { c.lost = errors.New("the keychain sleeps") })
					if v, err = Open(dir, c); err != nil {
						t.Fatal(err)
					}
					if boxes, err = v.Unlock(nil, Parts...); err != nil {
						t.Fatal(err)
					}
				}
				if b, err := boxes[Owner].ReadFile(path, 100); err != nil || string(b) != "text" {
					t.Fatalf("%q, %v", b, err)
				}
				c.lost = nil
				if err := v.Tidy(); err != nil {
					t.Fatal(err)
				}
				want := map[By]int{ByKeychain: 1}[v.By(Owner)]
				if len(c.memory) != want || len(v.in.Spare) != 0 {
					t.Errorf("by %s: %d keys in the keychain, want %d, %v noted", v.By(Owner), len(c.memory), want, v.in.Spare)
				}
				if _, err := v.Unlock(nil, Parts...); err != nil {
					t.Errorf("tidied, it does not open: %v", err)
				}
			})
		}
	}
}

// rewrapUpTo changes keys and dies at a point, or not when that is empty. Once
// new keys are kept, lose is called.
func rewrapUpTo(t *testing.T, v *Vault, boxes map[Part]*Box, to By, point string, lose func()) {
	t.Helper()
	died := errors.New("died")
	v.step = func(p string) {
		if p == "key kept" {
			lose()
		}
		if p == point {
			panic(died)
		}
	}
	defer func() {
		if got := recover(); point != "" && got != died || point == "" && got != nil {
			t.Fatalf("it did not get to %q: %v", point, got)
		}
	}()
	_ = v.Rewrap(boxes, allBy(to))
}

// sleepy is a keychain that may be out of reach.
type sleepy struct {
	memory
	off  error // it takes no key and removes none
	lost error // it removes none
}

func (c *sleepy) Set(ref string, key []byte) error {
	if c.off != nil {
		return c.off
	}
	return c.memory.Set(ref, key)
}

func (c *sleepy) Delete(ref string) error {
	if err := errors.Join(c.off, c.lost); err != nil {
		return err
	}
	return c.memory.Delete(ref)
}

func allBy(by By) map[Part]How { return map[Part]How{Machine: {By: by}, Owner: {By: by}} }

// A part that is locked, a keychain that does not take a key: nothing changed, and
// no new key stays.
func TestRewrapThatCannotBe(t *testing.T) {
	dir, c := t.TempDir(), &sleepy{memory: memory{}}
	v, boxes, err := Create(dir, c, allBy(ByKeyFile), false)
	if err != nil {
		t.Fatal(err)
	}
	left := func(what string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, keyFilePrefix+"*"))
		if err != nil || len(files) != 1 || len(c.memory) != 0 || len(v.in.Spare) != 0 || v.By(Owner) != ByKeyFile {
			t.Errorf("%s: %q and %d keys, %v, %v", what, files, len(c.memory), v.in.Spare, err)
		}
	}
	for _, by := range []By{ByKeychain, ByKeyFile} {
		if err := v.Rewrap(map[Part]*Box{Machine: boxes[Machine]}, allBy(by)); err == nil {
			t.Error("a locked part was wrapped anew")
		}
		left("locked")
	}
	c.off = errors.New("the keychain sleeps")
	if err := v.Rewrap(boxes, allBy(ByKeychain)); !errors.Is(err, c.off) {
		t.Errorf("got %v", err)
	}
	c.off = nil
	if err := v.Tidy(); err != nil {
		t.Fatal(err)
	}
	left("no keychain")
	// Away from a keychain that is out of reach: it goes on, and tidies up later.
	if err := v.Rewrap(boxes, allBy(ByKeychain)); err != nil {
		t.Fatal(err)
	}
	c.off = ErrNoKeychain
	if err := v.Rewrap(boxes, allBy(ByKeyFile)); !errors.Is(err, ErrNoKeychain) {
		t.Errorf("that the old key stays is not said: %v", err)
	}
	c.off = nil
	if v, err = Open(dir, c); err == nil {
		err = v.Tidy()
	}
	if err != nil {
		t.Fatal(err)
	}
	left("tidied")
}
