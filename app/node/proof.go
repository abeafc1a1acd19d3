// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"fmt"
	"sync"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/witness"
)

// Proof makes a bundle that proves a grant's history. Custodians that do not
// answer are in it with what they told before; it fails when an opening's
// request is kept only by such.
func (n *Node) Proof(ctx context.Context, id string) ([]byte, error) {
	grant, seats, err := n.desk.Seats(ctx, id)
	if err != nil {
		return nil, err
	}
	// Before the logs: a receipt tells of an entry that these must have.
	var mu sync.Mutex
	all := map[peers.DeviceID][]grants.Evidence{}
	n.everybody(ctx, seats, func(ctx context.Context, c *rpc.Client) {
		list, err := n.evidence(ctx, c, grant)
		if err != nil {
			n.log.Info("a custodian gives no evidence", "err", err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		all[c.Device()] = list
	})
	if _, err := n.pullLogs(ctx); err != nil {
		return nil, err
	}
	var evidence []grants.Evidence
	for _, s := range seats {
		evidence = append(evidence, all[s]...)
	}
	b, err := n.desk.Proof(ctx, id, evidence)
	if err != nil && len(all) < len(seats) {
		err = fmt.Errorf("%d of %d custodians did not answer: %w", len(seats)-len(all), len(seats), err)
	}
	return b, err
}

func (n *Node) evidence(ctx context.Context, c *rpc.Client, grant custody.Hash) ([]grants.Evidence, error) {
	var out []grants.Evidence
	for after := uint64(0); ; {
		e, err := witness.Client{Caller: c}.Evidence(ctx, n.desk.Root(), grant, after)
		if err != nil {
			return nil, err
		}
		for _, it := range e.Items {
			if it.Seq <= after {
				return nil, fmt.Errorf("%w (evidence out of order)", peers.ErrProtocol)
			}
			after = it.Seq
			out = append(out, grants.Evidence{Request: it.Request, Release: it.Release})
		}
		if !e.More || len(e.Items) == 0 {
			return out, nil
		}
	}
}
