// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"
)

// door counts the QUIC handshakes under way, of all and of each origin. Unlike
// with TCP nobody is sent away for a newcomer: quic-go lets a handshake be
// refused, not ended. Whoever is refused still has TCP.
type door struct {
	mu      sync.Mutex
	waiting int
	from    map[netip.Prefix]int
}

// visitor is a QUIC connection that somebody opened to here.
type visitor struct {
	leave  func() // no stranger any more; counts once
	member atomic.Bool
}

type visitorKey struct{}

// enter lets a connection begin its handshake, or not.
func (d *door) enter(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	if !info.AddrVerified {
		return nil, errUnproven
	}
	from := Origin(info.RemoteAddr)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting >= maxHandshakes || d.from[from] >= maxPerOrigin {
		return nil, ErrBusy
	}
	if d.from == nil {
		d.from = make(map[netip.Prefix]int)
	}
	d.waiting++
	d.from[from]++
	v := &visitor{leave: sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.waiting--
		if d.from[from]--; d.from[from] == 0 {
			delete(d.from, from)
		}
	})}
	context.AfterFunc(ctx, v.leave)
	return context.WithValue(ctx, visitorKey{}, v), nil
}

func visitorOf(c *quic.Conn) *visitor {
	v, _ := c.Context().Value(visitorKey{}).(*visitor)
	return v
}

// admitted is called when a device was let in.
func admitted(c *quic.Conn, w Welcome) {
	if v := visitorOf(c); v != nil {
		v.member.Store(w == Member)
		v.leave()
	}
}

// mayGrow says whether more may come unread on a connection: on those that this
// device dialled, and members'.
func mayGrow(c *quic.Conn, _ uint64) bool {
	v := visitorOf(c)
	return v == nil || v.member.Load()
}
