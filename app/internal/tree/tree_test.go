// SPDX-License-Identifier: MPL-2.0

package tree

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func build(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "tree")
	old := time.Unix(1_000_000_000, 123456789)
	err := errors.Join(
		os.MkdirAll(filepath.Join(root, "sub", "empty"), 0o755),
		os.WriteFile(filepath.Join(root, "a"), []byte("alpha"), 0o600),
		os.WriteFile(filepath.Join(root, "sub", "b"), []byte("bravo"), 0o644),
		os.Chtimes(filepath.Join(root, "a"), old, old),
		os.Chtimes(filepath.Join(root, "sub", "b"), old, old),
		os.Chtimes(filepath.Join(root, "sub", "empty"), old, old),
		os.Symlink("a", filepath.Join(root, "link")),
		os.Chtimes(filepath.Join(root, "sub"), old, old),
		os.Chtimes(root, old, old),
	)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestEqual(t *testing.T) {
	tr, err := Scan(t.Context(), build(t))
	if err != nil {
		t.Fatal(err)
	}
	if tr.Files != 2 || tr.Folders != 3 || tr.Links != 1 || tr.Bytes != 10 {
		t.Errorf("scanned %+v", tr)
	}
	if got, want := tr.Counts(), "2 files, 3 folders, 1 link"; got != want {
		t.Errorf("says %q, want %q", got, want)
	}
	n, err := tr.Compare(t.Context(), build(t))
	if err != nil || n != 6 {
		t.Errorf("an equal tree: %d entries, %v", n, err)
	}
}

func TestEveryDifferenceIsFound(t *testing.T) {
	tr, err := Scan(t.Context(), build(t))
	if err != nil {
		t.Fatal(err)
	}
	old := time.Unix(1_000_000_000, 123456789)
	for name, change := range map[string]struct {
		do   func(root string) error
		want string
	}{
		"bytes": {func(r string) error {
			p := filepath.Join(r, "a")
			return errors.Join(os.WriteFile(p, []byte("alphb"), 0o600), os.Chtimes(p, old, old))
		}, "SHA-256"},
		"size":    {func(r string) error { return os.WriteFile(filepath.Join(r, "a"), []byte("al"), 0o600) }, "bytes"},
		"mode":    {func(r string) error { return os.Chmod(filepath.Join(r, "a"), 0o640) }, "mode"},
		"time":    {func(r string) error { return os.Chtimes(filepath.Join(r, "a"), old, old.Add(1)) }, "time"},
		"missing": {func(r string) error { return os.Remove(filepath.Join(r, "sub", "empty")) }, "did not come back"},
		"extra":   {func(r string) error { return os.WriteFile(filepath.Join(r, "c"), nil, 0o600) }, "never there"},
		"link": {func(r string) error {
			p := filepath.Join(r, "link")
			return errors.Join(os.Remove(p), os.Symlink("b", p))
		}, "points to"},
		"kind": {func(r string) error {
			p := filepath.Join(r, "link")
			return errors.Join(os.Remove(p), os.WriteFile(p, nil, 0o777))
		}, "mode"},
	} {
		t.Run(name, func(t *testing.T) {
			root := build(t)
			if err := change.do(root); err != nil {
				t.Fatal(err)
			}
			if _, err := tr.Compare(t.Context(), root); err == nil || !strings.Contains(err.Error(), change.want) {
				t.Errorf("got %v, want a word of %q", err, change.want)
			}
		})
	}
}

func TestChangedSourceIsToldAsSuch(t *testing.T) {
	root := build(t)
	tr, err := Scan(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "a"), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Compare(t.Context(), build(t)); err == nil || !strings.Contains(err.Error(), "changed at its source") {
		t.Errorf("got %v", err)
	}
}
