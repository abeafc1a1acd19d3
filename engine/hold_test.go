// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/peers"
)

// acked ends the holds that a backup knows of, as a node does when most keepers
// have its head.
func (c *circle) acked() {
	c.t.Helper()
	b, err := c.cat.LastBackup(c.t.Context(), peers.DeviceID{1})
	if err == nil {
		_, err = c.cat.Unhold(context.Background(), &b)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// Who comes back with the words finds all where the newest backup says, whatever
// was recoded and moved since; and nothing is held when a newer one is there.
func TestOldBackupLeadsSomewhere(t *testing.T) {
	c := newCircle(t, 7)
	all := c.keepers
	c.keepers = all[:2]
	dir := c.source()
	c.put(dir)
	back := func(w *Way) {
		t.Helper()
		n := c.rebuilt(w)
		sameTree(t, dir, filepath.Join(n.get("d"), "d"))
	}
	w, _ := c.backUp(1)
	back(w)
	c.keepers = all[:5] // another k
	c.maintain()
	back(w)
	if err := c.BeginLeave(t.Context(), Leave{Device: all[0].id, Name: all[0].name}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Drain(t.Context(), all[0].id, nil); err != nil {
		t.Fatal(err)
	}
	back(w)
	w2, _ := c.backUp(2)
	back(w)
	c.acked()
	c.maintain()
	c.keepers = all[1:5]
	if err := c.EndLeave(t.Context(), all[0].id, true); err != nil {
		t.Fatal(err)
	}
	back(w2)
	// What was moved since is worth a backup, too.
	if err := c.BeginLeave(t.Context(), Leave{Device: all[4].id, Name: all[4].name}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Drain(t.Context(), all[4].id, nil); err != nil {
		t.Fatal(err)
	}
	w3, _ := c.backUp(3)
	c.acked()
	c.maintain()
	back(w3)
	c.onlyKnown()
}
