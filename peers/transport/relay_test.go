// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	relay "github.com/syncthing/syncthing/lib/relay/protocol"

	"github.com/preezm/preezm/peers"
)

// fakeRelay speaks a relay's protocol as far as one pair of devices needs it.
type fakeRelay struct {
	t    *testing.T
	id   *Identity
	l    net.Listener
	wg   sync.WaitGroup
	mu   sync.Mutex
	wait map[peers.DeviceID]net.Conn
	half map[string]net.Conn // the side of each session that came first
	n    int                 // sessions
	// turnAway is how often the side that waits is turned away from a session,
	// as strelaysrv does with one that comes while it is busy.
	turnAway int
}

func newFakeRelay(t *testing.T) *fakeRelay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeRelay{t: t, id: newID(t), l: l, wait: map[peers.DeviceID]net.Conn{}, half: map[string]net.Conn{}}
	f.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.wg.Go(func() { f.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		f.mu.Lock()
		for _, c := range f.wait {
			c.Close()
		}
		for _, c := range f.half {
			c.Close()
		}
		f.mu.Unlock()
		f.wg.Wait()
	})
	return f
}

func (f *fakeRelay) url(token string) string {
	s := "relay://" + f.l.Addr().String() + "/?id=" + f.id.Device().String()
	if token != "" {
		s += "&token=" + token
	}
	return s
}

// serve tells TLS from a session by the first byte, as strelaysrv does.
func (f *fakeRelay) serve(c net.Conn) {
	first := make([]byte, 1)
	if _, err := io.ReadFull(c, first); err != nil {
		c.Close()
		return
	}
	pc := &prefixed{c, first}
	if first[0] != 0x16 {
		f.session(pc)
		return
	}
	t := tls.Server(pc, &tls.Config{
		Certificates: []tls.Certificate{f.id.cert}, ClientAuth: tls.RequestClientCert, NextProtos: []string{relay.ProtocolName},
	})
	defer t.Close()
	if t.Handshake() != nil {
		return
	}
	device, err := deviceOf(t.ConnectionState())
	if err != nil {
		return
	}
	for {
		m, err := relay.ReadMessage(t)
		if err != nil {
			return
		}
		switch m := m.(type) {
		case relay.JoinRelayRequest:
			f.mu.Lock()
			_, taken := f.wait[device]
			answer := relay.ResponseSuccess
			switch {
			case m.Token != "secret":
				answer = relay.ResponseWrongToken
			case taken:
				answer = relay.ResponseAlreadyConnected
			default:
				f.wait[device] = t
			}
			f.mu.Unlock()
			_ = relay.WriteMessage(t, answer)
		case relay.ConnectRequest:
			f.mu.Lock()
			to := f.wait[peers.DeviceID(m.ID)]
			f.n++
			number := strconv.Itoa(f.n)
			f.mu.Unlock()
			if to == nil {
				_ = relay.WriteMessage(t, relay.ResponseNotFound)
				return
			}
			// The address is a lie: sessions are at the relay's own.
			in := relay.SessionInvitation{Key: []byte("k" + number), Address: []byte{192, 0, 2, 1}, Port: uint16(f.l.Addr().(*net.TCPAddr).Port)}
			_ = relay.WriteMessage(t, in)
			in.ServerSocket, in.Key = true, []byte("w"+number)
			_ = relay.WriteMessage(to, in)
		}
	}
}

func (f *fakeRelay) session(c net.Conn) {
	m, err := relay.ReadMessage(c)
	join, ok := m.(relay.JoinSessionRequest)
	if err != nil || !ok {
		c.Close()
		return
	}
	side, number := join.Key[0], string(join.Key[1:])
	f.mu.Lock()
	if side == 'w' && f.turnAway > 0 {
		f.turnAway--
		f.mu.Unlock()
		_ = relay.WriteMessage(c, relay.ResponseAlreadyConnected)
		c.Close()
		return
	}
	_ = relay.WriteMessage(c, relay.ResponseSuccess)
	other := f.half[number]
	if other == nil {
		f.half[number] = c
		f.mu.Unlock()
		return
	}
	delete(f.half, number)
	f.mu.Unlock()
	for _, p := range [][2]net.Conn{{c, other}, {other, c}} {
		f.wg.Go(func() {
			_, _ = io.Copy(p[0], p[1])
			p[0].Close()
			p[1].Close()
		})
	}
}

type prefixed struct {
	net.Conn
	first []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.first) > 0 {
		n := copy(b, p.first)
		p.first = p.first[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// Two devices meet at a relay, as which both prove who they are all the same.
func TestRelay(t *testing.T) {
	f := newFakeRelay(t)
	a, b, other := newID(t), newID(t), newID(t)
	got := make(chan *Conn, 1)
	l, err := b.Listen(t.Context(), nil, ListenOptions{
		Admit: func(peers.DeviceID, Kind) Welcome { return Member }, Accept: func(c *Conn) { got <- c },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { l.Serve(ctx) })
	r, err := b.Relay(f.url("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Public() != f.url("") {
		t.Errorf("public address %s", r.Public())
	}
	joined := make(chan struct{})
	wg.Go(func() {
		err := r.Wait(ctx, nil, func() { close(joined) }, func(c net.Conn) {
			if !l.Take(ctx, c) {
				c.Close()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Wait: %v", err)
		}
	})
	<-joined
	// A dead address goes first; the relay comes when its turn is.
	c, addr, err := a.Dial(t.Context(), b.Device(), []string{"127.0.0.1:1", f.url("")}, DialOptions{Kind: Control})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := <-got
	defer s.Close()
	if addr != f.url("") || c.Route() != Relayed || s.Route() != Relayed || s.Kind() != Control || s.Device() != a.Device() {
		t.Errorf("%s %s %s %d", addr, c.Route(), s.Route(), s.Kind())
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 5)
	if _, err := io.ReadFull(s, buf); err != nil || string(buf) != "hello" {
		t.Errorf("%q %v", buf, err)
	}
	if in, _ := s.Moved(); in < 5 {
		t.Errorf("%d bytes came", in)
	}

	// The side that waits is turned away once: the session stands still, and
	// the next one does not.
	f.mu.Lock()
	f.turnAway = 1
	f.mu.Unlock()
	again, _, err := a.Dial(t.Context(), b.Device(), []string{f.url("")}, DialOptions{Timeout: 3 * time.Second})
	if err != nil {
		t.Fatalf("after a session that stood still: %v", err)
	}
	again.Close()
	(<-got).Close()

	_, _, err = a.Dial(t.Context(), other.Device(), []string{f.url("")}, DialOptions{})
	if !errors.Is(err, ErrNotThere) {
		t.Errorf("one who is not there: %v", err)
	}
	second, err := b.Relay(f.url("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(t.Context(), nil, func() {}, nil); !Taken(err) {
		t.Errorf("joined twice: %v", err)
	}
	wrong, err := other.Relay(f.url("guess"))
	if err != nil {
		t.Fatal(err)
	}
	if err := wrong.Wait(t.Context(), nil, func() {}, nil); !errors.Is(err, ErrRelay) {
		t.Errorf("wrong token: %v", err)
	}
	// A relay that cannot prove itself gets no word of whom we look for.
	_, _, err = a.Dial(t.Context(), b.Device(), []string{"relay://" + f.l.Addr().String() + "/?id=" + other.Device().String()}, DialOptions{})
	if !errors.Is(err, ErrWrongDevice) {
		t.Errorf("another relay: %v", err)
	}
	for _, bad := range []string{"", "relay://", "relay://host", "https://h:1/", "relay://h:1/?id=x"} {
		if _, err := a.Relay(bad); err == nil {
			t.Errorf("%q is taken for a relay", bad)
		}
	}
	// A cancelled dial ends at once, whatever the relay does.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	short, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	started := time.Now()
	if _, _, err := a.Dial(short, b.Device(), []string{"relay://" + silent.Addr().String() + "/?id=" + f.id.Device().String()}, DialOptions{}); err == nil {
		t.Error("a silent relay is a way")
	}
	if d := time.Since(started); d > 8*time.Second {
		t.Errorf("took %s", d)
	}
}

// talker is a connection to a relay that says what it likes.
type talker struct {
	net.Conn
	r io.Reader
}

func (c talker) Read(p []byte) (int, error)    { return c.r.Read(p) }
func (talker) Write(p []byte) (int, error)     { return len(p), nil }
func (talker) SetReadDeadline(time.Time) error { return nil }
func (talker) SetDeadline(time.Time) error     { return nil }

// Whatever a relay says, it is heard to its end and leads nowhere else.
func FuzzRelay(f *testing.F) {
	for _, m := range []any{
		relay.Ping{}, relay.Pong{}, relay.RelayFull{}, relay.Response{Code: 2, Message: "x"},
		relay.SessionInvitation{From: make([]byte, 32), Key: []byte("k"), Address: []byte{192, 0, 2, 1}, Port: 22067},
	} {
		var b bytes.Buffer
		if err := relay.WriteMessage(&b, m); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	id, err := NewIdentity()
	if err != nil {
		f.Fatal(err)
	}
	r, err := id.Relay("relay://127.0.0.1:9/?id=" + id.Device().String())
	if err != nil {
		f.Fatal(err)
	}
	over, end := context.WithCancel(context.Background())
	end() // no session is taken up
	f.Fuzz(func(t *testing.T, raw []byte) {
		err := r.wait(over, talker{r: bytes.NewReader(raw)}, func(net.Conn) { t.Error("a session") })
		if err == nil {
			t.Error("it ended without a reason")
		}
		if answer, err := ask(talker{r: bytes.NewReader(raw)}, relay.Ping{}); err == nil {
			if m, ok := answer.(relay.Response); ok && m.Code != 0 && refusal(m) == nil {
				t.Errorf("%+v is taken for a yes", m)
			}
		}
	})
}
