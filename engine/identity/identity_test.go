// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// create and load keep an owner's key as a plain file.
func create(path string) (Secrets, error) {
	k := NewOwner()
	return k.Secrets(), k.WriteNew(nil, path)
}

func load(path string) (Secrets, error) {
	k, err := ReadOwner(nil, path)
	return k.Secrets(), err
}

func TestCreateThenLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "owner.key")
	made, err := create(path)
	if err != nil {
		t.Fatal(err)
	}
	read, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	if made != read {
		t.Fatal("the keys differ after reading them back")
	}
	if made.Dedup == made.Chunker {
		t.Fatal("two purposes share a key")
	}
	if runtime.GOOS != "windows" {
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != 0o600 {
			t.Fatalf("mode %v, want 0600", fi.Mode())
		}
	}
	if _, err := create(path); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("a second create: %v, want ErrExist", err)
	}
	if again, err := load(path); err != nil || again != made {
		t.Fatal("a refused create changed the file")
	}
}

func TestLoadRefuses(t *testing.T) {
	good := header + "\n" + "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" + "\n"
	for name, text := range map[string]string{
		"empty":        "",
		"no header":    good[len(header)+1:],
		"next version": "preezm owner key 3" + good[len(header):],
		"short":        good[:len(good)-5],
		"long":         good + "00",
		"not hex":      header + "\nzz" + good[len(header)+3:],
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "owner.key")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := load(path); !errors.Is(err, ErrFormat) {
				t.Fatalf("got %v, want ErrFormat", err)
			}
		})
	}
	if _, err := parse(good); err != nil {
		t.Fatal(err)
	}
}

// The derivation is part of the format: a change would make every catalog
// unreadable.
func TestDeriveVector(t *testing.T) {
	master := make([]byte, 32)
	for i := range master {
		master[i] = byte(i)
	}
	s := FromMaster([32]byte(master))
	const dedup, chunker = "c389262902d23da735ee21eadc42f5030e2da844742645c4f7149bbc537a9e5f", "918cee6cee3d5493c3c61b8e647aeaa5b00c0b2b51f7002912ca0e537ccb0300"
	if got := hexOf(s.Dedup); got != dedup {
		t.Errorf("dedup key %s, want %s", got, dedup)
	}
	if got := hexOf(s.Chunker); got != chunker {
		t.Errorf("chunker key %s, want %s", got, chunker)
	}
}

func hexOf(b [32]byte) string { return hex.EncodeToString(b[:]) }

// What is left without the master leads to the same keys and not to the words.
func TestWithoutMaster(t *testing.T) {
	path := filepath.Join(t.TempDir(), "owner.key")
	k := NewOwner()
	master, ok := k.Master()
	if !ok || !k.Is(master) {
		t.Fatal("a new key does not know its own secret")
	}
	if err := k.WriteNew(nil, path); err != nil {
		t.Fatal(err)
	}
	left := k.WithoutMaster()
	if err := left.Replace(nil, path); err != nil {
		t.Fatal(err)
	}
	read, err := ReadOwner(nil, path)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := read.Master(); ok || read.master != [32]byte{} {
		t.Error("the master is still there")
	}
	if read.Secrets() != FromMaster(master) || !read.Is(master) {
		t.Error("the keys differ")
	}
	master[0]++
	if read.Is(master) {
		t.Error("another secret passes for this one")
	}
}
