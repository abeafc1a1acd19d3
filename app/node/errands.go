// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/witness"
)

// introduced remembers whom this person was introduced to, in this process, and
// which list of this person's devices each was told since.
type introduced struct {
	mu   sync.Mutex
	done map[peers.DeviceID]bool
	set  map[peers.DeviceID]uint64 // epoch
}

// carryLetters tries what brands left for custodians that slept, until ctx ends. It
// may take long, for others; what this owner has to say does not wait for it.
func (n *Node) carryLetters(ctx context.Context) {
	if n.gateway == nil {
		return
	}
	tick := time.NewTicker(errandEvery)
	defer tick.Stop()
	for {
		if err := n.gateway.Tick(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("letters of brands", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// errands carries what waits for custodians and keepers until ctx ends:
// introductions, withdrawals, signs of life.
func (n *Node) errands(ctx context.Context) {
	tick := time.NewTicker(errandEvery)
	defer tick.Stop()
	for {
		n.brandErrands(ctx)
		if err := n.ownErrands(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("what waits for custodians goes on later", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (n *Node) ownErrands(ctx context.Context) error {
	cs, err := n.desk.Custodians(ctx)
	if err != nil || len(cs) == 0 {
		return err // nobody decides for this owner: nothing is granted
	}
	n.introduce(ctx)
	if _, _, err := n.shareDevices(ctx); err != nil {
		return err
	}
	if err := n.appointBehind(ctx); err != nil {
		return err
	}
	if err := n.shareStatus(ctx); err != nil {
		return err
	}
	if err := n.sharePanel(ctx); err != nil {
		return err
	}
	if err := n.shareUpdates(ctx); err != nil {
		return err
	}
	if err := n.replan(ctx); err != nil {
		return err
	}
	// Behind the plans: a gateway that knows of a removal takes none of the
	// removed device's any more.
	if err := n.tellDevices(ctx); err != nil {
		return err
	}
	if err := n.desk.Release(ctx); err != nil {
		return err
	}
	todo, err := n.desk.Errands(ctx)
	if err != nil {
		return err
	}
	n.carry(ctx, todo...)
	return nil
}

// introduce tells every machine of the circle which person this is, once. That
// is what lets it know permits and passes later.
func (n *Node) introduce(ctx context.Context) {
	intro, err := n.desk.Intro()
	if err != nil {
		n.log.Warn("introduce this device", "err", err)
		return
	}
	n.everybody(ctx, n.untold(), func(ctx context.Context, c *rpc.Client) {
		if err := c.TellOwner(ctx, intro); err != nil {
			return // again later
		}
		n.told.mu.Lock()
		defer n.told.mu.Unlock()
		if n.told.done == nil {
			n.told.done = map[peers.DeviceID]bool{}
		}
		n.told.done[c.Device()] = true
	})
}

// tellDevices tells every machine of the circle which devices sign for this
// person: as a gateway or keeper it then goes by nothing that others signed.
func (n *Node) tellDevices(ctx context.Context) error {
	set, err := n.desk.DeviceSet(ctx)
	if err != nil {
		return err
	}
	var todo []peers.DeviceID
	n.told.mu.Lock()
	for d := range n.told.done {
		if n.told.set[d] < set.Body.Epoch {
			todo = append(todo, d)
		}
	}
	n.told.mu.Unlock()
	n.everybody(ctx, todo, func(ctx context.Context, c *rpc.Client) {
		err := c.TellOwner(ctx, set.Raw)
		if err != nil && !errors.Is(err, peers.ErrRefused) {
			return // again later
		}
		if err != nil { // an earlier program, which is asked again in another process
			n.log.Debug("a machine takes no list of devices", "machine", c.Name(), "err", err)
		}
		n.told.mu.Lock()
		defer n.told.mu.Unlock()
		if n.told.set == nil {
			n.told.set = map[peers.DeviceID]uint64{}
		}
		n.told.set[c.Device()] = set.Body.Epoch
	})
	return nil
}

func (n *Node) untold() (out []peers.DeviceID) {
	n.told.mu.Lock()
	defer n.told.mu.Unlock()
	for _, p := range n.book.Peers() {
		if !n.told.done[p.Device] {
			out = append(out, p.Device)
		}
	}
	return out
}

// everybody calls f for all devices at once, each for a few seconds, and waits.
func (n *Node) everybody(ctx context.Context, devices []peers.DeviceID, f func(context.Context, *rpc.Client)) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var wg sync.WaitGroup
	for _, d := range devices {
		if c, err := n.peer(d); err == nil {
			wg.Go(func() { f(ctx, c) })
		}
	}
	wg.Wait()
}

// carry brings withdrawals to the custodians that have not acknowledged them,
// and to all others of the circle, which then serve nothing any more.
func (n *Node) carry(ctx context.Context, errands ...*grants.Errand) {
	todo := map[peers.DeviceID]bool{}
	for _, e := range errands {
		for _, d := range slices.Concat(e.Untold, e.Serving) {
			todo[d] = true
		}
	}
	n.everybody(ctx, slices.Collect(maps.Keys(todo)), func(ctx context.Context, c *rpc.Client) {
		for _, e := range errands {
			if err := n.carryOne(ctx, e, c); err != nil {
				n.log.Debug("tell of a withdrawal", "machine", c.Name(), "err", err)
			}
			if ctx.Err() != nil {
				return // the others later
			}
		}
	})
}

// carryOne brings a withdrawal to one device, in its parts.
func (n *Node) carryOne(ctx context.Context, e *grants.Errand, c *rpc.Client) error {
	var errs []error
	note := context.WithoutCancel(ctx)
	if slices.Contains(e.Untold, c.Device()) {
		_, err := witness.Client{Caller: c}.Revoke(ctx, e.Revocation)
		if err == nil {
			err = n.desk.Told(note, e.Grant, c.Device())
		}
		errs = append(errs, err)
	}
	if slices.Contains(e.Serving, c.Device()) {
		err := c.TellOwner(ctx, e.Revocation)
		if err == nil {
			err = n.desk.Closed(note, e.Grant, c.Device())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// shareDevices tells the custodians which devices sign for this person, until
// all know: a removed one is refused by those that do. It gives how many do.
func (n *Node) shareDevices(ctx context.Context) (told, of int, err error) {
	s, err := n.desk.DevicesErrand(ctx)
	if err != nil {
		return 0, 0, err
	}
	n.state(ctx, s, witness.News{Owner: n.desk.Root(), DeviceSet: s.Doc}, func(_ peers.DeviceID, st *witness.Standing) uint64 { return st.Epoch })
	if s, err = n.desk.DevicesErrand(ctx); err != nil {
		return 0, 0, err
	}
	return s.Told, s.Of, nil
}

// shareStatus gives the custodians a sign of life when one is due. A custodian
// whose withdrawals are not this owner's is told them again: it may have missed
// one, or lost it.
func (n *Node) shareStatus(ctx context.Context) error {
	s, err := n.desk.StatusErrand(ctx)
	if err != nil || len(s.Untold) == 0 {
		return err
	}
	list, hash, err := n.desk.Revocations(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var differ []peers.DeviceID
	n.state(ctx, s, witness.News{Owner: n.desk.Root(), Status: s.Doc}, func(c peers.DeviceID, st *witness.Standing) uint64 {
		if st.Revocations != hash {
			mu.Lock()
			defer mu.Unlock()
			differ = append(differ, c)
		}
		return st.StatusSeq
	})
	if len(list) == 0 {
		return nil
	}
	n.everybody(ctx, differ, func(ctx context.Context, c *rpc.Client) {
		if _, err := (witness.Client{Caller: c}).Status(ctx, witness.News{Owner: n.desk.Root(), Revocations: list}); err != nil {
			n.log.Debug("tell a custodian of all withdrawals", "custodian", c.Name(), "err", err)
		}
	})
	return nil
}

// state brings a numbered statement to the custodians that have not
// acknowledged it; known reads the number from where one stands after it.
func (n *Node) state(ctx context.Context, s *grants.Statement, news witness.News, known func(peers.DeviceID, *witness.Standing) uint64) {
	n.everybody(ctx, s.Untold, func(ctx context.Context, c *rpc.Client) {
		st, err := witness.Client{Caller: c}.Status(ctx, news)
		if err == nil {
			err = n.desk.Heard(context.WithoutCancel(ctx), s.What, c.Device(), known(c.Device(), st))
		}
		if err != nil {
			n.log.Debug("tell a custodian", "what", s.What, "custodian", c.Name(), "err", err)
		}
	})
}
