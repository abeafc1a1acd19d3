// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretaker"
	"github.com/preezm/preezm/peers/caretask"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/said"
)

// tellCare brings a task to the machines that have not heard of it, and its
// parts to the caretaker. Who had a part in an earlier one and has none in this
// hears that it is over. Who does not answer, or did not take it lately, hears it
// later.
func (n *Node) tellCare(ctx context.Context, t *custody.Signed[caretask.Task], o careWord) error {
	heard, err := n.engine.Catalog().Heard(ctx, n.careWhat())
	if err != nil {
		return err
	}
	var errs []error
	var all sync.WaitGroup
	var mu sync.Mutex
	lists := &n.entrusted.lists
	lists.clean(n.now())
	for _, p := range n.book.Peers() {
		tell := n.tellCareOne
		switch {
		case n.parted(t, p, heard):
			tell = n.dismissCarer
		case !n.concerned(t, p), heard[p.Device] >= t.Body.Number && !(o.again && p.Device == t.Body.Caretaker):
			continue
		case !o.asked && !t.Body.Ended() && n.careRests(t, p.Device):
			continue
		}
		if o.asked {
			lists.forget(p.Device)
		}
		all.Go(func() {
			err := tell(ctx, t, p.Device, o)
			if err == nil || ctx.Err() != nil {
				return
			}
			if long := pauseAfter(err); long > 0 {
				lists.pause(p.Device, n.now(), long)
			}
			n.log.Info("a machine hears of the caretaker's task later", "machine", p.Name, "err", err)
			if p.Device != t.Body.Caretaker {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, peers.ErrQuota), errors.Is(err, peers.ErrDiskFull):
				errs = append(errs, said.Wrap(err, "care-full", "{name} has no room for the whole list of what you keep, and looks after as much as it was told of: its user can offer more ('preezm limits --offer')", "name", p.Name))
			case errors.Is(err, peers.ErrRefused):
				errs = append(errs, said.Error("care-refused", "{name} does not take the task: its user refused it, or took this machine out of its circle", "name", p.Name))
			case errors.Is(err, peers.ErrUnknown):
				errs = append(errs, said.Wrap(err, "care-not-taken", "{name} does not take the task: {why}", "name", p.Name))
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(errs...)
}

// careRests says whether a machine is told nothing for now: it did not take
// lately what it was told, or it would be told much and limits hold.
func (n *Node) careRests(t *custody.Signed[caretask.Task], d peers.DeviceID) bool {
	return n.entrusted.lists.paused(d, n.now()) || d == t.Body.Caretaker && n.limits.holding() != ""
}

// pauseAfter is for how long a machine is left alone that did not take what it
// was told.
func pauseAfter(err error) time.Duration {
	var held *heldError
	switch {
	case errors.As(err, &held):
		return held.wait
	case errors.Is(err, peers.ErrQuota), errors.Is(err, peers.ErrDiskFull):
		return fullPause
	case errors.Is(err, peers.ErrUnreachable):
		return 0 // nothing was sent
	}
	return tellAgain
}

// heldError is an error after which it is known how long to wait.
type heldError struct {
	error
	wait time.Duration
}

func (e *heldError) Unwrap() error { return e.error }

// concerned says whether a machine is to hear a task: keepers and the caretaker,
// and everybody that it is over.
func (n *Node) concerned(t *custody.Signed[caretask.Task], p circle.Peer) bool {
	return (p.Keeper || p.Device == t.Body.Caretaker || t.Body.Ended()) && !n.sameOwner(p.Device)
}

// parted says whether a machine heard an earlier task and has no part in this.
func (n *Node) parted(t *custody.Signed[caretask.Task], p circle.Peer, heard map[peers.DeviceID]uint64) bool {
	h := heard[p.Device]
	return !n.concerned(t, p) && !n.sameOwner(p.Device) && h > 0 && h < t.Body.Number
}

// dismissal is what a machine hears that has no part in a task any more: that the
// one it knows is over, under the number before, and nothing of the new one.
func (n *Node) dismissal(t *custody.Signed[caretask.Task], d peers.DeviceID) (*custody.Signed[caretask.Task], error) {
	return custody.Sign(n.keys.Sign, caretask.Task{
		Owner: n.device, Caretaker: d, Number: t.Body.Number - 1, At: t.Body.At, Until: t.Body.At,
		Keepers: []caretask.Keeper{}, Parts: []custody.Hash{},
	})
}

// dismissCarer tells a machine so, once.
func (n *Node) dismissCarer(ctx context.Context, t *custody.Signed[caretask.Task], d peers.DeviceID, _ careWord) error {
	end, err := n.dismissal(t, d)
	if err != nil {
		return err
	}
	c, err := n.peer(d)
	if err != nil {
		return err
	}
	ask, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if _, err := c.Care(ask, caretaker.VerbTask, end.Raw); err != nil {
		return err
	}
	return n.engine.Catalog().Unhear(ctx, d, n.careWhat())
}

// findForgetful asks the machines that have heard of a task whether they still
// know it. Who does not hears it again.
func (n *Node) findForgetful(ctx context.Context, t *custody.Signed[caretask.Task]) error {
	heard, err := n.engine.Catalog().Heard(ctx, n.careWhat())
	if err != nil {
		return err
	}
	ask, err := caretaker.EncodeLook(n.device)
	if err != nil {
		return err
	}
	var asked []peers.DeviceID
	for _, p := range n.book.Peers() {
		if n.concerned(t, p) && heard[p.Device] >= t.Body.Number {
			asked = append(asked, p.Device)
		}
	}
	var mu sync.Mutex
	var forgot []peers.DeviceID
	n.everybody(ctx, asked, func(ctx context.Context, c *rpc.Client) {
		raw, err := c.Care(ctx, caretaker.VerbLook, ask)
		var l *caretaker.Look
		if err == nil {
			l, err = caretaker.DecodeLook(raw)
		}
		if err != nil {
			n.log.Debug("ask whether a machine knows the caretaker's task", "machine", c.Name(), "err", err)
			return
		}
		if l.Number < t.Body.Number {
			n.log.Info("a machine has lost the caretaker's task and hears it again", "machine", c.Name())
			mu.Lock()
			defer mu.Unlock()
			forgot = append(forgot, c.Device())
		}
	})
	for _, d := range forgot {
		if err := n.engine.Catalog().Unhear(ctx, d, n.careWhat()); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) tellCareOne(ctx context.Context, t *custody.Signed[caretask.Task], d peers.DeviceID, o careWord) error {
	c, err := n.peer(d)
	if err != nil {
		return err
	}
	sent, started := int64(0), n.now()
	for {
		ask, cancel := context.WithTimeout(ctx, askTime)
		raw, err := c.Care(ask, caretaker.VerbTask, t.Raw)
		cancel()
		if err != nil {
			return err
		}
		parts, err := caretaker.DecodeWanted(raw)
		if err != nil {
			return fmt.Errorf("%w: %w", peers.ErrProtocol, err)
		}
		if len(parts) == 0 || d != t.Body.Caretaker {
			return n.engine.Catalog().Hear(ctx, d, n.careWhat(), t.Body.Number)
		}
		before, soonest := sent, listAgain
		for _, i := range parts {
			if int(i) >= len(t.Body.Parts) {
				return fmt.Errorf("%w (it asks for a part that is not)", peers.ErrProtocol)
			}
			if held := n.entrusted.lists.held(d, t.Body.Parts[i], n.now()); held > 0 {
				soonest = min(soonest, held)
				continue
			}
			if why := n.limits.holding(); why != "" && !o.asked {
				return &heldError{errors.New(why), 0}
			}
			if err := n.sendPart(ctx, t, c, i); err != nil {
				return err
			}
			sent++
			if o.progress != nil {
				o.progress(engine.Progress{Stage: engine.StagePut, Files: sent, TotalFiles: int64(len(t.Body.Parts)), TotalKnown: true, Started: started, Now: c.Name()})
			}
		}
		if sent == before {
			return &heldError{fmt.Errorf("%w (it asks for parts again that it was sent lately)", peers.ErrProtocol), soonest}
		}
	}
}

// errCareChanged: the catalog went on while its parts were sent.
var errCareChanged = said.Error("care-changed", "what is kept has changed meanwhile; the caretaker hears it at the next look")

func (n *Node) sendPart(ctx context.Context, t *custody.Signed[caretask.Task], c *rpc.Client, i uint16) error {
	p, err := n.engine.Part(ctx, placeIn(t.Body.Keepers), int(i))
	if err != nil {
		return err
	}
	if p.Hash() != t.Body.Parts[i] {
		return errCareChanged
	}
	raw, err := caretaker.EncodePart(t.Body.Number, i, p)
	if err != nil {
		return err
	}
	// Before it is taken: who breaks off would have it again otherwise.
	n.entrusted.lists.note(c.Device(), t.Body.Parts[i], n.now())
	ask, cancel := context.WithTimeout(ctx, partTime)
	defer cancel()
	_, err = c.Care(ask, caretaker.VerbPart, raw)
	if errors.Is(err, peers.ErrUnreachable) {
		return &heldError{err, tellAgain}
	}
	return err
}

// partTime bounds the sending of half a megabyte.
const partTime = 2 * time.Minute
