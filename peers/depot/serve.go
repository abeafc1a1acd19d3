// SPDX-License-Identifier: MPL-2.0

package depot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/preezm/preezm/peers"
)

// Get opens a shard for its owner. peers.ErrNotFound when there is none of
// this owner's under that ID; peers.ErrDamaged when its file is no longer what
// was stored, after which it is set aside and gone. The body is not read here:
// its reader checks it against the root.
func (d *Depot) Get(ctx context.Context, owner peers.DeviceID, id peers.ShardID) (Shard, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.working.Done()
	s, err := d.get(ctx, d.account(owner), id)
	if err != nil {
		return nil, fmt.Errorf("depot: get %s: %w", id, err)
	}
	return s, nil
}

func (d *Depot) get(ctx context.Context, owner peers.DeviceID, id peers.ShardID) (Shard, error) {
	r, ok, err := d.index.lookup(ctx, id)
	if err != nil {
		return nil, err
	}
	if !ok || d.account(r.owner) != owner {
		return nil, peers.ErrNotFound
	}
	o, err := d.storage.Open(ctx, id)
	if err != nil {
		return nil, d.missed(ctx, owner, id)
	}
	// The index never overrules a header on whose shard it is.
	if d.account(o.Header().Owner) != owner {
		return nil, errors.Join(peers.ErrNotFound, o.Close())
	}
	return o, nil
}

// missed looks again, alone, at a shard that the index has and the storage did
// not give: a delete may have come in between.
func (d *Depot) missed(ctx context.Context, owner peers.DeviceID, id peers.ShardID) error {
	done, err := d.claims.take(ctx, owner, id)
	if err != nil {
		return err
	}
	defer done()
	r, ok, err := d.index.lookup(ctx, id)
	if err != nil {
		return err
	}
	if !ok || d.account(r.owner) != owner {
		return peers.ErrNotFound
	}
	o, err := d.storage.Open(ctx, id)
	if err == nil {
		// Deleted and stored again meanwhile; the caller's next try finds it.
		return errors.Join(peers.ErrNotFound, o.Close())
	}
	return d.lost(ctx, &r, err)
}

// lost forgets a shard whose file is gone or damaged, as cause says, so that
// nobody counts on it any more, and returns cause as an error of peers. The
// claim is held.
func (d *Depot) lost(ctx context.Context, r *row, cause error) error {
	ctx = context.WithoutCancel(ctx)
	switch {
	case errors.Is(cause, fs.ErrNotExist):
		cause = fmt.Errorf("%w: its file is gone", peers.ErrNotFound)
	case errors.Is(cause, peers.ErrDamaged):
		if err := d.storage.SetAside(ctx, r.id); err != nil {
			return errors.Join(cause, err)
		}
	default:
		// Perhaps only for now: no file handles left, no permission.
		return cause
	}
	d.log.Warn("depot: shard lost", "shard", r.id, "owner", r.owner.Short(), "err", cause)
	if err := d.index.change(ctx, nil, []peers.ShardID{r.id}); err != nil {
		return errors.Join(cause, err)
	}
	d.accounts.release(r.owner, cost(r.size), 1)
	return cause
}

// Stat gives the size of each of the owner's shards, and -1 for what is not
// there or not the owner's. It looks at every file's length and time, and at
// the header when they changed, so a shard that was lost shows.
func (d *Depot) Stat(ctx context.Context, owner peers.DeviceID, ids []peers.ShardID) ([]int64, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.working.Done()
	owner = d.account(owner)
	sizes := make([]int64, len(ids))
	for i, id := range ids {
		size, err := d.stat(ctx, owner, id)
		if err != nil {
			return nil, fmt.Errorf("depot: stat %s: %w", id, err)
		}
		sizes[i] = size
	}
	return sizes, nil
}

func (d *Depot) stat(ctx context.Context, owner peers.DeviceID, id peers.ShardID) (int64, error) {
	r, ok, err := d.index.lookup(ctx, id)
	if err != nil {
		return 0, err
	}
	if !ok || d.account(r.owner) != owner {
		return -1, nil
	}
	if e, err := d.storage.Stat(ctx, id); err == nil && e.Stamp == r.stamp && e.Size == r.size {
		return r.size, nil
	}
	s, err := d.get(ctx, owner, id)
	switch {
	case errors.Is(err, peers.ErrNotFound), errors.Is(err, peers.ErrDamaged):
		return -1, nil
	case err != nil:
		return 0, err
	}
	return s.Size(), s.Close()
}

// deleteBatch is how many shards one transaction and one round of folder
// fsyncs take.
const deleteBatch = 512

// Delete forgets the owner's shards, durably. What is not there, or is not the
// owner's, is passed over.
func (d *Depot) Delete(ctx context.Context, owner peers.DeviceID, ids []peers.ShardID) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.working.Done()
	// In order and once each: two deletes of the same shards then never wait
	// for each other in a circle.
	ids = slices.SortedFunc(slices.Values(ids), compareIDs)
	for batch := range slices.Chunk(slices.Compact(ids), deleteBatch) {
		if err := d.deleteBatch(ctx, d.account(owner), batch); err != nil {
			return fmt.Errorf("depot: delete: %w", err)
		}
	}
	return nil
}

func (d *Depot) deleteBatch(ctx context.Context, owner peers.DeviceID, ids []peers.ShardID) error {
	gone := make([]peers.ShardID, 0, len(ids))
	freed := map[peers.DeviceID]*account{} // by who stored it
	for _, id := range ids {
		done, err := d.claims.take(ctx, owner, id)
		if errors.Is(err, peers.ErrRefused) {
			continue // another owner is storing it just now
		}
		if err != nil {
			return err
		}
		defer done()
		r, ok, err := d.index.lookup(ctx, id)
		if err != nil {
			return err
		}
		if ok && d.account(r.owner) == owner {
			gone = append(gone, id)
			if freed[r.owner] == nil {
				freed[r.owner] = &account{}
			}
			freed[r.owner].used += cost(r.size)
			freed[r.owner].shards++
		}
	}
	if len(gone) == 0 {
		return nil
	}
	// Files first: a row without a file is dropped at the next look, a file
	// without a row would come back.
	if err := d.storage.Remove(ctx, gone...); err != nil {
		return err
	}
	d.at("removed")
	if err := d.index.change(context.WithoutCancel(ctx), nil, gone); err != nil {
		return err
	}
	for by, acc := range freed {
		d.accounts.release(by, acc.used, acc.shards)
	}
	return nil
}
