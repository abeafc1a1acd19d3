// SPDX-License-Identifier: MPL-2.0

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/backup"
	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/account"
	"github.com/preezm/preezm/peers/circle"
)

// importEvery is how often a node looks whether its person's other machines did
// something.
const importEvery = 15 * time.Second

// importPoll is how often it is looked whether another import has ended.
const importPoll = 50 * time.Millisecond

// togetherness is what this process knows of the other machines.
type togetherness struct {
	mu    sync.Mutex                // one import at a time
	waits map[peers.DeviceID]uint64 // what they wait for this one to know
	told  map[peers.DeviceID]uint64 // what the last head of this one says it knows
	stale bool                      // keepers know more of this machine than it does
}

func (n *Node) setStale() {
	n.together.mu.Lock()
	defer n.together.mu.Unlock()
	n.together.stale = true
}

func (n *Node) isStale() bool {
	n.together.mu.Lock()
	defer n.together.mu.Unlock()
	return n.together.stale
}

// others are this person's other machines.
func (n *Node) others() []peers.DeviceID {
	s, err := account.Parse(n.book.Own())
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.Body.Devices), func(d peers.DeviceID) bool { return d == n.device })
}

// Shared says whether this person has other machines.
func (n *Node) Shared() bool { return n.backups.catalog != nil && len(n.others()) > 0 && !n.takenOff() }

var errFewHeads = errors.New("too few keepers answer to know what this person's other machines did")

// Import takes over what this person's other machines did since the last time,
// as far as keepers that answer have it.
func (n *Node) Import(ctx context.Context) error {
	t := &n.together
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err := n.importAll(ctx)
	return err
}

// learnOthers is Import where nothing may be missed that more than half of the
// keepers know.
func (n *Node) learnOthers(ctx context.Context) error {
	t := &n.together
	for !t.mu.TryLock() { // an import may wait for a put for hours
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(importPoll):
		}
	}
	defer t.mu.Unlock()
	most, err := n.importAll(ctx)
	if err == nil && !most {
		err = errFewHeads
	}
	return err
}

// importAll is called with the lock held.
func (n *Node) importAll(ctx context.Context) (most bool, err error) {
	t := &n.together
	others := n.others()
	n.backups.engine.SetTogether(others)
	if len(others) == 0 && !t.stale {
		return true, nil
	}
	last, err := n.backups.catalog.LastBackup(ctx, n.device)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return false, err
	}
	known, err := n.backups.catalog.Imports(ctx)
	if err != nil {
		return false, err
	}
	var errs []error
	heads, most := n.otherHeads(ctx)
	for _, h := range heads {
		mine := h.Device == n.device
		if mine && !n.forgot(h, &last) || !mine && !slices.Contains(others, h.Device) {
			continue
		}
		if t.waits == nil {
			t.waits = map[peers.DeviceID]uint64{}
		}
		t.waits[h.Device] = h.Waits
		if slices.ContainsFunc(known, func(i catalog.Import) bool { return i.Device == h.Device && i.Number >= h.Number }) {
			continue
		}
		if err := n.importFrom(ctx, h); err != nil {
			errs = append(errs, err)
		}
	}
	if err = errors.Join(errs...); err == nil {
		t.stale = false
	}
	return most, err
}

// forgot says whether a head of this machine is of a life that its home, put
// back from a copy, does not know.
func (n *Node) forgot(h *backup.Head, last *catalog.Backup) bool {
	if h.Number != last.Number || last.Head == nil {
		return h.Number > last.Number
	}
	own, err := backup.Open(&n.backups.secrets, &peers.Head{Device: n.device, Number: last.Number, Sealed: last.Head})
	return err != nil || !bytes.Equal(own.Rows, h.Rows)
}

func (n *Node) importFrom(ctx context.Context, h *backup.Head) error {
	var knew uint64
	for _, k := range h.Vector {
		if k.Device == n.device {
			knew = k.Number
		}
	}
	w := &engine.Way{Device: h.Device, Number: h.Number, At: h.At, Rows: h.Rows, Parts: h.Parts}
	r, notes, err := n.backups.engine.Merge(ctx, w, n.machineName(ctx, h.Device), knew)
	if err != nil {
		return err
	}
	if r != (catalog.Merged{}) {
		n.log.Info("took over what another machine did", "machine", h.Device.Short(), "added", r.Added, "replaced", r.Replaced, "removed", r.Removed, "conflicts", r.Conflicts)
	}
	them, _, err := readNotes(notes)
	if err != nil {
		return fmt.Errorf("the circle of %s: %w", h.Device.Short(), err)
	}
	if err := errors.Join(n.helper.Adopt(notes[noteHelpers]), n.keepCopy(notes[noteBrand])); err != nil {
		// Files do not wait for it; the next backup of that machine has it again.
		n.log.Warn("helpers or company of another machine", "machine", h.Device.Short(), "err", err)
	}
	return n.meet(them)
}

// meet lets into this machine's circle those whom another machine of this person
// let into its own, but nobody who was taken out here.
func (n *Node) meet(them []savedPeer) error {
	for _, t := range them {
		d := t.Peer.Device
		if d == n.device || n.book.Has(d) || n.book.TakenOut(d) || slices.Contains(n.others(), d) {
			continue
		}
		if err := n.book.Put(t.Peer); err != nil && !errors.Is(err, circle.ErrTooManyPeers) {
			return err
		}
	}
	return nil
}

// tookOut says whether a machine that is no keeper is so because this person took
// it out of the circle here, or has it keep nothing more.
func (n *Node) tookOut(d peers.DeviceID) bool { return n.book.Has(d) || n.book.TakenOut(d) }

func (n *Node) machineName(ctx context.Context, d peers.DeviceID) string {
	if n.backups.catalog == nil {
		return d.Short()
	}
	all, err := n.backups.catalog.Machines(ctx)
	if err == nil {
		for _, m := range all {
			if m.Device == d {
				return m.Name
			}
		}
	}
	return d.Short()
}

// vector is what this machine knows of the others, for its next head.
func (n *Node) vector(ctx context.Context) ([]backup.Known, error) {
	all, err := n.backups.catalog.Imports(ctx)
	if err != nil {
		return nil, err
	}
	out := []backup.Known{}
	for _, i := range all {
		out = append(out, backup.Known{Device: i.Device, Number: i.Number})
	}
	return out, nil
}

// awaited says whether another machine waits for a word that this one has not
// given: a head with nothing new in it but what it knows.
func (n *Node) awaited(vector []backup.Known) bool {
	t := &n.together
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(vector, func(k backup.Known) bool {
		return t.told[k.Device] < t.waits[k.Device] && k.Number >= t.waits[k.Device]
	})
}

func (n *Node) gaveWord(vector []backup.Known) {
	t := &n.together
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told = map[peers.DeviceID]uint64{}
	for _, k := range vector {
		t.told[k.Device] = k.Number
	}
}

// importOthers looks at the other machines until ctx ends.
func (n *Node) importOthers(ctx context.Context) {
	tick := time.NewTicker(importEvery)
	defer tick.Stop()
	for {
		if err := n.Import(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("what another machine did is taken over later", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Conflicts lists the versions that two machines put under one name at once and
// that are not the shown ones.
func (n *Node) Conflicts(ctx context.Context) ([]engine.Conflict, error) {
	return n.backups.engine.Conflicts(ctx)
}
