// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/transport"
)

const (
	// maxMirrors bounds the devices that are asked from where they see this one.
	maxMirrors = 3
	// mirrorTime bounds the wait for their answers, mirrorMore that for a
	// second one.
	mirrorTime, mirrorMore = 1500 * time.Millisecond, 200 * time.Millisecond
	// outerAge is how long an answer counts: routers forget in half a minute.
	outerAge = 15 * time.Second
	// watchTime is how long a device that asked is watched for.
	watchTime = 10 * time.Second
	// maxPlaces bounds the UDP addresses that one device gives of itself.
	maxPlaces = 6
)

// udp is what this device does by UDP. Without a socket it does nothing.
type udp struct {
	once sync.Once
	ask  sync.Mutex // held while others are asked where they see this device

	mu       sync.Mutex
	q        *transport.QUIC
	out      *transport.QUIC // to dial only, where q is nil
	err      error           // why there is none
	expected map[transport.Knock]func(netip.AddrPort)
	answers  map[transport.Knock]chan<- string // of devices that were asked
	outer    []string
	outerAt  time.Time
}

// listenUDP binds the UDP port with the number of the first TCP port. Where
// that cannot be had the device does without.
func (s *Service) listenUDP(ctx context.Context, l *transport.Listener) {
	q, err := l.ListenQUIC(ctx, l.Addrs()[0].String())
	if err != nil {
		s.log.Warn("no QUIC", "error", err)
	}
	s.udp.mu.Lock()
	defer s.udp.mu.Unlock()
	s.udp.q, s.udp.err = q, err
}

// quic is the UDP socket, or nil.
func (s *Service) quic() *transport.QUIC {
	s.udp.mu.Lock()
	defer s.udp.mu.Unlock()
	return s.udp.q
}

// dialer is the UDP socket to dial by: the one where this device is called, or,
// for one that is not, another. It is nil without QUIC.
func (s *Service) dialer() *transport.QUIC {
	if q := s.quic(); q != nil || !s.cfg.QUIC {
		return q
	}
	s.udp.mu.Lock()
	defer s.udp.mu.Unlock()
	if s.udp.out == nil && s.udp.err == nil {
		s.udp.out, s.udp.err = s.cfg.Identity.DialQUIC(s.life)
	}
	return s.udp.out
}

// byQUIC are those of the addresses that are of the internet, as they are dialled
// by QUIC: the port has the same number.
func (s *Service) byQUIC(addresses []string) []string {
	var out []string
	for _, a := range addresses {
		if s.abroad(a) {
			out = append(out, transport.QUICScheme+"://"+a)
		}
	}
	return out
}

// closeUDP ends what goes by UDP.
func (s *Service) closeUDP() error {
	s.udp.mu.Lock()
	q, out := s.udp.q, s.udp.out
	s.udp.out = nil
	s.udp.mu.Unlock()
	var err error
	if q != nil {
		s.udp.once.Do(func() { err = q.Close() })
	}
	if out != nil {
		err = errors.Join(err, out.Close())
	}
	return err
}

// expect has f called with where a knock comes from, until the returned
// function is called. f must not block.
func (s *Service) expect(k transport.Knock, f func(netip.AddrPort)) (end func()) {
	s.udp.mu.Lock()
	defer s.udp.mu.Unlock()
	if s.udp.expected == nil {
		s.udp.expected = make(map[transport.Knock]func(netip.AddrPort))
	}
	s.udp.expected[k] = f
	return func() {
		s.udp.mu.Lock()
		defer s.udp.mu.Unlock()
		delete(s.udp.expected, k)
	}
}

// knocked hears every knock that comes.
func (s *Service) knocked(k transport.Knock, from netip.AddrPort) {
	s.udp.mu.Lock()
	f := s.udp.expected[k]
	s.udp.mu.Unlock()
	if f != nil {
		f(from)
	}
}

func newKnock() transport.Knock {
	var k transport.Knock
	rand.Read(k[:]) // never fails, as crypto/rand documents
	return k
}

// watch tells the device on c from where its knock comes. Each has one watched
// for at a time.
func (p *contact) watch(c *control, token []byte) {
	if len(token) != len(transport.Knock{}) || p.s.quic() == nil {
		return
	}
	s, k := p.s, transport.Knock(token)
	seen := make(chan netip.AddrPort, 1)
	end := s.expect(k, func(from netip.AddrPort) {
		select {
		case seen <- from:
		default:
		}
	})
	watching, stop := context.WithTimeout(s.life, watchTime)
	p.mu.Lock()
	before := p.unwatch
	p.unwatch = stop
	p.mu.Unlock()
	if before != nil {
		before()
	}
	s.running.Go(func() {
		defer stop()
		defer end()
		select {
		case from := <-seen:
			if c.send(controlMsg{What: controlSeen, Token: token, Addresses: []string{from.String()}}) != nil {
				c.conn.Close()
			}
		case <-watching.Done():
		case <-c.done:
		}
	})
}

// seen takes what a device said that was asked.
func (s *Service) seen(m controlMsg) {
	if len(m.Token) != len(transport.Knock{}) || len(m.Addresses) != 1 {
		return
	}
	s.udp.mu.Lock()
	defer s.udp.mu.Unlock()
	if to := s.udp.answers[transport.Knock(m.Token)]; to != nil {
		delete(s.udp.answers, transport.Knock(m.Token))
		to <- m.Addresses[0] // it has room for all
	}
}

// places are where this device may be reached by UDP: through a port that its
// router passes on, as others see it, and at addresses of its own that are the
// internet's.
func (s *Service) places(ctx context.Context) []string {
	q := s.quic()
	if q == nil {
		return nil
	}
	var out []string
	s.ways.mu.Lock()
	if s.ways.mappedUDP != "" {
		out = append(out, s.ways.mappedUDP)
	}
	s.ways.mu.Unlock()
	for _, a := range s.outerPlaces(ctx, q) {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	if u, ok := q.Addr().(*net.UDPAddr); ok {
		for _, a := range transport.Candidates([]net.Addr{&net.TCPAddr{IP: u.IP, Port: u.Port, Zone: u.Zone}}) {
			if s.abroad(a) && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out[:min(len(out), maxPlaces)]
}

// abroad says whether an address is of the internet; those of this machine
// count where it is all there is.
func (s *Service) abroad(address string) bool {
	switch transport.RouteOf(address) {
	case transport.Direct:
		to, err := netip.ParseAddrPort(address)
		return err == nil && to.Addr().Unmap().IsGlobalUnicast() // UDP also goes to many at once
	case transport.SameMachine:
		return s.alone()
	}
	return false
}

// alone says whether nobody but this machine can reach it.
func (s *Service) alone() bool {
	s.mu.Lock()
	l := s.listener
	s.mu.Unlock()
	return l != nil && transport.LoopbackOnly(l.Addrs())
}

// private is alone also of a device that is not called now: where it will be.
func (s *Service) private() bool {
	return s.alone() || len(s.cfg.Listen) > 0 && !slices.ContainsFunc(s.cfg.Listen, func(a string) bool {
		return transport.RouteOf(a) != transport.SameMachine
	})
}

// outerPlaces asks, unless it did just now, from where others see this device
// by UDP.
func (s *Service) outerPlaces(ctx context.Context, q *transport.QUIC) []string {
	s.udp.ask.Lock()
	defer s.udp.ask.Unlock()
	s.udp.mu.Lock()
	have, fresh := s.udp.outer, time.Since(s.udp.outerAt) < outerAge
	s.udp.mu.Unlock()
	if fresh {
		return have
	}
	asked := make(map[transport.Knock]netip.AddrPort)
	answers := make(chan string, maxMirrors)
	for c, at := range s.mirrors() {
		k := newKnock()
		asked[k] = at
		s.udp.mu.Lock()
		if s.udp.answers == nil {
			s.udp.answers = make(map[transport.Knock]chan<- string)
		}
		s.udp.answers[k] = answers
		s.udp.mu.Unlock()
		if c.send(controlMsg{What: controlWatch, Token: k[:]}) != nil {
			c.conn.Close()
		}
	}
	defer func() {
		s.udp.mu.Lock()
		defer s.udp.mu.Unlock()
		for k := range asked {
			delete(s.udp.answers, k)
		}
	}()
	out := s.mirrored(ctx, q, asked, answers)
	s.udp.mu.Lock()
	defer s.udp.mu.Unlock()
	s.udp.outer, s.udp.outerAt = out, time.Now()
	if len(out) == 0 {
		s.udp.outerAt = time.Time{} // asked again next time
	}
	return out
}

// mirrored knocks at those who were asked until they answer.
func (s *Service) mirrored(ctx context.Context, q *transport.QUIC, asked map[transport.Knock]netip.AddrPort, answers <-chan string) []string {
	if len(asked) == 0 {
		return nil
	}
	var out []string
	knock := time.NewTicker(100 * time.Millisecond) // the first is sent after the request
	defer knock.Stop()
	over := time.NewTimer(mirrorTime)
	defer over.Stop()
	for n := 0; n < len(asked); {
		select {
		case <-knock.C:
			for k, at := range asked {
				if err := q.Knock(k, at); err != nil {
					s.log.Debug("knock", "error", err)
				}
			}
		case a := <-answers:
			n++
			if s.abroad(a) && len(circle.Learned([]string{a}, s.alone())) == 1 && !slices.Contains(out, a) {
				out = append(out, a)
			}
			over.Reset(mirrorMore)
		case <-over.C:
			return out
		case <-ctx.Done():
			return out
		}
	}
	return out
}

// mirrors are devices that are reached at an address where they may hear this
// one by UDP too, and those addresses.
func (s *Service) mirrors() map[*control]netip.AddrPort {
	out := make(map[*control]netip.AddrPort)
	for _, p := range s.everybody() {
		c := p.control()
		if c == nil || len(out) == maxMirrors {
			continue
		}
		var at netip.AddrPort
		switch a := c.conn.RemoteAddr().(type) {
		case *net.UDPAddr:
			at = a.AddrPort()
		case *net.TCPAddr:
			if c.ours {
				at = a.AddrPort()
			}
		}
		at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
		if c.conn.Route() != transport.Relayed && at.IsValid() && s.abroad(at.String()) {
			out[c] = at
		}
	}
	return out
}

// viaQUIC is where a device is that is in touch by QUIC, or empty.
func (s *Service) viaQUIC(device peers.DeviceID) string {
	c := s.touch(device)
	if c == nil || c.conn.Route() != transport.QUICRoute {
		return ""
	}
	u, ok := c.conn.RemoteAddr().(*net.UDPAddr)
	if !ok {
		return ""
	}
	at := u.AddrPort()
	return transport.QUICScheme + "://" + netip.AddrPortFrom(at.Addr().Unmap(), at.Port()).String()
}

// errNoPlace: nobody can tell from where this device is seen by UDP.
var errNoPlace = errors.New("nobody sees this device by UDP")
