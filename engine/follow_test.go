// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"
)

// grown gives both machines a circle of three further keepers.
func grown(t *testing.T, a, b *twin) (old, more []*testKeeper) {
	t.Helper()
	old, more = a.keepers, newCircle(t, 3).keepers
	for _, k := range more {
		k.owner = old[0].owner
		k.name = "new-" + k.name
	}
	meet(a, b, slices.Concat(old, more))
	return old, more
}

func meet(a, b *twin, keepers []*testKeeper) { a.circle.keepers, b.circle.keepers = keepers, keepers }

// leave moves what a keeper holds onto the others.
func (d *twin) leave(k *testKeeper) {
	d.t.Helper()
	if err := d.BeginLeave(d.t.Context(), Leave{Device: k.id, Name: k.name}); err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.Drain(d.t.Context(), k.id, nil); err != nil {
		d.t.Fatal(err)
	}
	if err := d.EndLeave(d.t.Context(), k.id, true); err != nil {
		d.t.Fatal(err)
	}
}

// agree fails unless both machines bring the file back and know it for safe.
func agree(a, b *twin, name Path, want []byte) {
	a.t.Helper()
	for who, d := range map[string]*twin{"first": a, "second": b} {
		if !bytes.Equal(d.brings(name), want) {
			a.t.Errorf("the %s machine brings back other bytes", who)
		}
		list, err := d.List(a.t.Context(), ListOptions{Recursive: true, Health: true})
		if err != nil {
			a.t.Fatal(err)
		}
		for _, e := range list {
			if e.Path == name && e.MayLose < 1 {
				a.t.Errorf("on the %s machine %s may lose %d", who, e.Path, e.MayLose)
			}
		}
	}
}

// A machine reads what another one of its person recoded for a larger circle.
func TestFollowsARecoding(t *testing.T) {
	a, b := newTwins(t)
	content := data(1, 400_000)
	a.keep(filepath.Join(t.TempDir(), "docs"), "f", content)
	exchange(a, b)
	grown(t, a, b)
	a.circle.maintain()
	a.circle.maintain()
	exchange(a, b)
	agree(a, b, "docs/f", content)
	// And the other way: what it keeps from now on it keeps where it is known.
	b.circle.maintain()
	exchange(a, b)
	exchange(a, b)
	agree(a, b, "docs/f", content)
}

// The same when pieces moved off keepers that left.
func TestFollowsMoves(t *testing.T) {
	a, b := newTwins(t)
	content := data(1, 400_000)
	a.keep(filepath.Join(t.TempDir(), "docs"), "f", content)
	exchange(a, b)
	old, more := grown(t, a, b)
	a.leave(old[0])
	a.leave(old[1])
	meet(a, b, append(slices.Clone(old[2:]), more...))
	exchange(a, b)
	agree(a, b, "docs/f", content)
}
