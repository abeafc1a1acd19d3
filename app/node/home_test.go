// SPDX-License-Identifier: MPL-2.0

package node

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func testHome(t *testing.T, name string) string {
	t.Helper()
	home := filepath.Join(t.TempDir(), name)
	if err := Init(home, InitOptions{Name: name, Listen: []string{"127.0.0.1:0"}, Offer: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	return home
}

func TestInit(t *testing.T) {
	home := testHome(t, "laptop")
	for name, want := range map[string]os.FileMode{"": 0o700, keyFile: 0o600, ownerFile: 0o600, settingsFile: 0o600, lockFile: 0o600} {
		fi, err := os.Stat(filepath.Join(home, name))
		if err != nil || fi.Mode().Perm() != want {
			t.Errorf("%q: mode %v, want %v (%v)", name, fi.Mode().Perm(), want, err)
		}
	}
	before, err := os.ReadFile(filepath.Join(home, ownerFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := Init(home, InitOptions{Name: "desk"}); !errors.Is(err, ErrHomeExists) {
		t.Errorf("again: %v", err)
	}
	after, err := os.ReadFile(filepath.Join(home, ownerFile))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the owner's key changed: %v", err)
	}
	if s, err := ReadSettings(home); err != nil || s.Name != "laptop" || s.Offer != 1<<30 {
		t.Errorf("settings %+v, %v", s, err)
	}
}

// A home is one whatever its use has put into it since.
func TestInitInAUsedHome(t *testing.T) {
	home := testHome(t, "used")
	if err := os.WriteFile(filepath.Join(home, "care.db"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Init(home, InitOptions{Name: "again"}); !errors.Is(err, ErrHomeExists) {
		t.Errorf("got %v, want ErrHomeExists", err)
	}
}

func TestInitLeavesOtherFoldersAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "diary.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Init(dir, InitOptions{Name: "x"}); err == nil || !strings.Contains(err.Error(), "diary.txt") {
		t.Errorf("got %v", err)
	}
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o755 {
		t.Errorf("its mode changed: %v, %v", fi.Mode(), err)
	}
}

func TestInitAfterItsOwnCrash(t *testing.T) {
	home := testHome(t, "laptop")
	id, _, err := Who(home)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(home, settingsFile)); err != nil {
		t.Fatal(err)
	}
	if err := Init(home, InitOptions{Name: "laptop"}); err != nil {
		t.Fatal(err)
	}
	if again, _, err := Who(home); err != nil || again != id {
		t.Errorf("a whole identity was replaced: %v", err)
	}

	for _, name := range []string{settingsFile, keyFile} { // a crash in the middle of the identity
		if err := os.Remove(filepath.Join(home, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Init(home, InitOptions{Name: "laptop"}); err != nil {
		t.Errorf("over half an identity: %v", err)
	}

	for _, name := range []string{settingsFile, keyFile} {
		if err := os.Remove(filepath.Join(home, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(home, circleFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Init(home, InitOptions{Name: "laptop"}); err == nil {
		t.Error("the identity of a home in use was replaced")
	}
}

func TestInitAtOnce(t *testing.T) {
	home := filepath.Join(t.TempDir(), "h")
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { errs[i] = Init(home, InitOptions{Name: "x"}) })
	}
	wg.Wait()
	done := 0
	for _, err := range errs {
		switch {
		case err == nil:
			done++
		case !errors.Is(err, ErrHomeExists) && !errors.Is(err, ErrHomeBusy):
			t.Errorf("got %v", err)
		}
	}
	if done != 1 {
		t.Errorf("%d of 8 made the home", done)
	}
}

func TestBadSettings(t *testing.T) {
	for name, o := range map[string]InitOptions{
		"control characters": {Name: "a\x1b[31m"},
		"not UTF-8":          {Name: "a\xff"},
		"only space":         {Name: "  "},
		"too long":           {Name: strings.Repeat("x", 65)},
		"negative offer":     {Name: "x", Offer: -2},
		"no port":            {Name: "x", Listen: []string{"127.0.0.1"}},
		"port by name":       {Name: "x", Listen: []string{"127.0.0.1:http"}},
		"port too large":     {Name: "x", Listen: []string{"127.0.0.1:65536"}},
		"a language":         {Name: "x", WordsLanguage: "de"},
		"many addresses":     {Name: "x", Listen: strings.Split(strings.Repeat(":1 ", 17)+":1", " ")},
	} {
		home := filepath.Join(t.TempDir(), "h")
		if err := Init(home, o); err == nil {
			t.Errorf("%s: taken", name)
		}
		if _, err := os.Stat(home); err == nil {
			t.Errorf("%s: something was made", name)
		}
	}

	home := testHome(t, "x")
	good, err := os.ReadFile(filepath.Join(home, settingsFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":         "",
		"no JSON":       "hello",
		"cut":           string(good[:len(good)-4]),
		"unknown field": strings.Replace(string(good), `"name"`, `"nome"`, 1),
		"newer format":  strings.Replace(string(good), `"format": 1`, `"format": 2`, 1),
		"huge":          string(good) + strings.Repeat(" ", maxSettingsFile),
	} {
		if err := os.WriteFile(filepath.Join(home, settingsFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadSettings(home); !errors.Is(err, ErrSettings) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoHome(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(testContext(t), dir, Options{}); !errors.Is(err, ErrNoHome) {
		t.Errorf("Open: %v", err)
	}
	if _, err := Connect(testContext(t), filepath.Join(dir, "none"), Options{}); !errors.Is(err, ErrNoHome) {
		t.Errorf("Connect: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("something was made: %v, %v", left, err)
	}
}

func TestLock(t *testing.T) {
	ctx := testContext(t)
	home := t.TempDir()
	first, err := lockHome(ctx, home, RoleServe, 0)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err = lockHome(ctx, home, RoleServe, time.Hour)
	var busy *BusyError
	if !errors.As(err, &busy) || busy.PID != os.Getpid() || busy.Role != RoleServe {
		t.Errorf("served: %v", err)
	}
	if waited := time.Since(start); waited > testTime {
		t.Errorf("waited %v for a node that will not go", waited)
	}
	if err := first.Unlock(); err != nil {
		t.Fatal(err)
	}

	// A command is waited for.
	first, err = lockHome(ctx, home, RoleCommand, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		second, err := lockHome(ctx, home, RoleServe, time.Hour)
		if err == nil {
			err = second.Unlock()
		}
		got <- err
	}()
	if err := first.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("after a command: %v", err)
	}

	first, err = lockHome(ctx, home, RoleCommand, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Unlock() }()
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := lockHome(ended, home, RoleCommand, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestForeignLockNotes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for text, want := range map[string]int{"": 0, "\x00": 0, "\x00-4 serve": 0, "\x00999999999999999999999 serve": 0, "\x0012 serve\n": 12, "\x007": 7, "\x00 \xff": 0} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if pid, _ := readLockNote(path); pid != want {
			t.Errorf("%q: process %d, want %d", text, pid, want)
		}
	}
}

func TestChooseAddresses(t *testing.T) {
	ctx := testContext(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	busy := taken.Addr().String()

	got, err := chooseAddresses(ctx, []string{"127.0.0.1:0"}, nil)
	if err != nil || len(got) != 1 || strings.HasSuffix(got[0], ":0") {
		t.Fatalf("a port was to be chosen: %q, %v", got, err)
	}
	again, err := chooseAddresses(ctx, []string{"127.0.0.1:0"}, got)
	if err != nil || again[0] != got[0] {
		t.Errorf("the port of last time: %q, want %q (%v)", again, got, err)
	}
	moved, err := chooseAddresses(ctx, []string{"127.0.0.1:0"}, []string{busy})
	if err != nil || moved[0] == busy {
		t.Errorf("the port of last time is taken: %q, %v", moved, err)
	}
	if _, err := chooseAddresses(ctx, []string{busy}, nil); err == nil {
		t.Error("a taken port that was asked for was replaced")
	}
	other, err := chooseAddresses(ctx, []string{"127.0.0.1:0"}, []string{"127.0.0.2:1"})
	if err != nil || !strings.HasPrefix(other[0], "127.0.0.1:") {
		t.Errorf("another host: %q, %v", other, err)
	}
	byDefault, err := chooseAddresses(ctx, nil, nil)
	if err != nil || len(byDefault) != 1 || !strings.HasPrefix(byDefault[0], ":") {
		t.Errorf("by default: %q, %v", byDefault, err)
	}
}
