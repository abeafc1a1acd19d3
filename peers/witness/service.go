// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"context"
	"crypto/ed25519"
	"crypto/hpke"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/limit"
	"github.com/preezm/preezm/peers/vault"
)

// Limits of what others can make a custodian remember.
const (
	maxOwners      = 256
	maxGenerations = 16
	// maxStray is how many revocations of one owner are taken by devices that
	// are not in its set: they may be true, but a device that was removed must
	// not fill what those of the others need.
	maxStray = 1024
	// maxRevoked is how many of one owner are taken at all.
	maxRevoked = 65536
)

// What a custodian keeps in its home.
const (
	File   = "witness.db"
	Folder = "witness.ratchet"
)

// Options are a custodian's own things.
type Options struct {
	Device peers.DeviceID     // its seat: chains are derived for it
	Sign   ed25519.PrivateKey // signs its logs
	KEM    hpke.PrivateKey    // opens appointments
	Box    *vault.Box         // seals what it keeps; nil: plain
	// Person gives the root key of the person whose machine a device has proved
	// to be; nil: nobody's. An owner's further machines speak for the owner too.
	Person func(peers.DeviceID) (custody.Key, bool)
	Now    func() time.Time // its clock; nil: time.Now
	Logger *slog.Logger     // nil: silence

	step func(string) // tests die at named points
}

// Service is a custodian. Its methods are safe for concurrent use.
type Service struct {
	o     Options
	log   *slog.Logger
	store *store
	limit *limit.Limiter
	news  chan struct{} // asks Run to tell the others soon; holds one

	find atomic.Pointer[Finder] // while Run runs
	near near

	first      atomic.Pointer[chan struct{}] // closed after Run's first round of gossip; nil: no Run
	appointing sync.Mutex                    // one appointment at a time

	mu     sync.Mutex // guards what follows; taken after an owner's, never held over it
	owners map[custody.Key]*owner
	clocks map[peers.DeviceID]heard
	// fellows counts the panels that a device is in, so that a stranger at
	// the door waits for no owner's lock.
	fellows map[peers.DeviceID]int
	kept    *ratchet
}

// Open opens the custodian in a home, or makes it. The caller holds the home's
// lock. ErrRatchet when the secret chains are damaged.
func Open(ctx context.Context, home string, o Options) (*Service, error) {
	if len(o.Sign) != ed25519.PrivateKeySize || o.KEM == nil {
		return nil, errors.New("witness: a custodian needs its keys")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		o: o, log: o.Logger, limit: limit.New(), news: make(chan struct{}, 1),
		owners: map[custody.Key]*owner{}, clocks: map[peers.DeviceID]heard{}, fellows: map[peers.DeviceID]int{},
	}
	var err error
	if s.kept, err = openRatchet(o.Box, filepath.Join(home, Folder), o.step); err != nil {
		return nil, err
	}
	if s.store, err = openStore(ctx, filepath.Join(home, File), o.Box.DBKey(File)); err != nil {
		return nil, err
	}
	if err := s.load(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("witness.db: %w", err), s.store.close())
	}
	return s, nil
}

// Close writes what is still counted only and closes the files. Nothing else
// may be running.
func (s *Service) Close() error {
	var errs []error
	for _, o := range s.all() {
		errs = append(errs, s.end(o))
	}
	return errors.Join(append(errs, s.store.close())...)
}

// end writes the counts of refusals that an owner's log does not have yet.
func (s *Service) end(o *owner) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	ctx := context.Background()
	if err := s.fresh(ctx, o); err != nil {
		return err
	}
	// A later hour ends the present one, so that its counts come out.
	return s.note(ctx, o, o.refusals.Flush(s.judge(o).Now+3600)...)
}

// Answer answers a message by its verb; see Client for what they mean. The
// device from has been authenticated by the connection.
func (s *Service) Answer(ctx context.Context, verb string, from peers.DeviceID, raw []byte) ([]byte, error) {
	switch verb {
	case verbAppoint:
		return s.Appoint(ctx, from, raw)
	case verbLetter:
		return s.Letter(ctx, from, raw)
	case verbRevoke:
		return s.Revoke(ctx, from, raw)
	case verbStatus:
		return s.Status(ctx, from, raw)
	case verbLog:
		return s.Log(ctx, from, raw)
	case verbEvidence:
		return s.Evidence(ctx, from, raw)
	case verbGossip:
		return s.Gossip(ctx, from, raw)
	case verbRevoked:
		return s.Revoked(ctx, from, raw)
	}
	return nil, peers.ErrNoCustodian
}

// all lists the owners, for going through them without holding the lock.
func (s *Service) all() []*owner {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.owners))
}

// owner finds the owner with a root; peers.ErrNoCustodian when it has not
// appointed this custodian.
func (s *Service) owner(root custody.Key) (*owner, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.owners[root]; o != nil {
		return o, nil
	}
	return nil, peers.ErrNoCustodian
}

// Fellow reports whether a device is a custodian beside this one, in the panel
// of some owner, or was the last time it was told: then it may gossip.
func (s *Service) Fellow(d peers.DeviceID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fellows[d] > 0
}

// chain gives an owner's chain of a generation.
func (s *Service) chain(root custody.Key, generation uint32) (custody.Chain, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.kept.chains[seat{root, generation}]
	return c, ok
}

// wake asks Run to tell the others soon.
func (s *Service) wake() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// refused wraps what is wrong with a message for the sender's device.
func refused(err error) error { return fmt.Errorf("%w: %w", peers.ErrRefused, err) }

func (s *Service) at(point string) {
	if s.o.step != nil {
		s.o.step(point)
	}
}
