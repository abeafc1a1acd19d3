// SPDX-License-Identifier: MPL-2.0

package caretaker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretask"
)

const (
	// maxPermits bounds the segments that a caretaker works on at once.
	maxPermits = 64
	// permitTime is how long a segment that was shown stays open.
	permitTime = 10 * time.Minute
)

// permit is a segment of a task that its caretaker has shown.
type permit struct {
	owner  peers.DeviceID
	number uint64
	seg    *caretask.Segment
	moved  []peers.ShardID // the name of each piece where it is made anew here
	until  time.Time
}

// claimed is a shard that is being stored for a caretaker.
type claimed struct {
	owner peers.DeviceID
	id    peers.ShardID
}

// Held says, for each piece of a segment, what of it is at a keeper.
type Held struct {
	Pieces []uint8 `cbor:"1,keyasint"`
}

// What a keeper holds of a piece.
const (
	Lacks    = 0
	HasIt    = 1 // under the name of the task
	HasMoved = 2 // under that of a piece made anew
)

// permit opens a segment to a caretaker, and says what is here of it.
func (s *Service) permit(ctx context.Context, from peers.DeviceID, raw []byte) (*Held, error) {
	p, err := caretask.DecodeProof(raw)
	if err != nil {
		return nil, err
	}
	t := s.known(p.Owner)
	if t == nil || t.Body.Caretaker != from {
		return nil, peers.ErrRefused
	}
	if p.Number != t.Body.Number {
		return nil, peers.ErrStale
	}
	now := s.o.Now()
	if !t.Body.Holds(now.Unix()) || s.o.Sign(p.Owner) == nil {
		return nil, peers.ErrRefused
	}
	seg, err := t.Body.Segment(p)
	if err != nil {
		return nil, err
	}
	open := s.shown(p, seg, now)
	out, err := s.held(ctx, open)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := append(s.permits[from], open)
	s.permits[from] = list[max(0, len(list)-maxPermits):]
	return out, nil
}

// shown is the permit for a segment. Each question about a piece looks through all
// of them, so the names are not worked out there.
func (s *Service) shown(p *caretask.Proof, seg *caretask.Segment, now time.Time) permit {
	out := permit{owner: p.Owner, number: p.Number, seg: seg, until: now.Add(permitTime), moved: make([]peers.ShardID, len(seg.Pieces))}
	for i := range seg.Pieces {
		out.moved[i] = caretask.Moved(seg.Pieces[i].ID, s.o.Device)
	}
	return out
}

// close ends what a caretaker was shown of an owner's. The lock is held.
func (s *Service) close(caretaker, owner peers.DeviceID) {
	list := slices.DeleteFunc(s.permits[caretaker], func(p permit) bool { return p.owner == owner })
	if s.permits[caretaker] = list; len(list) == 0 {
		delete(s.permits, caretaker)
	}
}

// held looks what of a segment is here.
func (s *Service) held(ctx context.Context, p permit) (*Held, error) {
	seg := p.seg
	ids := make([]peers.ShardID, 0, 2*len(seg.Pieces))
	for i := range seg.Pieces {
		ids = append(ids, seg.Pieces[i].ID, p.moved[i])
	}
	sizes, err := s.o.Depot.Stat(ctx, p.owner, ids)
	if err != nil {
		return nil, err
	}
	out := &Held{Pieces: make([]uint8, len(seg.Pieces))}
	for i := range seg.Pieces {
		switch size := int64(seg.Size); {
		case sizes[2*i] == size:
			out.Pieces[i] = HasIt
		case sizes[2*i+1] == size:
			out.Pieces[i] = HasMoved
		}
	}
	return out, nil
}

// open finds the permit under which a device may ask for a shard; where says
// which piece of which segment it is.
func (s *Service) open(from peers.DeviceID, is func(p permit, i int) bool) (permit, int, bool) {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.permits[from]
	for j := len(list) - 1; j >= 0; j-- {
		p := list[j]
		t := s.tasks[p.owner]
		if t == nil || t.Body.Number != p.number || !t.Body.Holds(now.Unix()) || now.After(p.until) {
			continue
		}
		for i := range p.seg.Pieces {
			if is(p, i) {
				return p, i, true
			}
		}
	}
	return permit{}, 0, false
}

// Reads gives the owner whose shard a caretaker may read; peers.ErrRefused.
func (s *Service) Reads(from peers.DeviceID, id peers.ShardID) (peers.DeviceID, error) {
	p, _, ok := s.open(from, func(p permit, i int) bool {
		return p.seg.Pieces[i].ID == id || p.moved[i] == id
	})
	if !ok {
		return peers.DeviceID{}, peers.ErrRefused
	}
	return p.owner, nil
}

// Writes gives the owner under whose account a caretaker may store a shard:
// one piece more of each segment, and none that is here already. Without an
// error no other piece of that segment may be stored before done is called,
// which the caller does when the shard is stored, or will not be.
func (s *Service) Writes(ctx context.Context, from peers.DeviceID, id peers.ShardID, root peers.Root, size int64) (owner peers.DeviceID, done func(), err error) {
	p, at, ok := s.open(from, func(p permit, i int) bool {
		return p.moved[i] == id
	})
	if !ok || p.seg.Pieces[at].Root != root || int64(p.seg.Size) != size {
		return owner, nil, peers.ErrRefused
	}
	t := s.known(p.owner)
	if t == nil || t.Body.Keeper(s.o.Device) < 0 || s.o.Sign(p.owner) == nil {
		return owner, nil, peers.ErrRefused
	}
	// Claimed before it is looked at what is here: what is stored between the
	// look and the claim would be missed.
	done, ok = s.claim(p, id)
	if !ok {
		return owner, nil, fmt.Errorf("%w: it is given its part of that segment just now", peers.ErrRefused)
	}
	if err := s.mayTake(ctx, p, at); err != nil {
		done()
		return owner, nil, err
	}
	return p.owner, done, nil
}

// mayTake says whether a piece of a segment may be stored beside what is here
// of it.
func (s *Service) mayTake(ctx context.Context, p permit, at int) error {
	held, err := s.held(ctx, p)
	if err != nil {
		return err
	}
	for i, h := range held.Pieces {
		if i == at && h == HasIt || i != at && h == HasMoved {
			return fmt.Errorf("%w: it has its part of that segment", peers.ErrRefused)
		}
	}
	return nil
}

// claim notes that a piece of a segment is being stored, unless another piece
// of it is; the same one may be sent twice. done ends the claim.
func (s *Service) claim(p permit, id peers.ShardID) (done func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range p.moved {
		if other != id && s.writing[claimed{p.owner, other}] > 0 {
			return nil, false
		}
	}
	c := claimed{p.owner, id}
	s.writing[c]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.writing[c]--; s.writing[c] == 0 {
			delete(s.writing, c)
		}
	}, true
}
