// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
)

const (
	// handshakeTime bounds a handshake, welcome included.
	handshakeTime = 5 * time.Second
	// DefaultIdle is how long a transfer may stand still.
	DefaultIdle = 30 * time.Second
)

// ListenOptions says who is let in and where they go.
type ListenOptions struct {
	// Admit says what a device with a proven identity is told. A connection
	// that is told Refused or Busy is closed.
	Admit func(peers.DeviceID, Kind) Welcome
	// Accept takes over an admitted connection; it must not block.
	Accept func(*Conn)
	// Done, when not nil, is called once for each connection that Admit
	// let in, when it is closed or lost before Accept.
	Done func(*Conn)

	Idle      time.Duration // 0: DefaultIdle
	Handshake time.Duration // 0: 5 s
	Logger    *slog.Logger
}

// Listener accepts connections on one or more addresses.
type Listener struct {
	id    *Identity
	o     ListenOptions
	inner []net.Listener
	quic  *QUIC         // nil: none
	extra chan net.Conn // what comes by another way than an address of this machine

	strangers strangers
}

// Listen binds every address (host:port; port 0 takes a free one) or none.
func (i *Identity) Listen(ctx context.Context, addresses []string, o ListenOptions) (*Listener, error) {
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	if o.Handshake == 0 {
		o.Handshake = handshakeTime
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Listener{id: i, o: o, extra: make(chan net.Conn)}
	for _, a := range addresses {
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", a)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listen on %s: %w", a, err), l.Close())
		}
		l.inner = append(l.inner, ln)
	}
	return l, nil
}

// ListenQUIC has Serve accept connections by QUIC as well, on a UDP address. The
// connections end with the socket: whoever calls it closes that, after Serve.
func (l *Listener) ListenQUIC(ctx context.Context, address string) (*QUIC, error) {
	q, err := l.id.listenQUIC(ctx, address, l.o)
	if err != nil {
		return nil, fmt.Errorf("listen on %s by UDP: %w", address, err)
	}
	l.quic = q
	return q, nil
}

// Addrs is what is bound by TCP.
func (l *Listener) Addrs() []net.Addr {
	out := make([]net.Addr, len(l.inner))
	for i, ln := range l.inner {
		out[i] = ln.Addr()
	}
	return out
}

// Close unbinds. Serve closes as well.
func (l *Listener) Close() error {
	var errs []error
	for _, ln := range l.inner {
		if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Serve accepts until ctx ends, then unbinds, gives up unfinished handshakes
// and waits for them. Accepted connections live on.
func (l *Listener) Serve(ctx context.Context) {
	var wg sync.WaitGroup
	stop := context.AfterFunc(ctx, func() {
		if err := l.Close(); err != nil {
			l.o.Logger.Warn("close listener", "error", err)
		}
	})
	defer stop()
	for _, ln := range l.inner {
		wg.Go(func() { l.accept(ctx, ln, &wg) })
	}
	if l.quic != nil {
		wg.Go(func() { l.quic.serve(ctx, l, &wg) })
	}
	wg.Go(func() {
		for {
			select {
			case c := <-l.extra:
				l.take(ctx, c, &wg)
			case <-ctx.Done():
				return
			}
		}
	})
	wg.Wait()
}

// Take accepts a connection that came by another way, a relay. It returns false,
// and leaves c alone, when ctx ends before Serve takes it.
func (l *Listener) Take(ctx context.Context, c net.Conn) bool {
	select {
	case l.extra <- c:
		return true
	case <-ctx.Done():
		return false
	}
}

// accept takes connections of one address. An error backs off and goes on:
// out of file descriptors, say, passes.
func (l *Listener) accept(ctx context.Context, ln net.Listener, wg *sync.WaitGroup) {
	const first, most = 5 * time.Millisecond, time.Second
	wait := first
	for {
		c, err := ln.Accept()
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			if c != nil {
				c.Close()
			}
			return
		}
		if err != nil {
			l.o.Logger.Warn("accept", "error", err, "retry", wait)
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			wait = min(2*wait, most)
			continue
		}
		wait = first
		l.take(ctx, c, wg)
	}
}

// take begins the handshake of a connection that somebody opened to here.
func (l *Listener) take(ctx context.Context, c net.Conn, wg *sync.WaitGroup) {
	if !l.strangers.enter(c) {
		c.Close() // a flood: whoever means it comes again
		return
	}
	wg.Go(func() {
		defer l.strangers.leave(c)
		l.handshake(ctx, c)
	})
}

// handshake finds out who is there and says welcome or goodbye.
func (l *Listener) handshake(ctx context.Context, c net.Conn) {
	ctx, cancel := context.WithTimeout(ctx, l.o.Handshake)
	defer cancel()
	// Whatever blocks below ends with ctx.
	stop := context.AfterFunc(ctx, func() { c.Close() })
	raw := newBatch(c, l.id.buffers, l.o.Idle)
	t := tls.Server(raw, l.id.tlsConfig(nil, alpns()...))
	conn, err := l.id.finish(ctx, t, raw)
	if err != nil {
		stop()
		c.Close()
		l.o.Logger.Debug("handshake", "from", c.RemoteAddr().String(), "error", err)
		return
	}
	l.welcome(conn, stop, func() { l.strangers.leave(c) })
}

// welcome says what the device is told, and passes on a connection that may
// stay. stop takes off what would end a slow one, and says whether it has not;
// through is called when the connection is no stranger's any more.
func (l *Listener) welcome(conn *Conn, stop func() bool, through func()) {
	conn.welcome = l.o.Admit(conn.device, conn.kind)
	in := conn.welcome.err() == nil
	if in && l.o.Done != nil {
		conn.onClose = func() { l.o.Done(conn) }
	}
	_, err := conn.Write([]byte{byte(conn.welcome)})
	if err == nil && !in {
		err = conn.CloseWrite()
	}
	alive := stop()
	if err != nil || !in || !alive {
		conn.Close()
		l.o.Logger.Debug("turned away", "device", conn.device.Short(), "welcome", int(conn.welcome), "error", err)
		return
	}
	through()
	l.o.Accept(conn)
}

// finish runs the handshake and wraps the connection.
func (i *Identity) finish(ctx context.Context, t *tls.Conn, raw *batch) (*Conn, error) {
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	device, err := deviceOf(t.ConnectionState())
	if err != nil {
		return nil, err
	}
	kind, ok := kindOf(t.ConnectionState().NegotiatedProtocol)
	if !ok {
		return nil, errors.New("an unknown kind of connection")
	}
	raw.route = routeOf(raw.Conn)
	raw.start(i.pacer)
	return &Conn{top: t, raw: raw, device: device, kind: kind, route: raw.route, opened: time.Now()}, nil
}
