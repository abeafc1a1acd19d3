// SPDX-License-Identifier: MPL-2.0

// Package caretaker is the two sides of repair without the owner (package
// caretask). On every machine it remembers the newest task of each owner, by
// which alone it lets another machine read and store pieces of that owner. On
// the caretaker it keeps the lists of segments, and what was made anew. It has
// no sockets: package rpc carries its messages; engine/caring does the work.
package caretaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretask"
)

type task = caretask.Task

// Depot is what of a depot is asked for.
type Depot interface {
	Stat(ctx context.Context, owner peers.DeviceID, ids []peers.ShardID) ([]int64, error)
	Usage(ctx context.Context, owner peers.DeviceID) (peers.Usage, error)
	// Take counts bytes that are to lie here for an owner, where there is room;
	// Hold those that do already, or, negative, are gone.
	Take(ctx context.Context, owner peers.DeviceID, n int64) error
	Hold(owner peers.DeviceID, n int64)
}

// Options of a service.
type Options struct {
	Device peers.DeviceID // this machine
	Path   string         // of the database
	Key    []byte         // encrypts it; nil: it is plain
	Depot  Depot
	// Sign gives the signing key of a device of the circle; nil: it is none.
	Sign func(peers.DeviceID) []byte
	// Same says whether two devices are one person's.
	Same   func(a, b peers.DeviceID) bool
	Now    func() time.Time
	Logger *slog.Logger
}

// Service is both sides. It is safe for concurrent use.
type Service struct {
	o     Options
	store *store

	// lists is held while what lies here for owners changes, and the count of
	// it with it; before mu.
	lists   sync.Mutex
	counted map[peers.DeviceID]int64

	mu      sync.Mutex
	tasks   map[peers.DeviceID]*kept
	permits map[peers.DeviceID][]permit         // by caretaker, oldest first
	missed  map[peers.DeviceID][]peers.DeviceID // by owner: keepers taken for lost
	writing map[claimed]int                     // how many times each is being stored
	changed chan struct{}
}

// kept is a task that is known here.
type kept struct {
	*custody.Signed[task]
	refused bool
}

// Open opens the database.
func Open(ctx context.Context, o Options) (*Service, error) {
	st, err := openStore(ctx, o.Path, o.Key)
	if err != nil {
		return nil, err
	}
	s := &Service{
		o: o, store: st, tasks: map[peers.DeviceID]*kept{}, permits: map[peers.DeviceID][]permit{}, missed: map[peers.DeviceID][]peers.DeviceID{},
		counted: map[peers.DeviceID]int64{}, writing: map[claimed]int{}, changed: make(chan struct{}, 1),
	}
	if err := s.load(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// load reads what the database has.
func (s *Service) load(ctx context.Context) error {
	list, err := s.store.tasks(ctx)
	for _, row := range list {
		t, perr := custody.Reread[task](row.doc)
		if perr != nil {
			s.o.Logger.Warn("a task of a caretaker is damaged and waits for its owner to say it again", "err", perr)
			continue
		}
		s.tasks[t.Body.Owner] = &kept{t, row.refused}
	}
	if err != nil {
		return err
	}
	s.lists.Lock()
	defer s.lists.Unlock()
	owners, err := s.store.owners(ctx)
	for _, owner := range owners {
		err = errors.Join(err, s.recount(ctx, owner))
	}
	return err
}

// Close closes the database. What lies in it is counted no more.
func (s *Service) Close() error {
	s.lists.Lock()
	defer s.lists.Unlock()
	for owner, n := range s.counted {
		s.o.Depot.Hold(owner, -n)
	}
	clear(s.counted)
	return s.store.db.Close()
}

// Changed tells of a new task, or a part of one, that is this machine's.
func (s *Service) Changed() <-chan struct{} { return s.changed }

func (s *Service) poke() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// known gives the newest task of an owner's device; nil: none.
func (s *Service) known(owner peers.DeviceID) *kept {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tasks[owner]
}

// Caretaker says whether a device that is not in the circle is somebody's
// caretaker now: it may show its task and what is in it.
func (s *Service) Caretaker(d peers.DeviceID) bool {
	now := s.o.Now().Unix()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tasks {
		if t.Body.Caretaker == d && t.Body.Holds(now) && s.o.Sign(t.Body.Owner) != nil {
			return true
		}
	}
	return false
}

// Verbs of the messages.
const (
	VerbTask   = "task"   // a signed task; answered by wanted
	VerbPart   = "part"   // partMsg, to the caretaker
	VerbReport = "report" // nothing; answered by reports
	VerbLook   = "look"   // lookMsg, of the caretaker or the owner's device
	VerbPermit = "permit" // a caretask.Proof, of the caretaker
	VerbNewest = "newest" // lookMsg, of the caretaker or the owner's device; answered by newest
)

// Answer answers a message. Errors are those of package peers.
func (s *Service) Answer(ctx context.Context, verb string, from peers.DeviceID, raw []byte) ([]byte, error) {
	var out any
	var err error
	switch verb {
	case VerbTask:
		out, err = s.take(ctx, from, raw)
	case VerbPart:
		out, err = s.takePart(ctx, from, raw)
	case VerbReport:
		out, err = s.report(ctx, from)
	case VerbLook:
		out, err = s.look(ctx, from, raw)
	case VerbPermit:
		out, err = s.permit(ctx, from, raw)
	case VerbNewest:
		out, err = s.newest(from, raw)
	default:
		return nil, peers.ErrUnknown
	}
	if errors.Is(err, custody.ErrMalformed) {
		err = fmt.Errorf("%w: %w", peers.ErrRefused, err)
	}
	if err != nil {
		return nil, err
	}
	return custody.Marshal(out)
}

// wanted says which parts of a task its caretaker lacks, at most so many at once.
type wanted struct {
	Parts []uint16 `cbor:"1,keyasint"`
}

const maxWanted = 1024

// take takes a task, from its owner's device or from its caretaker.
func (s *Service) take(ctx context.Context, from peers.DeviceID, raw []byte) (*wanted, error) {
	// Whose it is stands inside; Parse below checks the signature.
	peek, err := custody.Reread[task](raw)
	if err != nil {
		return nil, err
	}
	owner := peek.Body.Owner
	key := s.o.Sign(owner)
	if key == nil || from != owner && from != peek.Body.Caretaker {
		return nil, peers.ErrRefused
	}
	t, err := caretask.Parse(raw, key)
	if err != nil {
		return nil, err
	}
	s.lists.Lock()
	defer s.lists.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.tasks[owner]
	if have != nil && t.Body.Number <= have.Body.Number && t.Hash != have.Hash {
		return nil, peers.ErrStale
	}
	mine := t.Body.Caretaker == s.o.Device && !t.Body.Ended()
	if have == nil || t.Hash != have.Hash {
		if err := s.store.putTask(ctx, t, mine); err != nil {
			return nil, err
		}
		s.tasks[owner] = &kept{t, have != nil && have.refused}
		s.close(t.Body.Caretaker, owner)
		if have != nil {
			s.close(have.Body.Caretaker, owner)
		}
		s.poke()
		if err := s.recount(ctx, owner); err != nil {
			return nil, err
		}
	}
	if !mine {
		return &wanted{Parts: []uint16{}}, nil
	}
	if s.tasks[owner].refused {
		return nil, peers.ErrRefused
	}
	return s.wanted(ctx, t)
}

// wanted looks which parts of a task are not here.
func (s *Service) wanted(ctx context.Context, t *custody.Signed[task]) (*wanted, error) {
	here, err := s.store.partsHere(ctx, t.Body.Owner)
	if err != nil {
		return nil, err
	}
	out := &wanted{Parts: []uint16{}}
	for i, h := range t.Body.Parts {
		if !here[h] && len(out.Parts) < maxWanted {
			out.Parts = append(out.Parts, uint16(i))
		}
	}
	return out, nil
}

// partMsg brings a part of a task.
type partMsg struct {
	Number uint64 `cbor:"1,keyasint"`
	Part   uint16 `cbor:"2,keyasint"`
	Body   []byte `cbor:"3,keyasint"`
}

func (s *Service) takePart(ctx context.Context, from peers.DeviceID, raw []byte) (*struct{}, error) {
	var m partMsg
	if err := custody.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	// A newer task, or a refusal, drops what it does not need: nothing is to
	// come after that.
	s.lists.Lock()
	defer s.lists.Unlock()
	t := s.known(from)
	if t == nil || t.Body.Caretaker != s.o.Device || t.refused || int(m.Part) >= len(t.Body.Parts) {
		return nil, peers.ErrRefused
	}
	if m.Number != t.Body.Number {
		return nil, peers.ErrStale
	}
	p, _, err := caretask.DecodePart(m.Body)
	if err != nil {
		return nil, err
	}
	h := t.Body.Parts[m.Part]
	if p.Hash() != h {
		return nil, fmt.Errorf("%w: not the part that the task names", custody.ErrMalformed)
	}
	if had, err := s.store.part(ctx, from, h); err != nil {
		return nil, err
	} else if had != nil {
		return &struct{}{}, nil
	}
	err = s.grow(ctx, from, partCost(len(m.Body)), func() error { return s.store.putPart(ctx, from, h, m.Body) })
	if err != nil {
		return nil, err
	}
	s.poke()
	return &struct{}{}, nil
}

// Report is what a caretaker did for an owner's device.
type Report struct {
	Owner    peers.DeviceID   `cbor:"1,keyasint"`
	Number   uint64           `cbor:"2,keyasint"` // of its task
	Lacking  int64            `cbor:"3,keyasint"` // parts that it was not given yet
	Segments int64            `cbor:"4,keyasint"` // it looks after
	Pieces   int64            `cbor:"5,keyasint"` // it made anew under this task
	Bytes    int64            `cbor:"6,keyasint"`
	Last     int64            `cbor:"7,keyasint"`            // when it made the last one, Unix seconds
	Missed   []peers.DeviceID `cbor:"8,keyasint"`            // keepers that it took for lost when it looked last
	Lost     int64            `cbor:"9,keyasint"`            // pieces that a keeper did not have any more
	Refused  bool             `cbor:"10,keyasint,omitempty"` // its user does not want the task
}

type reports struct {
	Of []Report `cbor:"1,keyasint"`
}

// report tells an owner's machine what was done for any machine of that person.
func (s *Service) report(ctx context.Context, from peers.DeviceID) (*reports, error) {
	if s.o.Sign(from) == nil {
		return nil, peers.ErrRefused
	}
	of, err := s.reports(ctx, func(owner peers.DeviceID) bool { return owner == from || s.o.Same(owner, from) })
	if err != nil {
		return nil, err
	}
	return &reports{of}, nil
}

// lookMsg asks a keeper how it stands to a task.
type lookMsg struct {
	Owner peers.DeviceID `cbor:"1,keyasint"`
}

// newest is a task as its owner signed it.
type newest struct {
	Task []byte `cbor:"1,keyasint"`
}

// newest gives the newest task of an owner that is known here.
func (s *Service) newest(from peers.DeviceID, raw []byte) (*newest, error) {
	var m lookMsg
	if err := custody.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	t := s.known(m.Owner)
	if t == nil || s.o.Sign(m.Owner) == nil || from != m.Owner && from != t.Body.Caretaker {
		return nil, peers.ErrRefused
	}
	return &newest{t.Raw}, nil
}

// Look is how a keeper stands to a task.
type Look struct {
	Number uint64 `cbor:"1,keyasint"` // of the newest task it knows of that owner's device
	Free   int64  `cbor:"2,keyasint"` // room for that owner
}

func (s *Service) look(ctx context.Context, from peers.DeviceID, raw []byte) (*Look, error) {
	var m lookMsg
	if err := custody.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	t := s.known(m.Owner)
	if s.o.Sign(m.Owner) == nil || from != m.Owner && (t == nil || t.Body.Caretaker != from) {
		return nil, peers.ErrRefused
	}
	return s.Look(ctx, m.Owner)
}

// Look tells how this machine stands to a task.
func (s *Service) Look(ctx context.Context, owner peers.DeviceID) (*Look, error) {
	out := &Look{}
	if t := s.known(owner); t != nil {
		out.Number = t.Body.Number
	}
	u, err := s.o.Depot.Usage(ctx, owner)
	out.Free = max(u.Free, 0)
	return out, err
}
