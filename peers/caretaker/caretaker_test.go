// SPDX-License-Identifier: MPL-2.0

package caretaker

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretask"
	"github.com/preezm/preezm/peers/depot"
)

var (
	owner, nas, keeper, stranger = peers.DeviceID{1}, peers.DeviceID{2}, peers.DeviceID{3}, peers.DeviceID{4}
	key                          = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	other                        = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
)

// site is one machine.
type site struct {
	*testing.T
	*Service
	depot *depot.Depot
	now   time.Time
	known map[peers.DeviceID]ed25519.PrivateKey // of the circle
	path  string
	self  peers.DeviceID
}

func newSite(t *testing.T, self peers.DeviceID) *site {
	d, err := depot.Open(t.Context(), t.TempDir(), depot.Options{Offer: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &site{
		T: t, depot: d, now: time.Unix(1_800_000_000, 0), known: map[peers.DeviceID]ed25519.PrivateKey{owner: key},
		path: filepath.Join(t.TempDir(), File), self: self,
	}
	s.open()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *site) open() {
	s.Helper()
	var err error
	s.Service, err = Open(s.Context(), Options{
		Device: s.self, Path: s.path, Depot: s.depot, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return s.now },
		Sign: func(d peers.DeviceID) []byte {
			if k, ok := s.known[d]; ok {
				return k.Public().(ed25519.PublicKey)
			}
			return nil
		},
		Same: func(a, b peers.DeviceID) bool { return a == b },
	})
	if err != nil {
		s.Fatal(err)
	}
}

// reopen is a restart.
func (s *site) reopen() {
	s.Helper()
	if err := s.Close(); err != nil {
		s.Fatal(err)
	}
	s.open()
}

// work is a task about one segment of 2 of 3 pieces, the first at keeper.
type work struct {
	task *custody.Signed[caretask.Task]
	part caretask.Part
	data [][]byte
	seg  caretask.Segment
}

func newWork(t *testing.T, number uint64, change func(*caretask.Task)) *work {
	t.Helper()
	return makeWork(t, number, 3, 5, change)
}

// newWide is one of many pieces, named after the number.
func newWide(t *testing.T, number uint64, pieces int) *work {
	t.Helper()
	return makeWork(t, number, pieces, byte(100+number), nil)
}

func makeWork(t *testing.T, number uint64, pieces int, name byte, change func(*caretask.Task)) *work {
	t.Helper()
	w := &work{seg: caretask.Segment{K: 2, Size: 1000}}
	for i := range pieces {
		data := bytes.Repeat([]byte{byte(i + 1)}, 1000)
		w.data = append(w.data, data)
		at := uint8(caretask.Nowhere)
		if i == 0 {
			at = 1
		}
		w.seg.Pieces = append(w.seg.Pieces, caretask.Piece{Keeper: at, ID: peers.ShardID{byte(i + 1), name}, Root: erasure.ShardRoot(data)})
	}
	raw, err := w.seg.Encode()
	if err != nil {
		t.Fatal(err)
	}
	w.part = caretask.Part{raw}
	task := caretask.Task{
		Owner: owner, Caretaker: nas, Number: number, At: 1_800_000_000, Until: 1_800_086_400, Grace: 60,
		Keepers: []caretask.Keeper{{Device: nas, Addresses: []string{}}, {Device: keeper, Addresses: []string{}}},
		Parts:   []custody.Hash{w.part.Hash()}, Segments: 1,
	}
	if change != nil {
		change(&task)
	}
	if w.task, err = custody.Sign(key, task); err != nil {
		t.Fatal(err)
	}
	return w
}

func (s *site) say(from peers.DeviceID, verb string, msg any, want error) []byte {
	s.Helper()
	raw, ok := msg.([]byte)
	if !ok {
		var err error
		if raw, err = custody.Marshal(msg); err != nil {
			s.Fatal(err)
		}
	}
	answer, err := s.Answer(s.Context(), verb, from, raw)
	if !errors.Is(err, want) || want == nil && err != nil {
		s.Errorf("%s: %v, want %v", verb, err, want)
	}
	return answer
}

func (s *site) writes(from peers.DeviceID, w *work, i int, want error) {
	s.Helper()
	p := &w.seg.Pieces[i]
	as, done, err := s.Writes(s.Context(), from, caretask.Moved(p.ID, s.self), p.Root, 1000)
	if !errors.Is(err, want) || want == nil && (err != nil || as != owner) {
		s.Errorf("piece %d for %s: %v, want %v", i, as.Short(), err, want)
	}
	if err == nil {
		done()
	}
}

func (s *site) put(id peers.ShardID, data []byte) {
	s.Helper()
	if err := s.depot.Put(s.Context(), owner, id, erasure.ShardRoot(data), int64(len(data)), bytes.NewReader(data)); err != nil {
		s.Fatal(err)
	}
}

// A keeper takes from the caretaker what the task allows, and nothing else.
func TestOnlyWhatTheTaskAllows(t *testing.T) {
	s := newSite(t, keeper)
	w := newWork(t, 5, nil)
	s.put(w.seg.Pieces[0].ID, w.data[0])
	proof := w.task.Body.Prove(0, w.part, 0)

	s.writes(nas, w, 1, peers.ErrRefused) // nothing was said
	s.say(nas, VerbPermit, proof, peers.ErrRefused)
	s.say(stranger, VerbTask, w.task.Raw, peers.ErrRefused) // who is neither
	if s.Caretaker(nas) {
		t.Error("anybody is let in")
	}
	s.say(nas, VerbTask, w.task.Raw, nil) // the caretaker may bring it: the owner signed
	if !s.Caretaker(nas) || s.Caretaker(stranger) {
		t.Error("the caretaker is not let in, or a stranger is")
	}
	s.writes(nas, w, 1, peers.ErrRefused) // it has shown no segment
	s.say(stranger, VerbPermit, proof, peers.ErrRefused)
	var held Held
	if err := custody.Unmarshal(s.say(nas, VerbPermit, proof, nil), &held); err != nil || !bytes.Equal(held.Pieces, []uint8{HasIt, Lacks, Lacks}) {
		t.Errorf("%v, %v", held, err)
	}
	if as, err := s.Reads(nas, w.seg.Pieces[0].ID); err != nil || as != owner {
		t.Errorf("read: %v", err)
	}
	for _, id := range []peers.ShardID{{99}, caretask.Moved(w.seg.Pieces[0].ID, nas)} {
		if _, err := s.Reads(nas, id); !errors.Is(err, peers.ErrRefused) {
			t.Errorf("reads %s: %v", id, err)
		}
	}
	if _, err := s.Reads(stranger, w.seg.Pieces[0].ID); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("a stranger reads: %v", err)
	}
	s.writes(nas, w, 0, peers.ErrRefused) // it is here
	s.writes(stranger, w, 1, peers.ErrRefused)
	s.writes(nas, w, 1, nil)
	p := &w.seg.Pieces[1]
	for name, x := range map[string]struct {
		id   peers.ShardID
		root peers.Root
		size int64
	}{
		"the old name": {p.ID, p.Root, 1000}, "another keeper's name": {caretask.Moved(p.ID, nas), p.Root, 1000},
		"another root": {caretask.Moved(p.ID, keeper), w.seg.Pieces[2].Root, 1000}, "another size": {caretask.Moved(p.ID, keeper), p.Root, 1001},
	} {
		if _, _, err := s.Writes(t.Context(), nas, x.id, x.root, x.size); !errors.Is(err, peers.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One piece more of each segment: no more room than the task says.
	s.put(caretask.Moved(p.ID, keeper), w.data[1])
	s.writes(nas, w, 1, nil) // the same again, after an answer that was lost
	s.writes(nas, w, 2, peers.ErrRefused)
}

func TestWhatEndsATask(t *testing.T) {
	for name, end := range map[string]func(*site){
		"its time":                func(s *site) { s.now = s.now.Add(25 * time.Hour) },
		"the owner takes it back": func(s *site) { s.say(owner, VerbTask, newWork(t, 6, ended).task.Raw, nil) },
		"another machine has it":  func(s *site) { s.say(owner, VerbTask, newWork(t, 6, elsewhere).task.Raw, nil) },
		"the owner is out":        func(s *site) { delete(s.known, owner) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, keeper)
			w := newWork(t, 5, nil)
			s.say(owner, VerbTask, w.task.Raw, nil)
			s.say(nas, VerbPermit, w.task.Body.Prove(0, w.part, 0), nil)
			s.writes(nas, w, 1, nil)
			end(s)
			s.writes(nas, w, 1, peers.ErrRefused)
			s.reopen()
			proof, err := custody.Marshal(w.task.Body.Prove(0, w.part, 0))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Answer(t.Context(), VerbPermit, nas, proof); !errors.Is(err, peers.ErrRefused) && !errors.Is(err, peers.ErrStale) {
				t.Errorf("it is shown a segment after a restart: %v", err)
			}
			s.writes(nas, w, 1, peers.ErrRefused)
		})
	}
}

func ended(t *caretask.Task) {
	t.Until, t.Keepers, t.Parts, t.Segments = t.At, []caretask.Keeper{}, []custody.Hash{}, 0
}

func elsewhere(t *caretask.Task) { t.Caretaker = stranger }

// An owner's device asks which of its tasks is known here, about nobody else's.
func TestLook(t *testing.T) {
	s := newSite(t, keeper)
	look := func(from, of peers.DeviceID, want error, number uint64) {
		t.Helper()
		raw, err := EncodeLook(of)
		if err != nil {
			t.Fatal(err)
		}
		answer := s.say(from, VerbLook, raw, want)
		if want != nil {
			return
		}
		if l, err := DecodeLook(answer); err != nil || l.Number != number || l.Free <= 0 {
			t.Errorf("%+v, %v, want number %d", l, err, number)
		}
	}
	look(owner, owner, nil, 0) // it has none, or lost it
	look(nas, owner, peers.ErrRefused, 0)
	s.say(owner, VerbTask, newWork(t, 5, nil).task.Raw, nil)
	look(owner, owner, nil, 5)
	look(nas, owner, nil, 5)
	look(stranger, owner, peers.ErrRefused, 0)
	look(stranger, stranger, peers.ErrRefused, 0)
	look(owner, nas, peers.ErrRefused, 0)
	s.say(owner, VerbTask, newWork(t, 6, ended).task.Raw, nil)
	look(owner, owner, nil, 6)
}

// An older task never comes back, whoever shows it and however often.
func TestStaleTask(t *testing.T) {
	s := newSite(t, keeper)
	old, now := newWork(t, 5, nil), newWork(t, 6, ended)
	s.say(owner, VerbTask, now.task.Raw, nil)
	s.say(nas, VerbTask, old.task.Raw, peers.ErrStale)
	s.say(owner, VerbTask, old.task.Raw, peers.ErrStale)
	s.reopen()
	s.say(nas, VerbTask, old.task.Raw, peers.ErrStale)
	s.say(owner, VerbTask, now.task.Raw, nil) // the same again is no error
	// Two tasks of one number: the first stays.
	s.say(owner, VerbTask, newWork(t, 6, nil).task.Raw, peers.ErrStale)
	forged, err := custody.Sign(other, newWork(t, 7, nil).task.Body)
	if err != nil {
		t.Fatal(err)
	}
	s.say(owner, VerbTask, forged.Raw, peers.ErrRefused)
}

func TestCaretakersBooks(t *testing.T) {
	s := newSite(t, nas)
	w := newWork(t, 5, nil)
	part := func(number uint64, i uint16, p caretask.Part) []byte {
		raw, err := EncodePart(number, i, p)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	s.say(owner, VerbPart, part(5, 0, w.part), peers.ErrRefused)
	want, err := DecodeWanted(s.say(owner, VerbTask, w.task.Raw, nil))
	if err != nil || len(want) != 1 || want[0] != 0 {
		t.Fatalf("wants %v, %v", want, err)
	}
	s.say(stranger, VerbPart, part(5, 0, w.part), peers.ErrRefused)
	s.say(owner, VerbPart, part(4, 0, w.part), peers.ErrStale)
	s.say(owner, VerbPart, part(5, 1, w.part), peers.ErrRefused)
	s.say(owner, VerbPart, part(5, 0, caretask.Part{}), peers.ErrRefused)
	s.say(owner, VerbPart, part(5, 0, w.part), nil)
	s.reopen()
	jobs := s.Jobs()
	if len(jobs) != 1 {
		t.Fatalf("%d jobs", len(jobs))
	}
	if _, segs, err := s.Part(t.Context(), jobs[0], 0); err != nil || len(segs) != 1 {
		t.Fatalf("%d segments, %v", len(segs), err)
	}
	if err := s.Note(t.Context(), owner, Made{Piece: w.seg.Pieces[1].ID, Keeper: keeper, Size: 1000, At: 7}); err != nil {
		t.Fatal(err)
	}
	if err := s.Note(t.Context(), owner, Made{Piece: w.seg.Pieces[0].ID, Lost: true, At: 7}); err != nil {
		t.Fatal(err)
	}
	rs, err := DecodeReports(s.say(owner, VerbReport, []byte{}, nil))
	if err != nil || len(rs) != 1 || rs[0].Pieces != 1 || rs[0].Bytes != 1000 || rs[0].Lost != 1 || rs[0].Lacking != 0 || rs[0].Refused {
		t.Errorf("%+v, %v", rs, err)
	}
	s.say(stranger, VerbReport, []byte{}, peers.ErrRefused)
	if err := s.Forget(t.Context(), owner, map[peers.ShardID]bool{w.seg.Pieces[1].ID: true}); err != nil {
		t.Fatal(err)
	}
	if made, err := s.Made(t.Context(), owner); err != nil || len(made) != 1 {
		t.Errorf("%v, %v", made, err)
	}
	if err := s.Refuse(t.Context(), owner, true); err != nil {
		t.Fatal(err)
	}
	s.reopen()
	if rs, err := DecodeReports(s.say(owner, VerbReport, []byte{}, nil)); err != nil || len(rs) != 1 || !rs[0].Refused {
		t.Errorf("the owner is not told: %+v, %v", rs, err)
	}
	s.say(owner, VerbTask, newWork(t, 5, nil).task.Raw, peers.ErrRefused) // the same once more
	s.say(owner, VerbTask, newWork(t, 6, nil).task.Raw, peers.ErrRefused)
	if jobs := s.Jobs(); len(jobs) != 1 || !jobs[0].Refused {
		t.Errorf("%+v", jobs)
	}
	s.say(owner, VerbTask, newWork(t, 8, ended).task.Raw, nil)
	if made, err := s.Made(t.Context(), owner); err != nil || len(made) != 0 || len(s.Jobs()) != 0 {
		t.Errorf("after the end: %v, %v", made, err)
	}
}

// FuzzAnswer lets anybody say anything.
func FuzzAnswer(f *testing.F) {
	verbs := []string{VerbTask, VerbPart, VerbReport, VerbLook, VerbPermit}
	for i := range verbs {
		f.Add(uint8(i), []byte{0xa1, 1, 0x40})
	}
	d, err := depot.Open(context.Background(), f.TempDir(), depot.Options{})
	if err != nil {
		f.Fatal(err)
	}
	s, err := Open(context.Background(), Options{
		Device: nas, Path: filepath.Join(f.TempDir(), File), Depot: d, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		Sign: func(peers.DeviceID) []byte { return key.Public().(ed25519.PublicKey) }, Same: func(a, b peers.DeviceID) bool { return true },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := errors.Join(s.Close(), d.Close()); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(_ *testing.T, verb uint8, raw []byte) {
		_, _ = s.Answer(context.Background(), verbs[int(verb)%len(verbs)], stranger, raw)
		_, _ = DecodeReports(raw)
		_, _ = DecodeWanted(raw)
		_, _ = DecodeLook(raw)
	})
}

// What is kept for an owner counts against what is offered, once, through all
// that may happen to it.
func TestListsTakeRoom(t *testing.T) {
	s := newSite(t, nas)
	s.depot.SetOffer(40_000)
	free := func() int64 {
		t.Helper()
		u, err := s.depot.Usage(t.Context(), owner)
		if err != nil {
			t.Fatal(err)
		}
		if u.Used != 0 {
			t.Errorf("lists count as pieces: %+v", u)
		}
		if lists := s.Takes()[owner]; lists+u.Free != u.Quota {
			t.Errorf("%d of lists and %d free of %d", lists, u.Free, u.Quota)
		}
		return u.Free
	}
	task := func(number uint64, parts ...caretask.Part) {
		t.Helper()
		w := newWork(t, number, func(task *caretask.Task) {
			task.Parts, task.Segments = []custody.Hash{}, 0
			for _, p := range parts {
				task.Parts = append(task.Parts, p.Hash())
				task.Segments += uint64(len(p))
			}
		})
		s.say(owner, VerbTask, w.task.Raw, nil)
	}
	send := func(number uint64, at uint16, p caretask.Part, want error) {
		t.Helper()
		raw, err := EncodePart(number, at, p)
		if err != nil {
			t.Fatal(err)
		}
		s.say(owner, VerbPart, raw, want)
	}
	var parts []caretask.Part
	for i := range 12 {
		parts = append(parts, newWide(t, uint64(i+1), 60).part) // of 4.4 kB
	}
	all := free()
	task(1, parts...)
	for i, p := range parts[:4] {
		send(1, uint16(i), p, nil)
		send(1, uint16(i), p, nil) // the same again takes no more
	}
	if n := all - free(); n != 4*8192 {
		t.Errorf("4 parts take %d bytes", n)
	}
	send(1, 4, parts[4], peers.ErrQuota)
	// Notes of pieces take room as well.
	for i := range 40 {
		err := s.Note(t.Context(), owner, Made{Piece: peers.ShardID{byte(i)}, Lost: true})
		if full := i >= (40_000-4*8192)/noteCost; full != errors.Is(err, peers.ErrQuota) || !full && err != nil {
			t.Fatalf("note %d: %v", i, err)
		}
	}
	if err := s.Note(t.Context(), owner, Made{Piece: peers.ShardID{1}, Keeper: keeper}); err != nil {
		t.Errorf("a note that was there: %v", err)
	}
	before := free()
	if err := s.Unnote(t.Context(), owner, peers.ShardID{1}); err != nil || free() != before+noteCost {
		t.Errorf("%d free without a note, %d with it, %v", free(), before, err)
	}
	before = free()
	s.reopen()
	if free() != before {
		t.Errorf("%d free after a restart, %d before", free(), before)
	}
	if err := s.Forget(t.Context(), owner, nil); err != nil {
		t.Fatal(err)
	}
	if n := all - free(); n != 4*8192 {
		t.Errorf("without notes they take %d bytes", n)
	}
	task(2, parts[3:]...)
	if n := all - free(); n != 8192 {
		t.Errorf("the one part that is named still takes %d bytes", n)
	}
	send(2, 1, parts[4], nil)
	if err := s.Refuse(t.Context(), owner, true); err != nil || free() != all {
		t.Errorf("%d of %d free after a refusal, %v", free(), all, err)
	}
	if err := s.Refuse(t.Context(), owner, false); err != nil {
		t.Fatal(err)
	}
	send(2, 0, parts[3], nil)
	s.say(owner, VerbTask, newWork(t, 3, ended).task.Raw, nil)
	if free() != all {
		t.Errorf("%d of %d free after the end", free(), all)
	}
}

// With nothing offered there is a little room, for all owners together.
func TestListsWhereNothingIsOffered(t *testing.T) {
	s := newSite(t, nas)
	s.depot.SetOffer(0)
	if err := s.depot.Take(t.Context(), stranger, depot.BesideNoOffer-8192); err != nil {
		t.Fatal(err)
	}
	w := newWork(t, 1, func(task *caretask.Task) {
		task.Parts = append(task.Parts, newWide(t, 2, 60).part.Hash())
	})
	s.say(owner, VerbTask, w.task.Raw, nil)
	for i, want := range []error{nil, peers.ErrQuota} {
		raw, err := EncodePart(1, uint16(i), []caretask.Part{w.part, newWide(t, 2, 60).part}[i])
		if err != nil {
			t.Fatal(err)
		}
		s.say(owner, VerbPart, raw, want)
	}
}

// What lies here for somebody who left the circle goes, and so does what lies
// here for a task that ended long ago.
func TestSweep(t *testing.T) {
	for name, end := range map[string]func(*site){
		"left":       func(s *site) { delete(s.known, owner) },
		"ended":      func(s *site) { s.now = s.now.Add(32 * 24 * time.Hour) },
		"lasts":      nil,
		"just ended": func(s *site) { s.now = s.now.Add(25 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, nas)
			w := newWork(t, 5, nil)
			s.say(owner, VerbTask, w.task.Raw, nil)
			raw, err := EncodePart(5, 0, w.part)
			if err != nil {
				t.Fatal(err)
			}
			s.say(owner, VerbPart, raw, nil)
			goes := name == "left" || name == "ended"
			if end != nil {
				end(s)
			}
			if err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := s.Takes()[owner]; (n == 0) != goes {
				t.Errorf("%d bytes are left", n)
			}
			// A task that was newest stays so.
			s.say(owner, VerbTask, newWork(t, 4, nil).task.Raw, map[bool]error{true: peers.ErrRefused, false: peers.ErrStale}[name == "left"])
		})
	}
}
