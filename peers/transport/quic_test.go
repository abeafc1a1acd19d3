// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/preezm/preezm/peers"
)

// long bounds what takes a moment only.
const long = 30 * time.Second

// quicHost is an identity that listens by QUIC, on loopback.
type quicHost struct {
	id    *Identity
	q     *QUIC
	conns chan *Conn
	// killed has its socket closed already.
	killed bool
}

func (h *quicHost) addr() string { return QUICScheme + "://" + h.q.Addr().String() }

// hostQUIC starts one that says w to everybody.
func hostQUIC(t *testing.T, id *Identity, address string, w Welcome) *quicHost {
	t.Helper()
	h := &quicHost{id: id, conns: make(chan *Conn, 64)}
	l, err := id.Listen(t.Context(), nil, ListenOptions{
		Admit: func(peers.DeviceID, Kind) Welcome { return w }, Accept: func(c *Conn) { h.conns <- c },
	})
	if err != nil {
		t.Fatal(err)
	}
	if h.q, err = l.ListenQUIC(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() { defer close(served); l.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-served
		if err := h.q.Close(); err != nil && !h.killed {
			t.Error(err)
		}
	})
	return h
}

func dialQUIC(t *testing.T, from, to *quicHost) (*Conn, error) {
	t.Helper()
	c, _, err := from.id.Dial(t.Context(), to.id.Device(), []string{to.addr()}, DialOptions{QUIC: from.q, Timeout: long})
	return c, err
}

func quicPair(t *testing.T) (c, s *Conn) {
	t.Helper()
	a, b := hostQUIC(t, newID(t), "127.0.0.1:0", Member), hostQUIC(t, newID(t), "127.0.0.1:0", Member)
	c, err := dialQUIC(t, a, b)
	if err != nil {
		t.Fatal(err)
	}
	s = <-b.conns
	t.Cleanup(func() { c.Close(); s.Close() })
	if s.Device() != a.id.Device() || c.Device() != b.id.Device() || c.Welcome() != Member || c.Route() != QUICRoute || s.Kind() != Requests {
		t.Fatal("who is who?")
	}
	return c, s
}

// A connection by QUIC carries bytes both ways at once, and what was written
// last before a close.
func TestQUICCarriesBytes(t *testing.T) {
	c, s := quicPair(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	sent := make(chan error, 2)
	for _, w := range []*Conn{c, s} {
		go func() {
			_, err := w.Write(data)
			sent <- err
		}()
	}
	for _, r := range []*Conn{s, c} {
		got := make([]byte, len(data))
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, data) {
			t.Fatal("other bytes", err)
		}
	}
	for range 2 {
		if err := <-sent; err != nil {
			t.Error(err)
		}
	}
	if in, out := c.Moved(); in < int64(len(data)) || out < int64(len(data)) {
		t.Errorf("counted %d in, %d out", in, out)
	}
	if _, err := s.Write([]byte("goodbye")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	last, err := io.ReadAll(c)
	if err != nil || string(last) != "goodbye" {
		t.Errorf("the last words were %q, %v", last, err)
	}
}

// A close ends a read and a write that wait, on both sides.
func TestQUICClose(t *testing.T) {
	c, s := quicPair(t)
	ended := make(chan error, 2)
	go func() {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}()
	go func() {
		_, err := c.Write(make([]byte, 4*fullWindow)) // nobody reads it
		ended <- err
	}()
	if _, err := io.ReadFull(s, make([]byte, 100)); err != nil { // so the write goes on
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case err := <-ended:
			if err == nil {
				t.Error("no error")
			}
		case <-time.After(long):
			t.Fatal("still waits")
		}
	}
	if _, err := io.Copy(io.Discard, s); err == nil {
		t.Error("a cut looks like an end")
	}
}

// Who is refused hears it, and nobody is taken for somebody else.
func TestQUICRefusals(t *testing.T) {
	a := hostQUIC(t, newID(t), "127.0.0.1:0", Member)
	for w, want := range map[Welcome]error{Refused: ErrNotAdmitted, Busy: ErrBusy} {
		b := hostQUIC(t, newID(t), "127.0.0.1:0", w)
		if _, err := dialQUIC(t, a, b); !errors.Is(err, want) {
			t.Errorf("welcome %d: %v", w, err)
		}
	}
	b := hostQUIC(t, newID(t), "127.0.0.1:0", Member)
	other := &quicHost{id: newID(t), q: b.q}
	if _, err := dialQUIC(t, a, other); !errors.Is(err, ErrWrongDevice) {
		t.Errorf("the wrong device: %v", err)
	}
	if _, _, err := a.id.Dial(t.Context(), b.id.Device(), []string{b.addr()}, DialOptions{}); !errors.Is(err, errNoQUIC) {
		t.Errorf("without a socket: %v", err)
	}
}

// A device that was killed and started again says so to connections from
// before.
func TestQUICRestart(t *testing.T) {
	a, b := hostQUIC(t, newID(t), "127.0.0.1:0", Member), hostQUIC(t, newID(t), "127.0.0.1:0", Member)
	c, err := dialQUIC(t, a, b)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// What a kill leaves: the socket is gone, and nobody said goodbye.
	address := b.q.Addr().String()
	b.killed = true
	if err := b.q.sock.Close(); err != nil {
		t.Fatal(err)
	}
	again := hostQUIC(t, b.id, address, Member)
	if _, err := c.Write([]byte("still there?")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(quicIdle - 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	var reset *quic.StatelessResetError
	if _, err := c.Read(make([]byte, 1)); !errors.As(err, &reset) {
		t.Errorf("the end: %v", err)
	}
	if one, err := dialQUIC(t, a, again); err != nil {
		t.Error(err)
	} else {
		one.Close()
	}
}

// A guest makes this device hold no more than the first window.
func TestQUICGuestWindow(t *testing.T) {
	for w, most := range map[Welcome]int64{Guest: 2 * startWindow, Member: fullWindow + startWindow} {
		a, b := hostQUIC(t, newID(t), "127.0.0.1:0", Member), hostQUIC(t, newID(t), "127.0.0.1:0", w)
		c, err := dialQUIC(t, a, b)
		if err != nil {
			t.Fatal(err)
		}
		s := <-b.conns
		if got := mayGrow(s.raw.Conn.(*quicConn).conn, 1); got != (w == Member) {
			t.Errorf("welcome %d: may grow %v", w, got)
		}
		if err := c.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Write(make([]byte, 2*fullWindow))
		if err == nil || int64(n) > most {
			t.Errorf("welcome %d: %d bytes went unread, %v", w, n, err)
		}
		c.Close()
		s.Close()
	}
}

// Each origin has its share of the handshakes, and only those who have shown
// that they receive what is sent to their address get in at all.
func TestDoor(t *testing.T) {
	var d door
	from := func(s string) *quic.ClientInfo {
		return &quic.ClientInfo{RemoteAddr: net.UDPAddrFromAddrPort(netip.MustParseAddrPort(s)), AddrVerified: true}
	}
	unproven := from("192.0.2.1:1")
	unproven.AddrVerified = false
	if _, err := d.enter(t.Context(), unproven); !errors.Is(err, errUnproven) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	for range maxPerOrigin {
		if _, err := d.enter(ctx, from("192.0.2.1:1")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.enter(ctx, from("192.0.2.1:2")); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	inside, err := d.enter(ctx, from("192.0.2.2:1"))
	if err != nil {
		t.Fatal(err)
	}
	v := inside.Value(visitorKey{}).(*visitor)
	v.leave()
	v.leave()
	cancel()
	deadline := time.Now().Add(long)
	for {
		d.mu.Lock()
		left := d.waiting + len(d.from)
		d.mu.Unlock()
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(left, "are still counted")
		}
		time.Sleep(time.Millisecond)
	}
	for i := range maxHandshakes {
		if _, err := d.enter(t.Context(), from(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1).String())); err != nil {
			t.Fatal(i, err)
		}
	}
	if _, err := d.enter(t.Context(), from("192.0.2.9:1")); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
}

// A knock tells where it came from; nothing else is heard, or answered.
func TestKnock(t *testing.T) {
	a, b := hostQUIC(t, newID(t), "127.0.0.1:0", Member), hostQUIC(t, newID(t), "127.0.0.1:0", Member)
	ctx, cancel := context.WithCancel(t.Context())
	type heard struct {
		k    Knock
		from netip.AddrPort
	}
	got, done := make(chan heard, 8), make(chan struct{})
	go func() {
		defer close(done)
		b.q.Knocks(ctx, func(k Knock, from netip.AddrPort) { got <- heard{k, from} })
	}()
	to := b.q.sock.LocalAddr().(*net.UDPAddr).AddrPort()
	for want := (heard{Knock{1, 2, 3}, a.q.sock.LocalAddr().(*net.UDPAddr).AddrPort()}); ; {
		if _, err := a.q.tr.WriteTo([]byte("\x11pzk1 no number"), net.UDPAddrFromAddrPort(to)); err != nil {
			t.Fatal(err)
		}
		if err := a.q.Knock(want.k, to); err != nil {
			t.Fatal(err)
		}
		select {
		case h := <-got:
			if h != want {
				t.Errorf("heard %v, not %v", h, want)
			}
		case <-time.After(50 * time.Millisecond): // UDP: it may be lost
			continue
		}
		break
	}
	cancel()
	<-done
}

func FuzzKnock(f *testing.F) {
	f.Add([]byte(knockMagic + "0123456789abcdef"))
	f.Add([]byte(knockMagic))
	f.Fuzz(func(t *testing.T, packet []byte) {
		k, ok := parseKnock(packet)
		if ok && !bytes.Equal(packet, append([]byte(knockMagic), k[:]...)) {
			t.Errorf("%x from %x", k, packet)
		}
	})
}
