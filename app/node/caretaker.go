// SPDX-License-Identifier: MPL-2.0

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/preezm/preezm/engine/caring"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretaker"
	"github.com/preezm/preezm/peers/rpc"
)

// openCare opens what this machine knows of tasks of caretakers.
func (n *Node) openCare(ctx context.Context, o Options, cfg *rpc.Config) error {
	if o.Role == RoleCommand {
		return nil // nobody asks it anything
	}
	s, err := n.openCaretaker(ctx)
	if err != nil {
		return err
	}
	n.care, cfg.Care = s, s
	return nil
}

func (n *Node) openCaretaker(ctx context.Context) (*caretaker.Service, error) {
	s, err := caretaker.Open(ctx, caretaker.Options{
		Device: n.device, Path: filepath.Join(n.home, caretaker.File), Key: n.box.DBKey(caretaker.File), Depot: n.depot, Now: n.now, Logger: n.log,
		Sign: func(d peers.DeviceID) []byte {
			p, _ := n.book.Peer(d)
			return p.Sign
		},
		Same: func(a, b peers.DeviceID) bool { return n.book.Has(b) && n.book.Owner(a) == n.book.Owner(b) },
	})
	if err != nil {
		return nil, fmt.Errorf("tasks of caretakers: %w", err)
	}
	return s, nil
}

// withCare calls f with what this machine knows of tasks, in a command too.
func (n *Node) withCare(ctx context.Context, f func(*caretaker.Service) error) (err error) {
	s := n.care
	if s == nil { // opened for a command
		if s, err = n.openCaretaker(ctx); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
	}
	return f(s)
}

// careLists tells how much the lists of each owner take here, in bytes.
func (n *Node) careLists(ctx context.Context) (out map[peers.DeviceID]int64, err error) {
	err = n.withCare(ctx, func(s *caretaker.Service) error {
		out = s.Takes()
		return nil
	})
	return out, err
}

// takeCare works for owners that are off until ctx ends.
func (n *Node) takeCare(ctx context.Context) {
	caring.New(caring.Config{
		Service: n.care, Now: n.now, Logger: n.log, LeastLook: n.careEvery,
		Reach: func(d peers.DeviceID, addresses []string) caring.Keeper {
			if d == n.device {
				return ownPieces{n}
			}
			return n.called(d, addresses)
		},
		Seen: n.personSeen,
		Rest: func() bool { return n.limits.holding() != "" },
		Pace: n.paceRepair,
	}).Run(ctx)
}

// personSeen is when a machine of a device's person was last in touch.
func (n *Node) personSeen(d peers.DeviceID) (last time.Time) {
	same := func(x peers.DeviceID) bool { return x == d || n.book.Owner(x) == n.book.Owner(d) }
	for _, r := range n.net.Touch() {
		if r.Online && same(r.Device) {
			return n.now()
		}
	}
	for _, p := range n.book.Peers() {
		if same(p.Device) && p.LastSeen.After(last) {
			last = p.LastSeen
		}
	}
	return last
}

// ownPieces is this machine's depot as its caretaker sees it: like any other
// keeper, under the same rules.
type ownPieces struct{ n *Node }

// Care implements caring.Keeper.
func (o ownPieces) Care(ctx context.Context, verb string, raw []byte) ([]byte, error) {
	return o.n.care.Answer(ctx, verb, o.n.device, raw)
}

// ReadCared implements caring.Keeper.
func (o ownPieces) ReadCared(ctx context.Context, id peers.ShardID, dst []byte) error {
	owner, err := o.n.care.Reads(o.n.device, id)
	if err != nil {
		return err
	}
	s, err := o.n.depot.Get(ctx, owner, id)
	if err != nil {
		return err
	}
	if s.Size() != int64(len(dst)) {
		return errors.Join(peers.ErrDamaged, s.Close())
	}
	_, err = s.ReadAt(dst, 0)
	return errors.Join(err, s.Close())
}

// AuditCared implements caring.Auditee.
func (o ownPieces) AuditCared(ctx context.Context, nonce peers.Nonce, ids []peers.ShardID, _ []int64, spots int) ([]peers.Proof, error) {
	var owner peers.DeviceID
	for _, id := range ids {
		var err error
		if owner, err = o.n.care.Reads(o.n.device, id); err != nil {
			return nil, err
		}
	}
	return o.n.depot.Audit(ctx, owner, nonce, ids, spots)
}

// PutCared implements caring.Keeper.
func (o ownPieces) PutCared(ctx context.Context, id peers.ShardID, root peers.Root, data []byte) error {
	owner, done, err := o.n.care.Writes(ctx, o.n.device, id, root, int64(len(data)))
	if err != nil {
		return err
	}
	defer done()
	return o.n.depot.Put(ctx, owner, id, root, int64(len(data)), bytes.NewReader(data))
}
