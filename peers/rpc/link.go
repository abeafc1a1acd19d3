// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/transport"
)

const (
	// maxConns is how many connections one device opens to another. Four
	// keep the disk and the line busy; more only share them.
	maxConns = 4
	// idleConn is how long an unused connection is kept; the server waits
	// longer, so that it is the client who closes and no request meets a
	// closing connection.
	idleConn   = 2 * time.Minute
	idleServer = 3 * time.Minute
)

// errIdle is why the watchdog ended a request.
var errIdle = errors.New("nothing has moved")

// link is the pool of connections to one device, and HTTP on top.
type link struct {
	s         *Service
	device    peers.DeviceID
	host      string // stands for the device in URLs; never resolved
	addresses func() []string
	member    bool                                     // the device is of the circle: one that takes this for a stranger may know its person
	may       func(address string, ip netip.Addr) bool // be dialled; nil: all
	http      atomic.Pointer[http.Transport]
	pause     backoff
	waiting   chan *transport.Conn // opened by the device, to be asked on

	mu      sync.Mutex
	last    string                       // the address that led there last
	unheard time.Time                    // when dialling last did not work; zero: it does
	conns   map[*transport.Conn]struct{} // open ones
	in, out int64                        // bytes over those that are closed
}

func newLink(s *Service, device peers.DeviceID, addresses func() []string) *link {
	l := &link{
		s: s, device: device, host: hex.EncodeToString(device[:]), addresses: addresses,
		waiting: make(chan *transport.Conn, maxOffered), conns: make(map[*transport.Conn]struct{}),
	}
	l.http.Store(l.pool())
	return l
}

// pool is a new pool of connections.
func (l *link) pool() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext:            l.dial,
		Protocols:              protocols,
		DisableCompression:     true,
		MaxConnsPerHost:        maxConns,
		MaxIdleConnsPerHost:    maxConns,
		IdleConnTimeout:        idleConn,
		MaxResponseHeaderBytes: maxHeaders,
	}
}

// renew has new requests go over new connections, by the way that is best now;
// those under way end where they are.
func (l *link) renew() { l.http.Swap(l.pool()).CloseIdleConnections() }

// dial opens one connection for the pool. It is not tied to the request that
// wanted it first, but ends with the Service.
func (l *link) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s := l.s
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, fmt.Errorf("%w (closed)", peers.ErrUnreachable)
	}
	s.work.Add(1)
	s.mu.Unlock()
	defer s.work.Done()
	started := time.Now()
	if err := l.pause.check(started); err != nil && len(l.waiting) == 0 {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.life, func() { cancel(context.Cause(s.life)) })
	defer stop()

	c, addr, err := l.open(ctx)
	if err == nil && l.member && c.Welcome() == transport.Guest && s.claimAgain(ctx, l.device) {
		c.Close()
		c, addr, err = l.open(ctx)
	}
	if err != nil {
		err = dialError(err)
		if ctx.Err() == nil {
			l.pause.failed(started, err)
		}
		return nil, err
	}
	l.pause.worked()
	if addr != "" {
		l.mu.Lock()
		l.last = addr
		l.mu.Unlock()
		l.keep(c)
	}
	return c, nil
}

// candidates are where the device may be: what discovery heard and the
// addresses that are known, by the ways they lead, and before all the one by
// which it is in touch, where that is QUIC, and the one that worked last.
func (l *link) candidates(ctx context.Context) []string {
	l.mu.Lock()
	last := l.last
	l.mu.Unlock()
	all := slices.Clone(l.addresses()) // sorted below, while others dial by them too
	for _, f := range l.s.finding() {
		all = slices.Concat(f.Find(ctx, l.device), all)
	}
	if !l.member || !l.s.tended() {
		// No contact looks for a way by UDP, as a node's do to each member.
		if by := l.s.byQUIC(all); len(by) > 0 && l.s.dialer() != nil {
			all = append(all, by...)
		}
	}
	transport.ByRoute(all)
	via := l.s.viaQUIC(l.device)
	if via == "" && transport.RouteOf(last) == transport.QUICRoute {
		last = "" // the way is closed by now
	}
	all = append([]string{via, last}, all...)
	const most = 32
	var out []string
	seen := map[string]bool{"": true}
	for _, a := range all {
		if !seen[a] && len(out) < most {
			seen[a] = true
			out = append(out, a)
		}
	}
	return out
}

// dialError says in the words of package peers why there is no connection.
func dialError(err error) error {
	if errors.Is(err, transport.ErrNotAdmitted) {
		return fmt.Errorf("%w (%w)", peers.ErrRefused, transport.ErrNotAdmitted)
	}
	return fmt.Errorf("%w: %w", peers.ErrUnreachable, err)
}

// response is an answer whose end releases what watches over it.
type response struct {
	*http.Response
	latency time.Duration
	ctx     context.Context
	release func()
}

// close ends the answer. One read to its end leaves the connection usable,
// any other closes it.
func (r *response) close() {
	r.Body.Close()
	r.release()
}

// cause maps an error of reading the body.
func (r *response) cause(err error) error { return requestError(r.ctx, err) }

// do sends a request and returns the answer once its header is there. The
// watchdog ends the request when the connection stands still for the idle
// time, whether sending, waiting or receiving.
func (l *link) do(ctx context.Context, req *http.Request) (*response, error) {
	inner, cancel := context.WithCancelCause(ctx)
	w := &watchdog{idle: l.s.cfg.times.idle, cancel: cancel}
	req = req.WithContext(httptrace.WithClientTrace(inner, &httptrace.ClientTrace{GotConn: w.gotConn}))
	resp, err := l.http.Load().RoundTrip(req)
	release := func() {
		w.stop()
		cancel(nil)
	}
	if err != nil {
		err = requestError(inner, err)
		release()
		return nil, err
	}
	return &response{Response: resp, latency: w.since(), ctx: inner, release: release}, nil
}

// requestError says what the failure of a request means.
func requestError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, errIdle) {
			return fmt.Errorf("%w (it went silent)", peers.ErrUnreachable)
		}
		return cause // the caller's own ctx
	}
	switch {
	case errors.Is(err, peers.ErrUnreachable), errors.Is(err, peers.ErrRefused):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w (it takes no data)", peers.ErrUnreachable)
	}
	var op net.Error
	if errors.As(err, &op) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("%w (the connection broke: %w)", peers.ErrUnreachable, err)
	}
	return fmt.Errorf("%w: %w", peers.ErrProtocol, err)
}

// send posts bytes.
func (l *link) send(ctx context.Context, path string, raw []byte) (*response, error) {
	req := newBody(raw).request(http.MethodPost, l.host, path)
	req.Header["Content-Type"] = []string{typeCBOR}
	return l.do(ctx, req)
}

// call sends a message and reads the answer.
func (l *link) call(ctx context.Context, path string, msg any, limit int64, answer any) (time.Duration, error) {
	raw, err := l.s.codec.Marshal(msg)
	if err != nil {
		return 0, err
	}
	resp, err := l.send(ctx, path, raw)
	if err != nil {
		return 0, err
	}
	latency := resp.latency
	return latency, l.finish(resp, limit, answer)
}

// finish reads an answer's message, or the error in its place.
func (l *link) finish(resp *response, limit int64, answer any) error {
	defer resp.close()
	switch {
	case resp.StatusCode == http.StatusNoContent && answer == nil:
		return nil
	case resp.StatusCode == http.StatusOK && answer != nil:
		return l.read(resp, limit, answer)
	case resp.StatusCode >= 400:
		var e errorMsg
		if err := l.read(resp, maxSmall, &e); err != nil {
			return fmt.Errorf("%w (status %d)", err, resp.StatusCode)
		}
		return remoteError(e.Code)
	}
	return fmt.Errorf("%w (status %d)", peers.ErrProtocol, resp.StatusCode)
}

func (l *link) read(resp *response, limit int64, v any) error {
	err := l.s.codec.Read(resp.Body, limit, v)
	if err == nil {
		return nil
	}
	if errors.Is(err, errMessage) {
		return fmt.Errorf("%w: %w", peers.ErrProtocol, err)
	}
	return resp.cause(err)
}

// forgive forgets failed dials: there is reason to think it works now.
func (l *link) forgive() { l.pause.worked() }

// close closes the idle connections.
func (l *link) close() {
	l.http.Load().CloseIdleConnections()
	for {
		select {
		case c := <-l.waiting:
			c.Close()
		default:
			return
		}
	}
}

// watchdog cancels a request whose connection stands still. Before it has a
// connection the dial has its own limits.
type watchdog struct {
	idle   time.Duration
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer
	done  bool
	conn  atomic.Pointer[transport.Conn]
	got   atomic.Int64 // when the connection was had, Unix nanoseconds
}

func (w *watchdog) gotConn(i httptrace.GotConnInfo) {
	c, ok := i.Conn.(*transport.Conn)
	if !ok {
		return
	}
	w.conn.Store(c)
	w.got.Store(time.Now().UnixNano())
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil && !w.done {
		w.timer = time.AfterFunc(w.idle, w.look)
	}
}

func (w *watchdog) look() {
	last := max(w.conn.Load().LastMoved().UnixNano(), w.got.Load())
	still := time.Since(time.Unix(0, last))
	if still >= w.idle {
		w.cancel(errIdle)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.done {
		w.timer.Reset(w.idle - still)
	}
}

func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watchdog) since() time.Duration {
	if got := w.got.Load(); got != 0 {
		return time.Since(time.Unix(0, got))
	}
	return 0
}
