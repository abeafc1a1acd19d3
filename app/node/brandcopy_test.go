// SPDX-License-Identifier: MPL-2.0

package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/brand"
)

// openQuietly opens a home as a command does, and says how many bytes that took
// from the heap.
func openQuietly(t *testing.T, home string) (*Node, uint64) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := Open(t.Context(), home, Options{NoDiscovery: true, Wait: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	return n, after.TotalAlloc - before.TotalAlloc
}

// TestOpeningReadsNoTickets: a company's home with 16 MiB of tickets opens without
// reading them, and still knows when something of the company has changed.
func TestOpeningReadsNoTickets(t *testing.T) {
	home := testHome(t, "acme")
	n, _ := openQuietly(t, home)
	if _, err := n.BrandInit(t.Context(), BrandOptions{Name: "ACME", Label: "desk"}); err != nil {
		t.Fatal(err)
	}
	if n.beside() == n.backups.began {
		t.Error("that it became a company's is no reason for a backup")
	}
	ticket := func(i int) string {
		return filepath.Join(home, brandFolder, "received", fmt.Sprintf("%032x.ticket", i))
	}
	box := n.ownerBox
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n, empty := openQuietly(t, home)
	if n.beside() != n.backups.began {
		t.Error("nothing happened, and a backup is made")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 16 {
		if err := box.Replace(ticket(i), make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	n, full := openQuietly(t, home)
	if full > empty+8<<20 {
		t.Errorf("opening took %d MiB, and %d MiB with 16 MiB of tickets", empty>>20, full>>20)
	}
	if err := os.Remove(ticket(0)); err != nil {
		t.Fatal(err)
	}
	if n.beside() == n.backups.began {
		t.Error("that a ticket is gone is no reason for a backup")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// A company's home does not become another company's, and says so before it asks
// for words.
func TestRestoreInACompanysHome(t *testing.T) {
	ctx := t.Context()
	homes := map[string]*Node{}
	for _, name := range []string{"acme", "other"} {
		n, _ := openQuietly(t, testHome(t, name))
		t.Cleanup(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
		homes[name] = n
	}
	file := filepath.Join(t.TempDir(), "acme.copy")
	if _, err := homes["acme"].BrandInit(ctx, BrandOptions{Name: "ACME"}); err != nil {
		t.Fatal(err)
	}
	if _, err := homes["acme"].SaveBrand(ctx, file); err != nil {
		t.Fatal(err)
	}
	if _, err := homes["other"].RestoreBrand(ctx, BrandRestore{From: file}); !errors.Is(err, brand.ErrCopyKey) {
		t.Errorf("another person's copy: %v", err)
	}
	if _, err := homes["other"].BrandInit(ctx, BrandOptions{Name: "Other"}); err != nil {
		t.Fatal(err)
	}
	if _, err := homes["other"].RestoreBrand(ctx, BrandRestore{From: file}); !errors.Is(err, brand.ErrExists) {
		t.Errorf("in a company's home: %v", err)
	}
}
