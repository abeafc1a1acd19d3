// SPDX-License-Identifier: MPL-2.0

package rpc

import (
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
// share, else the oldest of all when every place is taken, else nil. The
// newest stays because it is the one that means it; others sit and wait.
func seat(in []*guest, g *guest) (now []*guest, leaves *guest) {
	same := func(o *guest) bool { return o.from == g.from }
	share, at := 0, -1
	for _, o := range in {
		if same(o) {
			share++
		}
	}
	switch {
	case share >= maxPerAddress:
		at = slices.IndexFunc(in, same)
	case len(in) >= maxGuests:
		at = 0
	}
	now = append(slices.Clone(in), g)
	if at < 0 {
		return now, nil
	}
	return slices.Delete(now, at, at+1), in[at]
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
