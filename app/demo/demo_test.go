// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/preezm/preezm/app/internal/e2e"
)

// build compiles the program and makes the temporary folder one that is empty
// at first, so that what the demo leaves can be seen.
func build(t *testing.T) (preezm, tmp string) {
	t.Helper()
	preezm, err := e2e.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tmp = t.TempDir()
	t.Setenv("TMPDIR", tmp)
	return preezm, tmp
}

func left(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestDemoWithAPersonsFolder(t *testing.T) {
	preezm, tmp := build(t)
	folder := filepath.Join(t.TempDir(), "my files")
	if err := oddities(folder); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	if err := run(t.Context(), &said, false, preezm, folder, false); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	for _, want := range []string{
		"[6/11]  compare", "all equal", "machines lost  2 of 5", "expansion",
		"[8/11]  open ", "the grant has ended", "the owner has withdrawn the grant", "a copy may exist", "[11/11] ledger",
	} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("does not say %q:\n%s", want, said.String())
		}
	}
	if names := left(t, tmp); len(names) > 0 {
		t.Errorf("left behind %q", names)
	}
}

// TestInterruptedDemo ends it in the middle of pairing, and while it waits for
// the end of a grant.
func TestInterruptedDemo(t *testing.T) {
	preezm, tmp := build(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"[1/11]", "[8/11]"} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := run(ctx, stopAt{cancel, at}, false, preezm, file, false); !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted at %s: %v", at, err)
		}
		if names := left(t, tmp); len(names) > 0 {
			t.Errorf("interrupted at %s: left behind %q", at, names)
		}
	}
}

func TestPickPapers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "files")
	if err := oddities(dir); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int64{"large": lendSize + 2, "a/photo": lendSize, "b/Photo": lendSize - 1, "letter": 999} {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, nil, 0o600), os.Truncate(p, size)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := pickPapers(t.Context(), dir)
	if err != nil || len(got) != 2 || got[0].kept != "files/a/photo" || got[1].kept != "files/letter" {
		t.Errorf("picked %v, %v", got, err)
	}
	if got, err = pickPapers(t.Context(), filepath.Join(dir, "large")); err != nil || len(got) != 1 || got[0].kept != "large" {
		t.Errorf("of one large file: picked %v, %v", got, err)
	}
}

// stopAt is a screen whose person presses Ctrl-C at some words.
type stopAt struct {
	stop  func()
	words string
}

func (s stopAt) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.words) {
		s.stop()
	}
	return len(p), nil
}

func TestDemoWithoutSuchAFile(t *testing.T) {
	preezm, tmp := build(t)
	err := run(t.Context(), &strings.Builder{}, false, preezm, filepath.Join(tmp, "nothing"), false)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := run(t.Context(), &strings.Builder{}, false, preezm, "/", false); err == nil {
		t.Error("put everything there is")
	}
}
