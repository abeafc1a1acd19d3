// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"sync"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers"
)

// owner is what a custodian knows about one person that appointed it. It is all
// in witness.db too, but for the counts of refusals that are repeated.
type owner struct {
	root custody.Key
	sign ed25519.PrivateKey // of its log

	mu        sync.Mutex // decisions and news of one owner take turns
	stale     bool       // a write failed: what is on the disk has to be read again
	changes   uint64     // goes up with every write
	asked     consulted
	device    peers.DeviceID
	appointed int64
	begun     int64 // when a log that was lost was begun anew; 0: never
	behind    bool  // what is here is older than what this device signed before
	clock     custody.Clock
	devices   *custody.Signed[custody.DeviceSet]
	panel     *custody.Signed[Panel]
	status    *custody.Signed[custody.OwnerStatus]
	log       ledger.Log
	revoked   map[custody.Hash]bool
	stray     int // of revoked: by devices that were not in the set
	newest    map[custody.Hash]pack
	opened    map[use]uint32
	answered  map[custody.Hash]int64 // request to the second of its release
	proven    map[custody.Hash]int64 // bytes of evidence of a grant
	provenAll int64                  // of all
	members   map[custody.Key]*custody.MemberRevocations
	refusals  ledger.Refusals
}

// pack is a package's number and hash.
type pack struct {
	seq  uint64
	hash custody.Hash
}

// use is what openings are counted by.
type use struct {
	grant   custody.Hash
	file    custody.FileID
	version uint64
}

// load reads all owners.
func (s *Service) load(ctx context.Context) error {
	var roots []custody.Key
	err := s.store.each(ctx, "SELECT root FROM owner", nil, func(scan func(...any) error) error {
		var b []byte
		if err := scan(&b); err != nil {
			return err
		}
		roots = append(roots, custody.Key{})
		return fixed(roots[len(roots)-1][:], b)
	})
	if err != nil {
		return err
	}
	for _, root := range roots {
		o := &owner{root: root, sign: s.logKey(root)}
		if err := s.read(ctx, o); err != nil {
			return err
		}
		s.owners[root] = o
	}
	return nil
}

// logKey signs the log of an owner.
func (s *Service) logKey(root custody.Key) ed25519.PrivateKey { return custody.LogKey(s.o.Sign, root) }

// fresh reads an owner again after a failed write. With o.mu held.
func (s *Service) fresh(ctx context.Context, o *owner) error {
	if !o.stale {
		return nil
	}
	if err := s.read(context.WithoutCancel(ctx), o); err != nil {
		return fmt.Errorf("witness.db: %w", err)
	}
	o.stale = false
	return nil
}

// read fills in o from the disk. The documents were checked when they came.
func (s *Service) read(ctx context.Context, o *owner) error {
	key := []any{o.root[:]}
	var device, devices, panel, status []byte
	var high int64
	err := s.store.db.QueryRowContext(ctx,
		"SELECT device, appointed, begun, behind, high, devices, panel, status FROM owner WHERE root = ?", key...).
		Scan(&device, &o.appointed, &o.begun, &o.behind, &high, &devices, &panel, &status)
	if err == nil {
		err = fixed(o.device[:], device)
	}
	if err == nil {
		o.devices, err = maybe[custody.DeviceSet](devices)
	}
	if err == nil {
		before := o.panel
		if o.panel, err = maybe[Panel](panel); err == nil {
			s.enlist(before, o.panel)
		}
	}
	if err == nil {
		o.status, err = maybe[custody.OwnerStatus](status)
	}
	if err != nil {
		return err
	}
	o.clock.High = max(o.clock.High, high) // what was believed is not unlearned
	o.stray = 0
	o.revoked, o.newest = map[custody.Hash]bool{}, map[custody.Hash]pack{}
	o.opened, o.answered = map[use]uint32{}, map[custody.Hash]int64{}
	o.proven, o.provenAll = map[custody.Hash]int64{}, 0
	o.members = map[custody.Key]*custody.MemberRevocations{}
	if err := s.readLog(ctx, o); err != nil {
		return err
	}
	var a, b []byte
	var n, m int64
	for _, q := range []struct {
		sql  string
		into []any
		take func() error
	}{
		{"SELECT grant_hash, stray FROM revoked WHERE owner = ?", []any{&a, &n}, func() error {
			var g custody.Hash
			o.stray += int(n)
			defer func() { o.revoked[g] = true }()
			return fixed(g[:], a)
		}},
		{"SELECT grant_hash, hash, seq FROM newest WHERE owner = ?", []any{&a, &b, &n}, func() error {
			var g custody.Hash
			p := pack{seq: uint64(n)}
			if err := fixed(g[:], a); err != nil {
				return err
			}
			defer func() { o.newest[g] = p }()
			return fixed(p.hash[:], b)
		}},
		{"SELECT grant_hash, file, version, n FROM opened WHERE owner = ?", []any{&a, &b, &n, &m}, func() error {
			u := use{version: uint64(n)}
			if err := fixed(u.grant[:], a); err != nil {
				return err
			}
			defer func() { o.opened[u] = uint32(m) }()
			return fixed(u.file[:], b)
		}},
		{"SELECT grant_hash, sum(length(request) + length(release)) FROM evidence WHERE owner = ? GROUP BY grant_hash", []any{&a, &n}, func() error {
			var g custody.Hash
			o.provenAll += n
			defer func() { o.proven[g] = n }()
			return fixed(g[:], a)
		}},
		{"SELECT raw FROM members WHERE owner = ?", []any{&a}, func() error {
			l, err := custody.Parse[custody.MemberRevocations](a)
			if err == nil {
				o.members[l.Body.Root] = &l.Body
			}
			return err
		}},
		{"SELECT request, at FROM answered WHERE owner = ?", []any{&a, &n}, func() error {
			var r custody.Hash
			defer func() { o.answered[r] = n }()
			return fixed(r[:], a)
		}},
	} {
		err := s.store.each(ctx, q.sql, key, func(scan func(...any) error) error {
			if err := scan(q.into...); err != nil {
				return err
			}
			return q.take()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readLog finds the end of an owner's log.
func (s *Service) readLog(ctx context.Context, o *owner) error {
	o.log = ledger.New(o.root, custody.KeyOf(o.sign))
	return s.store.each(ctx, "SELECT seq, head, raw FROM entry WHERE owner = ? ORDER BY seq DESC LIMIT 1",
		[]any{o.root[:]}, func(scan func(...any) error) error {
			var seq int64
			var head, raw []byte
			if err := scan(&seq, &head, &raw); err != nil {
				return err
			}
			last, err := custody.Parse[ledger.Entry](raw)
			if err != nil {
				return err
			}
			if last.Signer == custody.KeyOf(s.o.Sign) {
				// Begun by a program that signed all logs with the device's key.
				o.sign = s.o.Sign
				o.log = ledger.New(o.root, last.Signer)
			}
			if last.Signer != o.log.Custodian || last.Body.Seq != uint64(seq) {
				return fmt.Errorf("the log was written with another signing key than this device has")
			}
			o.log.Seq = uint64(seq)
			return fixed(o.log.Head[:], head)
		})
}

// maybe parses a document, if there is one.
func maybe[T custody.Document](raw []byte) (*custody.Signed[T], error) {
	if len(raw) == 0 {
		return nil, nil
	}
	return custody.Parse[T](raw)
}

// speaks reports whether a device is the owner's: the one that appointed, or
// one that has proved to be another machine of the same person.
func (s *Service) speaks(o *owner, d peers.DeviceID) bool {
	if d == o.device || s.o.Person == nil {
		return d == o.device
	}
	root, ok := s.o.Person(d)
	return ok && root == o.root
}

// hears reports whether a device is one whose word about this owner is taken:
// the owner's own or a fellow custodian's.
func (s *Service) hears(o *owner, d peers.DeviceID) bool {
	return s.speaks(o, d) || o.panel != nil && slices.ContainsFunc(o.panel.Body.Members, func(m Member) bool {
		return m.Device == [32]byte(d)
	})
}

// set is the owner's device set, or nil.
func (o *owner) set() *custody.DeviceSet {
	if o.devices == nil {
		return nil
	}
	return &o.devices.Body
}

// note appends entries to the owner's log, durably, with the statements that
// belong to them. With o.mu held and o fresh.
func (s *Service) note(ctx context.Context, o *owner, entries ...ledger.Entry) error {
	return s.noteWith(ctx, o, nil, entries...)
}

func (s *Service) noteWith(ctx context.Context, o *owner, with []statement, entries ...ledger.Entry) error {
	if len(entries) == 0 && len(with) == 0 {
		return nil
	}
	next := o.log
	for _, e := range entries {
		var signed *custody.Signed[ledger.Entry]
		var err error
		if next, signed, err = next.Append(o.sign, e); err != nil {
			return err
		}
		with = append(with, entryStatement(next, signed))
	}
	if err := s.write(ctx, o, with); err != nil {
		return err
	}
	o.log = next
	return nil
}

func entryStatement(l ledger.Log, e *custody.Signed[ledger.Entry]) statement {
	return statement{"INSERT INTO entry (owner, seq, hash, head, raw) VALUES (?, ?, ?, ?, ?)",
		[]any{l.Owner[:], int64(l.Seq), e.Hash[:], l.Head[:], e.Raw}}
}

// write makes statements about an owner durable, and its clock with them.
func (s *Service) write(ctx context.Context, o *owner, list []statement) error {
	o.changes++
	list = append(list, statement{"UPDATE owner SET high = max(high, ?) WHERE root = ?", []any{o.clock.High, o.root[:]}})
	if err := s.store.write(ctx, list); err != nil {
		o.stale = true // it may have happened all the same
		return fmt.Errorf("witness.db: %w", err)
	}
	return nil
}

// state is custody.State for one decision, under the owner's lock.
type state struct {
	s *Service
	o *owner
	v custody.Verdict
}

func (st state) Clock() custody.Verdict      { return st.v }
func (st state) Root() custody.Key           { return st.o.root }
func (st state) Devices() *custody.DeviceSet { return st.o.set() }
func (st state) Chain(generation uint32) (custody.Chain, bool) {
	return st.s.chain(st.o.root, generation)
}
func (st state) Since() int64                { return st.o.begun }
func (st state) Revoked(g custody.Hash) bool { return st.o.revoked[g] }
func (st state) StatusAt() int64 {
	if st.o.status == nil {
		return 0
	}
	return st.o.status.Body.At
}
func (st state) NewestPackage(g custody.Hash) (uint64, custody.Hash) {
	p := st.o.newest[g]
	return p.seq, p.hash
}
func (st state) Members(org custody.Key) *custody.MemberRevocations { return st.o.members[org] }
func (st state) Answered(r custody.Hash) bool {
	_, ok := st.o.answered[r]
	return ok
}
func (st state) Opens(g custody.Hash, f custody.FileID, version uint64) uint32 {
	return st.o.opened[use{g, f, version}]
}
