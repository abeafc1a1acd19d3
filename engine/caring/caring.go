// SPDX-License-Identifier: MPL-2.0

// Package caring is what a caretaker does for an owner whose machines are off:
// it asks the owner's keepers now and then whether they are there, and when one
// was waited for long enough it makes what that one held anew on others, from
// any k pieces. It sees ciphertext, roots and places, and decides with the same
// code as the owner (package repair). What it may do the keepers decide, by the
// task that the owner signed (package caretask).
package caring

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/placement"
	"github.com/preezm/preezm/engine/presence"
	"github.com/preezm/preezm/engine/repair"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretaker"
	"github.com/preezm/preezm/peers/caretask"
)

const (
	// lookEvery is how often keepers are asked whether they are there, or more
	// often under a short grace.
	lookEvery = 10 * time.Minute
	// LeastLook is the least time between two looks, whatever grace an owner
	// asks for and however often it says something new: each look is a message
	// to every keeper that it names.
	LeastLook = time.Minute
	// askTime is how long a keeper may take to answer.
	askTime = 5 * time.Second
	// ownerAway is how long an owner must have been away before a caretaker
	// does anything, or the grace when that is shorter: an owner who is there
	// repairs by itself, and knows more.
	ownerAway = time.Hour
	// saveEvery is how old the histories on disk may get.
	saveEvery = 10 * time.Minute
)

// Keeper is a machine that holds pieces, as a caretaker asks it; rpc.Client is
// one.
type Keeper interface {
	Care(ctx context.Context, verb string, raw []byte) ([]byte, error)
	ReadCared(ctx context.Context, id peers.ShardID, dst []byte) error
	PutCared(ctx context.Context, id peers.ShardID, root peers.Root, data []byte) error
}

// Config of a worker.
type Config struct {
	Service *caretaker.Service
	// Reach gives a keeper, this machine too.
	Reach func(d peers.DeviceID, addresses []string) Keeper
	// Seen tells when a machine of an owner's person was last in touch.
	Seen func(owner peers.DeviceID) time.Time
	// Rest tells whether background work rests now.
	Rest func() bool
	// LeastLook is for tests, which cannot wait that long; 0: [LeastLook].
	LeastLook time.Duration
	// Pace waits until so many bytes may be received from a keeper, or sent to it.
	Pace   func(ctx context.Context, d peers.DeviceID, down, up int) error
	Now    func() time.Time
	Logger *slog.Logger
}

// Worker works on this machine's tasks.
type Worker struct {
	Config
	watches map[peers.DeviceID]*watch // by owner; of Run's goroutine alone
	buffers [][]byte
	secret  [32]byte // draws when keepers are checked
	unnoted unnoted
}

// watch is what is known of one owner's keepers.
type watch struct {
	task    custody.Hash
	history map[peers.DeviceID]*presence.History
	vain    map[peers.DeviceID]int // how many times in a row it did not answer
	saved   time.Time
	settled string // how everything stood when nothing was to be done
	audits  map[peers.DeviceID]caretaker.Audit
	// doubted are pieces, by their name in the task, that a keeper says it holds
	// and did not prove: it is not asked for them, nor given them.
	doubted map[peers.ShardID]peers.DeviceID
	// hopeless are segments of which too few pieces are left, and how
	// everything stood then: nobody asks for them again before that changes.
	hopeless map[custody.Hash]string
}

// vainly is how often in a row a keeper must not have answered to be missed
// under a grace of less than an hour, of which its history says nothing.
const vainly = 3

// missed tells whether a keeper has been away for longer than it is waited for.
func (x *watch) missed(d peers.DeviceID, now time.Time, grace time.Duration) bool {
	h := x.history[d]
	if grace < time.Hour && x.vain[d] >= vainly && now.Sub(h.LastOn()) >= grace {
		return true
	}
	return h.Missed(now, grace)
}

// New makes a worker.
func New(c Config) *Worker {
	if c.LeastLook == 0 {
		c.LeastLook = LeastLook
	}
	w := &Worker{Config: c, watches: map[peers.DeviceID]*watch{}, unnoted: unnoted{of: map[peers.DeviceID]map[peers.ShardID]caretaker.Made{}}}
	rand.Read(w.secret[:])
	return w
}

// Run works until ctx ends.
func (w *Worker) Run(ctx context.Context) {
	for {
		began := time.Now()
		next := time.NewTimer(w.round(ctx))
		changed := w.Service.Changed()
	wait:
		for {
			select {
			case <-ctx.Done():
				next.Stop()
				w.save(context.WithoutCancel(ctx))
				return
			case <-next.C:
				break wait
			case <-changed:
				// What else is said until then is looked at with it.
				changed = nil
				next.Reset(w.LeastLook - time.Since(began))
			}
		}
	}
}

// round looks after each owner once and gives how long it may take to the next.
func (w *Worker) round(ctx context.Context) time.Duration {
	next := lookEvery
	if err := w.Service.Sweep(ctx); err != nil && ctx.Err() == nil {
		w.Logger.Warn("forget lists of owners who left", "err", err)
	}
	for _, j := range w.Service.Jobs() {
		if j.Refused || !j.Body.Holds(w.Now().Unix()) || ctx.Err() != nil {
			continue
		}
		next = min(next, max(w.LeastLook, time.Duration(j.Body.Grace)*time.Second/20))
		if err := w.lookAfter(ctx, j); err != nil && ctx.Err() == nil {
			w.Logger.Warn("care for an owner goes on later", "owner", j.Body.Owner.Short(), "err", err)
		}
	}
	return next
}

// watch gives what is known of a job's keepers.
func (w *Worker) watch(ctx context.Context, j caretaker.Job) (*watch, error) {
	x := w.watches[j.Body.Owner]
	if x != nil && x.task == j.Hash {
		return x, nil
	}
	if x == nil {
		x = &watch{
			history: map[peers.DeviceID]*presence.History{}, vain: map[peers.DeviceID]int{}, doubted: map[peers.ShardID]peers.DeviceID{},
			hopeless: map[custody.Hash]string{}, saved: w.Now(),
		}
		saved, err := w.Service.Seen(ctx, j.Body.Owner)
		if err != nil {
			return nil, err
		}
		for d, b := range saved {
			if h, err := presence.Decode(b); err == nil {
				x.history[d] = h // a damaged one begins anew
			}
		}
		if x.audits, err = w.Service.Audits(ctx, j.Body.Owner); err != nil {
			return nil, err
		}
	}
	x.settled = ""
	clear(x.hopeless)
	named := func(d peers.DeviceID) bool { return j.Body.Keeper(d) >= 0 }
	maps.DeleteFunc(x.history, func(d peers.DeviceID, _ *presence.History) bool { return !named(d) })
	maps.DeleteFunc(x.vain, func(d peers.DeviceID, _ int) bool { return !named(d) })
	maps.DeleteFunc(x.audits, func(d peers.DeviceID, _ caretaker.Audit) bool { return !named(d) })
	complete, err := w.Service.Complete(ctx, j)
	if err != nil {
		return nil, err
	}
	if complete {
		if err := w.forget(ctx, j); err != nil {
			return nil, err
		}
		x.task = j.Hash
	}
	w.watches[j.Body.Owner] = x
	return x, nil
}

// forget drops notes of pieces that a newer task does not name: what was made
// under the one before the owner has taken over, or does not need.
func (w *Worker) forget(ctx context.Context, j caretaker.Job) error {
	made, err := w.made(ctx, j.Body.Owner)
	if err != nil || len(made) == 0 {
		return err
	}
	needed := map[peers.ShardID]bool{}
	for part := range j.Body.Parts {
		_, segs, err := w.Service.Part(ctx, j, part)
		if err != nil {
			return err
		}
		for _, s := range segs {
			for i := range s.Pieces {
				if _, ok := made[s.Pieces[i].ID]; ok {
					needed[s.Pieces[i].ID] = true
				}
			}
		}
	}
	w.unnoted.mu.Lock()
	maps.DeleteFunc(w.unnoted.of[j.Body.Owner], func(id peers.ShardID, _ caretaker.Made) bool { return !needed[id] })
	w.unnoted.mu.Unlock()
	return w.Service.Forget(ctx, j.Body.Owner, needed)
}

// keeper is one of a task's keepers at this moment.
type keeper struct {
	Keeper
	device   peers.DeviceID
	online   bool
	strange  bool // it answers and does not know this machine as a caretaker
	stale    bool // it knew a newer task, which this machine has now
	free     int64
	standing repair.Standing
}

// lookAfter looks at an owner's keepers and repairs what is to be repaired.
func (w *Worker) lookAfter(ctx context.Context, j caretaker.Job) error {
	x, err := w.watch(ctx, j)
	if err != nil {
		return err
	}
	ks := w.ask(ctx, j)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	now := w.Now()
	grace := time.Duration(j.Body.Grace) * time.Second
	missed := []peers.DeviceID{}
	for _, k := range ks {
		if k.stale {
			w.Logger.Info("a keeper handed over a newer task than this machine had", "owner", j.Body.Owner.Short(), "keeper", k.device.Short())
			return nil
		}
		h := x.history[k.device]
		if h == nil {
			h = &presence.History{}
			x.history[k.device] = h
		}
		if !k.strange {
			h.Mark(now, k.online)
			x.vain[k.device]++
		}
		if k.online {
			x.vain[k.device] = 0
		}
		switch {
		case k.online && failing(x.audits[k.device], now):
			k.standing = repair.Failing
		case k.online:
			k.standing = repair.Well
		case !k.strange && x.missed(k.device, now, grace):
			k.standing = repair.Missing
			missed = append(missed, k.device)
		default:
			k.standing = repair.Away
		}
	}
	w.Service.SetMissed(j.Body.Owner, missed)
	if age := now.Sub(x.saved); age >= saveEvery || age < 0 {
		if err := w.saveOne(ctx, j.Body.Owner, x); err != nil {
			return err
		}
	}
	if w.Rest() || now.Sub(w.Seen(j.Body.Owner)) < min(grace, ownerAway) {
		return nil
	}
	if err := w.noteLate(ctx, j.Body.Owner); err != nil {
		return err
	}
	if err := w.check(ctx, j, x, ks); err != nil {
		return err
	}
	return w.repair(ctx, j, x, ks)
}

// ask asks all keepers at once how they stand to the task.
func (w *Worker) ask(ctx context.Context, j caretaker.Job) []*keeper {
	out := make([]*keeper, len(j.Body.Keepers))
	var all sync.WaitGroup
	for i := range j.Body.Keepers {
		k := &j.Body.Keepers[i]
		out[i] = &keeper{Keeper: w.Reach(k.Device, k.Addresses), device: k.Device}
		all.Go(func() {
			one, cancel := context.WithTimeout(ctx, askTime)
			defer cancel()
			l, err := look(one, out[i], j.Body.Owner)
			if err == nil && l.Number < j.Body.Number {
				// It was off when the owner said it.
				if _, err = out[i].Care(one, caretaker.VerbTask, j.Raw); errors.Is(err, peers.ErrStale) {
					l.Number, err = j.Body.Number+1, nil
				}
			}
			if err == nil && l.Number > j.Body.Number {
				if err = w.follow(one, j, out[i]); err == nil {
					out[i].stale = true
					return
				}
				// Whoever only says so could keep this machine from its work for good.
				err = fmt.Errorf("%w: it says that it knows a newer task, and does not show it: %w", peers.ErrUnknown, err)
			}
			out[i].strange = errors.Is(err, peers.ErrRefused) || errors.Is(err, peers.ErrUnknown)
			if err != nil {
				w.Logger.Debug("a keeper of an owner", "owner", j.Body.Owner.Short(), "keeper", k.Device.Short(), "err", err)
				return
			}
			out[i].online, out[i].free = true, l.Free
		})
	}
	all.Wait()
	return out
}

// follow takes over the newer task that a keeper knows.
func (w *Worker) follow(ctx context.Context, j caretaker.Job, k *keeper) error {
	ask, err := caretaker.EncodeLook(j.Body.Owner)
	if err != nil {
		return err
	}
	raw, err := k.Care(ctx, caretaker.VerbNewest, ask)
	if err != nil {
		return err
	}
	return w.Service.Follow(ctx, j, raw)
}

func look(ctx context.Context, k Keeper, owner peers.DeviceID) (*caretaker.Look, error) {
	raw, err := caretaker.EncodeLook(owner)
	if err != nil {
		return nil, err
	}
	answer, err := k.Care(ctx, caretaker.VerbLook, raw)
	if err != nil {
		return nil, err
	}
	l, err := caretaker.DecodeLook(answer)
	if err != nil {
		return nil, errors.Join(peers.ErrProtocol, err)
	}
	return l, nil
}

// machines is the keepers as decisions see them.
func machines(j caretaker.Job, ks []*keeper) []repair.Machine {
	out := make([]repair.Machine, len(ks))
	for i, k := range ks {
		t := &j.Body.Keepers[i]
		out[i] = repair.Machine{
			Machine:  placement.Machine{ID: k.device, House: group("h", t.House), Person: group("p", t.Person), Room: k.free, Likely: 0.5, Takes: k.online},
			Standing: k.standing,
		}
	}
	return out
}

func group(kind string, n uint8) string {
	if n == 0 {
		return ""
	}
	return kind + string(rune(n))
}

// state is what a look at all segments depends on.
func state(ks []*keeper) string {
	b := make([]byte, 0, 2*len(ks))
	for _, k := range ks {
		b = append(b, byte(k.standing))
	}
	return string(b)
}

// save keeps the histories of all owners.
func (w *Worker) save(ctx context.Context) {
	for owner, x := range w.watches {
		if err := w.saveOne(ctx, owner, x); err != nil {
			w.Logger.Warn("note which keepers answer", "err", err)
		}
	}
}

func (w *Worker) saveOne(ctx context.Context, owner peers.DeviceID, x *watch) error {
	out := make(map[peers.DeviceID][]byte, len(x.history))
	for d, h := range x.history {
		out[d] = h.Encode()
	}
	x.saved = w.Now()
	return w.Service.SaveSeen(ctx, owner, out)
}

// todo is a segment of which pieces are to be made anew.
type todo struct{ part, at, spare int }

// repair looks at every segment, and mends those with the least to spare first.
func (w *Worker) repair(ctx context.Context, j caretaker.Job, x *watch, ks []*keeper) error {
	made, err := w.made(ctx, j.Body.Owner)
	if err != nil {
		return err
	}
	now := state(ks)
	if x.settled == now && x.task == j.Hash {
		return nil
	}
	ms := machines(j, ks)
	var list []todo
	for part := range j.Body.Parts {
		p, segs, err := w.Service.Part(ctx, j, part)
		if err != nil {
			return err
		}
		for at, s := range segs {
			if x.hopeless[caretask.SegmentHash(p[at])] == now {
				continue
			}
			plan := repair.Decide(believed(s, ks, made), ms, policy)
			if len(plan.Moves) > 0 {
				list = append(list, todo{part, at, plan.Spare})
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	slices.SortStableFunc(list, func(a, b todo) int { return a.spare - b.spare })
	pieces := 0
	var errs []error
	for _, t := range list {
		n, err := w.mend(ctx, j, x, ks, t)
		pieces += n
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if h := (*hopeless)(nil); errors.As(err, &h) {
			w.Logger.Warn("too few pieces of a segment of an owner's are left now", "owner", j.Body.Owner.Short(), "readable", h.have, "needed", h.need)
			x.hopeless[h.segment] = now
			continue
		}
		if err != nil && len(errs) < 3 {
			errs = append(errs, err)
		}
		if w.Rest() || w.Now().Sub(w.Seen(j.Body.Owner)) < min(time.Duration(j.Body.Grace)*time.Second, ownerAway) {
			return errors.Join(errs...) // the owner is back
		}
	}
	if pieces > 0 {
		w.Logger.Info("pieces of an owner who is off were made anew", "owner", j.Body.Owner.Short(), "pieces", pieces)
	}
	if pieces == 0 && len(errs) == 0 {
		x.settled = now
	}
	return errors.Join(errs...)
}

// policy is the owner's own for what it does in the background.
var policy = repair.Policy{Margin: -1, Fixed: true}
