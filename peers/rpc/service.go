// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/internal/wire"
	"github.com/preezm/preezm/peers/transport"
)

// Config is what a Service needs. Depot may be nil for a device that keeps
// nothing for others.
type Config struct {
	Identity       *transport.Identity
	Book           *circle.Book
	Depot          Depot
	Name           func() string // this device's name for people
	Version        string        // of the program
	Listen         []string      // host:port; empty: dials only
	LocalDiscovery bool          // ignored when bound to loopback only
	Finders        []transport.Finder
	Dialers        map[string]transport.Dialer // for addresses with a scheme
	Keys           Keys                        // told to peers; zero: none
	Witness        Witness                     // nil: this device is nobody's custodian
	Guests         Guests                      // nil: strangers may only join
	Mail           Mail                        // nil: keeps no letters
	Announce       []string                    // addresses to tell others beside the bound ones
	Servers        func() []string             // relays and discovery servers to use, as circle.CheckServer wants them
	Offers         func() []string             // those that this device runs for its circle
	Mapping        bool                        // ask the router for a port
	Ports          []int                       // of servers beside this one, to ask it for as well
	QUIC           bool                        // reach by QUIC whom TCP does not
	Left           func(peers.DeviceID)        // a device says that it removes this one; may be nil
	Receipts       Receipts                    // nil: signs none
	Heads          Heads                       // nil: no heads of backups are kept
	Lists          Lists                       // nil: no lists of shards are followed
	Pairs          Pairs                       // nil: takes no further machine of its person
	Office         Office                      // nil: this device is no organisation's office
	Helpers        Helpers                     // nil: this device helps nobody
	Care           Care                        // nil: no caretaker works with this device
	Now            func() time.Time            // the clock peers are told; nil: time.Now
	Logger         *slog.Logger

	times times // tests make them short
}

// times are the clocks of the protocol.
type times struct {
	idle      time.Duration // a transfer may stand still
	handshake time.Duration // one way to a device takes at most, as dialled
	header    time.Duration // a request's header takes at most
	join      time.Duration // a stranger's connection lives at most
	stranger  time.Duration // that of one that may not join
	announce  time.Duration // own addresses are compared and told again
	stop      time.Duration // running requests may end by themselves
	probe     time.Duration
	fellow    time.Duration // a fellow that nobody wants is remembered
}

func (t *times) fill() {
	for _, f := range []struct {
		d *time.Duration
		v time.Duration
	}{
		{&t.idle, transport.DefaultIdle}, {&t.handshake, 10 * time.Second}, {&t.header, 10 * time.Second},
		{&t.join, 10 * time.Second}, {&t.stranger, 3 * time.Second}, {&t.announce, 30 * time.Second}, {&t.stop, 2 * time.Second},
		{&t.probe, 5 * time.Second}, {&t.fellow, 15 * time.Minute},
	} {
		if *f.d == 0 {
			*f.d = f.v
		}
	}
}

// Service is this device among its peers. All methods are safe for
// concurrent use. It can dial without Serve.
type Service struct {
	cfg   Config
	log   *slog.Logger
	codec *wire.Codec

	life context.Context // ends with Close; dials outlive single requests, not this
	end  context.CancelFunc
	work sync.WaitGroup // dials under way

	mu       sync.Mutex
	closed   bool
	listener *transport.Listener
	server   *server
	finders  []transport.Finder
	clients  map[peers.DeviceID]*Client
	fellows  map[peers.DeviceID]*fellow
	swept    time.Time                    // when fellows were looked through last
	claimed  map[peers.DeviceID]time.Time // when claimAgain was tried last

	touching   context.Context // ends with Serve; nil: it does not run
	contacts   map[peers.DeviceID]*contact
	announcers []func()       // tell of a new address by other ways than control connections
	running    sync.WaitGroup // what contacts do
	changes    chan struct{}
	met        chan struct{}
	journal    journal
	ways       ways
	udp        udp

	buffers bufferPool
}

// New checks the configuration and makes a Service. Nothing runs yet.
func New(cfg Config) (*Service, error) {
	if cfg.Identity == nil || cfg.Book == nil {
		return nil, errors.New("rpc: a service needs an identity and a circle")
	}
	if cfg.Name == nil {
		cfg.Name = func() string { return "" }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.times.fill()
	codec, err := wire.New()
	if err != nil {
		return nil, err
	}
	s := &Service{
		cfg: cfg, log: cfg.Logger, codec: codec,
		finders: append([]transport.Finder(nil), cfg.Finders...),
		clients: make(map[peers.DeviceID]*Client),
		fellows: make(map[peers.DeviceID]*fellow),
		changes: make(chan struct{}, 1), met: make(chan struct{}, 1),
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Listen binds the configured addresses; Addresses is true from here on.
func (s *Service) Listen(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return errors.New("rpc: already listening")
	}
	srv := newServer(s)
	l, err := s.cfg.Identity.Listen(ctx, s.cfg.Listen, transport.ListenOptions{
		Admit: srv.admit, Accept: srv.accept, Done: srv.done,
		Idle: s.cfg.times.idle, Logger: s.log,
	})
	if err != nil {
		return err
	}
	if s.cfg.QUIC && len(l.Addrs()) > 0 {
		s.listenUDP(ctx, l)
	}
	s.listener, s.server = l, srv
	return nil
}

// Serve answers peers, finds and is found on the local network, and tells
// peers this device's addresses, until ctx ends; then it lets running requests
// end for a moment, cuts the rest, waits for everything and returns nil. It
// listens first when Listen was not called.
func (s *Service) Serve(ctx context.Context) error {
	s.mu.Lock()
	l, srv := s.listener, s.server
	s.mu.Unlock()
	if l == nil {
		if err := s.Listen(ctx); err != nil {
			return err
		}
		s.mu.Lock()
		l, srv = s.listener, s.server
		s.mu.Unlock()
	}
	var wg sync.WaitGroup
	if s.cfg.LocalDiscovery && len(l.Addrs()) > 0 && !transport.LoopbackOnly(l.Addrs()) {
		if d, err := s.cfg.Identity.NewDiscovery(s.Addresses, s.cfg.Book.Has); err != nil {
			s.log.Warn("local discovery is off", "error", err)
		} else {
			d.Heard = s.nudge
			s.mu.Lock()
			s.finders = append(s.finders, d)
			s.announcers = append(s.announcers, d.Announce)
			s.mu.Unlock()
			wg.Go(func() {
				if err := d.Serve(ctx); err != nil {
					s.log.Warn("local discovery ended", "error", err)
				}
			})
		}
	}
	s.wander(ctx, l, &wg)
	if q := s.quic(); q != nil {
		wg.Go(func() { q.Knocks(ctx, s.knocked) })
	}
	wg.Go(func() { s.announce(ctx) })
	wg.Go(func() { l.Serve(ctx) })
	touch := make(chan struct{})
	go func() {
		defer close(touch)
		s.keepTouch(ctx)
	}()
	srv.run(ctx)
	wg.Wait()
	<-touch
	if err := s.closeUDP(); err != nil {
		s.log.Warn("close the UDP socket", "error", err)
	}
	return nil
}

// Addresses is where others can dial this device, best first; empty before
// Listen.
func (s *Service) Addresses() []string {
	s.mu.Lock()
	l := s.listener
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	return s.ways.addresses(s.cfg.Announce, transport.Candidates(l.Addrs()))
}

// Keepers returns the devices of the circle that keep for this one, in the
// order they joined; the same Client each time.
func (s *Service) Keepers() []peers.Keeper {
	var out []peers.Keeper
	for _, p := range s.cfg.Book.Peers() {
		if p.Keeper {
			out = append(out, s.client(p.Device))
		}
	}
	return out
}

// client returns the one Client of a device.
func (s *Service) client(id peers.DeviceID) *Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[id]
	if c == nil {
		c = newClient(s, id)
		s.clients[id] = c
	}
	return c
}

// Remove takes a device out of the circle and cuts the connections it has
// here. What it stored stays; nobody can ask for it any more.
func (s *Service) Remove(id peers.DeviceID) error {
	if err := s.cfg.Book.Remove(id); err != nil {
		return err
	}
	s.cutOff(id)
	return nil
}

// cutOff closes the connections of a device that is out of the circle.
func (s *Service) cutOff(id peers.DeviceID) {
	s.mu.Lock()
	srv, c, p := s.server, s.clients[id], s.contacts[id]
	delete(s.contacts, id)
	s.mu.Unlock()
	if p != nil {
		p.part()
	}
	if c != nil {
		c.close()
	}
	if srv != nil {
		srv.cut(id)
	}
}

// Reach is what Probe found out about one device.
type Reach struct {
	Device  peers.DeviceID
	Name    string
	Online  bool
	Latency time.Duration // from asking to the first byte of the answer
	Info    peers.Info
	Err     error // why it is not online
}

// Probe asks every device of the circle whether it answers, all at once, for
// at most five seconds. Back-off after failed dials does not hold it up.
func (s *Service) Probe(ctx context.Context) []Reach {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.times.probe)
	defer cancel()
	ps := s.cfg.Book.Peers()
	out := make([]Reach, len(ps))
	var wg sync.WaitGroup
	for i, p := range ps {
		wg.Go(func() {
			c := s.client(p.Device)
			c.forgive()
			r := Reach{Device: p.Device, Name: p.Name}
			r.Info, r.Latency, r.Err = c.hello(ctx, s.Addresses())
			r.Online = r.Err == nil
			if errors.Is(r.Err, context.DeadlineExceeded) {
				r.Err = fmt.Errorf("%s: %w (no answer within %s)", c.Name(), peers.ErrUnreachable, s.cfg.times.probe)
			}
			out[i] = r
		})
	}
	wg.Wait()
	return out
}

// Close ends dials and closes connections; requests under way fail. It does
// not end Serve, whose ctx does.
func (s *Service) Close() error {
	s.mu.Lock()
	s.closed = true
	clients := make([]*Client, 0, len(s.clients))
	for _, c := range s.clients {
		clients = append(clients, c)
	}
	for _, f := range s.fellows {
		clients = append(clients, f.c)
	}
	l := s.listener
	s.mu.Unlock()
	s.end()
	for _, c := range clients {
		c.close()
	}
	s.work.Wait()
	err := s.closeUDP()
	if l != nil {
		err = errors.Join(err, l.Close())
	}
	return err
}
