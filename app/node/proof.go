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
// answer are in it with what they told before. What one of them got wrong, or an
// opening whose request only such keep, is a finding for whoever verifies it.
func (n *Node) Proof(ctx context.Context, id string) ([]byte, error) {
	grant, seats, err := n.desk.Seats(ctx, id)
	if err != nil {
		return nil, err
	}
	// Before the logs: a receipt tells of an entry that these must have.
	var mu sync.Mutex
	var wg sync.WaitGroup
	all := map[peers.DeviceID][]grants.Evidence{}
	for _, d := range seats {
		c, err := n.peer(d)
		if err != nil {
			continue // it has left the circle
		}
		wg.Go(func() {
			list, err := n.evidence(ctx, c, grant)
			if err != nil {
				n.log.Info("a custodian gives no more evidence", "err", err)
			}
			mu.Lock()
			defer mu.Unlock()
			all[d] = list
		})
	}
	wg.Wait()
	if _, err := n.pullLogs(ctx); err != nil {
		return nil, err
	}
	var evidence []grants.Evidence
	for _, s := range seats {
		evidence = append(evidence, all[s]...)
	}
	return n.desk.Proof(ctx, id, evidence)
}

// maxEvidence bounds what is taken of one custodian, in bytes: it keeps less.
const maxEvidence = 96 << 20

// evidence reads what a custodian keeps of a grant's requests, each part within
// its time. What came before an error is given too.
func (n *Node) evidence(ctx context.Context, c *rpc.Client, grant custody.Hash) ([]grants.Evidence, error) {
	var out []grants.Evidence
	size := 0
	for after := uint64(0); ; {
		ask, cancel := context.WithTimeout(ctx, askTime)
		e, err := witness.Client{Caller: c}.Evidence(ask, n.desk.Root(), grant, after)
		cancel()
		if err != nil {
			return out, err
		}
		for _, it := range e.Items {
			if it.Seq <= after {
				return out, fmt.Errorf("%w (evidence out of order)", peers.ErrProtocol)
			}
			after = it.Seq
			if size += len(it.Request) + len(it.Release); size > maxEvidence {
				return out, fmt.Errorf("%w (more evidence than it may keep)", peers.ErrProtocol)
			}
			out = append(out, grants.Evidence{Request: it.Request, Release: it.Release})
		}
		if !e.More || len(e.Items) == 0 {
			return out, nil
		}
	}
}
