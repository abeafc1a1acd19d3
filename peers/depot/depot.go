// SPDX-License-Identifier: MPL-2.0

package depot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/preezm/preezm/peers"
)

// Options of a depot. The zero value takes nothing from anybody.
type Options struct {
	// Offer is the room for all owners together, in bytes.
	Offer int64
	// MinFree is the room of the disk that stays free whatever the offer
	// says, in bytes. Negative: 5 % of the disk, at most 1 GiB.
	MinFree int64
	// Quota tells the room promised to one owner, in bytes; 0 is the whole
	// offer, negative is nothing. Nil: 0 for everybody. It is called from
	// many goroutines and must not call the depot.
	Quota func(peers.DeviceID) int64
	// Account gives the name under which a device's shards are counted and
	// found: several machines of one person have one. It may unite devices
	// later that stored shards apart, and never parts them. Nil: each device
	// its own. It is called from many goroutines and must not call the depot.
	Account func(peers.DeviceID) peers.DeviceID
	// Grace is how long a shard stays that its owner's lists say is not
	// needed. 0: DefaultGrace.
	Grace time.Duration
	// Now is the clock of that. Nil: time.Now.
	Now func() time.Time
	// Logger gets damage and repairs. Nil: nothing is logged.
	Logger *slog.Logger
	// Storage holds the shards; the depot closes it. Nil: a Disk in the
	// depot's folder. The index is in that folder always.
	Storage Storage
}

// Depot keeps other people's shards. Safe for concurrent use.
type Depot struct {
	storage  Storage
	index    *index
	lock     *flock.Flock
	log      *slog.Logger
	quota    func(peers.DeviceID) int64
	account  func(peers.DeviceID) peers.DeviceID
	accounts accounts
	claims   claims
	grace    time.Duration
	now      func() time.Time
	sweeping sync.Mutex         // one list at a time
	step     func(point string) // crash tests stop here; nil otherwise

	mu      sync.Mutex
	closed  bool
	working sync.WaitGroup
}

// Open makes the folder ready, brings the index in line with the shards and
// returns when the depot is right about what it has. ErrBusy when the folder
// is in use. A damaged shard is set aside and logged, a damaged index rebuilt.
func Open(ctx context.Context, dir string, o Options) (*Depot, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("depot: %w", diskError(err))
	}
	d := &Depot{
		storage: o.Storage,
		log:     o.Logger,
		quota:   o.Quota,
		account: o.Account,
		lock:    flock.New(filepath.Join(dir, "lock")),
		claims:  claims{held: map[peers.ShardID]*claim{}},
	}
	if d.grace = o.Grace; d.grace == 0 {
		d.grace = DefaultGrace
	}
	if d.now = o.Now; d.now == nil {
		d.now = time.Now
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.quota == nil {
		d.quota = func(peers.DeviceID) int64 { return 0 }
	}
	if d.account == nil {
		d.account = func(id peers.DeviceID) peers.DeviceID { return id }
	}
	d.accounts.same = d.account
	if got, err := d.lock.TryLock(); err != nil {
		return nil, fmt.Errorf("depot %s: %w", dir, err)
	} else if !got {
		return nil, fmt.Errorf("depot %s: %w", dir, ErrBusy)
	}
	if err := d.open(ctx, dir, o); err != nil {
		return nil, errors.Join(fmt.Errorf("depot %s: %w", dir, err), d.release())
	}
	return d, nil
}

func (d *Depot) open(ctx context.Context, dir string, o Options) (err error) {
	if d.storage == nil {
		if d.storage, err = OpenDisk(dir, d.log); err != nil {
			return err
		}
	}
	owners, err := d.openIndex(ctx, dir)
	if errors.Is(err, errIndex) {
		d.log.Warn("depot: the index is damaged and is made anew from the shards", "err", err)
		if err := d.discardIndex(dir); err != nil {
			return err
		}
		owners, err = d.openIndex(ctx, dir)
	}
	if err != nil {
		return err
	}
	d.accounts.load(owners)
	d.accounts.offer, d.accounts.minFree = o.Offer, o.MinFree
	if o.MinFree < 0 {
		s, err := d.storage.Space(ctx)
		if err != nil {
			return err
		}
		d.accounts.minFree = min(1<<30, s.Total/20)
	}
	return nil
}

// openIndex opens the index, brings it in line with the shards and sums it up.
func (d *Depot) openIndex(ctx context.Context, dir string) (map[peers.DeviceID]*account, error) {
	var err error
	if d.index, err = openIndex(ctx, filepath.Join(dir, "index.db")); err != nil {
		return nil, err
	}
	if err := d.reconcile(ctx); err != nil {
		return nil, err
	}
	return d.index.owners(ctx)
}

// discardIndex moves the index away for a person to look at.
func (d *Depot) discardIndex(dir string) error {
	if d.index != nil {
		if err := d.index.close(); err != nil {
			d.log.Warn("depot: close of the damaged index", "err", err)
		}
		d.index = nil
	}
	if err := os.MkdirAll(filepath.Join(dir, damagedDir), 0o700); err != nil {
		return diskError(err)
	}
	for _, name := range [...]string{"index.db", "index.db-wal", "index.db-shm"} {
		// The latest damaged index replaces the one before: it holds nothing
		// that the shards do not.
		err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, damagedDir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Close waits for the work under way and closes the depot. End the readers
// that feed a Put first (close their connections): Close does not break a put
// off. Shards from Get stay readable.
func (d *Depot) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()
	d.working.Wait()
	return d.release()
}

// release gives back what Open took, as far as it came. The lock goes last.
func (d *Depot) release() error {
	var errs []error
	if d.index != nil {
		errs = append(errs, d.index.close())
	}
	if d.storage != nil {
		errs = append(errs, d.storage.Close())
	}
	return errors.Join(append(errs, d.lock.Close())...)
}

// enter counts a caller in, so that Close can wait for it.
func (d *Depot) enter() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return ErrClosed
	}
	d.working.Add(1)
	return nil
}

func (d *Depot) at(point string) {
	if d.step != nil {
		d.step(point)
	}
}

// SetOffer changes the room for all owners together, in bytes. Less than what
// is stored deletes nothing; it only takes no more.
func (d *Depot) SetOffer(n int64) { d.accounts.setOffer(n) }

// Usage tells an owner what it has here and what it may still send.
func (d *Depot) Usage(ctx context.Context, owner peers.DeviceID) (Usage, error) {
	if err := d.enter(); err != nil {
		return Usage{}, err
	}
	defer d.working.Done()
	s, err := d.storage.Space(ctx)
	if err != nil {
		return Usage{}, fmt.Errorf("depot: %w", err)
	}
	return d.accounts.usage(owner, d.quota(owner), s.Free), nil
}

// Total tells the same for all owners together.
func (d *Depot) Total(ctx context.Context) (Usage, error) {
	if err := d.enter(); err != nil {
		return Usage{}, err
	}
	defer d.working.Done()
	s, err := d.storage.Space(ctx)
	if err != nil {
		return Usage{}, fmt.Errorf("depot: %w", err)
	}
	return d.accounts.total(s.Free), nil
}

// BesideNoOffer is the room for what lies beside the shards, of all owners
// together, on a machine that offers none, in bytes.
const BesideNoOffer = 256_000_000

// Take counts n bytes that are to lie elsewhere in the home for an owner, such
// as a caretaker's lists, against its quota, the offer and the disk, as if they
// were a shard. Where nothing is offered all owners together have BesideNoOffer.
// peers.ErrQuota and peers.ErrDiskFull. They are no part of Usage.Used.
func (d *Depot) Take(ctx context.Context, owner peers.DeviceID, n int64) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.working.Done()
	err := d.accounts.take(owner, n, d.quota(owner), func() (Space, error) { return d.storage.Space(ctx) })
	if err != nil {
		return fmt.Errorf("depot: %w", err)
	}
	return nil
}

// Hold counts n bytes that lie there already, whatever room there is; negative,
// that they are gone.
func (d *Depot) Hold(owner peers.DeviceID, n int64) { d.accounts.hold(owner, n) }
