// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/said"
)

const (
	// careEvery is how often a node looks whether something waits to be done
	// for the circle.
	careEvery = time.Minute
	// auditBytes is about what the answer to a check takes.
	auditBytes = 100 << 10
	// farewellTime bounds the goodbye to a machine that leaves.
	farewellTime = 5 * time.Second
)

// roleOf is what this home's user said of a machine.
func (n *Node) roleOf(d peers.DeviceID) engine.Role {
	p, _ := n.book.Peer(d)
	return engine.Role{Person: p.Person, House: p.House}
}

// notice tells the engine what a probe found.
func (n *Node) notice(ctx context.Context, reach []rpc.Reach) {
	if n.shut {
		return // who answers is noted in the catalog
	}
	list := make([]engine.Notice, 0, len(reach))
	for _, r := range reach {
		if p, ok := n.book.Peer(r.Device); ok && p.Keeper {
			list = append(list, engine.Notice{Device: r.Device, Online: r.Online, Free: r.Info.Free, Clock: r.Info.UnixTime})
		}
	}
	if len(list) == 0 || ctx.Err() != nil {
		return // a probe that was broken off says nothing
	}
	if err := n.engine.Noticed(ctx, list); err != nil && ctx.Err() == nil {
		n.log.Warn("note who answers", "err", err)
	}
}

// checkCircle refuses a home that keeps files with others and has lost the
// list of them: everything would look lost, and repair would begin.
func (n *Node) checkCircle(ctx context.Context) error {
	path := filepath.Join(n.home, circleFile)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	held, err := n.engine.Keepers(ctx, false)
	if err != nil || len(held) == 0 {
		return err
	}
	return fmt.Errorf("%s: %w", path, ErrNoCircle)
}

// look is what lookAfter found.
type look struct {
	custodian map[peers.DeviceID]bool
	leaving   map[peers.DeviceID]engine.Leave
}

// lookAfter gathers what is known of machines beyond their answers.
func (n *Node) lookAfter(ctx context.Context) (*look, error) {
	l := &look{custodian: map[peers.DeviceID]bool{}, leaving: map[peers.DeviceID]engine.Leave{}}
	if n.desk != nil {
		cs, err := n.Custodians(ctx)
		if err != nil {
			return nil, err
		}
		for _, c := range cs {
			l.custodian[c.Device] = true
		}
	}
	leaving, err := n.engine.Leaving(ctx)
	if err != nil {
		return nil, err
	}
	for _, x := range leaving {
		l.leaving[x.Device] = x
	}
	return l, nil
}

func (l *look) member(p circle.Peer) MemberCare {
	_, leaving := l.leaving[p.Device]
	return MemberCare{Person: p.Person, House: p.House, Custodian: l.custodian[p.Device], Leaving: leaving}
}

// machine finds a machine of the circle by name or device.
func (n *Node) machine(who string) (circle.Peer, error) {
	m, err := n.desk.Member(who)
	if err != nil {
		return circle.Peer{}, err
	}
	p, ok := n.book.Peer(m.Device)
	if !ok {
		return p, fmt.Errorf("%s %w", who, circle.ErrUnknownPeer)
	}
	return p, nil
}

// PlanRemoval tells what a removal means.
func (n *Node) PlanRemoval(ctx context.Context, o RemovalOrder) (*Removal, error) {
	p, err := n.machine(o.Who)
	if err != nil {
		return nil, err
	}
	return n.planRemoval(ctx, p, o.Gone)
}

func (n *Node) planRemoval(ctx context.Context, p circle.Peer, gone bool) (*Removal, error) {
	r := &Removal{Device: p.Device, Name: p.Name, Gone: gone}
	held, err := n.engine.Keepers(ctx, false)
	if err != nil {
		return nil, err
	}
	others := 0
	for _, k := range held {
		if k.Device == p.Device {
			r.Pieces, r.Bytes = k.Shards, k.Bytes
		} else if q, ok := n.book.Peer(k.Device); ok && q.Keeper {
			others++
		}
	}
	l, err := n.lookAfter(ctx)
	if err != nil {
		return nil, err
	}
	r.Custodian = l.custodian[p.Device]
	// Where others take over what it has, nothing is lost.
	if gone || others == 0 {
		if r.Lost, err = n.engine.Threatened(ctx, p.Device); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// RemoveMember takes a machine out of the circle.
func (n *Node) RemoveMember(ctx context.Context, o RemovalOrder, progress func(engine.Progress)) (*Removal, error) {
	p, err := n.machine(o.Who)
	if err != nil {
		return nil, err
	}
	r, err := n.planRemoval(ctx, p, o.Gone)
	if err != nil {
		return nil, err
	}
	defer n.removing.claim(p.Device)()
	leave := engine.Leave{Device: p.Device, Name: p.Name, Gone: o.Gone}
	if err := n.engine.BeginLeave(ctx, leave); err != nil {
		return nil, err
	}
	if !o.Gone && p.Keeper {
		if r.Drain, err = n.drain(ctx, p.Device, progress, len(r.Lost) > 0); err != nil {
			return r, err
		}
	}
	if r.Told, err = n.forget(ctx, leave); err != nil {
		return r, err
	}
	r.Done = true
	if o.Gone {
		r.Remade = r.Pieces
	}
	n.wake()
	return r, nil
}

// drain empties a machine; when that is broken off or cannot be done it stays
// a keeper, with what it still has.
func (n *Node) drain(ctx context.Context, d peers.DeviceID, progress func(engine.Progress), lost bool) (*engine.DrainReport, error) {
	r, err := n.engine.Drain(ctx, d, progress)
	if err == nil || lost && errors.Is(err, engine.ErrNotDrained) {
		n.backUpMoves(ctx, progress)
		return r, nil // what nobody can take was named before
	}
	return r, errors.Join(err, n.engine.EndLeave(context.WithoutCancel(ctx), d, false))
}

// backUpMoves has keepers know the new places before a machine forgets what it
// held: until then it is asked to hold it.
func (n *Node) backUpMoves(ctx context.Context, progress func(engine.Progress)) {
	if n.backups.engine == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := n.RenewBackup(ctx, progress); err != nil {
		n.log.Warn("the list of files is backed up later; until then a machine that leaves holds what it held", "err", err)
	}
}

// forget says goodbye to a machine and takes it out of the circle.
func (n *Node) forget(ctx context.Context, l engine.Leave) (told bool, err error) {
	ctx = context.WithoutCancel(ctx)
	if !l.Gone {
		if err := n.engine.Emptied(ctx, l.Device); err != nil {
			return false, err
		}
	}
	if c, err := n.peer(l.Device); err == nil && !l.Gone {
		bye, cancel := context.WithTimeout(ctx, farewellTime)
		defer cancel()
		if err := c.Farewell(bye); err != nil {
			n.log.Info("a machine that leaves was not told", "machine", l.Name, "err", err)
		} else {
			told = true
		}
	}
	if err := n.dismiss(ctx, l.Device, nil); err != nil {
		n.log.Warn("a machine that leaves was a custodian; grants that name it last on", "machine", l.Name, "err", err)
	}
	if err := n.net.Remove(l.Device); err != nil {
		return told, err
	}
	if l.Gone {
		// Maintain ends it when everything was made anew.
		return told, nil
	}
	return told, n.engine.EndLeave(ctx, l.Device, true)
}

// left is called when another device says that it removed this one: what it
// holds will not be given back, so that is made anew from the others at once.
func (n *Node) left(d peers.DeviceID) {
	select {
	case n.goodbyes <- d:
	default: // the loop is behind; repair notices by itself, later
	}
}

// careLoop does what waits for the circle: it ends removals that a crash broke
// off, and takes leave of those who left.
func (n *Node) careLoop(ctx context.Context) {
	tick := time.NewTicker(careEvery)
	defer tick.Stop()
	for {
		n.tend(ctx)
		if _, err := n.leftovers(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("look for what machines left behind", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case d := <-n.goodbyes:
			if err := n.takeLeave(ctx, d); err != nil {
				n.log.Warn("a machine left", "machine", d.Short(), "err", err)
			}
		}
	}
}

// tend does what takes the line: not on a metered one, nor on the last of a
// battery.
func (n *Node) tend(ctx context.Context) {
	if n.limits.holding() != "" {
		return
	}
	if err := n.finishLeaves(ctx); err != nil && ctx.Err() == nil {
		n.log.Warn("a machine that leaves is not out yet", "err", err)
	}
	if err := n.auditDue(ctx); err != nil && ctx.Err() == nil {
		n.log.Warn("checks go on later", "err", err)
	}
}

func (n *Node) takeLeave(ctx context.Context, d peers.DeviceID) error {
	p, ok := n.book.Peer(d)
	if !ok {
		return nil
	}
	n.log.Info("a machine removed this one from its circle; what it held is made anew", "machine", p.Name)
	leave := engine.Leave{Device: d, Name: p.Name, Gone: true}
	if err := n.engine.BeginLeave(ctx, leave); err != nil {
		return err
	}
	_, err := n.forget(ctx, leave)
	n.wake()
	return err
}

// finishLeaves goes on with removals that were under way when the last process
// ended.
func (n *Node) finishLeaves(ctx context.Context) error {
	list, err := n.engine.Leaving(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range list {
		if err := n.finishLeave(ctx, l); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (n *Node) finishLeave(ctx context.Context, l engine.Leave) error {
	if n.removing.busy(l.Device) {
		return nil
	}
	in := n.book.Has(l.Device)
	switch {
	case l.Gone && !in:
		return nil // Maintain's
	case !l.Gone && !in:
		return n.engine.EndLeave(ctx, l.Device, true)
	}
	if !l.Gone {
		if _, err := n.engine.Drain(ctx, l.Device, nil); err != nil {
			return err // and again later
		}
		n.backUpMoves(ctx, nil)
	}
	if l.Stays {
		return n.stopKeeping(ctx, l.Device)
	}
	_, err := n.forget(ctx, l)
	return err
}

func (n *Node) stopKeeping(ctx context.Context, d peers.DeviceID) error {
	if err := n.engine.Emptied(ctx, d); err != nil {
		return err
	}
	if err := n.book.Update(d, func(p *circle.Peer) { p.Keeper = false }); err != nil {
		return err
	}
	return n.engine.EndLeave(ctx, d, false)
}

// seatFree refuses a second custodian of one person: that person would have
// two voices.
func (n *Node) seatFree(ctx context.Context, d peers.DeviceID) error {
	p, ok := n.book.Peer(d)
	if !ok || p.Person == "" {
		return nil
	}
	cs, err := n.Custodians(ctx)
	if err != nil {
		return err
	}
	for _, c := range cs {
		if q, ok := n.book.Peer(c.Device); ok && c.Device != d && q.Person == p.Person {
			return said.Error("seat-taken", "{first} and {second} are both {person}'s: one person has one seat; 'preezm circle roles \"{second}\" --custodian off' frees it", "first", p.Name, "second", q.Name, "person", p.Person)
		}
	}
	return nil
}

// SetRoles changes what a machine is.
func (n *Node) SetRoles(ctx context.Context, o RolesOrder, progress func(engine.Progress)) (Member, error) {
	p, err := n.machine(o.Who)
	if err != nil {
		return Member{}, err
	}
	if o.Person != nil || o.House != nil {
		err := n.book.Update(p.Device, func(p *circle.Peer) {
			if o.Person != nil {
				p.Person = *o.Person
			}
			if o.House != nil {
				p.House = *o.House
			}
		})
		if err != nil {
			return Member{}, err
		}
	}
	if o.Custodian != nil {
		if err := n.setCustodian(ctx, p, *o.Custodian, progress); err != nil {
			return Member{}, err
		}
	}
	if o.Keeper != nil && *o.Keeper != p.Keeper {
		if err := n.setKeeper(ctx, p, *o.Keeper, progress); err != nil {
			return Member{}, err
		}
	}
	n.wake()
	l, err := n.lookAfter(ctx)
	if err != nil {
		return Member{}, err
	}
	p, _ = n.book.Peer(p.Device)
	m := member(p)
	m.MemberCare = l.member(p)
	return m, nil
}

func (n *Node) setCustodian(ctx context.Context, p circle.Peer, on bool, progress func(engine.Progress)) error {
	if on {
		_, err := n.AddCustodian(ctx, p.Device.String())
		return err
	}
	return n.dismiss(ctx, p.Device, progress)
}

// dismiss takes a custodian off, if the machine is one.
func (n *Node) dismiss(ctx context.Context, d peers.DeviceID, progress func(engine.Progress)) error {
	l, err := n.lookAfter(ctx)
	if err != nil || !l.custodian[d] {
		return err
	}
	_, err = n.RemoveCustodian(ctx, d.String(), progress)
	return err
}

func (n *Node) setKeeper(ctx context.Context, p circle.Peer, on bool, progress func(engine.Progress)) error {
	if on {
		return n.book.Update(p.Device, func(p *circle.Peer) { p.Keeper = true })
	}
	defer n.removing.claim(p.Device)()
	if err := n.engine.BeginLeave(ctx, engine.Leave{Device: p.Device, Name: p.Name, Stays: true}); err != nil {
		return err
	}
	if _, err := n.drain(ctx, p.Device, progress, false); err != nil {
		return err
	}
	return n.stopKeeping(ctx, p.Device)
}

// Repair makes everything whole now.
func (n *Node) Repair(ctx context.Context, o RepairOrder, progress func(engine.Progress)) (*RepairReport, error) {
	if o.Grace > 0 {
		if err := n.engine.SetGrace(ctx, o.Grace); err != nil {
			return nil, err
		}
	}
	r := &RepairReport{}
	var err error
	if r.Grace, err = n.engine.Grace(ctx); err != nil || o.Grace > 0 {
		return r, err
	}
	n.notice(ctx, n.net.Probe(ctx)) // to know who can take something
	r.Done, err = n.engine.Repair(ctx, progress)
	return r, err
}

// Audit asks keepers for proofs.
func (n *Node) Audit(ctx context.Context, o AuditOrder, progress func(engine.Progress)) (*engine.AuditReport, error) {
	opts := engine.AuditOptions{Sample: o.Sample}
	if o.Who != "" {
		p, err := n.machine(o.Who)
		if err != nil {
			return nil, err
		}
		if !p.Keeper {
			return nil, said.Error("keeps-nothing", "{name} keeps nothing for you", "name", p.Name)
		}
		opts.Keepers = []peers.DeviceID{p.Device}
	}
	r, err := n.engine.Audit(ctx, opts, progress)
	n.wakeIfBad(r)
	return r, err
}

func (n *Node) wakeIfBad(r *engine.AuditReport) {
	if r == nil {
		return
	}
	for _, a := range r.Keepers {
		if a.Bad() {
			n.log.Warn("a check found something", "machine", a.Name, "text", a.Text)
			n.wake()
		}
	}
}

// auditDue asks those keepers whose turn it is.
func (n *Node) auditDue(ctx context.Context) error {
	due, err := n.engine.AuditDue(ctx)
	if err != nil || len(due) == 0 {
		return err
	}
	for _, d := range due {
		if err := n.paceRepair(ctx, d, auditBytes, 0); err != nil {
			return err
		}
	}
	r, err := n.engine.Audit(ctx, engine.AuditOptions{Keepers: due}, nil)
	n.wakeIfBad(r)
	return err
}
