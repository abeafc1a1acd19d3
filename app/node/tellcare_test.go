// SPDX-License-Identifier: MPL-2.0

package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/preezm/preezm/peers/caretaker"
)

// careCircle is an owner, a keeper, and two machines that keep nothing for it,
// all served by one clock.
type careCircle struct {
	*testing.T
	clock *testClock
	owner *Node
	homes map[string]string
	nodes map[string]*Node
	stops map[string]func()
}

func newCareCircle(t *testing.T) *careCircle {
	t.Helper()
	ctx := testContext(t)
	c := &careCircle{T: t, clock: &testClock{at: time.Now()}, homes: map[string]string{}, nodes: map[string]*Node{}, stops: map[string]func(){}}
	c.owner, _ = serveHomeBy(t, testHome(t, "laptop"), c.clock.now)
	for _, name := range []string{"desk", "nas", "attic"} {
		c.homes[name] = testHome(t, name)
		c.start(name)
		inv, err := c.nodes[name].Invite(ctx, InviteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.owner.Join(ctx, inv.Code); err != nil {
			t.Fatal(err)
		}
		if off := false; name != "desk" {
			if _, err := c.owner.SetRoles(ctx, RolesOrder{Who: name, Keeper: &off}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c
}

func (c *careCircle) start(name string) {
	c.Helper()
	c.nodes[name], c.stops[name] = serveHomeBy(c.T, c.homes[name], c.clock.now)
}

// jobs counts the tasks that a machine has of the owner, and tells the number of
// the newest that it was told.
func (c *careCircle) jobs(name string) (jobs int, number uint64) {
	c.Helper()
	n := c.nodes[name]
	l, err := n.care.Look(testContext(c.T), c.owner.device)
	if err != nil {
		c.Fatal(err)
	}
	return len(n.care.Jobs()), l.Number
}

// due lets the owner's node do what is due, until ok holds.
func (c *careCircle) due(what string, ok func() bool) {
	c.Helper()
	ctx := testContext(c.T)
	for !ok() {
		if err := c.owner.careDue(ctx); err != nil && ctx.Err() == nil {
			c.Log(err)
		}
		select {
		case <-ctx.Done():
			c.Fatalf("not in time: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *careCircle) state() *CareGiven {
	c.Helper()
	s, err := c.owner.Care(testContext(c.T))
	if err != nil {
		c.Fatal(err)
	}
	return s.Given
}

// A caretaker that is replaced hears so, also one that keeps nothing and was off
// meanwhile, and nothing about who comes after it.
func TestReplacedCaretakerHears(t *testing.T) {
	ctx := testContext(t)
	c := newCareCircle(t)
	if _, err := c.owner.GiveCare(ctx, CareOrder{Who: "nas"}, nil); err != nil {
		t.Fatal(err)
	}
	if jobs, _ := c.jobs("nas"); jobs != 1 {
		t.Fatalf("%d tasks", jobs)
	}
	if _, number := c.jobs("attic"); number != 0 {
		t.Error("who has no part in it was told of the task")
	}
	c.stops["nas"]()
	if _, err := c.owner.GiveCare(ctx, CareOrder{Who: "attic"}, nil); err != nil {
		t.Fatal(err)
	}
	if g := c.state(); !slices.Contains(g.Unaware, "nas") || !slices.Equal(g.Knows, []string{"desk", "attic"}) {
		t.Errorf("known by %q, not by %q", g.Knows, g.Unaware)
	}
	c.start("nas")
	if jobs, _ := c.jobs("nas"); jobs != 1 {
		t.Fatalf("%d tasks after a restart", jobs)
	}
	c.due("it hears that it is replaced", func() bool {
		jobs, _ := c.jobs("nas")
		return jobs == 0
	})
	if g := c.state(); len(g.Unaware) > 0 {
		t.Errorf("still unaware: %q", g.Unaware)
	}
	_, at := c.jobs("nas")
	if _, newest := c.jobs("attic"); at >= newest {
		t.Errorf("it was told the task of another: %d, %d", at, newest)
	}
	// It is told no more of what comes, until it has a part in it again.
	if _, err := c.owner.GiveCare(ctx, CareOrder{Who: "attic", For: 24 * time.Hour}, nil); err != nil {
		t.Fatal(err)
	}
	if _, still := c.jobs("nas"); still != at {
		t.Error("it goes on hearing of tasks")
	}
	if _, err := c.owner.GiveCare(ctx, CareOrder{Who: "nas"}, nil); err != nil {
		t.Fatal(err)
	}
	if jobs, _ := c.jobs("nas"); jobs != 1 {
		t.Error("it does not get the task again")
	}
	c.due("the other one hears it", func() bool {
		jobs, _ := c.jobs("attic")
		return jobs == 0
	})
}

// A task that a machine has lost, keeper or caretaker, is said again by the
// running node.
func TestLostTaskIsSaidAgain(t *testing.T) {
	ctx := testContext(t)
	c := newCareCircle(t)
	if _, err := c.owner.GiveCare(ctx, CareOrder{Who: "nas"}, nil); err != nil {
		t.Fatal(err)
	}
	_, given := c.jobs("desk")
	if given == 0 {
		t.Fatal("the keeper was not told")
	}
	for _, name := range []string{"desk", "nas"} {
		c.stops[name]()
		for _, end := range []string{"", "-wal", "-shm", "-journal"} {
			if err := os.Remove(filepath.Join(c.homes[name], caretaker.File+end)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		c.start(name)
		if _, number := c.jobs(name); number != 0 {
			t.Fatalf("%s still knows it", name)
		}
		c.due(name+" knows it again", func() bool {
			c.clock.add(careLookEvery)
			_, number := c.jobs(name)
			return number == given
		})
	}
	if jobs, _ := c.jobs("nas"); jobs != 1 {
		t.Errorf("%d tasks", jobs)
	}
}
