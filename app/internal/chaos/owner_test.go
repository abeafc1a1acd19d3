// SPDX-License-Identifier: MPL-2.0

//go:build unix

package chaos

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/preezm/preezm/engine"
)

// model knows what a get may bring back: for each file the states it can be
// in. A command that succeeds leaves one; one that was killed adds another.
type model map[string][]digest

func (m model) states(name string) []digest {
	if s, ok := m[name]; ok {
		return s
	}
	return []digest{""}
}

func (m model) may(name string, d digest) {
	if s := m.states(name); !slices.Contains(s, d) {
		m[name] = append(slices.Clone(s), d)
	}
}

// owner is the random test of the owner.
type owner struct {
	*rig
	src   string
	kept  model
	round int
}

// TestOwnerKilled kills the owner's commands at random moments. After each,
// every file must be there in its old or its new state.
func TestOwnerKilled(t *testing.T) {
	r := newRig(t, 3, "4GB", nil)
	o := &owner{rig: r, src: filepath.Join(r.dir, "src", "tree"), kept: model{}}
	for i := range 60 {
		r.write(filepath.Join(o.src, fmt.Sprintf("d%d/s%d", i%7, i)), r.rng.IntN(9000))
	}
	for i := range 3 {
		r.write(filepath.Join(o.src, fmt.Sprintf("big%d", i)), 4<<20+r.rng.IntN(6<<20))
	}
	for o.round = range 14 * long() {
		switch r.rng.IntN(5) {
		case 0, 1, 2:
			o.change()
			o.put(o.moment(250))
		case 3:
			o.remove(o.moment(40))
		case 4:
			o.get(o.moment(200))
		}
		o.look()
	}
	o.resume()
	o.look()
	r.settle()
	o.look()
}

// moment draws when to kill: often, but not always, before the end.
func (o *owner) moment(typical int) time.Duration {
	return time.Duration(15+o.rng.IntN(typical)) * time.Millisecond
}

// change edits, adds and deletes a few files.
func (o *owner) change() {
	names := slices.Sorted(maps.Keys(o.digests(o.src)))
	for range 1 + o.rng.IntN(5) {
		name := filepath.Join(o.src, names[o.rng.IntN(len(names))])
		b, err := os.ReadFile(name)
		o.check(err)
		if len(b) == 0 {
			continue
		}
		b[o.rng.IntN(len(b))] ^= 0x55
		o.check(os.WriteFile(name, b, 0o644))
	}
	o.write(filepath.Join(o.src, fmt.Sprintf("new/n%d", o.round)), o.rng.IntN(3<<20))
}

func (o *owner) put(after time.Duration) {
	done := o.killed(after, "put", o.src)
	o.Logf("round %d: put, %v: done %v", o.round, after, done)
	for name, d := range o.digests(o.src) {
		name = filepath.Join("tree", name)
		if done {
			o.kept[name] = []digest{d}
		} else {
			o.kept.may(name, d)
		}
	}
}

// remove removes a folder of the tree: all of it or nothing.
func (o *owner) remove(after time.Duration) {
	folder := fmt.Sprintf("tree/d%d", o.rng.IntN(7))
	if o.run([]int{0, 1}, "ls", folder).Code != 0 {
		return
	}
	done := o.killed(after, "rm", folder)
	o.Logf("round %d: rm %s, %v: done %v", o.round, folder, after, done)
	gone := o.run([]int{0, 1}, "ls", folder).Code != 0
	if done && !gone {
		o.Errorf("%s was removed and still is there", folder)
	}
	for name := range o.kept {
		if filepath.Dir(name) == folder && gone {
			o.kept[name] = []digest{""}
		}
	}
}

// get kills a get, checks that what it left is whole, and lets another go on.
func (o *owner) get(after time.Duration) {
	if o.run([]int{0, 1}, "ls", "tree").Code != 0 {
		return
	}
	to := filepath.Join(o.dir, fmt.Sprintf("half%d", o.round))
	done := o.killed(after, "get", "/", "--to", to)
	o.Logf("round %d: get, %v: done %v", o.round, after, done)
	if _, err := os.Stat(to); err == nil {
		o.compare(to, false)
	}
	o.must(nil, "get", "/", "--to", to, "--resume")
	o.compare(to, true)
	o.check(os.RemoveAll(to))
}

// look brings everything back and holds it against the model, which from then
// on knows the one state that each file is in.
func (o *owner) look() {
	o.Helper()
	to := filepath.Join(o.dir, "look")
	var list []struct{ Path string }
	o.must(&list, "ls")
	if len(list) > 0 {
		o.must(nil, "get", "/", "--to", to)
	} else {
		o.check(os.MkdirAll(to, 0o755))
	}
	got := o.compare(to, true)
	clear(o.kept)
	for name, d := range got {
		o.kept[name] = []digest{d}
	}
	o.check(os.RemoveAll(to))
}

// compare checks files that came back; all says that none may be missing.
func (o *owner) compare(to string, all bool) map[string]digest {
	o.Helper()
	got := o.digests(to)
	for name := range got {
		if ok, _ := filepath.Match(".preezm-*.part", filepath.Base(name)); ok && !all {
			delete(got, name) // of the get that was killed
		}
	}
	for name, d := range got {
		if !slices.Contains(o.kept.states(name), d) {
			o.Errorf("round %d: %q came back as %q, may be one of %q", o.round, name, d, o.kept.states(name))
		}
	}
	for name, states := range o.kept {
		if _, ok := got[name]; !ok && all && !slices.Contains(states, "") {
			o.Errorf("round %d: %q was acknowledged and is lost", o.round, name)
		}
	}
	return got
}

// resume kills a put of new data half way, and checks that a repeated one does
// not begin anew and that a third one sends nothing.
func (o *owner) resume() {
	const files, size = 6, 12 << 20
	segments := func() int64 {
		var s engine.Status
		o.must(&s, "status")
		return s.Segments
	}
	o.must(nil, "put", o.src) // what earlier ones left over does not count
	for after := 300 * time.Millisecond; ; {
		for i := range files {
			o.write(filepath.Join(o.src, fmt.Sprintf("late%d", i)), size)
		}
		before := segments()
		if o.killed(after, "put", o.src) {
			after = after * 2 / 3
		} else if segments() == before {
			after = after * 5 / 4
		} else {
			break
		}
	}
	var r engine.PutReport
	o.must(&r, "put", o.src)
	o.Logf("a repeated put sent %d of %d bytes", r.NewBytes, files*size)
	if r.NewBytes >= files*size {
		o.Errorf("a repeated put sent %d bytes again: nothing was resumed", r.NewBytes)
	}
	o.must(&r, "put", o.src)
	if r.NewBytes > 0 || r.Unchanged != r.Files {
		o.Errorf("a put of unchanged files sent %d bytes; %d of %d files unchanged", r.NewBytes, r.Unchanged, r.Files)
	}
	for name, d := range o.digests(o.src) {
		o.kept[filepath.Join("tree", name)] = []digest{d}
	}
}
