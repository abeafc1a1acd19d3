// SPDX-License-Identifier: MPL-2.0

package caring

import (
	"context"
	"errors"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretaker"
	"github.com/preezm/preezm/peers/caretask"
)

// garbage is what a keeper gives in the place of a piece.
func garbage(dst []byte, _ error) error {
	for i := range dst {
		dst[i] = 0x55
	}
	return nil
}

// A piece that does not fit its root makes nothing: with too few others the
// segment waits, untouched, until somebody is back; then that piece is made anew
// as well.
func TestWrongRoot(t *testing.T) {
	w := newWorld(t, 1)
	w.off[carl] = true
	w.gives[anna] = garbage
	w.look(4)
	if w.tries > 0 {
		t.Fatal("something was made out of a piece that does not fit")
	}
	if r := w.report(); r.Lost != 1 {
		t.Errorf("the liar is believed still: %+v", r)
	}
	asked := w.calls["read"]
	w.look(5)
	if w.calls["read"] != asked {
		t.Errorf("read %d times more, though nothing has changed", w.calls["read"]-asked)
	}
	w.off[carl] = false
	w.look(3)
	if w.made(di) != 1 || w.allMade() != 1 {
		t.Errorf("%d pieces at the spare keeper, %d in all", w.made(di), w.allMade())
	}
}

// A piece that a keeper lacked for a while is good again once it can be read.
func TestPieceThatComesBack(t *testing.T) {
	w := newWorld(t, 1)
	w.off[carl] = true
	w.gives[anna] = garbage
	w.look(4)
	if w.report().Lost != 1 {
		t.Fatal("not noted as lost")
	}
	delete(w.gives, anna)
	w.off[carl] = false
	w.look(3)
	if r := w.report(); r.Lost != 0 || r.Pieces != 0 || w.puts != 0 {
		t.Errorf("%d stored, %+v", w.puts, r)
	}
}

// audited is a way to a keeper that is asked for proofs as well.
type audited struct{ line }

// AuditCared implements Auditee.
func (a audited) AuditCared(ctx context.Context, nonce peers.Nonce, ids []peers.ShardID, _ []int64, spots int) ([]peers.Proof, error) {
	return a.w.houses[a.d].depot.Audit(ctx, owner, nonce, ids, spots)
}

// A caretaker with no room for notes of what it finds and makes works all the
// same, and comes to an end.
func TestNoRoomForNotes(t *testing.T) {
	w := newWorld(t, 2)
	w.worker.Reach = func(d peers.DeviceID, _ []string) Keeper { return audited{line{w, d}} }
	lists := w.houses[nas].Takes()[owner]
	if lists == 0 {
		t.Fatal("the lists take nothing")
	}
	w.houses[nas].depot.SetOffer(lists)
	w.must(w.houses[carl].depot.Delete(t.Context(), owner, []peers.ShardID{w.segs[0].Pieces[2].ID}))
	w.off[bert] = true // the other segment has two pieces left
	w.look(6)
	if w.made(di) != 1 || w.puts != 1 {
		t.Errorf("%d pieces at the spare keeper, %d stored", w.made(di), w.puts)
	}
	shown := w.calls[caretaker.VerbPermit]
	w.look(5)
	if w.puts != 1 || w.calls[caretaker.VerbPermit] != shown {
		t.Errorf("%d stored, %d segments shown after %d: it does not settle", w.puts, w.calls[caretaker.VerbPermit], shown)
	}
}

// brittle finds itself that one piece that it holds is damaged.
type brittle struct {
	audited
	piece peers.ShardID
}

// AuditCared implements Auditee.
func (b brittle) AuditCared(ctx context.Context, nonce peers.Nonce, ids []peers.ShardID, sizes []int64, spots int) ([]peers.Proof, error) {
	out, err := b.audited.AuditCared(ctx, nonce, ids, sizes, spots)
	for i := range out {
		if ids[i] == b.piece {
			out[i] = peers.Proof{Finding: peers.Broken}
		}
	}
	return out, err
}

// What a check found damaged is made anew though there is no room to note it, and
// noted when there is.
func TestFoundWithoutRoomForNotes(t *testing.T) {
	w := newWorld(t, 12) // one in twelve: the keeper is relied on still
	w.worker.Reach = func(d peers.DeviceID, _ []string) Keeper {
		if d == carl {
			return brittle{audited{line{w, d}}, w.segs[0].Pieces[2].ID}
		}
		return audited{line{w, d}}
	}
	w.gives[carl] = garbage
	lists := w.houses[nas].Takes()[owner]
	w.houses[nas].depot.SetOffer(lists)
	w.look(6)
	if w.made(di) != 1 || w.puts != 1 {
		t.Errorf("%d pieces at the spare keeper, %d stored", w.made(di), w.puts)
	}
	shown := w.calls[caretaker.VerbPermit]
	w.look(5)
	if w.puts != 1 || w.calls[caretaker.VerbPermit] != shown {
		t.Errorf("%d stored, %d segments shown after %d: it does not settle", w.puts, w.calls[caretaker.VerbPermit], shown)
	}
	if r := w.report(); r.Pieces != 0 {
		t.Errorf("noted without room: %+v", r)
	}
	w.houses[nas].depot.SetOffer(1 << 30)
	w.look(2)
	if r := w.report(); r.Pieces != 1 {
		t.Errorf("not noted although there is room: %+v", r)
	}
}

// What keepers say about what they hold is a hint, and no more.
func TestForgedAnswers(t *testing.T) {
	say := func(pieces ...uint8) func(string, []byte, []byte, error) ([]byte, error) {
		return func(verb string, _, answer []byte, err error) ([]byte, error) {
			if verb != caretaker.VerbPermit {
				return answer, err
			}
			return custody.Marshal(caretaker.Held{Pieces: pieces})
		}
	}
	for name, c := range map[string]struct {
		who  peers.DeviceID
		says func(string, []byte, []byte, error) ([]byte, error)
		made int
		at   bool // on the spare one, which has nothing yet
	}{
		"only what is so": {carl, nil, 1, true},
		// Then nobody but one can be read.
		"fewer pieces than there are": {anna, say(caretaker.HasIt), 0, false},
		"more pieces than there are":  {anna, say(1, 0, 0, 0), 0, false},
		"no pieces":                   {anna, say(), 0, false},
		"that it lacks what it has":   {anna, say(0, 0, 0), 0, false},
		// What it was never given it has to show.
		"that the spare one has it": {di, say(0, 0, 1), 1, false},
		// That is noted, and asked for by proofs at night; until then it is believed.
		"that it was made anew": {di, say(0, 0, 2), 0, false},
		// Else another one gets a second piece.
		"words that mean nothing":      {di, say(7, 7, 7), 1, true},
		"bytes that are no answer":     {di, func(string, []byte, []byte, error) ([]byte, error) { return []byte("x"), nil }, 1, false},
		"an error of no known kind":    {di, silent(errors.New("no")), 1, false},
		"nothing, as it does not know": {di, silent(peers.ErrUnknown), 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.off[carl] = true
			w.says[c.who] = c.says
			w.look(8)
			if n := w.allMade(); n != c.made || w.puts != c.made || (w.made(di) > 0) != c.at {
				t.Errorf("%d pieces are there, %d on the spare one, %d were stored", n, w.made(di), w.puts)
			}
		})
	}
}

// A keeper that says it knows a newer task keeps nobody from working by the one
// there is, unless it shows it.
func TestTaskThatIsNotThere(t *testing.T) {
	for name, newest := range map[string]func() ([]byte, error){
		"nothing":            func() ([]byte, error) { return nil, peers.ErrUnknown },
		"silence":            func() ([]byte, error) { return nil, peers.ErrUnreachable },
		"bytes":              func() ([]byte, error) { return []byte("x"), nil },
		"the one it is told": nil,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.off[carl] = true
			w.says[di] = func(verb string, _, answer []byte, err error) ([]byte, error) {
				switch {
				case verb == caretaker.VerbLook:
					return custody.Marshal(caretaker.Look{Number: 1 << 62, Free: 1 << 30})
				case verb == caretaker.VerbNewest && newest != nil:
					return newest()
				}
				return answer, err
			}
			w.look(8)
			if w.allMade() != 1 || w.made(di) != 0 {
				t.Errorf("%d pieces were made, %d at the liar", w.allMade(), w.made(di))
			}
			if r := w.report(); r.Number != 5 {
				t.Errorf("it works by task %d", r.Number)
			}
		})
	}
}

// Keepers refuse names that do not follow from the task, other bytes, and more
// than a piece of a segment; what they refused is not noted as made, and tried
// again.
func TestKeepersRefuse(t *testing.T) {
	for name, forge := range map[string]func(id *peers.ShardID, root *peers.Root, data *[]byte){
		"a forged name":            func(id *peers.ShardID, _ *peers.Root, _ *[]byte) { id[0] ^= 1 },
		"the old name":             func(id *peers.ShardID, _ *peers.Root, _ *[]byte) { *id = peers.ShardID{3, 0} },
		"another keeper's name":    func(id *peers.ShardID, _ *peers.Root, _ *[]byte) { *id = caretask.Moved(peers.ShardID{3, 0}, anna) },
		"another root":             func(_ *peers.ShardID, root *peers.Root, _ *[]byte) { root[0] ^= 1 },
		"bytes of another length":  func(_ *peers.ShardID, _ *peers.Root, data *[]byte) { *data = (*data)[:100] },
		"bytes that do not fit it": func(_ *peers.ShardID, _ *peers.Root, data *[]byte) { *data = make([]byte, len(*data)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.off[carl] = true
			w.sends = forge
			w.look(4)
			if w.tries == 0 || w.puts > 0 || w.allMade() > 0 {
				t.Fatalf("%d tries, %d stored, %d are there", w.tries, w.puts, w.allMade())
			}
			if r := w.report(); r.Pieces > 0 {
				t.Errorf("noted as made: %+v", r)
			}
			w.sends = nil
			w.look(2)
			if w.made(di) != 1 || w.report().Pieces != 1 {
				t.Error("it does not try again")
			}
		})
	}
}

// A caretaker whose task is stale, or that alters what the owner said, gets no
// piece and stores none.
func TestKeepersGoByTheirTask(t *testing.T) {
	for name, forge := range map[string]func(*caretask.Proof){
		"an older number":       func(p *caretask.Proof) { p.Number-- },
		"a newer number":        func(p *caretask.Proof) { p.Number++ },
		"another owner":         func(p *caretask.Proof) { p.Owner = di },
		"a part that is not":    func(p *caretask.Proof) { p.Part++ },
		"another segment":       func(p *caretask.Proof) { p.Raw[len(p.Raw)-1] ^= 1 },
		"hashes of other parts": func(p *caretask.Proof) { p.Hashes[1][0] ^= 1 },
	} {
		w := newWorld(t, 2)
		p := w.task.Body.Prove(0, w.part, 0)
		forge(p)
		raw, err := custody.Marshal(p)
		w.must(err)
		if _, err := (line{w, di}).Care(t.Context(), caretaker.VerbPermit, raw); err == nil {
			t.Errorf("%s: a segment was opened", name)
		}
		seg := w.segs[0]
		if err := (line{w, di}).PutCared(t.Context(), caretask.Moved(seg.Pieces[2].ID, di), seg.Pieces[2].Root, w.data[0][2]); !errors.Is(err, peers.ErrRefused) {
			t.Errorf("%s: a piece was taken: %v", name, err)
		}
		if err := (line{w, anna}).ReadCared(t.Context(), seg.Pieces[0].ID, make([]byte, 5000)); !errors.Is(err, peers.ErrRefused) {
			t.Errorf("%s: a piece was given: %v", name, err)
		}
	}
}
