// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/shardlist"
)

// listEvery is how often each keeper is told which shards are needed.
const listEvery = 24 * time.Hour

// tellNeeded tells the keepers that answer which shards are needed: those that
// were not told lately, or all of them. What nobody has known of for their
// grace they forget.
func (n *Node) tellNeeded(ctx context.Context, all bool) (sum shardlist.Swept, err error) {
	if n.peer == nil || len(n.keys.Sign) == 0 {
		return sum, nil
	}
	keepers, err := n.engine.Keepers(ctx, false)
	if err != nil {
		return sum, err
	}
	var errs []error
	for _, k := range keepers {
		swept, err := n.tellOne(ctx, k.Device, all)
		switch {
		case ctx.Err() != nil:
			return sum, context.Cause(ctx)
		case errors.Is(err, peers.ErrUnreachable), errors.Is(err, peers.ErrUnknown), errors.Is(err, errNoPeer):
			n.log.Debug("a keeper is told later what is needed", "keeper", k.Name, "err", err)
		case err != nil:
			errs = append(errs, err)
		}
		sum.Waiting += swept.Waiting
		sum.Gone += swept.Gone
	}
	return sum, errors.Join(errs...)
}

var errNoPeer = errors.New("is not of the circle")

func (n *Node) tellOne(ctx context.Context, keeper peers.DeviceID, all bool) (swept shardlist.Swept, err error) {
	if p, ok := n.book.Peer(keeper); !ok || !p.Keeper {
		return swept, errNoPeer
	}
	c, err := n.peer(keeper)
	if err != nil {
		return swept, errors.Join(errNoPeer, err)
	}
	do := func(ctx context.Context) error {
		now := time.Now()
		b, err := n.engine.KnownShards(ctx, keeper)
		if err != nil {
			return err
		}
		raw, err := b.List(n.device, keeper, uint64(now.UnixNano())).Sign(n.keys.Sign)
		if err != nil {
			return err
		}
		swept, err = c.Needed(ctx, raw)
		if err == nil && swept.Waiting+swept.Gone > 0 {
			n.log.Info("a keeper has shards that are not needed", "keeper", c.Name(), "waiting", swept.Waiting, "gone", swept.Gone)
		}
		return err
	}
	if all {
		return swept, do(ctx)
	}
	return swept, n.engine.Chore(ctx, "list "+keeper.String(), listEvery, do)
}
