// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/preezm/preezm/peers/transport"
)

const (
	// maxGuests bounds the connections of devices that may only join.
	maxGuests = 16
	// maxPerAddress bounds those of one address. An identity costs nothing,
	// an address does.
	maxPerAddress = 4
	// maxPassed bounds the connections of guests with a pass, who need none of
	// the places above.
	maxPassed = 256
)

// guest is the connection of a device that may only join.
type guest struct {
	conn *transport.Conn
	from netip.Prefix
	end  *time.Timer // closes conn when its time is over, whatever goes on
}

// seat puts g at the end of the guests that are in, oldest first, and returns
// who has to leave for it: the oldest of its own address when that has its
// share; when every place is taken the oldest of those whose network, and of
// these whose address, has most of them; else nil. So somebody with many
// addresses in few networks pushes nobody off but itself. The newest stays
// because it is the one that means it; others sit and wait.
func seat(in []*guest, g *guest) (now []*guest, leaves *guest) {
	now = append(slices.Clone(in), g)
	addresses, networks := map[netip.Prefix]int{}, map[netip.Prefix]int{}
	for _, o := range now {
		addresses[o.from]++
		networks[network(o.from)]++
	}
	at := -1
	switch {
	case addresses[g.from] > maxPerAddress:
		at = slices.IndexFunc(in, func(o *guest) bool { return o.from == g.from })
	case len(now) > maxGuests:
		for i, o := range in {
			if at < 0 || cmp.Or(networks[network(o.from)]-networks[network(in[at].from)], addresses[o.from]-addresses[in[at].from]) > 0 {
				at = i
			}
		}
	}
	if at < 0 {
		return now, nil
	}
	return slices.Delete(now, at, at+1), in[at]
}

// network is what is handed out whole, about: an IPv4 address's /24 or an IPv6
// one's /48.
func network(from netip.Prefix) netip.Prefix {
	bits := 48
	if from.Addr().Is4() {
		bits = 24
	}
	p, err := from.Addr().Prefix(bits)
	if err != nil {
		return netip.Prefix{} // of no IP address
	}
	return p
}

// welcome gives a guest its place and its time.
func (v *server) welcome(c *transport.Conn) {
	g := &guest{conn: c, from: transport.Origin(c.RemoteAddr())}
	life := v.s.cfg.times.join
	if !v.s.cfg.Book.MayJoin(c.Device(), time.Now()) && !v.mayCome(c.Device()) { // it can only show a pass
		life = min(life, v.s.cfg.times.stranger)
	}
	v.mu.Lock()
	g.end = time.AfterFunc(life, func() { c.Close() })
	now, leaves := seat(v.guestConns, g)
	v.guestConns = now
	v.mu.Unlock()
	if leaves != nil {
		leaves.end.Stop()
		leaves.conn.Close()
	}
}

// crowded takes a connection off when guests with a pass have too many: the
// oldest of the device that has most. The caller closes it; called with mu held.
func (v *server) crowded() *transport.Conn {
	if len(v.passed) <= v.room {
		return nil
	}
	var most []*transport.Conn
	for c := range v.passed {
		if conns := v.open[c.Device()]; len(conns) > len(most) {
			most = conns
		}
	}
	if len(most) == 0 {
		return nil
	}
	c := most[0]
	delete(v.passed, c)
	if v.open[c.Device()] = slices.Clone(most[1:]); len(most) == 1 {
		delete(v.open, c.Device())
	}
	return c
}

// gone takes a closed guest off the list; called with mu held.
func (v *server) gone(c *transport.Conn) {
	i := slices.IndexFunc(v.guestConns, func(g *guest) bool { return g.conn == c })
	if i < 0 {
		return // it made room for another, or never had a place
	}
	v.guestConns[i].end.Stop()
	v.guestConns = slices.Delete(slices.Clone(v.guestConns), i, i+1)
}
