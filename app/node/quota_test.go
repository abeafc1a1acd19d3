// SPDX-License-Identifier: MPL-2.0

package node

import (
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
)

// A request may outlive its device's place in the circle: then there is
// nothing left to give, where 0 would be the whole offer.
func TestQuotaOfAStranger(t *testing.T) {
	book, err := circle.Open(filepath.Join(t.TempDir(), circleFile))
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{book: book}
	all, some := peers.DeviceID{1}, peers.DeviceID{2}
	for _, p := range []circle.Peer{{Device: all}, {Device: some, Quota: 7}} {
		if err := book.Put(p); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[peers.DeviceID]int64{all: 0, some: 7, {3}: -1} {
		if got := n.quota(id); got != want {
			t.Errorf("%s: %d, want %d", id.Short(), got, want)
		}
	}
}
