// SPDX-License-Identifier: MPL-2.0

package depot

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/blake3"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

// Audit proves that some of an owner's shards are here, at places that follow
// from the nonce. A leaf that is not what was stored is found on the way: then
// the shard is set aside and said to be broken, rather than sent as a wrong
// proof, which would look like a lie.
func (d *Depot) Audit(ctx context.Context, owner peers.DeviceID, nonce peers.Nonce, ids []peers.ShardID, spots int) ([]peers.Proof, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer d.working.Done()
	owner = d.account(owner)
	out := make([]peers.Proof, len(ids))
	buf := make([]byte, erasure.LeafSize)
	for i, id := range ids {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, err := d.prove(ctx, owner, nonce, id, spots, buf)
		switch {
		case errors.Is(err, peers.ErrNotFound):
			out[i].Finding = peers.Lacking
		case errors.Is(err, peers.ErrDamaged):
			out[i].Finding = peers.Broken
		case err != nil:
			return nil, fmt.Errorf("depot: audit %s: %w", id, err)
		default:
			out[i] = p
		}
	}
	return out, nil
}

func (d *Depot) prove(ctx context.Context, owner peers.DeviceID, nonce peers.Nonce, id peers.ShardID, spots int, buf []byte) (peers.Proof, error) {
	r, ok, err := d.index.lookup(ctx, id)
	if err != nil {
		return peers.Proof{}, err
	}
	if !ok || d.account(r.owner) != owner {
		return peers.Proof{}, peers.ErrNotFound
	}
	o, err := d.storage.Open(ctx, id)
	if err != nil {
		return peers.Proof{}, d.missed(ctx, owner, id)
	}
	defer o.Close()
	h := o.Header()
	if d.account(h.Owner) != owner {
		return peers.Proof{}, peers.ErrNotFound
	}
	p := peers.Proof{Finding: peers.Proven, Leaves: h.Leaves}
	for j := range spots {
		leaf, leafLen, spot, n := erasure.SpotPlace(h.Size, peers.SpotAt(nonce, id, j, h.Size))
		b := buf[:leafLen]
		if _, err := o.ReadAt(b, int64(leaf)*erasure.LeafSize); err != nil && !errors.Is(err, io.EOF) {
			return peers.Proof{}, d.rotten(ctx, owner, id, fmt.Errorf("%w: %w", peers.ErrDamaged, err))
		}
		if blake3.Sum256(b) != h.Leaves[leaf] {
			return peers.Proof{}, d.rotten(ctx, owner, id, fmt.Errorf("leaf %d: %w", leaf, peers.ErrDamaged))
		}
		at := spot * erasure.SpotSize
		p.Spots = append(p.Spots, peers.SpotProof{
			Data: append([]byte(nil), b[at:at+n]...), Siblings: erasure.ProveSpot(b, spot),
		})
	}
	return p, nil
}

// rotten sets a shard aside whose body is not what was stored any more.
func (d *Depot) rotten(ctx context.Context, owner peers.DeviceID, id peers.ShardID, cause error) error {
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
	return d.lost(ctx, &r, cause)
}
