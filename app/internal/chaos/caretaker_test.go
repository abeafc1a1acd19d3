// SPDX-License-Identifier: MPL-2.0

//go:build unix

package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

// careEvery has a caretaker look as often as tests need.
var careEvery = []string{"--care-every", "1s"}

// entrust keeps some files, gives the last keeper the task to look after them
// and turns the owner off.
func (r *rig) entrust() (src string, nas *e2e.Home, given *node.CareGiven) {
	r.Helper()
	src, nas = r.material(), r.Keepers[len(r.Keepers)-1]
	r.check(nas.Kill())
	r.check(nas.Start(r.ctx, careEvery...))
	r.check(r.Owner.Start(r.ctx))
	r.must(nil, "repair", "--after", "3s")
	// Copies of the catalog from before all keepers were there are one piece
	// each until they get more.
	r.until("the circle is not used", func() error {
		var s engine.Status
		r.must(&s, "status")
		if o := s.Outlook; o.Recode+o.Todo+s.Debt > 0 {
			return fmt.Errorf("%+v", o)
		}
		return nil
	})
	var s node.CareState
	r.must(&s, "care", "give", nas.About().Name)
	r.until("the newest copy of the catalog is not looked after", func() error {
		var b node.BackupState
		r.must(nil, "backup")
		before := s.Given.Number
		r.must(&s, "care", "give")
		if r.must(&b, "backup"); b.Pending || s.Given.Number != before {
			return fmt.Errorf("task %d after %d, %+v", s.Given.Number, before, b)
		}
		return nil
	})
	if g := s.Given; g == nil || !g.Asked || g.Work.Segments == 0 || g.Work.Lacking > 0 || len(g.Knows) != len(r.Keepers) {
		r.Fatalf("the task was not taken as a whole: %+v", g)
	}
	r.check(r.Owner.Stop(r.ctx))
	return src, nas, s.Given
}

// mended waits until a caretaker made so many pieces anew, and gives how many it
// did.
func (r *rig) mended(nas *e2e.Home, want int64) (made int64) {
	r.Helper()
	r.until("the caretaker does not repair", func() error {
		var s node.CareState
		if err := nas.Must(r.ctx, &s, "care"); err != nil {
			return err
		}
		if len(s.For) != 1 || s.For[0].Work.Pieces < want {
			return fmt.Errorf("%+v, want %d pieces", s.For, want)
		}
		made = s.For[0].Work.Pieces
		return nil
	})
	return made
}

// TestRepairWithoutTheOwner gives a keeper that task, turns the owner off and
// takes more keepers away, one after the other, than could be lost at once: the
// caretaker has to make anew in between what each of them held. It is killed
// on the way.
func TestRepairWithoutTheOwner(t *testing.T) {
	r := newRig(t, 5, "4GB", nil) // 3 of 5
	src, nas, given := r.entrust()
	made := int64(0)
	for _, lost := range r.Keepers[:2] {
		r.check(lost.Kill())
		r.check(nas.Kill())
		r.check(nas.Start(r.ctx, careEvery...))
		made = r.mended(nas, made+given.Work.Segments)
	}
	// With a third one gone, two places that the owner knows of are left. One
	// piece of each segment at least can only be where the caretaker put it.
	r.check(r.Keepers[2].Kill())
	to := filepath.Join(r.dir, "back")
	r.must(nil, "get", "src", "--to", to)
	r.same(src, filepath.Join(to, "src"))
	r.check(r.Keepers[2].Start(r.ctx))
	r.check(r.Owner.Start(r.ctx))
	r.until("the owner does not take over what was made", func() error {
		var s node.CareState
		r.must(&s, "care")
		if s.Given == nil || s.Given.Work.Pieces > 0 || s.Given.Work.Lacking > 0 {
			return fmt.Errorf("%+v", s.Given)
		}
		return nil
	})
	if v := r.verify([]int{0, 1}); v.Lost > 0 {
		t.Errorf("%+v", v)
	}
	// Once it is taken back, nothing is done any more.
	var s node.CareState
	r.must(&s, "care", "take")
	r.until("the caretaker does not hear of the end", func() error {
		if err := nas.Must(r.ctx, &s, "care"); err != nil || len(s.For) > 0 {
			return fmt.Errorf("%w %+v", err, s.For)
		}
		return nil
	})
}

// TestCaretakerFindsRot lets a keeper's disk change what it holds, so that
// nothing shows it but the bytes: the caretaker's checks find it while the owner
// is off, and what was on it is made anew before more is lost.
func TestCaretakerFindsRot(t *testing.T) {
	r := newRig(t, 5, "4GB", nil) // 3 of 5
	src, nas, given := r.entrust()
	bad := r.Keepers[0]
	for _, name := range r.shardFiles(bad) {
		i, err := os.Stat(name)
		r.check(err)
		b, err := os.ReadFile(name)
		r.check(err)
		for at := headerSize; at < len(b); at += 1024 {
			b[at] ^= 1
		}
		r.check(os.WriteFile(name, b, 0o600))
		r.check(os.Chtimes(name, time.Time{}, i.ModTime()))
	}
	made := r.mended(nas, given.Work.Segments)
	// One after the other, more than may be lost of what the owner knows.
	r.check(bad.Kill())
	r.check(r.Keepers[1].Kill())
	r.mended(nas, made+given.Work.Segments)
	r.check(r.Keepers[2].Kill())
	to := filepath.Join(r.dir, "back")
	r.must(nil, "get", "src", "--to", to)
	r.same(src, filepath.Join(to, "src"))
}

// TestTaskTakenUpAgain has a caretaker's user refuse the task, with which the
// lists go, and take it up again: the owner's machine sends them once more.
func TestTaskTakenUpAgain(t *testing.T) {
	r := newRig(t, 2, "4GB", nil)
	_, nas, _ := r.entrust()
	lacking := func() (n, lists int64) {
		t.Helper()
		var s node.CareState
		r.check(nas.Must(r.ctx, &s, "care"))
		if len(s.For) != 1 {
			t.Fatalf("%+v", s)
		}
		return s.For[0].Work.Lacking, s.For[0].Lists
	}
	if n, lists := lacking(); n > 0 || lists == 0 {
		t.Fatalf("%d parts lack, %d bytes are here", n, lists)
	}
	r.check(nas.Must(r.ctx, nil, "care", "refuse", "owner"))
	r.check(nas.Must(r.ctx, nil, "care", "refuse", "owner", "--not"))
	if n, lists := lacking(); n == 0 || lists > 0 {
		t.Fatalf("%d parts lack, %d bytes are here", n, lists)
	}
	r.check(r.Owner.Start(r.ctx))
	r.until("the lists do not come again", func() error {
		if n, _ := lacking(); n > 0 {
			return fmt.Errorf("%d parts lack", n)
		}
		return nil
	})
}
