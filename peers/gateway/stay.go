// SPDX-License-Identifier: MPL-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/rpc"
)

// What a brand may ask.
const (
	VerbLetter = "letter" // the body is a letter; the answer a Delivery
	// VerbWait is VerbLetter by a brand that goes on asking: the letter waits
	// here while its custodian does not answer, until it comes as a VerbLetter.
	VerbWait = "wait"
	// VerbKeep is VerbWait by a brand that has written its request down: the
	// letter waits as long as custodians take it, whether it asks again or not.
	VerbKeep    = "keep"
	VerbCollect = "collect" // the body is a Collecting; the answer a Collected
	VerbChunk   = "chunk"   // the body is an Ask; the answer the sealed chunk
)

// Delivery is what became of a letter. The same letter may be brought again.
type Delivery struct {
	Waiting bool   `cbor:"1,keyasint"` // the custodian is asleep; it gets the letter when it wakes
	Reply   []byte `cbor:"2,keyasint"` // its answer
}

// Ask is for one chunk of a granted version.
type Ask struct {
	Grant   custody.Hash   `cbor:"1,keyasint"`
	File    custody.FileID `cbor:"2,keyasint"`
	Version uint64         `cbor:"3,keyasint"`
	Index   uint64         `cbor:"4,keyasint"` // from 0, holes not counted
	// Check reads whole shards and compares them with what the owner stored:
	// for a chunk that did not open.
	Check bool `cbor:"5,keyasint"`
}

const (
	readTime = 60 * time.Second // a chunk may take
	// maxReading chunks are rebuilt at once: each may need a segment's memory.
	// A guest has not all of them.
	maxReading      = 4
	maxGuestReading = 2
	// patience is how long a keeper may be slow before others are asked too.
	patience = 750 * time.Millisecond
)

// stay is one brand's device under one grant.
type stay struct {
	g     *Gateway
	grant *custody.Signed[custody.Grant]
	plan  *ticket.Plan
	by    custody.Key // the owner's device that signed the plan
	// signer is the brand's device by the key of its certificate.
	signer custody.Key
	sealed []byte // the plan as it came
	used   uint64 // the last use; guarded by the gateway's lock

	reading chan struct{} // its chunks being rebuilt

	mu     sync.Mutex
	visits map[peers.DeviceID]*rpc.Visit
}

func newStay(g *Gateway, grant *custody.Signed[custody.Grant], plan *custody.Signed[ticket.Plan], sealed []byte) *stay {
	return &stay{
		g: g, grant: grant, plan: &plan.Body, by: plan.Signer, sealed: sealed,
		reading: make(chan struct{}, maxGuestReading), visits: map[peers.DeviceID]*rpc.Visit{},
	}
}

// with is the same stay by another's plan, which is newer.
func (s *stay) with(o *stay) *stay {
	fresh := newStay(s.g, o.grant, &custody.Signed[ticket.Plan]{Body: *o.plan, Signer: o.by}, o.sealed)
	fresh.used, fresh.signer = s.used, s.signer
	return fresh
}

// of names the grant.
func (s *stay) of() granted { return granted{s.grant.Body.Owner, s.grant.Hash} }

// row is the plan for the store.
func (s *stay) row() *planRow { return &planRow{seq: s.plan.Seq, doc: s.grant.Raw, sealed: s.sealed} }

// contact is the custodian with a mailbox; nil when the plan has none.
func (s *stay) contact(mailbox custody.Key) *ticket.Contact {
	for i := range s.plan.Contacts {
		if c := &s.plan.Contacts[i]; c.Mailbox == mailbox && mailbox != (custody.Key{}) {
			return c
		}
	}
	return nil
}

func (s *stay) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.visits {
		v.Close()
	}
}

// visit is the way to a contact of the plan.
func (s *stay) visit(c *ticket.Contact) *rpc.Visit {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.visits[c.Device]
	if v == nil {
		v = s.g.cfg.Visit(c.Device, c.Device.Short(), c.Addresses, c.Permit)
		s.visits[c.Device] = v
	}
	return v
}

// Answer implements rpc.Guests.
func (g *Gateway) Answer(ctx context.Context, verb string, guest peers.DeviceID, raw []byte) ([]byte, error) {
	var wait time.Duration
	switch verb {
	case VerbChunk:
		return g.serve(ctx, guest, raw)
	case VerbCollect:
		c, err := g.collect(guest, raw)
		if err != nil {
			return nil, err
		}
		return custody.Marshal(c)
	case VerbKeep:
		wait = keepTime
	case VerbWait:
		wait = waitTime
	case VerbLetter:
	default:
		return nil, peers.ErrRefused
	}
	d, err := g.letter(ctx, guest, raw, wait)
	if err != nil {
		return nil, err
	}
	return custody.Marshal(d)
}

// serve gives a guest a chunk.
func (g *Gateway) serve(ctx context.Context, guest peers.DeviceID, raw []byte) ([]byte, error) {
	var a Ask
	if err := custody.Unmarshal(raw, &a); err != nil {
		return nil, fmt.Errorf("%w: %w", peers.ErrRefused, err)
	}
	s, err := g.stay(guest, func(s *stay) bool { return s.grant.Hash == a.Grant })
	if err != nil {
		return nil, err
	}
	if !g.serves(s) {
		return nil, peers.ErrRefused
	}
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	if err := g.pace(ctx, guest, s, a.Check); err != nil {
		return nil, err
	}
	for _, room := range []chan struct{}{s.reading, g.reading} {
		select {
		case room <- struct{}{}:
			defer func() { <-room }()
		case <-ctx.Done():
			return nil, errCrowd
		}
	}
	// The grant may have ended while this waited.
	if !g.serves(s) {
		return nil, peers.ErrRefused
	}
	return s.chunk(ctx, &a)
}

// chunk rebuilds one sealed chunk.
func (s *stay) chunk(ctx context.Context, a *Ask) ([]byte, error) {
	for i := range s.plan.Files {
		f := &s.plan.Files[i]
		if f.File != a.File || f.Version != a.Version {
			continue
		}
		if a.Index >= uint64(len(f.Spans)) {
			return nil, peers.ErrRefused
		}
		sp := f.Spans[a.Index]
		out := make([]byte, 0, sp.Len)
		seg := &s.plan.Segments[sp.Segment]
		for off, end := sp.Off, sp.Off+sp.Len; off < end; {
			j := off / seg.ShardLen
			stop := min(end, (j+1)*seg.ShardLen)
			part, err := s.columns(ctx, seg, j, off-j*seg.ShardLen, stop-j*seg.ShardLen, a.Check)
			if err != nil {
				return nil, err
			}
			out = append(out, part...)
			off = stop
		}
		return out, nil
	}
	return nil, peers.ErrRefused
}

// columns gives bytes [lo, hi) of data shard j, from its keeper, or rebuilt
// from k others when that one fails or is slow.
func (s *stay) columns(ctx context.Context, seg *ticket.Segment, j, lo, hi int, check bool) ([]byte, error) {
	var wg sync.WaitGroup
	defer wg.Wait() // whoever is not needed any more is cancelled first
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n := len(seg.Shards)
	type result struct {
		i   int
		buf []byte // nil: it failed
	}
	results := make(chan result, n) // so that late ones find room
	ask := func(i int) {
		b, err := s.read(ctx, seg, i, lo, hi, check)
		if err != nil {
			b = nil
		}
		results <- result{i, b}
	}
	shards := make([][]byte, n)
	for i := range shards {
		shards[i] = []byte{}
	}
	wg.Go(func() { ask(j) })
	open, have, others := 1, 0, false
	slow := time.NewTimer(patience)
	defer slow.Stop()
	for have < seg.K {
		if open == 0 && others {
			return nil, fmt.Errorf("%w (too few of the circle's machines answer)", peers.ErrUnreachable)
		}
		more := false
		select {
		case r := <-results:
			open--
			if r.i == j && r.buf != nil {
				return r.buf, nil
			}
			if more = r.i == j; r.buf != nil {
				shards[r.i] = r.buf
				have++
			}
		case <-slow.C:
			more = true
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (%w)", peers.ErrUnreachable, context.Cause(ctx))
		}
		if more && !others {
			others = true
			for i := range n {
				if i != j {
					open++
					wg.Go(func() { ask(i) })
				}
			}
		}
	}
	codec, err := erasure.New(erasure.Geometry{K: seg.K, N: n})
	if err != nil {
		return nil, err
	}
	required := make([]bool, n)
	required[j] = true
	if err := codec.Reconstruct(shards, required); err != nil {
		return nil, fmt.Errorf("rebuild: %w", err)
	}
	return shards[j], nil
}

// read reads bytes [lo, hi) of one shard from who holds it; with check the
// whole shard, compared with its root.
func (s *stay) read(ctx context.Context, seg *ticket.Segment, i, lo, hi int, check bool) ([]byte, error) {
	sh := &seg.Shards[i]
	c := &s.plan.Contacts[sh.Contact]
	from, to := lo, hi
	if check {
		from, to = 0, seg.ShardLen
	}
	buf := make([]byte, to-from)
	if err := s.readFrom(ctx, c, sh.ID, int64(from), buf); err != nil {
		return nil, err
	}
	if check {
		if erasure.ShardRoot(buf) != sh.Root {
			return nil, peers.ErrDamaged
		}
		buf = buf[lo:hi]
	}
	return buf, nil
}

func (s *stay) readFrom(ctx context.Context, c *ticket.Contact, id peers.ShardID, off int64, dst []byte) error {
	if c.Device != s.g.cfg.Device {
		return s.visit(c).ReadShard(ctx, id, off, dst)
	}
	if s.g.cfg.Depot == nil {
		return peers.ErrNotFound
	}
	sh, err := s.g.cfg.Depot.Get(ctx, s.plan.Owner, id)
	if err != nil {
		return err
	}
	defer sh.Close()
	if n, err := sh.ReadAt(dst, off); n < len(dst) && err != nil && !errors.Is(err, io.EOF) {
		return err
	} else if n < len(dst) {
		return peers.ErrDamaged
	}
	return nil
}
