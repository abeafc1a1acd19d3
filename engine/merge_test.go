// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/peers"
)

// twin is one of two machines of one person over the same keepers.
type twin struct {
	*circle
	id     peers.DeviceID
	number uint64
	knows  map[peers.DeviceID]uint64
	way    *Way
	vector map[peers.DeviceID]uint64 // of way
}

func newTwins(t *testing.T) (a, b *twin) {
	c := newCircle(t, 3)
	a = &twin{circle: c, id: peers.DeviceID{1}, knows: map[peers.DeviceID]uint64{}}
	b = &twin{id: peers.DeviceID{2}, knows: map[peers.DeviceID]uint64{}}
	a.export()
	b.circle = c.rebuilt(a.way)
	for _, d := range []*twin{a, b} {
		if err := d.cat.DropBackups(t.Context(), peers.DeviceID{1}); err != nil {
			t.Fatal(err)
		}
		d.device = d.id
	}
	a.SetTogether([]peers.DeviceID{b.id})
	b.SetTogether([]peers.DeviceID{a.id})
	return a, b
}

// export makes a backup of this machine's catalog, as its next head.
func (d *twin) export() {
	d.t.Helper()
	d.number++
	w := &Way{Device: d.id, Number: d.number, At: 1}
	_, _, err := d.BackUp(d.t.Context(), BackupOrder{
		Device: d.id, Number: d.number, Always: true, Notes: map[string][]byte{"circle": []byte("them")},
		Seal: func(rows, parts []byte, _ int64) ([]byte, error) {
			w.Rows, w.Parts = bytes.Clone(rows), bytes.Clone(parts)
			return []byte("sealed"), nil
		},
	}, false, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	d.way, d.vector = w, map[peers.DeviceID]uint64{}
	for k, v := range d.knows {
		d.vector[k] = v
	}
}

// learn takes over what the other machine exported last.
func (d *twin) learn(from *twin) catalog.Merged {
	d.t.Helper()
	r, _, err := d.Merge(d.t.Context(), from.way, "the other", from.vector[d.id])
	if err != nil {
		d.t.Fatal(err)
	}
	d.knows[from.id] = from.number
	return r
}

// exchange lets both learn what the other did.
func exchange(a, b *twin) {
	a.t.Helper()
	a.export()
	b.learn(a)
	b.export()
	a.learn(b)
}

func (d *twin) keep(dir, name string, content []byte) {
	d.t.Helper()
	write(d.t, filepath.Join(dir, name), content)
	d.put(dir)
}

// brings gives the content of a kept file.
func (d *twin) brings(name Path) []byte {
	d.t.Helper()
	b, err := os.ReadFile(filepath.Join(d.get(name), filepath.Base(string(name))))
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

func TestTwoMachinesMerge(t *testing.T) {
	a, b := newTwins(t)
	root := t.TempDir()
	dirA, dirB := filepath.Join(root, "a", "docs"), filepath.Join(root, "b", "docs")
	a.keep(dirA, "from-a", data(1, 400_000))
	b.keep(dirB, "from-b", data(2, 300_000))
	exchange(a, b)
	for _, d := range []*twin{a, b} {
		if !bytes.Equal(d.brings("docs/from-a"), data(1, 400_000)) || !bytes.Equal(d.brings("docs/from-b"), data(2, 300_000)) {
			t.Error("a file is another one")
		}
	}
	// The same again changes nothing.
	if r := a.learn(b); r != (catalog.Merged{}) {
		t.Errorf("once more: %+v", r)
	}
	// A replacement of what both know is no conflict.
	b.keep(dirB, "from-a", []byte("better"))
	exchange(a, b)
	if got := a.brings("docs/from-a"); string(got) != "better" {
		t.Errorf("a has %q", got)
	}
	if c, _ := a.Conflicts(t.Context()); len(c) != 0 {
		t.Errorf("conflicts: %+v", c)
	}
}

func TestTwoVersionsOfOneName(t *testing.T) {
	for name, meet := range map[string]func(a, b *twin){
		"the newer one hears first":  exchange,
		"the older one hears first":  func(a, b *twin) { exchange(b, a) },
		"both hear at the same time": func(a, b *twin) { a.export(); b.export(); a.learn(b); b.learn(a) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newTwins(t)
			root := t.TempDir()
			a.keep(filepath.Join(root, "a", "docs"), "plan", []byte("by a"))
			time.Sleep(2 * time.Millisecond) // so that one is the newer
			b.keep(filepath.Join(root, "b", "docs"), "plan", []byte("by b, later"))
			meet(a, b)
			for range 2 { // to hear of it again changes nothing
				for name, d := range map[string]*twin{"a": a, "b": b} {
					if got := d.brings("docs/plan"); string(got) != "by b, later" {
						t.Errorf("shown at %s is %q", name, got)
					}
					c, err := d.Conflicts(t.Context())
					if err != nil || len(c) != 1 || c[0].Path != "docs/plan" || c[0].Origin != a.id {
						t.Fatalf("conflicts at %s: %+v, %v", name, c, err)
					}
					v, err := d.cat.Numbered(t.Context(), "docs/plan", c[0].Version)
					if err != nil || v.Size != 4 {
						t.Errorf("the other version at %s: %+v, %v", name, v, err)
					}
					if st, err := d.Status(t.Context(), StatusOptions{}); err != nil || st.Conflicts != 1 {
						t.Errorf("status at %s: %+v, %v", name, st, err)
					}
					to := t.TempDir()
					r, err := d.Get(t.Context(), GetOptions{Names: []Path{"docs/plan"}, When: When{Number: c[0].Version}, To: to}, nil)
					if err != nil || r.Files != 1 {
						t.Fatalf("bring back the other at %s: %+v, %v", name, r, err)
					}
					if got, err := os.ReadFile(filepath.Join(to, "plan")); err != nil || string(got) != "by a" {
						t.Errorf("the other at %s is %q, %v", name, got, err)
					}
				}
				meet(a, b)
			}
			// Whoever has the one that is shown may settle it too.
			present, err := b.cat.Version(t.Context(), "docs/plan")
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Settle(t.Context(), Settling{Path: "docs/plan", Show: present.Number}); err != nil {
				t.Fatal(err)
			}
			meet(a, b)
			meet(a, b)
			for name, d := range map[string]*twin{"a": a, "b": b} {
				if c, err := d.Conflicts(t.Context()); err != nil || len(c) != 0 {
					t.Errorf("settled, and at %s there is still %+v, %v", name, c, err)
				}
			}
		})
	}
}

// Whoever settles which of two versions counts, settles it on the other machine
// as well: what was shown stays shown, or the other one is, or both are.
func TestSettle(t *testing.T) {
	for name, settle := range map[string]func(shown, other int64) Settling{
		"keep this": func(shown, _ int64) Settling { return Settling{Path: "docs/plan", Show: shown} },
		"the other": func(_, other int64) Settling { return Settling{Path: "docs/plan", Show: other} },
		"keep both": func(shown, other int64) Settling {
			return Settling{Path: "docs/plan", Show: shown, Beside: []Beside{{other, "docs/plan (by a)"}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newTwins(t)
			root := t.TempDir()
			a.keep(filepath.Join(root, "a", "docs"), "plan", []byte("by a"))
			time.Sleep(2 * time.Millisecond) // so that one is the newer
			b.keep(filepath.Join(root, "b", "docs"), "plan", []byte("by b, later"))
			exchange(a, b)
			c, err := a.Conflicts(t.Context())
			if err != nil || len(c) != 1 {
				t.Fatalf("conflicts: %+v, %v", c, err)
			}
			present, err := a.cat.Version(t.Context(), "docs/plan")
			if err != nil {
				t.Fatal(err)
			}
			o := settle(present.Number, c[0].Version)
			if err := a.Settle(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			exchange(a, b)
			exchange(a, b)
			want := "by b, later"
			if o.Show != present.Number {
				want = "by a"
			}
			for _, d := range []*twin{a, b} {
				if got := d.brings("docs/plan"); string(got) != want {
					t.Errorf("shown is %q", got)
				}
				if c, err := d.Conflicts(t.Context()); err != nil || len(c) != 0 {
					t.Errorf("there is still a conflict: %+v, %v", c, err)
				}
				if len(o.Beside) > 0 {
					if got := d.brings("docs/plan (by a)"); string(got) != "by a" {
						t.Errorf("beside it is %q", got)
					}
				}
			}
			if len(o.Beside) > 0 {
				if err := a.Settle(t.Context(), o); !errors.Is(err, ErrExists) {
					t.Errorf("over what is there: %v", err)
				}
			}
		})
	}
}

func TestRemovalReachesTheOther(t *testing.T) {
	a, b := newTwins(t)
	root := t.TempDir()
	dir := filepath.Join(root, "a", "docs")
	a.keep(dir, "one", data(1, 300_000))
	a.keep(dir, "two", data(2, 300_000))
	exchange(a, b)
	if _, err := b.Remove(t.Context(), []Path{"docs/one"}); err != nil {
		t.Fatal(err)
	}
	exchange(a, b)
	if _, err := a.cat.Version(t.Context(), "docs/one"); err == nil {
		t.Error("it is still there")
	}
	if l, err := a.cat.ListTrash(t.Context()); err != nil || len(l) != 1 {
		t.Errorf("trash: %+v, %v", l, err)
	}
	// What was removed for good there goes to the trash here.
	if _, err := b.Forget(t.Context(), []Path{"docs/two"}); err != nil {
		t.Fatal(err)
	}
	exchange(a, b)
	if _, err := a.cat.Version(t.Context(), "docs/two"); err == nil {
		t.Error("it is still there")
	}
	exchange(a, b)
	if _, err := b.cat.Version(t.Context(), "docs/two"); err == nil {
		t.Error("it came back")
	}
}

// A folder that was removed for good, with all that was in it, leaves nothing
// behind; one in which something new was put here stays with that.
func TestRemovedFolderLeavesNothing(t *testing.T) {
	a, b := newTwins(t)
	root := t.TempDir()
	a.keep(filepath.Join(root, "gone"), "deep/below/one", data(1, 3000))
	a.keep(filepath.Join(root, "half"), "deep/below/one", data(2, 3000))
	exchange(a, b)
	if _, err := b.Forget(t.Context(), []Path{"gone", "half"}); err != nil {
		t.Fatal(err)
	}
	a.keep(filepath.Join(root, "half"), "deep/new", []byte("put here meanwhile"))
	exchange(a, b)
	l, err := a.List(t.Context(), ListOptions{Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range l {
		names = append(names, string(e.Path))
	}
	if want := []string{"half", "half/deep", "half/deep/new"}; !slices.Equal(names, want) {
		t.Errorf("left: %q, want %q", names, want)
	}
}

// What one machine still needs stays, whatever the other forgets; and goes when
// both have let go of it.
func TestNothingNeededIsDeleted(t *testing.T) {
	a, b := newTwins(t)
	root := t.TempDir()
	dir := filepath.Join(root, "a", "docs")
	a.keep(dir, "big", data(3, 2_000_000))
	exchange(a, b)
	if _, err := a.Forget(t.Context(), []Path{"docs"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// The other machine has not heard of it, and still has it all.
	if !bytes.Equal(b.brings("docs/big"), data(3, 2_000_000)) {
		t.Error("it is another file")
	}
	if n, err := a.cat.Waiting(t.Context()); err != nil || n == 0 {
		t.Errorf("%d segments wait, %v", n, err)
	}
	exchange(a, b) // b puts it into its trash
	if _, err := b.EmptyTrash(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		exchange(a, b)
	}
	for _, d := range []*twin{a, b} {
		if err := d.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	held := int64(0)
	for _, k := range a.keepers {
		u, err := k.depot.Usage(t.Context(), k.owner)
		if err != nil {
			t.Fatal(err)
		}
		held += u.Used
	}
	if held > 1_500_000 {
		t.Errorf("keepers still hold %d bytes", held)
	}
}
