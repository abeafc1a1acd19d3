// SPDX-License-Identifier: MPL-2.0

package node

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretaker"
	"github.com/preezm/preezm/peers/caretask"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/said"
)

const (
	// careTerm is how long a task holds when nobody says otherwise.
	careTerm = 365 * 24 * time.Hour
	// refreshEvery is how often a task is compared with what is kept now: not
	// more often, since each change is signed, sent and compared again.
	refreshEvery = 10 * time.Minute
	// careLookEvery is how often the caretaker is asked what it did.
	careLookEvery = 10 * time.Minute
	// careRegained counts the pieces that were taken over.
	careRegained = "care_regained"
)

// entrusting is what this process knows of the task that this home gave.
type entrusting struct {
	mu      sync.Mutex // one change at a time
	checked time.Time  // when the task was compared with what is kept
	looked  time.Time  // when the caretaker was asked
	begun   bool       // what a caretaker did was looked for once
	lacks   bool       // the caretaker said that it lacks a part
	lists   sentLists
}

// careWhat is under which name the task is written down.
func (n *Node) careWhat() string { return "care/" + hex.EncodeToString(n.device[:]) }

// givenTask gives the newest task of this device; nil: it never gave one.
func (n *Node) givenTask(ctx context.Context) (*custody.Signed[caretask.Task], error) {
	_, doc, err := n.engine.Catalog().Said(ctx, n.careWhat())
	if err != nil || len(doc) == 0 {
		return nil, err
	}
	return custody.Reread[caretask.Task](doc)
}

// errCareNobody: there is nothing to bring up to date.
var errCareNobody = said.Error("care-nobody", "no machine repairs for you while yours are off: 'preezm care give NAME' asks one")

// GiveCare is part of CaretakerAPI.
func (n *Node) GiveCare(ctx context.Context, o CareOrder, progress func(engine.Progress)) (*CareState, error) {
	n.entrusted.mu.Lock()
	defer n.entrusted.mu.Unlock()
	now := n.now()
	last, err := n.givenTask(ctx)
	if err != nil {
		return nil, err
	}
	next := caretask.Task{Until: now.Add(careTerm).Unix()}
	switch {
	case o.Who != "":
		p, err := n.machine(o.Who)
		if err != nil {
			return nil, err
		}
		if n.sameOwner(p.Device) {
			return nil, said.Error("care-own", "{name} is one of your own machines: it repairs by itself while it is on", "name", p.Name)
		}
		next.Caretaker = p.Device
	case last == nil || last.Body.Ended():
		return nil, errCareNobody
	default:
		next.Caretaker, next.Until = last.Body.Caretaker, last.Body.Until
	}
	if o.For > 0 {
		next.Until = now.Add(o.For).Unix()
	}
	if next.Until <= now.Unix() || next.Until-now.Unix() > caretask.MaxTerm {
		return nil, said.Error("care-term", "a task lasts a minute at least and two years at most")
	}
	t, left, err := n.entrust(ctx, last, next)
	if err != nil {
		return nil, err
	}
	if err := n.tellCare(ctx, t, careWord{again: true, asked: true, progress: progress}); err != nil {
		return nil, err
	}
	s, err := n.careState(ctx)
	if s != nil && s.Given != nil {
		s.Given.Left = left
	}
	return s, err
}

func (n *Node) sameOwner(d peers.DeviceID) bool {
	return d == n.device || slices.Contains(n.others(), d)
}

// TakeCare is part of CaretakerAPI.
func (n *Node) TakeCare(ctx context.Context) (*CareState, error) {
	n.entrusted.mu.Lock()
	defer n.entrusted.mu.Unlock()
	last, err := n.givenTask(ctx)
	if err != nil {
		return nil, err
	}
	if last == nil || last.Body.Ended() {
		return nil, errCareNobody
	}
	now := n.now().Unix()
	t, err := n.sayCare(ctx, last, caretask.Task{
		Caretaker: last.Body.Caretaker, At: now, Until: now, Keepers: []caretask.Keeper{}, Parts: []custody.Hash{},
	})
	if err != nil {
		return nil, err
	}
	if err := n.tellCare(ctx, t, careWord{asked: true}); err != nil {
		return nil, err
	}
	return n.careState(ctx)
}

// entrust makes the task that says what is kept now, and says it unless it is
// what was said last.
func (n *Node) entrust(ctx context.Context, last *custody.Signed[caretask.Task], next caretask.Task) (t *custody.Signed[caretask.Task], left int64, err error) {
	grace, err := n.engine.Grace(ctx)
	if err != nil {
		return nil, 0, err
	}
	next.At, next.Grace = n.now().Unix(), min(int64(grace/time.Second), caretask.MaxGrace)
	next.Keepers, next.Parts = n.careKeepers(), []custody.Hash{}
	left, err = n.engine.Entrusted(ctx, placeIn(next.Keepers), func(_ int, p caretask.Part) error {
		next.Parts = append(next.Parts, p.Hash())
		next.Segments += uint64(len(p))
		return nil
	})
	if err != nil {
		return nil, left, err
	}
	if last != nil && sameTask(&last.Body, &next) {
		return last, left, nil
	}
	t, err = n.sayCare(ctx, last, next)
	return t, left, err
}

// sayCare signs a task under a new number and writes it down.
func (n *Node) sayCare(ctx context.Context, last *custody.Signed[caretask.Task], next caretask.Task) (*custody.Signed[caretask.Task], error) {
	next.Owner, next.Number = n.device, uint64(max(n.now().UnixNano(), 2))
	if last != nil {
		// The number before each is left free, see dismissal.
		next.Number = max(next.Number, last.Body.Number+2)
	}
	t, err := custody.Sign(n.keys.Sign, next)
	if err != nil {
		return nil, err
	}
	return t, n.engine.Catalog().Say(ctx, n.careWhat(), next.Number, t.Raw)
}

// sameTask says whether two tasks differ in nothing but number and time.
func sameTask(a, b *caretask.Task) bool {
	x, y := *a, *b
	x.Owner, x.Number, x.At, y.Owner, y.Number, y.At = peers.DeviceID{}, 1, 0, peers.DeviceID{}, 1, 0
	rawX, errX := custody.Marshal(x)
	rawY, errY := custody.Marshal(y)
	return errX == nil && errY == nil && bytes.Equal(rawX, rawY)
}

// careKeepers are the machines that keep for this home, in ascending order.
// Persons and houses become numbers: a caretaker is told no names.
func (n *Node) careKeepers() []caretask.Keeper {
	out := []caretask.Keeper{}
	houses, persons := map[string]uint8{"": 0}, map[string]uint8{"": 0}
	number := func(of map[string]uint8, name string) uint8 {
		if _, ok := of[name]; !ok {
			of[name] = uint8(len(of))
		}
		return of[name]
	}
	ps := slices.DeleteFunc(n.book.Peers(), func(p circle.Peer) bool { return !p.Keeper })
	slices.SortFunc(ps, func(a, b circle.Peer) int { return bytes.Compare(a.Device[:], b.Device[:]) })
	for _, p := range ps[:min(len(ps), caretask.MaxKeepers)] {
		addresses := slices.DeleteFunc(slices.Clone(p.Addresses), func(a string) bool { return a == "" || len(a) > caretask.MaxAddress })
		out = append(out, caretask.Keeper{
			Device: p.Device, Addresses: addresses[:min(len(addresses), caretask.MaxAddresses)],
			House: number(houses, p.House), Person: number(persons, p.Person),
		})
	}
	return out
}

func placeIn(ks []caretask.Keeper) func(peers.DeviceID) uint8 {
	at := map[peers.DeviceID]uint8{}
	for i, k := range ks {
		at[k.Device] = uint8(i)
	}
	return func(d peers.DeviceID) uint8 {
		if i, ok := at[d]; ok {
			return i
		}
		return caretask.Nowhere
	}
}

// entrustLoop keeps the task up to date and takes over what was done under it,
// until ctx ends.
func (n *Node) entrustLoop(ctx context.Context) {
	tick := time.NewTicker(careEvery)
	defer tick.Stop()
	for {
		if err := n.careDue(ctx); err != nil && ctx.Err() == nil {
			n.log.Info("what a caretaker is to know waits", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// careDue does what is due for the task.
func (n *Node) careDue(ctx context.Context) error {
	e := &n.entrusted
	e.mu.Lock()
	defer e.mu.Unlock()
	last, err := n.givenTask(ctx)
	if err != nil || last == nil {
		return err
	}
	now := n.now()
	due := func(at *time.Time, every time.Duration) bool {
		if age := now.Sub(*at); age < every && age >= 0 {
			return false
		}
		*at = now
		return true
	}
	look := due(&e.looked, careLookEvery)
	if look {
		if err := n.findForgetful(ctx, last); err != nil {
			return err
		}
	}
	if look || !e.begun {
		if err := n.takeOver(ctx, &last.Body); err != nil {
			return err
		}
	}
	if last.Body.Holds(now.Unix()) && n.limits.holding() == "" && due(&e.checked, refreshEvery) {
		last, _, err = n.entrust(ctx, last, caretask.Task{Caretaker: last.Body.Caretaker, Until: last.Body.Until})
		if err != nil {
			return err
		}
	}
	err = n.tellCare(ctx, last, careWord{again: e.lacks})
	if err == nil {
		e.lacks = false
	}
	return err
}

// takeOver takes over what a caretaker did while this machine was off: at the
// first look of a process, and when the caretaker says that there is something.
func (n *Node) takeOver(ctx context.Context, t *caretask.Task) error {
	reports, err := n.careReports(ctx, t.Caretaker)
	if err != nil && !errors.Is(err, peers.ErrUnreachable) {
		n.log.Info("a caretaker was asked what it did", "err", err)
	}
	made := slices.ContainsFunc(reports, func(r caretaker.Report) bool { return r.Pieces > 0 })
	// Its user may have refused the task, with which the lists went, and changed
	// their mind.
	n.entrusted.lacks = slices.ContainsFunc(reports, func(r caretaker.Report) bool {
		return r.Owner == n.device && r.Number == t.Number && r.Lacking > 0 && !r.Refused
	})
	if n.entrusted.begun && !made {
		return nil
	}
	n.notice(ctx, n.net.Probe(ctx)) // who has anything must be known before
	r, err := n.engine.Regain(ctx)
	if r.Pieces > 0 {
		n.log.Info("pieces that a caretaker made are taken over", "pieces", r.Pieces, "bytes", r.Bytes)
		n.entrusted.checked = time.Time{} // it is to hear where they are
		if err := n.countRegained(ctx, r.Pieces); err != nil {
			return err
		}
		n.wake()
	}
	n.entrusted.begun = n.entrusted.begun || err == nil
	return err
}

func (n *Node) countRegained(ctx context.Context, pieces int64) error {
	c := n.engine.Catalog()
	have, err := c.CareValue(ctx, careRegained, 0)
	if err != nil {
		return err
	}
	return c.SetCareValue(context.WithoutCancel(ctx), careRegained, have+pieces)
}

// careReports asks a caretaker what it did for this person's machines.
func (n *Node) careReports(ctx context.Context, d peers.DeviceID) ([]caretaker.Report, error) {
	c, err := n.peer(d)
	if err != nil {
		return nil, err
	}
	ask, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	raw, err := c.Care(ask, caretaker.VerbReport, nil)
	if err != nil {
		return nil, err
	}
	return caretaker.DecodeReports(raw)
}

// Care is part of CaretakerAPI.
func (n *Node) Care(ctx context.Context) (*CareState, error) { return n.careState(ctx) }

func (n *Node) careState(ctx context.Context) (out *CareState, err error) {
	out = &CareState{For: []CareFor{}}
	t, err := n.givenTask(ctx)
	if err != nil {
		return nil, err
	}
	if t != nil {
		if out.Given, err = n.careGiven(ctx, t); err != nil {
			return nil, err
		}
	}
	return out, n.withCare(ctx, func(s *caretaker.Service) error { return n.caresFor(ctx, s, out) })
}

// caresFor tells whom this machine looks after.
func (n *Node) caresFor(ctx context.Context, s *caretaker.Service, out *CareState) error {
	reports, err := s.Reports(ctx)
	if err != nil {
		return err
	}
	lists := s.Takes()
	for i, j := range s.Jobs() {
		x := CareFor{
			Owner: j.Body.Owner, Name: n.nameOf(j.Body.Owner), Until: time.Unix(j.Body.Until, 0), Grace: time.Duration(j.Body.Grace) * time.Second,
			Keepers: len(j.Body.Keepers), Refused: j.Refused, Lists: lists[j.Body.Owner],
		}
		if i < len(reports) && reports[i].Owner == x.Owner {
			x.Work = n.careWork(&reports[i])
		}
		out.For = append(out.For, x)
	}
	return nil
}

func (n *Node) careWork(r *caretaker.Report) CareWork {
	w := CareWork{Segments: r.Segments, Lacking: r.Lacking, Pieces: r.Pieces, Bytes: r.Bytes, Lost: r.Lost, Missed: []string{}}
	if r.Last > 0 {
		w.Last = time.Unix(r.Last, 0)
	}
	for _, d := range r.Missed {
		w.Missed = append(w.Missed, n.nameOf(d))
	}
	return w
}

func (n *Node) careGiven(ctx context.Context, t *custody.Signed[caretask.Task]) (*CareGiven, error) {
	now := n.now()
	g := &CareGiven{
		Device: t.Body.Caretaker, Name: n.nameOf(t.Body.Caretaker), Number: t.Body.Number, At: time.Unix(t.Body.At, 0), Until: time.Unix(t.Body.Until, 0),
		Ended: !t.Body.Holds(now.Unix()), Grace: time.Duration(t.Body.Grace) * time.Second, Knows: []string{}, Unaware: []string{},
		Work: CareWork{Segments: int64(t.Body.Segments), Missed: []string{}},
	}
	c := n.engine.Catalog()
	heard, err := c.Heard(ctx, n.careWhat())
	if err != nil {
		return nil, err
	}
	for _, p := range n.book.Peers() {
		switch {
		case !n.concerned(t, p) && !n.parted(t, p, heard):
		case heard[p.Device] >= t.Body.Number:
			g.Knows = append(g.Knows, p.Name)
		default:
			g.Unaware = append(g.Unaware, p.Name)
		}
	}
	if g.Regained, err = c.CareValue(ctx, careRegained, 0); err != nil {
		return nil, err
	}
	if g.Ended {
		return g, nil
	}
	reports, err := n.careReports(ctx, t.Body.Caretaker)
	if err != nil {
		g.Why = said.By(err)
		return g, ctx.Err()
	}
	g.Asked, g.Idle = true, heard[t.Body.Caretaker] >= t.Body.Number
	for i := range reports {
		if reports[i].Owner == n.device {
			g.Work, g.Idle = n.careWork(&reports[i]), reports[i].Refused
		}
	}
	return g, nil
}

// RefuseCare is part of CaretakerAPI.
func (n *Node) RefuseCare(ctx context.Context, o CareRefusal) (*CareState, error) {
	p, err := n.named(o.Who)
	if err != nil {
		return nil, err
	}
	if n.care == nil {
		return nil, said.Error("care-serve", "a serving node does that: start 'preezm serve'")
	}
	err = n.care.Refuse(ctx, p.Device, o.On)
	if errors.Is(err, peers.ErrNotFound) {
		return nil, said.Error("care-not-asked", "{name} has not asked this machine to look after anything", "name", p.Name)
	}
	if err != nil {
		return nil, err
	}
	return n.careState(ctx)
}

// entruster is what of the engine a caretaker's task is made from.
type entruster interface {
	Entrusted(ctx context.Context, at func(peers.DeviceID) uint8, f func(part int, p caretask.Part) error) (int64, error)
	Part(ctx context.Context, at func(peers.DeviceID) uint8, part int) (caretask.Part, error)
	Regain(ctx context.Context) (engine.Regained, error)
	Catalog() *catalog.Catalog
}
