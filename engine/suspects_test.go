// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/peers"
)

// moved has the first machine move what a keeper holds to others and that one
// forget it, while the second has not heard of it.
func moved(t *testing.T) (a, b *twin, k *testKeeper, content []byte) {
	t.Helper()
	var ids []peers.ShardID
	a, b = newTwins(t)
	more := newCircle(t, 1).keepers[0]
	more.owner, more.name = a.keepers[0].owner, "more"
	content = data(1, 400_000)
	a.keep(filepath.Join(t.TempDir(), "docs"), "f", content)
	exchange(a, b)
	k, ids = b.first()
	meet(a, b, append(a.keepers, more))
	if err := a.BeginLeave(t.Context(), Leave{Device: k.id, Name: k.name, Stays: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Drain(t.Context(), k.id, nil); err != nil {
		t.Fatal(err)
	}
	a.export()
	if err := k.depot.Delete(t.Context(), k.owner, ids); err != nil {
		t.Fatal(err)
	}
	return a, b, k, content
}

// first gives the keeper that a get asks first, and the pieces of files that it has.
func (d *twin) first() (k *testKeeper, ids []peers.ShardID) {
	d.t.Helper()
	for id := range d.places() {
		seg, err := d.cat.Segment(d.t.Context(), id)
		if err != nil {
			d.t.Fatal(err)
		}
		for i := range seg.Shards {
			sh := &seg.Shards[i]
			for _, x := range d.keepers {
				if i == 0 && k == nil && x.id == sh.Keeper {
					k = x
				}
			}
			if sh.Keeper == k.id {
				ids = append(ids, sh.ID)
			}
		}
	}
	return k, ids
}

// places tells where the shards of files are.
func (d *twin) places() map[int64]string {
	d.t.Helper()
	out := map[int64]string{}
	err := d.cat.Spreads(d.t.Context(), func(s *catalog.Spread) error {
		if !s.Backup {
			seg, err := d.cat.Segment(d.t.Context(), s.Segment)
			if err != nil {
				return err
			}
			for i := range seg.Shards {
				out[s.Segment] += fmt.Sprintf("%x ", seg.Shards[i].ID[:4])
			}
		}
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// missing counts the pieces of files that the catalog has for lost.
func (d *twin) missing() (n int) {
	d.t.Helper()
	err := d.cat.Spreads(d.t.Context(), func(s *catalog.Spread) error {
		for _, st := range s.States {
			n += btoi(!s.Backup && st != catalog.There)
		}
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

// A keeper that lacks what another machine moved away is not to blame: this one
// hears of it first. As long as it cannot, nothing is taken for lost.
func TestMovedPiecesAreNoFault(t *testing.T) {
	for name, find := range map[string]func(b *twin, k *testKeeper) []Blame{
		"by a get": func(b *twin, _ *testKeeper) []Blame {
			r, err := b.Get(t.Context(), GetOptions{Names: []Path{"docs/f"}, To: t.TempDir()}, nil)
			if err != nil {
				t.Fatal(err)
			}
			return r.Blamed
		},
		"by a check of all": func(b *twin, _ *testKeeper) []Blame {
			r, err := b.Verify(t.Context(), VerifyOptions{}, nil)
			if err != nil || r.Lost > 0 {
				t.Fatalf("%+v, %v", r, err)
			}
			return r.Blamed
		},
		"by a check of some": func(b *twin, k *testKeeper) (out []Blame) {
			r, err := b.Audit(t.Context(), AuditOptions{Keepers: []peers.DeviceID{k.id}}, nil)
			if err != nil || len(r.Keepers) != 1 {
				t.Fatalf("%+v, %v", r, err)
			}
			if x := r.Keepers[0]; x.Bad() && !x.Absent || x.Score < 1 || x.Failing {
				out = append(out, Blame{Name: x.Name})
			}
			return out
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b, k, content := moved(t)
			know := false
			b.catchUp = func(context.Context) error {
				if !know {
					return errors.New("nobody answers")
				}
				if b.knows[a.id] < a.number {
					b.learn(a)
				}
				return nil
			}
			for _, know = range []bool{false, true} {
				if blamed := find(b, k); len(blamed) > 0 {
					t.Errorf("blamed: %+v", blamed)
				}
				if err := b.Maintain(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := b.missing(); n > 0 {
					t.Errorf("%d pieces are taken for lost", n)
				}
			}
			if b.scores.avoid(k.id) {
				t.Error("the keeper is avoided")
			}
			if string(b.brings("docs/f")) != string(content) {
				t.Error("other bytes")
			}
		})
	}
}

// A keeper that lost what nobody moved is found out all the same.
func TestLossIsAFaultBesideOtherMachines(t *testing.T) {
	for name, find := range map[string]func(b *twin) bool{
		"by a get": func(b *twin) bool {
			b.brings("docs/f")
			return true
		},
		"by a check of all": func(b *twin) bool {
			r, err := b.Verify(t.Context(), VerifyOptions{}, nil)
			return err == nil && len(r.Blamed) == 1 && !r.Blamed[0].Lied
		},
		"by a check of some": func(b *twin) bool {
			r, err := b.Audit(t.Context(), AuditOptions{}, nil)
			if err != nil {
				return false
			}
			failing := 0
			for _, x := range r.Keepers {
				failing += btoi(x.Failing)
			}
			return failing == 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newTwins(t)
			a.keep(filepath.Join(t.TempDir(), "docs"), "f", data(1, 400_000))
			exchange(a, b)
			b.catchUp = func(context.Context) error { return nil }
			k, _ := b.first()
			if err := k.depot.Delete(t.Context(), k.owner, k.ids); err != nil {
				t.Fatal(err)
			}
			before := b.putSize()
			if !find(b) {
				t.Error("the keeper is not blamed")
			}
			for range 2 {
				if err := b.Maintain(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if b.putSize() == before {
				t.Error("nothing was made anew")
			}
			if n := b.missing(); n > 0 {
				t.Errorf("%d pieces are still missing", n)
			}
		})
	}
}
