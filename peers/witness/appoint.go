// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers"
)

// Appoint makes this device a custodian of the owner whose device asks, or
// takes a further generation of it. The first appointment pins the owner's root
// to that device: one seat a person, one person a device. Another device of the
// owner (a home that was restored) takes its place with a newer appointment.
// The same appointment again is answered the same; a chain that is here is never
// replaced, since an old appointment would bring back what is erased.
func (s *Service) Appoint(ctx context.Context, from peers.DeviceID, raw []byte) ([]byte, error) {
	var in Appointing
	if err := custody.Unmarshal(raw, &in); err != nil {
		return nil, refused(err)
	}
	a, chain, err := custody.AcceptAppointment(in.Appointment, custody.Seat(s.o.Device), s.o.KEM)
	if err != nil {
		return nil, refused(err)
	}
	s.appointing.Lock()
	defer s.appointing.Unlock()
	o, err := s.seatOf(from, &a.Body)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := s.fresh(ctx, o); err != nil {
		return nil, err
	}
	known := o.appointed > 0
	if known && o.device != from && a.Body.At <= o.appointed {
		return nil, refused(errors.New("an old appointment from another device"))
	}
	knew, err := s.takeChain(o, &a.Body, chain)
	if err != nil {
		return nil, err
	}
	if err := s.seatOwner(ctx, o, from, a.Body.At); err != nil {
		return nil, err
	}
	if !known && (in.Entries > 0 || knew) || known && (o.behind || in.Entries > o.log.Seq) {
		// There was a log, and it is gone, or what is here is an older copy: say
		// so, rather than go on as if there had been none.
		if err := s.beginLog(ctx, o, max(a.Body.At, 0)); err != nil {
			return nil, err
		}
		s.log.Warn("the log for an owner was lost: a new one begins", "owner", from.Short())
	}
	if err := s.learn(ctx, o, &News{DeviceSet: in.DeviceSet, Panel: in.Panel}); err != nil {
		return nil, err
	}
	if !known {
		s.log.Info("appointed custodian", "by", from.Short())
	}
	head, err := o.log.Sign(o.sign, max(s.judge(o).Now, 0))
	if err != nil {
		return nil, err
	}
	return custody.Marshal(Appointed{LogKey: o.log.Custodian, Head: head.Raw})
}

// seatOf finds the owner of an appointment, or a new one that is not in
// s.owners yet.
func (s *Service) seatOf(from peers.DeviceID, a *custody.Appointment) (*owner, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for root, o := range s.owners {
		// device changes only under s.appointing, which is held.
		if o.device == from && root != a.Owner {
			return nil, refused(errors.New("this device speaks for another owner"))
		}
	}
	if o := s.owners[a.Owner]; o != nil {
		return o, nil
	}
	if len(s.owners) >= maxOwners {
		return nil, refused(fmt.Errorf("a custodian for %d owners already", maxOwners))
	}
	sign := s.logKey(a.Owner)
	return &owner{
		root: a.Owner, sign: sign, device: from, log: ledger.New(a.Owner, custody.KeyOf(sign)),
		revoked: map[custody.Hash]bool{}, newest: map[custody.Hash]pack{},
		opened: map[use]uint32{}, answered: map[custody.Hash]int64{}, members: map[custody.Key]*custody.MemberRevocations{}, proven: map[custody.Hash]int64{},
	}, nil
}

// takeChain puts a chain into the ratchet, unless it or a newer generation is
// there. This comes first: an owner without a chain would be told that it has
// a custodian when it has none. It tells whether this owner had a chain here.
func (s *Service) takeChain(o *owner, a *custody.Appointment, chain custody.Chain) (knew bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	newer, count := false, 0
	var oldest uint32
	for k := range s.kept.chains {
		if k.owner == o.root {
			if count++; count == 1 || k.generation < oldest {
				oldest = k.generation
			}
			newer = newer || k.generation > a.Generation
		}
	}
	key := seat{o.root, a.Generation}
	switch _, here := s.kept.chains[key]; {
	case here:
		return true, nil
	case newer:
		return true, refused(errors.New("an old generation"))
	}
	chains := maps.Clone(s.kept.chains)
	if count >= maxGenerations {
		// The owner made the grants of such an old one anew since.
		delete(chains, seat{o.root, oldest})
	}
	chains[key] = chain
	return count > 0, s.kept.save(chains)
}

// seatOwner makes an owner, or its new device, durable and known.
func (s *Service) seatOwner(ctx context.Context, o *owner, from peers.DeviceID, at int64) error {
	at = max(at, o.appointed)
	if o.appointed == at && o.device == from {
		return nil
	}
	fresh := o.appointed == 0
	st := statement{"UPDATE owner SET device = ?, appointed = ? WHERE root = ?", []any{from[:], at, o.root[:]}}
	if fresh {
		o.clock.High = at
		st = statement{"INSERT INTO owner (root, device, appointed, high, devices, panel, status) " +
			"VALUES (?, ?, ?, ?, x'', x'', x'')", []any{o.root[:], from[:], at, at}}
	}
	if err := s.write(ctx, o, []statement{st}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o.device, o.appointed = from, at
	s.owners[o.root] = o
	return nil
}

// beginLog puts a new log in the place of one that was lost, or is older than
// what this custodian once signed. What was counted is a lower bound from here on:
// grants that count uses and are older need another custodian.
func (s *Service) beginLog(ctx context.Context, o *owner, at int64) error {
	begun := max(at, s.judge(o).Now) // heads of the lost log are not later
	fresh := ledger.New(o.root, custody.KeyOf(o.sign))
	next, entry, err := fresh.Append(o.sign, ledger.Entry{At: at, Kind: ledger.Begin, Detail: "the log before this one is lost"})
	if err != nil {
		return err
	}
	err = s.write(ctx, o, []statement{
		{"DELETE FROM entry WHERE owner = ?", []any{o.root[:]}},
		{"DELETE FROM evidence WHERE owner = ?", []any{o.root[:]}},
		{"UPDATE owner SET begun = ?, behind = 0 WHERE root = ?", []any{begun, o.root[:]}},
		entryStatement(next, entry),
	})
	if err != nil {
		return err
	}
	o.log, o.begun, o.behind = next, begun, false
	clear(o.proven)
	return nil
}

// learnOwnHead looks at a head of this custodian's own log that somebody kept. One
// that leads past what is here, or elsewhere, says that the home was put back from
// a copy: then nothing is given any more until the owner appoints this custodian
// anew. An older state could give what it had refused or used up since.
func (s *Service) learnOwnHead(ctx context.Context, o *owner, h *ledger.Head) error {
	if o.behind || h.At <= o.begun {
		return nil // of the log before
	}
	if h.Seq <= o.log.Seq {
		list, err := s.store.raws(ctx, "SELECT head FROM entry WHERE owner = ? AND seq = ?", o.root[:], int64(h.Seq))
		if err != nil {
			return err
		}
		if len(list) == 1 && bytes.Equal(list[0], h.Head[:]) {
			return nil
		}
	}
	if err := s.write(ctx, o, []statement{{"UPDATE owner SET behind = 1 WHERE root = ?", []any{o.root[:]}}}); err != nil {
		return err
	}
	o.behind = true
	s.log.Error("this custodian's records are older than what it signed before: its home was put back from a copy. It gives nothing for this owner until it is appointed anew ('preezm custodians add' there)", "owner", o.device.Short())
	return nil
}
