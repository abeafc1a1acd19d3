// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"crypto/sha256"
	"sync"

	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/witness"
)

// updated remembers which custodian has which package, in this process.
type updated struct {
	mu   sync.Mutex
	told map[updateKey]bool
}

type updateKey struct {
	pkg    [32]byte
	device peers.DeviceID
}

// Refresh gives a grant that follows its files their present versions, and
// tells the custodians that answer to refuse the older ones.
func (n *Node) Refresh(ctx context.Context, id string) (*Granted, error) {
	m, err := n.desk.Refresh(ctx, id)
	if err != nil {
		return nil, err
	}
	return granted(m), n.shareUpdates(ctx)
}

// shareUpdates tells custodians of newer packages, each once. Known of many is
// as a withdrawal: certain when the others are too few to agree.
func (n *Node) shareUpdates(ctx context.Context) error {
	list, err := n.desk.Updates(ctx)
	if err != nil {
		return err
	}
	for _, u := range list {
		n.shareUpdate(ctx, &u)
	}
	return nil
}

func (n *Node) shareUpdate(ctx context.Context, u *grants.Update) {
	hash := sha256.Sum256(u.Package)
	var untold []peers.DeviceID
	n.updates.mu.Lock()
	if n.updates.told == nil {
		n.updates.told = map[updateKey]bool{}
	}
	for _, d := range u.Seats {
		if !n.updates.told[updateKey{hash, d}] {
			untold = append(untold, d)
		}
	}
	n.updates.mu.Unlock()
	n.everybody(ctx, untold, func(ctx context.Context, c *rpc.Client) {
		news := witness.News{Owner: n.desk.Root(), Updates: []witness.Update{{Grant: u.Grant, Package: u.Package}}}
		if _, err := (witness.Client{Caller: c}).Status(ctx, news); err != nil {
			n.log.Debug("tell a custodian of a newer package", "custodian", c.Name(), "err", err)
			return
		}
		n.updates.mu.Lock()
		defer n.updates.mu.Unlock()
		n.updates.told[updateKey{hash, c.Device()}] = true
	})
}
