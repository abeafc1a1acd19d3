// SPDX-License-Identifier: MPL-2.0

package depot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

// intake is the working memory of one put: this, and not the shard, is what a
// keeper holds in memory for each of them.
type intake struct {
	buf  [256 << 10]byte
	tree *erasure.TreeHasher
}

var intakes = sync.Pool{New: func() any { return &intake{tree: erasure.NewTreeHasher()} }}

// Put stores a shard of size bytes from r and returns when it is durable and
// served. r must end after size bytes.
//
// The same shard of the same owner again is no error and reads nothing from r.
// Errors: peers.ErrRefused for an ID that is taken by another root, size or
// owner, and for a size out of bounds; peers.ErrQuota and peers.ErrDiskFull
// before r is read or, for the disk, at any point; peers.ErrDamaged when r is
// shorter or longer or leads to another root. After an error nothing is kept.
func (d *Depot) Put(ctx context.Context, owner peers.DeviceID, id peers.ShardID, root erasure.Root, size int64, r io.Reader) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.working.Done()
	if err := d.put(ctx, d.account(owner), d.quota(owner), id, root, size, r); err != nil {
		return fmt.Errorf("depot: put %s: %w", id, err)
	}
	return nil
}

func (d *Depot) put(ctx context.Context, owner peers.DeviceID, quota int64, id peers.ShardID, root erasure.Root, size int64, r io.Reader) error {
	if err := checkSize(size); err != nil {
		return fmt.Errorf("%w: %w", err, peers.ErrRefused)
	}
	done, err := d.claims.take(ctx, owner, id)
	if err != nil {
		return err
	}
	defer done()

	if have, err := d.holds(ctx, owner, id, root, size); err != nil || have {
		return err
	}
	room := cost(size)
	space := func() (Space, error) { return d.storage.Space(ctx) }
	if err := d.accounts.reserve(owner, room, quota, space); err != nil {
		return err
	}
	stored := false
	defer func() { d.accounts.settle(owner, room, stored) }()

	h := &Header{ID: id, Owner: owner, Root: root, Size: size, Stored: time.Now().Unix()}
	e, err := d.receive(ctx, h, r)
	if err != nil {
		return err
	}
	d.at("durable")
	// The shard is on the disk: from here on a caller that gives up must not
	// leave it there without its row.
	ctx = context.WithoutCancel(ctx)
	row := rowOf(h, e.Stamp)
	if err := d.index.insert(ctx, &row); err != nil {
		return errors.Join(err, d.storage.Remove(ctx, id))
	}
	stored = true
	return nil
}

// holds tells whether just this shard is stored already. The file is looked at
// too: a put is the chance to replace one that was lost. The claim is held.
func (d *Depot) holds(ctx context.Context, owner peers.DeviceID, id peers.ShardID, root erasure.Root, size int64) (bool, error) {
	r, ok, err := d.index.lookup(ctx, id)
	if err != nil || !ok {
		return false, err
	}
	if d.account(r.owner) != owner || r.root != root || r.size != size {
		return false, fmt.Errorf("the ID is taken: %w", peers.ErrRefused)
	}
	o, err := d.storage.Open(ctx, id)
	if err == nil {
		return true, o.Close()
	}
	if err = d.lost(ctx, &r, err); errors.Is(err, peers.ErrNotFound) || errors.Is(err, peers.ErrDamaged) {
		return false, nil
	}
	return false, err
}

// receive writes and checks the body and commits it.
func (d *Depot) receive(ctx context.Context, h *Header, r io.Reader) (e Entry, err error) {
	w, err := d.storage.Create(ctx, h.ID, h.Size)
	if err != nil {
		return Entry{}, err
	}
	defer func() { err = errors.Join(err, w.Abort()) }()
	d.at("created")

	in := intakes.Get().(*intake)
	defer intakes.Put(in)
	in.tree.Reset()
	for left := h.Size; left > 0; {
		if err := ctx.Err(); err != nil {
			return Entry{}, err
		}
		p := in.buf[:min(left, int64(len(in.buf)))]
		switch n, err := io.ReadFull(r, p); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return Entry{}, fmt.Errorf("%d of %d bytes came: %w", h.Size-left+int64(n), h.Size, peers.ErrDamaged)
		case err != nil:
			return Entry{}, fmt.Errorf("receive: %w", err)
		}
		in.tree.Write(p)
		if _, err := w.Write(p); err != nil {
			return Entry{}, err
		}
		left -= int64(len(p))
	}
	switch n, err := io.ReadFull(r, in.buf[:1]); {
	case n > 0:
		return Entry{}, fmt.Errorf("more than %d bytes came: %w", h.Size, peers.ErrDamaged)
	case !errors.Is(err, io.EOF):
		return Entry{}, fmt.Errorf("receive: %w", err)
	}
	var root erasure.Root
	if root, h.Leaves = in.tree.Sum(); root != h.Root {
		return Entry{}, fmt.Errorf("root is %s, not %s: %w", root, h.Root, peers.ErrDamaged)
	}
	e, err = w.Commit(h)
	if errors.Is(err, fs.ErrExist) {
		// A file the index does not know: one of a newer version, left alone.
		return Entry{}, fmt.Errorf("the ID is taken: %w: %w", peers.ErrRefused, err)
	}
	return e, err
}
