// SPDX-License-Identifier: MPL-2.0

package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestReplaceAndWriteNew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, text := range []string{"one", "two, and longer", ""} {
		if err := Replace(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Fatalf("%q, %v", b, err)
		}
	}
	if err := WriteNew(path, []byte("three"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("got %v, want ErrExist", err)
	}
	if err := WriteNew(filepath.Join(dir, "g"), []byte("three"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Replace(filepath.Join(dir, "none", "f"), nil); err == nil {
		t.Fatal("a file in a folder that is not there")
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 2 {
		t.Fatalf("%v is left behind (%v)", names, err)
	}
}
