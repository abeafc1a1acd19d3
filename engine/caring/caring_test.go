// SPDX-License-Identifier: MPL-2.0

package caring

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretaker"
	"github.com/preezm/preezm/peers/caretask"
)

// What a keeper held that is away for longer than the grace is made anew on one
// that has nothing of it, once, and stays when the keeper is back.
func TestMakesAnewWhatIsMissed(t *testing.T) {
	w := newWorld(t, 3)
	w.look(4)
	if w.puts > 0 {
		t.Fatal("something was made while all were there")
	}
	w.off[carl] = true
	w.look(2)
	if w.puts > 0 {
		t.Fatal("made before the grace was over")
	}
	w.look(2)
	if w.made(di) != 3 || w.allMade() != 3 || w.puts != 3 {
		t.Errorf("%d pieces at the spare keeper, %d in all, %d stored", w.made(di), w.allMade(), w.puts)
	}
	r := w.report()
	if r.Pieces != 3 || r.Bytes != 15_000 || r.Last != w.now.Add(-step).Unix() || r.Lost != 0 || !slices.Equal(r.Missed, []peers.DeviceID{carl}) {
		t.Errorf("reported %+v", r)
	}
	w.look(1)
	shown := w.calls[caretaker.VerbPermit]
	w.look(5)
	if w.puts != 3 || w.calls[caretaker.VerbPermit] != shown {
		t.Errorf("%d pieces, %d segments shown after %d: it does not settle", w.puts, w.calls[caretaker.VerbPermit], shown)
	}
	w.off[carl] = false
	w.look(5)
	if w.puts != 3 || len(w.report().Missed) > 0 {
		t.Errorf("%d pieces, missed %v after it is back", w.puts, w.report().Missed)
	}
}

// With one keeper gone for good, a second one may go: the pieces that were made
// anew serve as well.
func TestMadePiecesServe(t *testing.T) {
	w := newWorld(t, 1)
	w.off[carl] = true
	w.look(6)
	if w.made(di) != 1 {
		t.Fatal("not made anew")
	}
	w.off[anna] = true
	w.off[carl] = false
	w.must(w.houses[carl].depot.Delete(t.Context(), owner, []peers.ShardID{w.segs[0].Pieces[2].ID}))
	w.look(8)
	// Only bert's piece and the one made before are left to read.
	if w.made(carl) != 1 || w.allMade() != 2 {
		t.Errorf("%d at carl, %d in all", w.made(carl), w.allMade())
	}
}

// When nothing may be done, nothing is.
func TestDoesNothing(t *testing.T) {
	for name, change := range map[string]func(*world){
		"while the owner is there":          func(w *world) { w.ownerSeen = w.now.Add(24 * time.Hour) },
		"while background work rests":       func(w *world) { w.rests = true },
		"when its user does not want to":    func(w *world) { w.must(w.houses[nas].Refuse(w.Context(), owner, true)) },
		"when the task has ended":           func(w *world) { w.now = w.now.Add(31 * 24 * time.Hour) },
		"when the owner took it back":       func(w *world) { w.give(6, ended) },
		"when another machine has the task": func(w *world) { w.give(6, func(t *caretask.Task) { t.Caretaker = carl }) },
		"when a keeper knows that the owner took it back": func(w *world) {
			newer := w.sign(6, ended)
			_, err := w.houses[bert].Answer(w.Context(), caretaker.VerbTask, owner, newer.Raw)
			w.must(err)
		},
		"when no keeper knows the task": func(w *world) {
			for _, d := range keepers {
				w.says[d] = silent(peers.ErrRefused)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2)
			w.off[carl] = true
			change(w)
			w.look(8)
			if w.tries > 0 || w.allMade() > 0 {
				t.Errorf("%d pieces were sent, %d are there", w.tries, w.allMade())
			}
		})
	}
}

func ended(t *caretask.Task) {
	t.Until, t.Keepers, t.Parts, t.Segments = t.At, []caretask.Keeper{}, []custody.Hash{}, 0
}

// A keeper that does not know this machine as a caretaker is there, and what it
// holds is not taken for lost; nor is one away whose absence was not seen.
func TestStrangeIsNotAway(t *testing.T) {
	w := newWorld(t, 1)
	w.says[carl] = silent(peers.ErrRefused)
	w.look(30)
	if w.tries > 0 || len(w.report().Missed) > 0 {
		t.Errorf("%d pieces, missed %v", w.tries, w.report().Missed)
	}
}

// A keeper that was off when the owner said a newer task hears it from the
// caretaker, and only then is shown a segment.
func TestBringsTheTask(t *testing.T) {
	w := newWorld(t, 1)
	w.off[di] = true
	w.give(6, nil)
	w.off[di], w.off[carl] = false, true
	w.look(6)
	if l, err := w.houses[di].Look(t.Context(), owner); err != nil || l.Number != 6 {
		t.Errorf("it knows task %+v, %v", l, err)
	}
	if w.made(di) != 1 {
		t.Error("not made anew")
	}
}

// A newer task that one keeper heard and the caretaker did not comes from there.
func TestHearsTheTaskOfAKeeper(t *testing.T) {
	w := newWorld(t, 1)
	w.off[carl] = true
	newer := w.sign(6, nil)
	_, err := w.houses[bert].Answer(t.Context(), caretaker.VerbTask, owner, newer.Raw)
	w.must(err)
	w.look(8)
	if r := w.report(); r.Number != 6 || w.made(di) != 1 {
		t.Errorf("%d made, under task %d", w.made(di), r.Number)
	}
	// Nobody else gets it.
	ask, err := caretaker.EncodeLook(owner)
	w.must(err)
	for _, d := range []peers.DeviceID{anna, {77}} {
		if _, err := w.houses[bert].Answer(t.Context(), caretaker.VerbNewest, d, ask); !errors.Is(err, peers.ErrRefused) {
			t.Errorf("%s is told the task: %v", d.Short(), err)
		}
	}
}

// What was seen before a restart counts after it: a keeper that usually stays
// away for hours is waited for.
func TestHistoriesOutliveARestart(t *testing.T) {
	w := newWorld(t, 1)
	w.give(6, func(t *caretask.Task) { t.Grace = 3 * 3600 })
	hours := func(n int) {
		for range 6 * n {
			w.now = w.now.Add(10*time.Minute - step)
			w.look(1)
		}
	}
	// The owner is there meanwhile, and looks after it.
	w.ownerSeen = w.now.Add(12 * time.Hour)
	hours(2)
	w.off[carl] = true
	hours(8)
	w.off[carl] = false
	hours(2)
	// What Run does at its end.
	w.worker.save(context.WithoutCancel(t.Context()))
	w.begin()
	w.off[carl] = true
	hours(6)
	if w.puts > 0 {
		t.Error("it is not waited for half as long again as it usually stays away")
	}
	hours(8)
	if w.made(di) != 1 {
		t.Error("not made anew")
	}
}

// A newer task makes the notes of what was made under older ones go, when all of
// it is there; pieces that it still names keep theirs.
func TestNewerTaskForgetsNotes(t *testing.T) {
	w := newWorld(t, 2)
	w.off[carl] = true
	w.look(6)
	if r := w.report(); r.Pieces != 2 {
		t.Fatalf("%+v", r)
	}
	// The owner has taken the first piece over where it was made.
	p := &w.segs[0].Pieces[2]
	p.ID, p.Keeper = caretask.Moved(p.ID, di), 3
	w.give(6, nil)
	w.look(1)
	if r := w.report(); r.Pieces != 1 || r.Number != 6 {
		t.Errorf("%+v", r)
	}
	w.look(6)
	if w.puts != 2 {
		t.Errorf("%d pieces: made again what was there", w.puts)
	}
}

// Run looks again when a task comes, and ends with its context.
func TestRunLooksWhenATaskComes(t *testing.T) {
	w := newWorld(t, 1)
	daily := func(t *caretask.Task) { t.Grace = 86400 } // else a look each ten minutes
	w.give(6, daily)
	<-w.houses[nas].Changed()
	next := w.sign(7, daily)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.worker.Run(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	looks := func(n int) {
		t.Helper()
		for {
			w.mu.Lock()
			have := w.calls[caretaker.VerbLook]
			w.mu.Unlock()
			if have >= n {
				return
			}
			select {
			case <-tick.C:
			case <-late:
				t.Fatalf("%d looks, want %d", have, n)
			}
		}
	}
	looks(len(keepers))
	if _, err := w.houses[nas].Answer(ctx, caretaker.VerbTask, owner, next.Raw); err != nil {
		t.Fatal(err)
	}
	looks(2 * len(keepers))
}

// The segments with the least to spare come first.
func TestLeastToSpareFirst(t *testing.T) {
	w := newWorld(t, 3)
	// Of the last one a second piece is known to be lost.
	w.must(w.houses[nas].Note(t.Context(), owner, caretaker.Made{Piece: w.segs[2].Pieces[1].ID, Lost: true, At: 1}))
	w.off[carl] = true
	var order []uint8
	w.says[anna] = func(verb string, raw, answer []byte, err error) ([]byte, error) {
		if verb == caretaker.VerbPermit {
			p, perr := caretask.DecodeProof(raw)
			w.must(perr)
			order = append(order, p.At)
		}
		return answer, err
	}
	w.look(4)
	if len(order) < 3 || !slices.Equal(order[:3], []uint8{2, 0, 1}) {
		t.Errorf("looked at %v", order)
	}
}
