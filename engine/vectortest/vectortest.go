// SPDX-License-Identifier: MPL-2.0

// Package vectortest reads and writes the files of vectors in testdata, by which
// tests of a format hold it to what was written before. Tests alone use it.
package vectortest

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write testdata again (only for a new format version)")

// Hex is a byte string in hexadecimal.
type Hex []byte

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(b []byte) error {
	d, err := hex.DecodeString(string(b))
	*h = d
	return err
}

// Update writes a file of vectors with -update, and does nothing without.
func Update[T any](t *testing.T, path string, fresh func(*testing.T) *T) {
	t.Helper()
	if !*update {
		return
	}
	b, err := json.MarshalIndent(fresh(t), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Read reads a file of vectors.
func Read[T any](tb testing.TB, path string) *T {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		tb.Fatal(err)
	}
	return v
}
