// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/preezm/preezm/peers"
)

// QUICScheme begins an address that is dialled by QUIC.
const QUICScheme = "quic"

const (
	// quicIdle ends a connection on which nothing has come for so long;
	// quicAlive is how often the side that dialled asks in the quiet, which
	// also keeps routers passing packets on.
	quicIdle, quicAlive = 25 * time.Second, 10 * time.Second
	// startWindow is how much may come unread on a new connection, and on a
	// guest's for good; fullWindow how much at most on a member's. It fills a
	// line of 100 ms with 80 MB/s.
	startWindow, fullWindow = 512 << 10, 8 << 20
	// quicTokens is how long an address counts as proven.
	quicTokens = time.Minute
	// resetInfo makes the key of stateless resets from the device's.
	resetInfo = "preezm quic stateless reset v1"
)

var (
	errNoQUIC   = errors.New("there is no QUIC here")
	errUnproven = errors.New("an address that nobody has proven")
)

// QUIC is this device's one UDP socket: connections by QUIC go over it, and
// packets that open a way through routers. Each Conn is a QUIC connection of
// its own with one stream, which the accepting side opens to say welcome: so a
// stranger has no stream to send anything on, and none is ever left behind.
type QUIC struct {
	id   *Identity
	o    ListenOptions
	sock *net.UDPConn
	tr   *quic.Transport
	ln   *quic.Listener // nil: it only dials
	door door

	mu     sync.Mutex
	closed bool
	conns  map[*quicConn]struct{}
	work   sync.WaitGroup // connections that linger
}

// listenQUIC binds the address. Nothing is accepted before serve.
func (i *Identity) listenQUIC(ctx context.Context, address string, o ListenOptions) (*QUIC, error) {
	key, err := i.resetKey()
	if err != nil {
		return nil, err
	}
	q, err := i.bindQUIC(ctx, address, o)
	if err != nil {
		return nil, err
	}
	q.tr.StatelessResetKey, q.tr.MaxTokenAge = key, quicTokens
	// Nothing is kept for an address, and no signature made, before it has
	// shown that it receives what is sent there.
	q.tr.VerifySourceAddress = func(net.Addr) bool { return true }
	q.tr.DisableVersionNegotiationPackets = true
	q.tr.ConnContext = q.door.enter
	if q.ln, err = q.tr.Listen(i.tlsConfig(nil, alpns()...), quicConfig(false, o.Handshake)); err != nil {
		return nil, errors.Join(err, q.sock.Close())
	}
	return q, nil
}

// DialQUIC binds a UDP socket for a device that dials and accepts nothing.
// Close it.
func (i *Identity) DialQUIC(ctx context.Context) (*QUIC, error) {
	return i.bindQUIC(ctx, ":0", ListenOptions{Idle: DefaultIdle})
}

func (i *Identity) bindQUIC(ctx context.Context, address string, o ListenOptions) (*QUIC, error) {
	// quic-go writes to the program's log when the system gives less buffer
	// than it would like; a person can do nothing with that.
	if err := os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true"); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	pc, err := lc.ListenPacket(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	sock, ok := pc.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(errNoQUIC, pc.Close())
	}
	return &QUIC{id: i, o: o, sock: sock, tr: &quic.Transport{Conn: sock}, conns: make(map[*quicConn]struct{})}, nil
}

// resetKey is the same after a restart, so that connections from before end at
// once, and nobody else can end any.
func (i *Identity) resetKey() (*quic.StatelessResetKey, error) {
	der, err := x509.MarshalPKCS8PrivateKey(i.cert.PrivateKey)
	if err != nil {
		return nil, err
	}
	raw, err := hkdf.Key(sha256.New, der, nil, resetInfo, len(quic.StatelessResetKey{}))
	if err != nil {
		return nil, err
	}
	key := quic.StatelessResetKey(raw)
	return &key, nil
}

func quicConfig(dials bool, handshake time.Duration) *quic.Config {
	c := &quic.Config{
		HandshakeIdleTimeout: handshake, MaxIdleTimeout: quicIdle,
		InitialStreamReceiveWindow: startWindow, MaxStreamReceiveWindow: fullWindow,
		InitialConnectionReceiveWindow: startWindow, MaxConnectionReceiveWindow: fullWindow,
		AllowConnectionWindowIncrease: mayGrow,
		MaxIncomingStreams:            -1, MaxIncomingUniStreams: -1,
	}
	if dials {
		c.MaxIncomingStreams, c.KeepAlivePeriod = 1, quicAlive
	}
	return c
}

// Addr is what is bound.
func (q *QUIC) Addr() net.Addr { return q.sock.LocalAddr() }

// serve accepts until ctx ends.
func (q *QUIC) serve(ctx context.Context, l *Listener, wg *sync.WaitGroup) {
	for {
		c, err := q.ln.Accept(ctx)
		if err != nil {
			if err := q.ln.Close(); err != nil {
				l.o.Logger.Debug("close QUIC listener", "error", err)
			}
			return
		}
		wg.Go(func() { q.receive(ctx, c, l) })
	}
}

// receive says welcome or goodbye to a device that has proven its identity.
func (q *QUIC) receive(ctx context.Context, c *quic.Conn, l *Listener) {
	ctx, cancel := context.WithTimeout(ctx, l.o.Handshake)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { hangUp(c) })
	s, err := c.OpenStream()
	if err == nil {
		var conn *Conn
		if conn, err = q.wrap(c, s); err == nil {
			l.welcome(conn, stop, func() { admitted(c, conn.welcome) })
			return
		}
	}
	stop()
	hangUp(c)
	l.o.Logger.Debug("handshake", "from", c.RemoteAddr().String(), "error", err)
}

// dial connects to a device at host:port.
func (q *QUIC) dial(ctx context.Context, device peers.DeviceID, address string, o DialOptions) (*Conn, error) {
	if q == nil {
		return nil, errNoQUIC
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err // no names: these addresses come from other machines
	}
	c, err := q.tr.Dial(ctx, net.UDPAddrFromAddrPort(to), q.id.tlsConfig(&device, o.Kind.alpn()), quicConfig(true, o.Timeout))
	if err != nil {
		return nil, q.failed(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { hangUp(c) })
	defer stop()
	s, err := c.AcceptStream(ctx)
	if err != nil {
		hangUp(c)
		return nil, q.failed(ctx, err)
	}
	conn, err := q.wrap(c, s)
	if err != nil {
		hangUp(c)
		return nil, err
	}
	err = conn.readWelcome()
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// failed says in this package's words why a dial failed.
func (q *QUIC) failed(ctx context.Context, err error) error {
	var te *quic.TransportError
	switch {
	case errors.Is(err, ErrWrongDevice):
		return ErrWrongDevice
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &te) && te.Remote && te.ErrorCode == quic.ConnectionRefused:
		return ErrBusy
	}
	return &quicError{err}
}

// wrap makes a Conn of a connection and its stream.
func (q *QUIC) wrap(c *quic.Conn, s *quic.Stream) (*Conn, error) {
	state := c.ConnectionState().TLS
	device, err := deviceOf(state)
	if err != nil {
		return nil, err
	}
	kind, ok := kindOf(state.NegotiatedProtocol)
	if !ok || state.Version != tls.VersionTLS13 {
		return nil, errors.New("an unknown kind of connection")
	}
	one := &quicConn{q: q, conn: c, stream: s}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, net.ErrClosed
	}
	q.conns[one] = struct{}{}
	raw := newPlain(one, q.id.buffers, q.o.Idle)
	raw.route = QUICRoute
	raw.start(q.id.pacer)
	return &Conn{top: raw, raw: raw, device: device, kind: kind, route: QUICRoute, opened: time.Now()}, nil
}

// Close ends every connection and unbinds.
func (q *QUIC) Close() error {
	q.mu.Lock()
	q.closed = true
	all := make([]*quicConn, 0, len(q.conns))
	for c := range q.conns {
		all = append(all, c)
	}
	q.mu.Unlock()
	for _, c := range all {
		hangUp(c.conn)
	}
	q.work.Wait()
	var err error
	if q.ln != nil {
		err = q.ln.Close()
	}
	return errors.Join(err, q.tr.Close(), q.sock.Close())
}

// hangUp ends a connection at once.
func hangUp(c *quic.Conn) {
	_ = c.CloseWithError(0, "") // it has nothing to say but that it is closed already
}
