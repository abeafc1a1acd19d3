// SPDX-License-Identifier: MPL-2.0

package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

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

// Refresh brings a grant's ticket up to date, tells the custodians that answer
// to refuse older versions and the gateways where the files lie.
func (n *Node) Refresh(ctx context.Context, id string) (*Granted, error) {
	m, err := n.desk.Refresh(ctx, id)
	if err != nil {
		return nil, err
	}
	return granted(m), errors.Join(n.shareUpdates(ctx), n.sharePlans(ctx))
}

// replanEvery is how often a node looks at most whether shards of granted files
// have moved.
const replanEvery = time.Minute

// planned remembers what was looked at the last time.
type planned struct {
	at        time.Time
	changes   int64
	addresses [32]byte
	devices   uint64 // epoch of the list of this person's
}

// replan makes new plans where shards were repaired to other machines or
// addresses changed since the last time, and brings them to the gateways.
func (n *Node) replan(ctx context.Context) error {
	changes, err := n.desk.Moved(ctx)
	if err != nil {
		return err
	}
	h := sha256.New()
	for _, m := range n.members() {
		fmt.Fprintf(h, "%s %q\n", m.Device, m.Addresses)
	}
	set, err := n.desk.DeviceSet(ctx)
	if err != nil {
		return err
	}
	next := planned{at: time.Now(), changes: changes, addresses: [32]byte(h.Sum(nil)), devices: set.Body.Epoch}
	last := &n.plans
	// While files are put the catalog changes all the time; machines seldom move.
	if next.addresses != last.addresses || next.devices != last.devices || next.changes != last.changes && next.at.Sub(last.at) >= replanEvery {
		if err := n.desk.Replan(ctx); err != nil {
			n.log.Warn("say anew where granted files lie", "err", err)
		}
		n.plans = next
	}
	return n.sharePlans(ctx)
}

// sharePlans brings plans to the gateways that do not have them.
func (n *Node) sharePlans(ctx context.Context) error {
	todo, err := n.desk.PlanErrands(ctx)
	if err != nil {
		return err
	}
	var devices []peers.DeviceID
	for _, e := range todo {
		devices = append(devices, e.Gateway)
	}
	slices.SortFunc(devices, func(a, b peers.DeviceID) int { return bytes.Compare(a[:], b[:]) })
	n.everybody(ctx, slices.Compact(devices), func(ctx context.Context, c *rpc.Client) {
		for i := range todo {
			if todo[i].Gateway != c.Device() {
				continue
			}
			err := c.TellPlan(ctx, todo[i].Body)
			if err == nil {
				err = n.desk.PlanKnown(context.WithoutCancel(ctx), &todo[i])
			}
			if err != nil {
				n.log.Debug("tell a gateway where files lie", "gateway", c.Name(), "err", err)
				return
			}
		}
	})
	return nil
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
