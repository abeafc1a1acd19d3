// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/transport"
)

const (
	// maxPerDevice bounds one member's connections; it needs maxConns, and
	// some more while old ones are noticed to be dead. The oldest makes room:
	// the newest is the one that works.
	maxPerDevice = 16
)

// server is the answering side: members' requests and strangers' joins run on
// two HTTP servers that share nothing but the Service.
type server struct {
	s       *Service
	members *http.Server
	guests  *http.Server
	passing *http.Server // guests with a pass
	toHTTP  *handover
	toJoin  *handover
	toPass  *handover

	mu      sync.Mutex
	open    map[peers.DeviceID][]*transport.Conn // members', oldest first
	passed  map[*transport.Conn]bool             // guests with a pass
	room    int                                  // of those at most: maxPassed
	letters chan struct{}                        // open-requests being answered
	audits  chan struct{}                        // audits being answered
	news    chan struct{}                        // custodians' other messages
	carried chan struct{}                        // guests' letters that this gateway carries
	chunks  chan struct{}                        // chunks that it serves them
	staff   chan struct{}                        // what members of an organisation ask its office
	serving sync.WaitGroup                       // connections in an HTTP server

	guestConns []*guest // oldest first
}

func newServer(s *Service) *server {
	v := &server{s: s, open: make(map[peers.DeviceID][]*transport.Conn), toHTTP: newHandover(), toJoin: newHandover(),
		toPass: newHandover(), passed: make(map[*transport.Conn]bool), room: maxPassed,
		audits:  make(chan struct{}, auditsAtOnce),
		letters: make(chan struct{}, maxWitness), news: make(chan struct{}, maxWitness), carried: make(chan struct{}, maxWitness),
		chunks: make(chan struct{}, maxWitness), staff: make(chan struct{}, maxOfficeAsks)}
	errorLog := slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)
	v.members = &http.Server{
		Handler:           v.routes(),
		ReadHeaderTimeout: s.cfg.times.header,
		// For a body that net/http itself waits for. Handlers set their own
		// deadlines (movingBody), and there is none once a request is whole.
		ReadTimeout: s.cfg.times.idle,
		IdleTimeout: idleServer,
		// net/http adds 4 KiB of its own.
		MaxHeaderBytes:               maxHeaders - 4<<10,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     errorLog,
		ConnContext:                  connContext,
		ConnState:                    v.connState,
	}
	join := http.NewServeMux()
	join.HandleFunc("POST "+pathJoin, v.join)
	join.HandleFunc("POST "+pathPass, v.present)
	join.HandleFunc("POST "+pathOffice+"{verb}", v.office)
	join.HandleFunc("POST "+pathAccount, v.claim)
	join.HandleFunc("POST "+pathPair, v.pair)
	join.HandleFunc("/", v.refuse)
	v.guests = &http.Server{
		Handler:                      join,
		ReadTimeout:                  s.cfg.times.join,
		WriteTimeout:                 s.cfg.times.join,
		IdleTimeout:                  time.Second,
		MaxHeaderBytes:               1 << 10,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     errorLog,
		ConnContext:                  connContext,
		ConnState:                    v.connState,
	}
	v.guests.SetKeepAlivesEnabled(false)
	v.passing = &http.Server{
		Handler:                      v.passRoutes(),
		ReadHeaderTimeout:            s.cfg.times.header,
		IdleTimeout:                  idleServer,
		MaxHeaderBytes:               maxHeaders - 4<<10,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     errorLog,
		ConnContext:                  connContext,
		ConnState:                    v.connState,
	}
	return v
}

// admit decides on a device that has proven its identity.
func (v *server) admit(id peers.DeviceID, kind transport.Kind) transport.Welcome {
	if v.s.cfg.Book.Has(id) {
		return transport.Member
	}
	if kind != transport.Requests {
		return transport.Refused
	}
	if !v.s.cfg.Book.MayJoin(id, time.Now()) && !v.s.cfg.Book.MayClaim() && !v.pairing() && (v.s.cfg.Guests == nil || !v.s.cfg.Guests.Open()) && !v.fellow(id) && !v.helping(id) && !v.caring(id) && !v.mayCome(id) {
		return transport.Refused
	}
	return transport.Guest
}

// accept passes a connection on to its server.
func (v *server) accept(c *transport.Conn) {
	switch c.Kind() {
	case transport.Control:
		v.s.greet(c)
		return
	case transport.Reverse:
		if c.Welcome() == transport.Member && v.s.cfg.Book.Has(c.Device()) {
			v.s.client(c.Device()).link.offer(c)
			return
		}
		c.Close()
		return
	}
	v.serve(c)
}

// serveBack answers on a connection that this device opened for that.
func (v *server) serveBack(c *transport.Conn) {
	c.OnClose(func() { v.done(c) })
	v.serve(c)
}

// serve answers on a connection.
func (v *server) serve(c *transport.Conn) {
	to := v.toJoin
	pass := c.Welcome() != transport.Member && (v.s.cfg.Guests != nil && v.s.cfg.Guests.Known(c.Device()) || v.fellow(c.Device()) || v.helping(c.Device()) || v.caring(c.Device()) || v.employee(c.Device()))
	if pass || c.Welcome() == transport.Member {
		to = v.toHTTP
		if !pass {
			v.s.client(c.Device()).link.keep(c)
		}
		v.mu.Lock()
		if pass {
			to = v.toPass
			v.passed[c] = true
		}
		conns := append(v.open[c.Device()], c)
		// Off the list under the same lock: two that come at once shall not
		// both send the same one away.
		over := max(0, len(conns)-maxPerDevice)
		oldest := slices.Clone(conns[:over])
		v.open[c.Device()] = slices.Delete(conns, 0, over)
		if o := v.crowded(); o != nil {
			oldest = append(oldest, o)
		}
		v.mu.Unlock()
		for _, o := range oldest {
			o.Close()
		}
		if !pass && !v.s.cfg.Book.Has(c.Device()) { // removed since it was let in
			c.Close()
			return
		}
	} else {
		v.welcome(c)
	}
	if !to.give(c) {
		c.Close()
	}
}

// done is called when an admitted connection is closed.
func (v *server) done(c *transport.Conn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c.Welcome() == transport.Guest && !v.passed[c] {
		v.gone(c)
		return
	}
	delete(v.passed, c)
	conns := v.open[c.Device()]
	for i := range conns {
		if conns[i] == c {
			conns = append(conns[:i:i], conns[i+1:]...)
			break
		}
	}
	if len(conns) == 0 {
		delete(v.open, c.Device())
		return
	}
	v.open[c.Device()] = conns
}

// drop closes the connections that gone says are of no use.
func (v *server) drop(gone func(*transport.Conn) bool) {
	v.mu.Lock()
	var dead []*transport.Conn
	for _, conns := range v.open {
		for _, c := range conns {
			if gone(c) {
				dead = append(dead, c)
			}
		}
	}
	v.mu.Unlock()
	for _, c := range dead {
		c.Close()
	}
}

// cut closes the connections of a device that was removed.
func (v *server) cut(id peers.DeviceID) {
	v.mu.Lock()
	conns := slices.Clone(v.open[id])
	v.mu.Unlock()
	for _, c := range conns {
		c.Close() // done takes it off the list
	}
}

// connState counts the connections whose goroutines run.
func (v *server) connState(_ net.Conn, st http.ConnState) {
	switch st {
	case http.StateNew:
		v.serving.Add(1)
	case http.StateClosed, http.StateHijacked:
		v.serving.Done()
	}
}

// run serves until ctx ends and every request is done.
func (v *server) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { v.log(v.members.Serve(v.toHTTP)) })
	wg.Go(func() { v.log(v.guests.Serve(v.toJoin)) })
	wg.Go(func() { v.log(v.passing.Serve(v.toPass)) })
	<-ctx.Done()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), v.s.cfg.times.stop)
	defer cancel()
	for _, srv := range []*http.Server{v.members, v.guests, v.passing} {
		wg.Go(func() {
			if srv.Shutdown(grace) != nil {
				v.log(srv.Close())
			}
		})
	}
	wg.Wait()
	v.serving.Wait()
}

func (v *server) log(err error) {
	if err != nil && err != http.ErrServerClosed {
		v.s.log.Warn("serve peers", "error", err)
	}
}

type connKey struct{}

func connContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// connOf is the connection a request came on.
func connOf(r *http.Request) *transport.Conn {
	c, _ := r.Context().Value(connKey{}).(*transport.Conn)
	return c
}

// handover is the net.Listener between our accept loop and net/http's.
type handover struct {
	conns chan net.Conn
	end   chan struct{}
	once  sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), end: make(chan struct{})}
}

// give returns false when nobody takes connections any more.
func (h *handover) give(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.end:
		return false
	}
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.end:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.end) })
	return nil
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }
