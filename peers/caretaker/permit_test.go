// SPDX-License-Identifier: MPL-2.0

package caretaker

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretask"
)

// Pieces of one segment that are sent at the same time get past the look at
// what is here together, unless each is claimed until it is stored.
func TestOnePieceOfManyAtOnce(t *testing.T) {
	s := newSite(t, keeper)
	const pieces, times = 32, 4
	for round := range 8 {
		w := newWide(t, uint64(round+1), pieces)
		s.say(owner, VerbTask, w.task.Raw, nil)
		s.say(nas, VerbPermit, w.task.Body.Prove(0, w.part, 0), nil)
		var all sync.WaitGroup
		begin := make(chan struct{})
		for i := range pieces * times {
			p := &w.seg.Pieces[i%pieces]
			all.Go(func() {
				<-begin
				id := caretask.Moved(p.ID, keeper)
				as, done, err := s.Writes(t.Context(), nas, id, p.Root, 1000)
				if errors.Is(err, peers.ErrRefused) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				defer done()
				if err := s.depot.Put(t.Context(), as, id, p.Root, 1000, bytes.NewReader(w.data[i%pieces])); err != nil {
					t.Error(err)
				}
			})
		}
		close(begin)
		all.Wait()
		held, err := s.held(t.Context(), s.shown(&caretask.Proof{Owner: owner}, &w.seg, s.now))
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(held.Pieces, []byte{HasMoved}); n != 1 {
			t.Fatalf("round %d: %d pieces of one segment were taken", round, n)
		}
		if len(s.writing) > 0 {
			t.Fatalf("%d claims are left", len(s.writing))
		}
	}
}

// A question about a piece costs little, whatever was shown before: an audit asks
// for many at once.
func TestReadsCostLittle(t *testing.T) {
	s := newSite(t, keeper)
	w := newWide(t, 1, 60)
	s.say(owner, VerbTask, w.task.Raw, nil)
	for range maxPermits {
		s.say(nas, VerbPermit, w.task.Body.Prove(0, w.part, 0), nil)
	}
	n := testing.AllocsPerRun(3, func() {
		if _, err := s.Reads(nas, peers.ShardID{99}); !errors.Is(err, peers.ErrRefused) {
			t.Error(err)
		}
	})
	if n > 10 {
		t.Errorf("%v allocations: names are worked out anew", n)
	}
}

// A task of one owner ends nothing that its caretaker does for another.
func TestTasksOfOthersEndNothing(t *testing.T) {
	s := newSite(t, keeper)
	w := newWork(t, 5, nil)
	s.say(owner, VerbTask, w.task.Raw, nil)
	s.say(nas, VerbPermit, w.task.Body.Prove(0, w.part, 0), nil)
	s.known[stranger] = other
	theirs := w.task.Body
	theirs.Owner = stranger
	signed, err := custody.Sign(other, theirs)
	if err != nil {
		t.Fatal(err)
	}
	s.say(stranger, VerbTask, signed.Raw, nil)
	s.writes(nas, w, 1, nil)
}

// A caretaker that asks for a part again and again in one answer is sent none:
// each is half a megabyte.
func TestNoPartIsWantedTwice(t *testing.T) {
	for _, parts := range [][]uint16{{}, {0}, {0, 1, 7}} {
		raw, err := custody.Marshal(wanted{parts})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeWanted(raw); err != nil || len(got) != len(parts) {
			t.Errorf("%v: %v, %v", parts, got, err)
		}
	}
	for _, parts := range [][]uint16{{0, 0}, {1, 0}, {0, 1, 1}} {
		raw, err := custody.Marshal(wanted{parts})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeWanted(raw); !errors.Is(err, custody.ErrMalformed) {
			t.Errorf("%v is taken as %v, %v", parts, got, err)
		}
	}
}
