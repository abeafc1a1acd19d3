// SPDX-License-Identifier: MPL-2.0

package caretaker

import (
	"context"
	"fmt"
	"slices"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretask"
)

// What follows is for whoever does the work on the caretaker.

// Job is a task of this machine.
type Job struct {
	*custody.Signed[caretask.Task]
	Refused bool // this machine's user does not want it
}

// Jobs lists the tasks that this machine has, those it refused too.
func (s *Service) Jobs() (out []Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tasks {
		if t.Body.Caretaker == s.o.Device && !t.Body.Ended() && s.o.Sign(t.Body.Owner) != nil {
			out = append(out, Job{t.Signed, t.refused})
		}
	}
	slices.SortFunc(out, func(a, b Job) int { return slices.Compare(a.Body.Owner[:], b.Body.Owner[:]) })
	return out
}

// Refuse ends the work for an owner's device, whatever it says, or takes it up
// again.
func (s *Service) Refuse(ctx context.Context, owner peers.DeviceID, on bool) error {
	s.lists.Lock()
	defer s.lists.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[owner]
	if t == nil || t.Body.Caretaker != s.o.Device {
		return peers.ErrNotFound
	}
	if err := s.store.refuse(ctx, owner, on); err != nil {
		return err
	}
	s.tasks[owner] = &kept{t.Signed, on}
	s.poke()
	return s.recount(ctx, owner)
}

// Part gives a part of a task; nil: it is not here yet.
func (s *Service) Part(ctx context.Context, j Job, part int) (caretask.Part, []*caretask.Segment, error) {
	body, err := s.store.part(ctx, j.Body.Owner, j.Body.Parts[part])
	if err != nil || body == nil {
		return nil, nil, err
	}
	p, segs, err := caretask.DecodePart(body)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", File, err)
	}
	return p, segs, nil
}

// Complete says whether all parts of a task are here.
func (s *Service) Complete(ctx context.Context, j Job) (bool, error) {
	w, err := s.wanted(ctx, j.Signed)
	return err == nil && len(w.Parts) == 0, err
}

// Made gives the pieces of an owner's device that are elsewhere than its task
// says, by their name there.
func (s *Service) Made(ctx context.Context, owner peers.DeviceID) (map[peers.ShardID]Made, error) {
	list, err := s.store.made(ctx, owner)
	out := make(map[peers.ShardID]Made, len(list))
	for _, m := range list {
		out[m.Piece] = m
	}
	return out, err
}

// Note writes down where a piece is; peers.ErrQuota or peers.ErrDiskFull where
// there is no room for that.
func (s *Service) Note(ctx context.Context, owner peers.DeviceID, m Made) error {
	ctx = context.WithoutCancel(ctx)
	s.lists.Lock()
	defer s.lists.Unlock()
	write := func() error { return s.store.setMade(ctx, owner, m) }
	if had, err := s.store.noted(ctx, owner, m.Piece); err != nil {
		return err
	} else if had {
		return write()
	}
	return s.grow(ctx, owner, noteCost, write)
}

// Unnote drops the note of a piece: it is where the task says.
func (s *Service) Unnote(ctx context.Context, owner peers.DeviceID, piece peers.ShardID) error {
	ctx = context.WithoutCancel(ctx)
	s.lists.Lock()
	defer s.lists.Unlock()
	if err := s.store.unmade(ctx, owner, piece); err != nil {
		return err
	}
	return s.recount(ctx, owner)
}

// Forget drops the notes of pieces that a task does not name any more.
func (s *Service) Forget(ctx context.Context, owner peers.DeviceID, needed map[peers.ShardID]bool) error {
	s.lists.Lock()
	defer s.lists.Unlock()
	if err := s.store.keepMade(ctx, owner, needed); err != nil {
		return err
	}
	return s.recount(ctx, owner)
}

// Seen gives how often each keeper answered.
func (s *Service) Seen(ctx context.Context, owner peers.DeviceID) (map[peers.DeviceID][]byte, error) {
	return s.store.seen(ctx, owner)
}

// SaveSeen keeps it.
func (s *Service) SaveSeen(ctx context.Context, owner peers.DeviceID, of map[peers.DeviceID][]byte) error {
	return s.store.saveSeen(ctx, owner, of)
}

// Audits gives what became of the checks of each keeper.
func (s *Service) Audits(ctx context.Context, owner peers.DeviceID) (map[peers.DeviceID]Audit, error) {
	return s.store.audits(ctx, owner)
}

// SaveAudits keeps it.
func (s *Service) SaveAudits(ctx context.Context, owner peers.DeviceID, of map[peers.DeviceID]Audit) error {
	return s.store.saveAudits(context.WithoutCancel(ctx), owner, of)
}

// SetMissed notes which keepers are taken for lost.
func (s *Service) SetMissed(owner peers.DeviceID, missed []peers.DeviceID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missed[owner] = missed
}

// Reports tells of each task of this machine what was done.
func (s *Service) Reports(ctx context.Context) ([]Report, error) {
	return s.reports(ctx, func(peers.DeviceID) bool { return true })
}

// reports is Reports for the owners that of names: each costs a look at all notes.
func (s *Service) reports(ctx context.Context, of func(owner peers.DeviceID) bool) ([]Report, error) {
	out := []Report{}
	for _, j := range s.Jobs() {
		if !of(j.Body.Owner) {
			continue
		}
		w, err := s.wanted(ctx, j.Signed)
		if err != nil {
			return nil, err
		}
		r := Report{Owner: j.Body.Owner, Number: j.Body.Number, Lacking: int64(len(w.Parts)), Segments: int64(j.Body.Segments), Missed: []peers.DeviceID{}, Refused: j.Refused}
		made, err := s.store.made(ctx, j.Body.Owner)
		if err != nil {
			return nil, err
		}
		for _, m := range made {
			if m.Lost {
				r.Lost++
				continue
			}
			r.Pieces++
			r.Bytes += m.Size
			r.Last = max(r.Last, m.At)
		}
		s.mu.Lock()
		r.Missed = append(r.Missed, s.missed[j.Body.Owner]...)
		s.mu.Unlock()
		out = append(out, r)
	}
	return out, nil
}

// EncodeLook writes the question how a keeper stands to an owner's task, and that
// for the newest it knows.
func EncodeLook(owner peers.DeviceID) ([]byte, error) { return custody.Marshal(lookMsg{owner}) }

// DecodeLook reads the answer.
func DecodeLook(raw []byte) (*Look, error) {
	l := new(Look)
	if err := custody.Unmarshal(raw, l); err != nil {
		return nil, err
	}
	return l, nil
}

// Follow takes a task over that a keeper handed out, when it is newer than the
// one that this machine has of that owner, and of this machine; else an error.
func (s *Service) Follow(ctx context.Context, j Job, raw []byte) error {
	n := new(newest)
	if err := custody.Unmarshal(raw, n); err != nil {
		return err
	}
	if _, err := s.take(ctx, s.o.Device, n.Task); err != nil {
		return err
	}
	if t := s.known(j.Body.Owner); t == nil || t.Body.Number <= j.Body.Number {
		return peers.ErrStale
	}
	return nil
}

// EncodePart writes the message that brings a part of a task.
func EncodePart(number uint64, part uint16, p caretask.Part) ([]byte, error) {
	body, err := p.Encode()
	if err != nil {
		return nil, err
	}
	return custody.Marshal(partMsg{number, part, body})
}

// DecodeWanted reads which parts a caretaker lacks, in ascending order: each is
// half a megabyte, and none is asked for twice.
func DecodeWanted(raw []byte) ([]uint16, error) {
	var w wanted
	if err := custody.Unmarshal(raw, &w); err != nil {
		return nil, err
	}
	for i := 1; i < len(w.Parts); i++ {
		if w.Parts[i] <= w.Parts[i-1] {
			return nil, fmt.Errorf("%w: parts that are not in ascending order", custody.ErrMalformed)
		}
	}
	return w.Parts, nil
}

// DecodeReports reads what a caretaker did.
func DecodeReports(raw []byte) ([]Report, error) {
	var r reports
	err := custody.Unmarshal(raw, &r)
	return r.Of, err
}
