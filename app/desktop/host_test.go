// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/peers/vault"
)

// Two windows on one home: the first hosts the node, the second uses it; when
// the first closes, the second notices and takes over.
func TestHostsOrJoins(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	window := func() *homeHost {
		t.Setenv("PREEZM_KEYCHAIN", "off")
		h := newHomeHost(home, "v0.1.0", slog.New(slog.DiscardHandler))
		h.alone = true
		t.Cleanup(func() {
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
		return h
	}
	first, second := window(), window()
	if first.Exists() {
		t.Fatal("a home before it is made")
	}
	if _, err := first.Open(t.Context()); err == nil {
		t.Fatal("opened a home that is not there")
	}
	if err := node.Init(home, node.InitOptions{Name: "desk", Listen: []string{"127.0.0.1:0"}}); err != nil {
		t.Fatal(err)
	}
	if !first.Exists() {
		t.Fatal("no home after it was made")
	}
	hosted, err := first.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a, err := hosted.About(t.Context()); err != nil || !a.Running || a.Name != "desk" || a.Version != "v0.1.0" {
		t.Fatalf("%+v, %v", a, err)
	}
	joined, err := second.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := joined.(*node.Node); ok {
		t.Fatal("two nodes on one home")
	}
	if a, err := joined.About(t.Context()); err != nil || !a.Running {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := joined.About(t.Context()); !gone(err) {
		t.Fatalf("the loss shows as %v", err)
	}
	again, err := second.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := again.(*node.Node); !ok {
		t.Fatal("nobody took over")
	}
	select {
	case err := <-first.Lost():
		t.Errorf("a node that was stopped counts as lost: %v", err)
	default:
	}
}

// A home behind a passphrase opens without it for others, and with it for its
// owner; a wrong one changes nothing.
func TestHostLocks(t *testing.T) {
	t.Setenv("PREEZM_KEYCHAIN", "off")
	for name, unattended := range map[string]bool{"keeps for others": true, "all of it": false} {
		t.Run(name, func(t *testing.T) {
			home := filepath.Join(t.TempDir(), "home")
			h := newHomeHost(home, "v0.1.0", slog.New(slog.DiscardHandler))
			h.alone = true
			t.Cleanup(func() {
				if err := h.Close(); err != nil {
					t.Error(err)
				}
			})
			seal := node.Seal{By: vault.ByPassphrase, Passphrase: []byte("open sesame"), Unattended: unattended}
			if err := node.Init(home, node.InitOptions{Name: "desk", Listen: []string{"127.0.0.1:0"}, Seal: seal}); err != nil {
				t.Fatal(err)
			}
			locked := func(n Node, err error) bool {
				t.Helper()
				if !unattended && errors.Is(err, node.ErrLocked) {
					return true
				}
				if err != nil {
					t.Fatal(err)
				}
				k, err := n.Key(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return k.Locked
			}
			if !locked(h.Open(t.Context())) {
				t.Error("open without a passphrase")
			}
			if n, err := h.Unlock(t.Context(), "guess"); err == nil {
				t.Error("a wrong passphrase opens it")
			} else if unattended && (n == nil || !locked(n, nil)) {
				t.Error("after a wrong passphrase it keeps for nobody")
			}
			if locked(h.Unlock(t.Context(), "open sesame")) {
				t.Error("the passphrase does not open it")
			}
			if !locked(h.Lock(t.Context())) {
				t.Error("it does not lock")
			}
		})
	}
}
