// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"maps"
	"slices"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/transport"
)

// rateSpan is over how long the present throughput is taken.
const rateSpan = 10 * time.Second

// Report is how this device reaches the others, and they it.
type Report struct {
	Listens   bool
	Own       []string // where others are told to find it
	Mapped    string   // the port that the router passes on, host:port
	MappedUDP string   // the same for UDP
	NoMap     error    // why there is none; nil when not asked
	QUIC      bool     // whom TCP does not reach is reached by UDP
	Outer     []string // where others saw this device by UDP last
	Servers   []ServerReport
	Offered   []Offer // servers that members run and that are not in use
	Peers     []PeerReport
}

// ServerReport is a relay or a discovery server in use.
type ServerReport struct {
	Address string
	Relay   bool
	Own     bool   // run by this device
	Class   string // why it does not work, in a word; empty: it does
}

// Offer is a server that a member runs for its circle.
type Offer struct {
	By      peers.DeviceID
	Address string
}

// PeerReport is the way to one device.
type PeerReport struct {
	Device    peers.DeviceID
	Name      string
	Online    bool
	Route     transport.Route
	Address   string // as dialled; empty when the device dialled this one
	Mapped    bool   // that address is one its router passes on
	Dialled   bool   // this device dialled
	Since     time.Time
	Met       time.Time // when it was in touch last
	Latency   time.Duration
	In, Out   int64 // bytes since the start
	InRate    int64 // bytes a second lately
	OutRate   int64
	Addresses []string // that are known
	Tried     []Tried  // what dialling found last
}

// Tried is what became of dialling one address.
type Tried struct {
	Address string
	Kind    string // its kind, without the address
	At      time.Time
	Class   string // what went wrong, in a word; empty: it led there
	Err     error
}

// sample is what had moved at a moment.
type sample struct {
	at      time.Time
	in, out int64
}

// measure notes how much has moved; called about once a second.
func (p *contact) measure(now time.Time) {
	in, out := p.s.client(p.device).link.moved()
	if c := p.control(); c != nil {
		i, o := c.conn.Moved()
		in, out = in+i, out+o
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.samples = append(p.samples, sample{now, in, out})
	for len(p.samples) > 2 && now.Sub(p.samples[1].at) >= rateSpan {
		p.samples = p.samples[1:]
	}
}

// rate is bytes a second over the samples, never negative: a connection that
// is replaced takes its count along.
func (p *contact) rate() (in, out int64) {
	if len(p.samples) < 2 {
		return 0, 0
	}
	a, b := p.samples[0], p.samples[len(p.samples)-1]
	span := b.at.Sub(a.at).Seconds()
	if span <= 0 {
		return 0, 0
	}
	return max(0, int64(float64(b.in-a.in)/span)), max(0, int64(float64(b.out-a.out)/span))
}

// Report says how things are now; it asks nobody.
func (s *Service) Report() Report {
	s.mu.Lock()
	r := Report{Listens: s.listener != nil && len(s.cfg.Listen) > 0}
	contacts := maps.Clone(s.contacts)
	s.mu.Unlock()
	r.Own = s.Addresses()
	s.udp.mu.Lock()
	r.QUIC, r.Outer = s.udp.q != nil, slices.Clone(s.udp.outer)
	s.udp.mu.Unlock()
	offers := s.offers()
	s.ways.mu.Lock()
	r.Mapped, r.MappedUDP, r.NoMap = s.ways.mapped, s.ways.mappedUDP, s.ways.noMap
	for server, err := range s.ways.state {
		r.Servers = append(r.Servers, ServerReport{server, circle.IsRelay(server), slices.Contains(offers, server), errorClass(err)})
	}
	s.ways.mu.Unlock()
	slices.SortFunc(r.Servers, func(a, b ServerReport) int {
		if a.Address < b.Address {
			return -1
		}
		return 1
	})
	chosen := s.configured()
	for _, p := range s.cfg.Book.Peers() {
		for _, offered := range p.Servers {
			if !slices.ContainsFunc(chosen, func(c string) bool { return circle.SameServer(c, offered) }) {
				r.Offered = append(r.Offered, Offer{p.Device, offered})
			}
		}
		one := PeerReport{Device: p.Device, Name: p.Name, Met: p.LastSeen, Addresses: p.Addresses}
		if c := contacts[p.Device]; c != nil {
			c.fill(&one)
		}
		r.Peers = append(r.Peers, one)
	}
	return r
}

func (p *contact) fill(r *PeerReport) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.met.After(r.Met) {
		r.Met = p.met
	}
	if c := p.now; c != nil {
		r.Online, r.Route, r.Address, r.Dialled, r.Since = true, c.conn.Route(), c.addr, c.ours, c.conn.Opened()
		r.Latency = time.Duration(c.rtt.Load())
		r.Mapped = c.addr != "" && slices.Contains(p.mapped, c.addr)
	}
	r.InRate, r.OutRate = p.rate()
	if n := len(p.samples); n > 0 {
		r.In, r.Out = p.samples[n-1].in, p.samples[n-1].out
	}
	for a, t := range p.tried {
		r.Tried = append(r.Tried, Tried{a, addressClass(a), t.at, errorClass(t.err), t.err})
	}
	slices.SortFunc(r.Tried, func(a, b Tried) int {
		if d := int(transport.RouteOf(a.Address)) - int(transport.RouteOf(b.Address)); d != 0 {
			return d
		}
		return a.At.Compare(b.At)
	})
}
