// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers"
)

const (
	// runEvery is how often the fellows are told without a reason, and the
	// clock is looked at: for the day's step of the ratchet, and so that what
	// was believed is on the disk.
	runEvery = 30 * time.Second
	// lookEvery is how often it looks whether the machine slept or its clock was
	// set: timers stand still in a sleep, and would fire that much too late.
	lookEvery  = time.Second
	jump       = 5 * time.Second
	gossipTime = 5 * time.Second // for all of them
	// firstWait is how long a request waits for the first round: a machine
	// that was off may have missed a revocation that a fellow knows.
	firstWait = 500 * time.Millisecond
	// gossipBytes bounds the revocations in one message.
	gossipBytes = 512 << 10
	// answerAge is how long a release is kept to be repeated, in seconds: a
	// later request is refused for its age before anybody looks.
	answerAge = custody.MaxRequestAge + 3600
)

// Finder gives a way to a fellow custodian at these addresses, or any better ones
// that are known; nil when there is none.
type Finder func(d peers.DeviceID, addresses []string) Caller

// Run keeps a custodian's time until ctx ends: it forgets, day by day, and
// exchanges news with the fellow custodians that find leads to.
func (s *Service) Run(ctx context.Context, find Finder) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	s.find.Store(&find)
	defer s.find.Store(nil)
	defer s.first.Store(nil)
	var heard func()
	defer func() { heard() }()
	hold := func() { // until the others were heard, requests wait a moment
		first := make(chan struct{})
		heard = sync.OnceFunc(func() { close(first) })
		s.first.Store(&first)
	}
	hold()
	for {
		// After the others were heard: a clock that nobody confirms is in
		// doubt when the machine was off for long.
		begun, shown := time.Now(), s.o.Now()
		s.gossipAll(ctx, find)
		heard()
		if ctx.Err() == nil {
			if err := s.Tick(ctx); err != nil {
				s.log.Error("custodian", "error", err)
			}
		}
	wait:
		for {
			select {
			case <-ctx.Done():
				return
			case <-s.news:
				break wait
			case <-look.C:
				if s.jumped(begun, shown) {
					s.log.Info("the clock jumped, or this machine slept")
					s.forgetClocks()
					hold()
					break wait
				}
				if time.Since(begun) >= runEvery {
					break wait
				}
			}
		}
	}
}

// jumped says whether the clock went another way than this machine's timers
// since a moment: it was set, or the machine slept.
func (s *Service) jumped(begun, shown time.Time) bool {
	return (s.o.Now().Round(0).Sub(shown.Round(0)) - time.Since(begun)).Abs() >= jump
}

// Tick does what time asks for: it steps the chains of owners for whom the
// clock is not in doubt, writes the counts of a past hour of refusals, notes
// the time that was believed, and drops answers that nobody can ask for.
func (s *Service) Tick(ctx context.Context) error {
	verdicts := map[custody.Key]custody.Verdict{}
	owners := s.all()
	for _, o := range owners {
		o.mu.Lock()
		verdicts[o.root] = s.judge(o)
		o.mu.Unlock()
	}
	moved, err := s.settle(verdicts)
	errs := []error{err}
	for _, o := range owners {
		errs = append(errs, s.tickOwner(ctx, o, verdicts[o.root], moved[o.root]))
	}
	return errors.Join(errs...)
}

// settle steps every chain that is behind, in one new state of the ratchet,
// and gives the first days that are left.
func (s *Service) settle(verdicts map[custody.Key]custody.Verdict) (map[custody.Key]uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := map[custody.Key]uint32{}
	chains := maps.Clone(s.kept.chains)
	for k, c := range chains {
		v, ok := verdicts[k.owner]
		if !ok {
			continue // its appointment was never finished
		}
		if next, ok := c.Settle(v); ok {
			chains[k] = next
			moved[k.owner] = next.Day
		}
	}
	if len(moved) == 0 {
		return nil, nil
	}
	if err := s.kept.save(chains); err != nil {
		return nil, err
	}
	return moved, nil
}

func (s *Service) tickOwner(ctx context.Context, o *owner, v custody.Verdict, day uint32) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := s.fresh(ctx, o); err != nil {
		return err
	}
	var entries []ledger.Entry
	if v.Doubt != "" {
		s.log.Warn("the clock is in doubt: no keys are given and none forgotten", "doubt", v.Doubt)
	} else {
		entries = o.refusals.Flush(v.Now)
	}
	if day > 0 {
		entries = append(entries, ledger.Entry{At: v.Now, Kind: ledger.Erase, Detail: strconv.FormatUint(uint64(day), 10)})
	}
	with := []statement{{"DELETE FROM answered WHERE owner = ? AND at < ?", []any{o.root[:], o.clock.High - answerAge}}}
	if err := s.noteWith(ctx, o, with, entries...); err != nil {
		return err
	}
	for r, at := range o.answered {
		if at < o.clock.High-answerAge {
			delete(o.answered, r)
		}
	}
	return nil
}

// settled waits until the fellows were heard once, not for long.
func (s *Service) settled(ctx context.Context) {
	first := s.first.Load()
	if first == nil {
		return
	}
	timer := time.NewTimer(firstWait)
	defer timer.Stop()
	select {
	case <-*first:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// gossipAll exchanges news with every fellow of every owner.
func (s *Service) gossipAll(ctx context.Context, find Finder) {
	ctx, cancel := context.WithTimeout(ctx, gossipTime)
	defer cancel()
	var wg sync.WaitGroup
	for _, o := range s.all() {
		o.mu.Lock()
		var fellows []Member
		if o.panel != nil {
			fellows = o.panel.Body.Members
		}
		o.mu.Unlock()
		for _, m := range fellows {
			if peers.DeviceID(m.Device) == s.o.Device {
				continue
			}
			if c := find(m.Device, m.Addresses); c != nil {
				wg.Go(func() {
					if err := s.tell(ctx, o, m.Device, Client{c}); err != nil {
						s.log.Debug("gossip", "with", peers.DeviceID(m.Device).Short(), "error", err)
					}
				})
			}
		}
	}
	wg.Wait()
}

// tell exchanges news of one owner with one fellow, and hears its clock.
func (s *Service) tell(ctx context.Context, o *owner, fellow peers.DeviceID, c Client) error {
	w, err := s.whispers(ctx, o)
	if err != nil {
		return err
	}
	a, err := c.gossip(ctx, *w)
	s.near.set(fellow, err == nil)
	if err != nil {
		return err
	}
	s.Heard(fellow, a.At)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := s.fresh(ctx, o); err != nil {
		return err
	}
	return s.learn(ctx, o, &a.News)
}

// whispers is what this custodian tells about an owner.
func (s *Service) whispers(ctx context.Context, o *owner) (*Whispers, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := s.fresh(ctx, o); err != nil {
		return nil, err
	}
	return s.whispersLocked(ctx, o, true)
}

func (s *Service) whispersLocked(ctx context.Context, o *owner, revocations bool) (*Whispers, error) {
	w := &Whispers{News: News{Owner: o.root}, Revocations: o.revocations(), At: max(s.o.Now().Unix(), 0)}
	if o.devices != nil {
		w.News.DeviceSet = o.devices.Raw
	}
	if o.panel != nil {
		w.News.Panel = o.panel.Raw
	}
	if o.status != nil {
		w.News.Status = o.status.Raw
	}
	if revocations {
		// Unordered on purpose: when they are too many for one message, each
		// exchange brings others.
		all, err := s.store.raws(ctx, "SELECT raw FROM revoked WHERE owner = ? ORDER BY random() LIMIT 1000", o.root[:])
		if err != nil {
			return nil, err
		}
		size := 0
		for _, raw := range all {
			if size += len(raw); size > gossipBytes {
				break
			}
			w.News.Revocations = append(w.News.Revocations, raw)
		}
	}
	head, err := o.log.Sign(o.sign, max(s.judge(o).Now, 0))
	if err != nil {
		return nil, err
	}
	w.News.Heads = [][]byte{head.Raw}
	heads, err := s.heads(ctx, o)
	if err != nil {
		return nil, err
	}
	w.News.Heads = append(w.News.Heads, heads[:min(len(heads), 128)]...)
	return w, nil
}

// Gossip is the other side of tell.
func (s *Service) Gossip(ctx context.Context, from peers.DeviceID, raw []byte) ([]byte, error) {
	if !s.limit.Allow(byFellow, from, perFellow, s.o.Now()) {
		return nil, refused(errTooMany)
	}
	var in Whispers
	if err := custody.Unmarshal(raw, &in); err != nil {
		return nil, refused(err)
	}
	o, err := s.listen(ctx, from, in.News.Owner)
	if err != nil {
		return nil, err
	}
	defer o.mu.Unlock()
	s.Heard(from, in.At)
	if err := s.learn(ctx, o, &in.News); err != nil {
		return nil, err
	}
	out, err := s.whispersLocked(ctx, o, in.Revocations != o.revocations())
	if err != nil {
		return nil, err
	}
	return custody.Marshal(out)
}
