// SPDX-License-Identifier: MPL-2.0

// Package engine is what happens to a file: it is cut into chunks, the
// chunks are sealed and packed into segments, the segments are erasure-coded
// and their shards handed to keepers; and all the way back. The engine opens
// no sockets of its own: it is given a circle of keepers.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/chunk"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// Errors a caller decides on.
var (
	// ErrNotFound: no file or folder of that name is kept.
	ErrNotFound = catalog.ErrNotFound
	// ErrNotTrashed is an ErrNotFound about the trash.
	ErrNotTrashed = said.Wrap(catalog.ErrNotFound, "not-trashed", "is not in the trash")
	// ErrNotThen is an ErrNotFound about a moment that has passed.
	ErrNotThen = catalog.ErrNotThen
	// ErrExists: a file is there already, and overwriting was not asked for.
	ErrExists = said.Error("target-exists", "is there already")
	// ErrNoKeepers: the circle is empty.
	ErrNoKeepers = said.Error("no-keepers", "no machine keeps for you yet: invite one first")
	// ErrTooFewKeepers: not enough keepers took or gave their part.
	ErrTooFewKeepers = said.Error("too-few-keepers", "too few machines of your circle took part")
	// ErrInvalidPath: the name cannot be one of a kept file.
	ErrInvalidPath = said.Error("invalid-path", "is not a valid name")
	// ErrNotKept: some files could not be kept; the report names them.
	ErrNotKept = said.Error("not-kept", "some files were not kept")
	// ErrNotBack: some files could not be brought back; the report names them.
	ErrNotBack = said.Error("not-back", "some files were not brought back")
)

// orphanAge is how long the segments of an interrupted put wait for it to be
// repeated.
const orphanAge = 7 * 24 * time.Hour

// Config is what an engine needs.
type Config struct {
	Dir     string // the catalog lies here
	Key     []byte // encrypts the catalog; nil: it is plain
	Secrets identity.Secrets
	Device  peers.DeviceID        // this machine, noted in what is put from it
	Keepers func() []peers.Keeper // the circle at this moment
	// Roles tells what is known of a machine's person and house; nil: nothing.
	Roles func(peers.DeviceID) Role
	// Pace waits until so many bytes may be received from a keeper or sent to it
	// by what nobody waits for; nil: at once.
	Pace func(ctx context.Context, d peers.DeviceID, down, up int) error
	// TakenOut tells whether this machine's person took a machine out of the
	// circle, or has it keep nothing more; nil: whoever is no keeper is out. With
	// other machines of that person it may also be one that only they know yet.
	TakenOut func(peers.DeviceID) bool
	// CatchUp takes over what this person's other machines did until now, and
	// fails where that cannot be known; nil: there are none.
	CatchUp func(context.Context) error
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger
}

// Engine keeps files and brings them back. It is safe for concurrent use;
// puts run one after another.
type Engine struct {
	dir     string
	cat     *catalog.Catalog
	namer   *chunk.Namer
	secrets identity.Secrets
	key     []byte // of the catalog; nil: it is plain
	device  peers.DeviceID
	keepers func() []peers.Keeper
	roles   func(peers.DeviceID) Role
	pace    func(ctx context.Context, d peers.DeviceID, down, up int) error
	out     func(peers.DeviceID) bool
	catchUp func(context.Context) error
	now     func() time.Time
	log     *slog.Logger
	scores  *scores
	care    care
	// together: there are other machines of this person.
	together atomic.Bool
	suspects suspects
	// segments is shared by puts and gets, so that one after the other does
	// not need memory twice.
	segments segmentPool

	probed  atomic.Pointer[probe]
	tallied atomic.Pointer[tally]
	// targets are the folders that gets write to now.
	targets targets

	// putting holds one token: a put, or whoever removes segments that a put
	// could be about to need, owns it.
	putting chan struct{}
	// yielding is the backup that holds the token, if it gives way to a put.
	yielding atomic.Pointer[yield]
	wanted   atomic.Int32 // puts that wait for the token
	// newVersions: a put has written versions since the last backup looked.
	newVersions atomic.Bool
	// maintaining holds one token: who makes pieces anew owns it, so that no
	// two pay the same debt. urgent counts those that a person waits for;
	// background work then makes way. foreground counts puts and gets.
	maintaining chan struct{}
	urgent      atomic.Int32
	foreground  atomic.Int32
	// regaining: of each segment one at a time looks for what a caretaker made.
	regaining turns
}

// Open opens the catalog in cfg.Dir, which it makes when missing.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	cat, err := catalog.OpenSealed(ctx, filepath.Join(cfg.Dir, "catalog.db"), cfg.Key)
	if err != nil {
		return nil, err
	}
	return newEngine(cfg, cat), nil
}

func newEngine(cfg Config, cat *catalog.Catalog) *Engine {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	e := &Engine{
		dir: cfg.Dir, cat: cat, namer: chunk.NewNamer(cfg.Secrets.Dedup), secrets: cfg.Secrets, key: cfg.Key, device: cfg.Device,
		keepers: cfg.Keepers, roles: cfg.Roles, pace: cfg.Pace, out: cfg.TakenOut, catchUp: cfg.CatchUp, now: now, log: log, scores: newScores(),
		putting: make(chan struct{}, 1), maintaining: make(chan struct{}, 1),
	}
	cat.SetClock(func() time.Time { return e.now() })
	return e
}

// Close releases the catalog. No other call may be running.
func (e *Engine) Close() error {
	e.care.mu.Lock()
	defer e.care.mu.Unlock()
	var err error
	if e.care.loaded && len(e.care.history) > 0 {
		err = e.savePresence(context.Background(), &e.care)
	}
	return errors.Join(err, e.cat.Close())
}

// Catalog is the engine's catalog, for what stands on it beside files: grants.
// It is closed with the engine.
func (e *Engine) Catalog() *catalog.Catalog { return e.cat }

// Seen tells the engine that a keeper answers again, so that it is asked
// before its penalty ends.
func (e *Engine) Seen(d peers.DeviceID) {
	e.scores.forgive(d)
	for p := e.probed.Load(); p != nil && !p.online[d]; p = e.probed.Load() {
		online := maps.Clone(p.online)
		online[d] = true
		if e.probed.CompareAndSwap(p, &probe{p.at, online}) {
			return
		}
	}
}

// lockPut waits until no other put runs. waiting is called once if it must.
func (e *Engine) lockPut(ctx context.Context, waiting func()) error {
	select {
	case e.putting <- struct{}{}:
		return nil
	default:
	}
	waiting()
	select {
	case e.putting <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (e *Engine) unlockPut() { <-e.putting }

// collect drops segments that nobody needs. Those that never were needed wait
// until keepers' clocks bear out that they are old. The caller holds the put lock.
func (e *Engine) collect(ctx context.Context) (freed int64, err error) {
	now, sure, err := e.agreed(ctx)
	if err != nil {
		return 0, err
	}
	before := int64(0)
	if sure {
		before = now.Add(-orphanAge).UnixNano()
	}
	return e.cat.Collect(ctx, before)
}

// checkPath checks a name that comes from a person.
func checkPath(p Path) error {
	if !validPath(string(p)) {
		return fmt.Errorf("%q %w", string(p), ErrInvalidPath)
	}
	return nil
}
