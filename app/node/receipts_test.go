// SPDX-License-Identifier: MPL-2.0

package node

import (
	"crypto/rand"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers/circle"
)

// One machine stores some megabytes with another for two days: both see the
// same, and so they do after one lost its receipts' last answer.
func TestReceipts(t *testing.T) {
	ctx := testContext(t)
	clock := &testClock{at: time.Now()}
	laptop, desk := pairOfNodes(t, clock.now)
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, noise(3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := laptop.Put(ctx, engine.PutOptions{Sources: []string{name}}, nil); err != nil {
		t.Fatal(err)
	}
	for range 97 {
		if err := laptop.receiptsDue(ctx); err != nil {
			t.Fatal(err)
		}
		clock.add(30 * time.Minute)
	}
	took, gave := balanceOf(t, laptop, desk), balanceOf(t, desk, laptop)
	if took.Took == 0 || took.Took != gave.Gave {
		t.Fatalf("one took %v GB-days, the other gave %v", took.Took, gave.Gave)
	}
	use, err := desk.depot.Usage(ctx, laptop.device)
	if err != nil {
		t.Fatal(err)
	}
	if want := float64(use.Used) / 1e9 * 2; math.Abs(took.Took-want) > want/100 {
		t.Errorf("%v GB-days, want %v", took.Took, want)
	}
	// The laptop's catalog comes from a backup that lacks the last ones.
	last, err := laptop.lastReceipt(ctx, mustPeer(t, laptop, desk), false)
	if err != nil {
		t.Fatal(err)
	}
	older, err := laptop.engine.Catalog().Receipts(ctx, desk.device, false, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := laptop.engine.Catalog().AddReceipt(ctx, desk.device, false, last.Seq, older[2], 1000); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		clock.add(30 * time.Minute)
		if err := laptop.receiptsDue(ctx); err != nil {
			t.Log(err)
		}
	}
	if took, gave := balanceOf(t, laptop, desk), balanceOf(t, desk, laptop); took.Took != gave.Gave {
		t.Errorf("afterwards one took %v GB-days, the other gave %v", took.Took, gave.Gave)
	}
}

func balanceOf(t *testing.T, n, other *Node) Balance {
	t.Helper()
	return n.balance(testContext(t), mustPeer(t, n, other))
}

func mustPeer(t *testing.T, n, other *Node) circle.Peer {
	t.Helper()
	p, ok := n.book.Peer(other.device)
	if !ok {
		t.Fatal("not in the circle")
	}
	return p
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// testClock is a clock that a test moves.
type testClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *testClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// pairOfNodes serves two homes of one circle by one clock.
func pairOfNodes(t *testing.T, now func() time.Time) (laptop, desk *Node) {
	t.Helper()
	ctx := testContext(t)
	laptop, _ = serveHomeBy(t, testHome(t, "laptop"), now)
	desk, _ = serveHomeBy(t, testHome(t, "desk"), now)
	inv, err := laptop.Invite(ctx, InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := desk.Join(ctx, inv.Code); err != nil {
		t.Fatal(err)
	}
	return laptop, desk
}
