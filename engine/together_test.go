// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"testing"
)

// A repair that gives a keeper a new shard in place of a damaged one also
// tells it, in the same go, to forget the damaged one.
func TestRepairLeavesNoDeletions(t *testing.T) {
	c, _ := keptTree(t, 5)
	c.keepers[1].flip.Store(true)
	if _, err := c.Verify(t.Context(), VerifyOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	c.keepers[1].flip.Store(false)
	c.reopen() // a new start is fair to keepers
	if err := c.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := c.Status(t.Context(), StatusOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Debt != 0 || s.Pending != 0 {
		t.Errorf("after a repair %d shards are owed and %d deletions wait", s.Debt, s.Pending)
	}
}
