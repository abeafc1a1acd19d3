// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/app/node"
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
