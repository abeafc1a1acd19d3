// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/transport"
)

const (
	// udpPause is the first and udpPauseMost the longest pause between looks for
	// a way by UDP.
	udpPause, udpPauseMost = 4 * time.Second, 10 * time.Minute
	// udpLived is how long such a way must have worked to begin anew with them.
	udpLived = 5 * time.Minute
	// udpTime bounds dialling one address by QUIC.
	udpTime = 5 * time.Second
	// answerTime is how long the other side may take to say where it is.
	answerTime = 3 * time.Second
	// settleTime is how long a connection must have been there before it is used
	// to agree on that: when both sides dialled at once the other one stays.
	settleTime = time.Second
	// knockTime is how long a device knocks, knockEvery how often.
	knockTime, knockEvery = 5 * time.Second, 150 * time.Millisecond
	// answerGap is the least time between answers to one device.
	answerGap = 2 * time.Second
	// maxCommon bounds the devices that are asked to pass something on at once,
	// maxForwarded what is passed on for one device within passGap, and what is
	// heeded of what it says of others.
	maxCommon, maxForwarded = 3, 8
	passGap                 = 10 * time.Second
)

var errNoAnswer = errors.New("it says nothing about UDP")

// digger is what a contact does to be reached by UDP. Its mutex is the contact's.
type digger struct {
	busy     bool
	blind    bool // nobody was there to help
	due      time.Time
	pause    time.Duration
	token    transport.Knock // of the attempt under way
	answer   chan []string   // nil: none is under way
	answered time.Time       // when the other side's request was answered last
	theirs   transport.Knock // that request
	unwatch  func()          // ends watching for the other side
	passed   ration          // what it had passed on
	brought  ration          // what others asked, as it says
}

// ration counts what a device may have done for it within passGap.
type ration struct {
	n     int
	since time.Time
}

// spend takes one of it, and says whether there was one.
func (r *ration) spend() bool {
	if time.Since(r.since) > passGap {
		*r = ration{since: time.Now()}
	}
	r.n++
	return r.n <= maxForwarded
}

// tryUDP looks for a way by UDP, unless it did lately, and gives how long to wait
// before it is called again, at most most. c is the connection by which the
// device is reached now, or nil.
func (p *contact) tryUDP(ctx context.Context, c *control, most time.Duration) time.Duration {
	if p.s.quic() == nil {
		return most
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	due := p.due
	if c != nil {
		due = later(due, c.conn.Opened().Add(settleTime))
	}
	if wait := time.Until(due); p.busy || wait > 0 {
		return min(max(wait, settleTime), most)
	}
	p.busy = true
	p.s.running.Go(func() {
		started := time.Now()
		err := p.byUDP(ctx, c)
		if err != nil && !errors.Is(err, errNoAnswer) {
			p.s.journal.add(p.device, "no way by UDP", errorClass(err), "", time.Since(started))
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.busy, p.blind = false, errors.Is(err, errNoPlace)
		p.pause = min(max(2*p.pause, udpPause), udpPauseMost)
		p.due = time.Now().Add(p.pause)
	})
	return most
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// again begins anew with the pauses: the network is another one, or the way
// worked for long.
func (p *contact) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pause, p.due = 0, time.Time{}
}

// helped has those look again that nobody could help before: now somebody is in
// touch who might.
func (s *Service) helped() {
	for _, p := range s.everybody() {
		p.mu.Lock()
		blind := p.blind
		if p.blind = false; blind {
			p.pause, p.due = 0, time.Time{}
		}
		p.mu.Unlock()
		if blind {
			p.wake()
		}
	}
}

// byUDP dials by QUIC: where the device is known to be, when nothing else leads
// there, then where both sides open their routers at the same moment. The one
// with the smaller ID begins.
func (p *contact) byUDP(ctx context.Context, c *control) error {
	s := p.s
	if c == nil {
		known, _ := s.cfg.Book.Peer(p.device)
		places := slices.DeleteFunc(slices.Clone(known.Addresses), func(a string) bool { return !s.abroad(a) })
		if p.dialQUIC(ctx, places[:min(len(places), maxMirrors)]) == nil {
			return nil
		}
	}
	if self := s.cfg.Identity.Device(); bytes.Compare(self[:], p.device[:]) > 0 {
		return errNoAnswer
	}
	mine := s.places(ctx)
	err := p.agree(ctx, c, mine)
	if err != nil && len(mine) == 0 {
		return errNoPlace // only a place of the other side's could have helped
	}
	return err
}

// agree tells the device where this one is, and goes where it says that it is.
func (p *contact) agree(ctx context.Context, c *control, mine []string) error {
	s := p.s
	k, answer := newKnock(), make(chan []string, 1)
	p.mu.Lock()
	p.token, p.answer = k, answer
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.answer = nil
	}()
	extra := make(chan string, maxPlaces)
	defer s.expect(k, func(from netip.AddrPort) {
		select {
		case extra <- from.String():
		default:
		}
	})()
	if !p.tell(c, controlMsg{What: controlPunch, Token: k[:], Addresses: mine}) {
		return errNoPlace
	}
	wait := time.NewTimer(answerTime)
	defer wait.Stop()
	select {
	case theirs := <-answer:
		return p.punch(ctx, k, theirs, extra)
	case <-wait.C:
		return errNoAnswer
	case <-ctx.Done():
		return ctx.Err()
	}
}

// punch knocks at the places where the other side says it is, and dials them,
// then those where it came from all the same.
func (p *contact) punch(ctx context.Context, k transport.Knock, theirs []string, extra <-chan string) error {
	knocking, stop := context.WithTimeout(ctx, knockTime)
	var knocks sync.WaitGroup
	knocks.Go(func() { p.s.knockAt(knocking, k, theirs) })
	err := p.dialQUIC(ctx, theirs)
	stop()
	knocks.Wait()
	if err == nil {
		return nil
	}
	var others []string
	if len(theirs) == 0 { // it knows no place of its own, and knocks
		wait := time.NewTimer(answerTime)
		defer wait.Stop()
		select {
		case a := <-extra:
			others = append(others, a)
		case <-wait.C:
		case <-ctx.Done():
		}
	}
	for more := true; more; {
		select {
		case a := <-extra:
			if !slices.Contains(theirs, a) && !slices.Contains(others, a) {
				others = append(others, a)
			}
		default:
			more = false
		}
	}
	if len(others) == 0 {
		return err
	}
	return p.dialQUIC(ctx, others)
}

// dialQUIC dials places by QUIC and keeps touch that way.
func (p *contact) dialQUIC(ctx context.Context, places []string) error {
	if len(places) == 0 {
		return errNoPlace
	}
	s := p.s
	started := time.Now()
	addresses := make([]string, len(places))
	for i, a := range places {
		addresses[i] = transport.QUICScheme + "://" + a
	}
	c, addr, err := s.cfg.Identity.Dial(ctx, p.device, addresses, transport.DialOptions{
		QUIC: s.quic(), Idle: s.cfg.times.idle, Timeout: udpTime, Kind: transport.Control,
	})
	if err != nil {
		return err
	}
	if now := p.control(); ctx.Err() != nil || now != nil && now.conn.Route() < transport.QUICRoute {
		c.Close() // something better was found meanwhile
		return ctx.Err()
	}
	s.journal.add(p.device, "dialled", c.Route().String(), addressClass(addr), time.Since(started))
	s.client(p.device).link.leads(addr, c.Route())
	p.adopt(ctx, &control{s: s, conn: c, ours: true, addr: addr, done: make(chan struct{})})
	return nil
}

// knockAt knocks until ctx ends.
func (s *Service) knockAt(ctx context.Context, k transport.Knock, places []string) {
	q := s.quic()
	tick := time.NewTicker(knockEvery)
	defer tick.Stop()
	for {
		for _, a := range places {
			if to, err := netip.ParseAddrPort(a); err == nil {
				if err := q.Knock(k, to); err != nil {
					s.log.Debug("knock", "error", err)
				}
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// tell says something to the device: on a connection, or where there is none
// through others that both may know.
func (p *contact) tell(c *control, m controlMsg) bool {
	if c != nil {
		return c.send(m) == nil
	}
	told := 0
	for _, o := range p.s.everybody() {
		via := o.control()
		if via == nil || o == p || via.conn.Route() == transport.Relayed || told == maxCommon {
			continue
		}
		if via.send(passing(p.device, m)) == nil {
			told++
		}
	}
	return told > 0
}

// passing is a message that somebody else is asked to pass on to a device.
func passing(to peers.DeviceID, m controlMsg) controlMsg {
	m.What, m.Device = controlPass, to[:]
	return m
}

// passOn gives another member what p has to say about UDP, if this device is in
// touch with it; it says nothing about who that is, or is not.
func (p *contact) passOn(m controlMsg) {
	s := p.s
	if len(m.Device) != len(peers.DeviceID{}) {
		return
	}
	p.mu.Lock()
	ok := p.passed.spend()
	p.mu.Unlock()
	to := s.touch(peers.DeviceID(m.Device))
	if to == nil || !ok || peers.DeviceID(m.Device) == p.device {
		return
	}
	m.What, m.Device = controlPunch, p.device[:]
	s.running.Go(func() {
		if to.send(m) != nil {
			to.conn.Close()
		}
	})
}

// heardPunch takes a request to open a way, or the answer to one, that came on
// c: of its device, or of one for which that passed it on.
func (p *contact) heardPunch(ctx context.Context, c *control, m controlMsg) {
	s, from, say := p.s, p, c.send
	if len(m.Device) != 0 {
		if len(m.Device) != len(peers.DeviceID{}) {
			return
		}
		origin := peers.DeviceID(m.Device)
		s.mu.Lock()
		from = s.contacts[origin]
		s.mu.Unlock()
		say = func(m controlMsg) error { return c.send(passing(origin, m)) }
	}
	if from == nil || len(m.Token) != len(transport.Knock{}) || s.quic() == nil {
		return
	}
	k := transport.Knock(m.Token)
	theirs := circle.Learned(m.Addresses, s.alone())
	theirs = slices.DeleteFunc(theirs, func(a string) bool { return !s.abroad(a) })
	theirs = theirs[:min(len(theirs), maxPlaces)]
	if len(m.Device) != 0 && !m.Answer {
		// Each request has this device send packets to addresses that somebody
		// chose: whoever makes requests up must not have more of them by
		// naming more devices.
		p.mu.Lock()
		ok := p.brought.spend()
		p.mu.Unlock()
		if !ok {
			return
		}
	}
	from.mu.Lock()
	defer from.mu.Unlock()
	if m.Answer {
		if from.answer != nil && from.token == k {
			select {
			case from.answer <- theirs:
			default:
			}
		}
		return
	}
	if from.theirs == k || time.Since(from.answered) < answerGap {
		return // it came by several, or too soon
	}
	from.theirs, from.answered = k, time.Now()
	s.running.Go(func() { from.open(ctx, k, theirs, say) })
}

// open opens this side's router for the other side, and says where to come.
func (p *contact) open(ctx context.Context, k transport.Knock, theirs []string, say func(controlMsg) error) {
	s := p.s
	mine := s.places(ctx)
	if err := say(controlMsg{What: controlPunch, Answer: true, Token: k[:], Addresses: mine}); err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, knockTime)
	defer cancel()
	s.knockAt(ctx, k, theirs)
}
