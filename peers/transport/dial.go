// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/preezm/preezm/peers"
)

const (
	// stagger is the head start of a better address over the next one, as in
	// RFC 8305 (Happy Eyeballs).
	stagger = 250 * time.Millisecond
	// dialTime bounds one way to a device, handshake and welcome included.
	dialTime = 10 * time.Second
)

// Dialer opens a byte stream to an address. TCP is one; relays and mapped
// ports become others, told apart by the scheme in front of the address. What
// it returns need not be trusted: TLS runs on top.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Finder tells where a device might be reached, best address first. Discovery
// is one; a device's addresses in the circle are another.
type Finder interface {
	Find(ctx context.Context, device peers.DeviceID) []string
}

// DialOptions says how to dial; the zero value is TCP with the usual times.
type DialOptions struct {
	// Dialers by scheme; an address without one ("host:port") is "tcp".
	Dialers map[string]Dialer
	QUIC    *QUIC         // for quic:// addresses; nil: none is dialled
	Kind    Kind          // what the connection is for
	Idle    time.Duration // 0: DefaultIdle
	Timeout time.Duration // of one address; 0: 10 s
	// May, when not nil, says whether to connect to the IP for which an address
	// stands, that of its relay included.
	May func(address string, ip netip.Addr) bool
	// Failed, when not nil, hears of each address that did not lead there.
	Failed func(address string, err error)
}

// Dial connects to device at the first of the addresses that leads there. The
// addresses are tried in order, each with a small head start. It returns
// ErrNotAdmitted or ErrBusy when the device itself said so, ErrWrongDevice
// when only others answered, or what went wrong at each address.
func (i *Identity) Dial(ctx context.Context, device peers.DeviceID, addresses []string, o DialOptions) (*Conn, string, error) {
	if len(addresses) == 0 {
		return nil, "", errors.New("no address is known")
	}
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	if o.Timeout == 0 {
		o.Timeout = dialTime
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		conn *Conn
		addr string
		err  error
	}
	results := make(chan outcome)
	next := time.NewTimer(0)
	defer next.Stop()
	started, running := 0, 0
	var winner outcome
	var errs []error
	// Every attempt is waited for, so none outlives the call; cancel makes
	// the losers quick.
	for running > 0 || (started < len(addresses) && winner.conn == nil && ctx.Err() == nil) {
		var tick <-chan time.Time
		if started < len(addresses) && winner.conn == nil {
			tick = next.C
		}
		select {
		case <-tick:
			addr := addresses[started]
			started++
			running++
			go func() {
				c, err := i.dialOne(ctx, device, addr, o)
				results <- outcome{c, addr, err}
			}()
			next.Reset(stagger)
		case r := <-results:
			running--
			switch {
			case r.err == nil && winner.conn == nil:
				winner = r
				cancel()
			case r.err == nil:
				r.conn.Close()
			case errors.Is(r.err, ErrNotAdmitted), errors.Is(r.err, ErrBusy):
				// The device itself has spoken; other addresses lead to it too.
				started = len(addresses)
				errs = append([]error{r.err}, errs...)
			default:
				if o.Failed != nil && winner.conn == nil {
					o.Failed(r.addr, r.err)
				}
				errs = append(errs, fmt.Errorf("%s: %w", r.addr, r.err))
				next.Reset(0)
			}
		}
	}
	if winner.conn != nil {
		return winner.conn, winner.addr, nil
	}
	if len(errs) == 0 {
		return nil, "", context.Cause(ctx)
	}
	return nil, "", errors.Join(errs...)
}

func (i *Identity) dialOne(ctx context.Context, device peers.DeviceID, address string, o DialOptions) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if strings.HasPrefix(address, RelayScheme+"://") {
		// strelaysrv may turn away the device that waits, which comes while the
		// relay is busy with this one: then nobody is at the other end of the
		// session, and only a new one helps.
		first, done := context.WithTimeout(ctx, o.Timeout/3)
		c, err := i.dialWay(first, device, address, o)
		stood := err != nil && first.Err() != nil && ctx.Err() == nil
		done()
		if !stood {
			return c, err
		}
	}
	return i.dialWay(ctx, device, address, o)
}

// dialWay makes one attempt, until ctx ends.
func (i *Identity) dialWay(ctx context.Context, device peers.DeviceID, address string, o DialOptions) (*Conn, error) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		scheme, rest = "tcp", address
	}
	if scheme == QUICScheme {
		return o.QUIC.dial(ctx, device, rest, o)
	}
	var c net.Conn
	var err error
	switch other, ok := o.Dialers[scheme]; {
	case ok:
		c, err = other.DialContext(ctx, "tcp", rest)
	case scheme == RelayScheme:
		c, err = i.dialRelay(ctx, device, address, o.plain(address))
	case scheme == "tcp":
		c, err = o.plain(address).DialContext(ctx, "tcp", rest)
	default:
		return nil, fmt.Errorf("no way to dial %q addresses", scheme)
	}
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	raw := newBatch(c, i.buffers, o.Idle)
	conn, err := i.finish(ctx, tls.Client(raw, i.tlsConfig(&device, o.Kind.alpn())), raw)
	if err == nil {
		err = conn.readWelcome()
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.Close()
		if ctx.Err() != nil && !errors.Is(err, ErrWrongDevice) {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	return conn, nil
}

// errNotHere says that an address is not dialled on the word of who gave it.
var errNotHere = errors.New("it leads to this machine, or to none, and others gave it")

// plain opens what the options allow of an address. A name is judged by what it
// stands for at that moment.
func (o *DialOptions) plain(address string) *net.Dialer {
	if o.May == nil {
		return new(net.Dialer)
	}
	return &net.Dialer{ControlContext: func(_ context.Context, _, to string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(to)
		if err != nil {
			return err
		}
		if !o.May(address, ap.Addr().Unmap()) {
			return errNotHere
		}
		return nil
	}}
}

// readWelcome reads the one byte that says whether this device may stay.
func (c *Conn) readWelcome() error {
	var b [1]byte
	if _, err := io.ReadFull(c.top, b[:]); err != nil {
		return fmt.Errorf("no welcome: %w", err)
	}
	c.welcome = Welcome(b[0])
	return c.welcome.err()
}
