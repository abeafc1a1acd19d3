// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"bytes"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// Before it is known who is there, nobody is lent a large buffer, however
// much comes at once.
func TestStrangersGetNoLargeBuffer(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	go func() {
		defer a.Close()
		for range 4 {
			if _, err := a.Write(bytes.Repeat([]byte{23, 3, 3, 0, 0}, calmSize/5)); err != nil {
				return
			}
		}
	}()
	raw := newBatch(b, new(bufferPool), time.Second)
	large := func() bool {
		buf := make([]byte, 512)
		for range 2 * calmSize / 5 {
			if _, err := raw.Read(buf); err != nil {
				t.Fatal(err)
			}
			if raw.large != nil {
				return true
			}
		}
		return false
	}
	if large() {
		t.Error("a large buffer during the handshake")
	}
	raw.start(nil)
	if !large() {
		t.Error("no large buffer afterwards")
	}
}

// A device shows its one certificate and nothing else to parse.
func TestOneCertificate(t *testing.T) {
	a, b := newID(t), newID(t)
	addr, conns := listen(t, b, Member, ListenOptions{})
	a.cert.Certificate = append(a.cert.Certificate, b.cert.Certificate[0])
	c, _, err := a.Dial(t.Context(), b.Device(), []string{addr}, DialOptions{})
	if err == nil {
		c.Close()
		(<-conns).Close()
		t.Error("a chain was taken")
	}
}

// Silent connections of one address take its share, and only as long as they
// are silent.
func TestSilentStrangers(t *testing.T) {
	a, b := newID(t), newID(t)
	addr, conns := listen(t, b, Member, ListenOptions{})
	silent := func() net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	first := silent()
	for range maxPerOrigin - 1 {
		silent()
	}
	one := silent()
	if err := one.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("silent connection %d: %v", maxPerOrigin+1, err)
	}
	first.Close()
	deadline := time.Now().Add(30 * time.Second)
	for {
		c, _, err := a.Dial(t.Context(), b.Device(), []string{addr}, DialOptions{})
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a place that was left is not free:", err)
		}
	}
	(<-conns).Close()
	// Those that are through do not count.
	for range 3 * maxPerOrigin {
		c, _, err := a.Dial(t.Context(), b.Device(), []string{addr}, DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s := <-conns
		defer s.Close()
	}
}

// from is a connection that comes from somewhere.
type from struct {
	net.Conn
	addr   net.Addr
	closed bool
}

func (f *from) RemoteAddr() net.Addr { return f.addr }
func (f *from) Close() error         { f.closed = true; return nil }

// With every place taken a new one is let in, and one of the others goes.
func TestStrangersMakeRoom(t *testing.T) {
	var s strangers
	var all []*from
	come := func(ip ...byte) bool {
		c := &from{addr: &net.TCPAddr{IP: ip, Port: 1}}
		all = append(all, c)
		return s.enter(c)
	}
	for i := range 3 * maxHandshakes {
		if !come(10, 0, byte(i>>8), byte(i)) {
			t.Fatalf("number %d is refused", i)
		}
	}
	closed := 0
	for _, c := range all {
		if c.closed {
			closed++
		}
	}
	if len(s.waiting) != maxHandshakes || closed != 2*maxHandshakes || all[len(all)-1].closed {
		t.Errorf("%d wait, %d are closed", len(s.waiting), closed)
	}
	for _, c := range all {
		s.leave(c)
	}
	for i := range maxPerOrigin {
		if !come(1, 2, 3, 4) {
			t.Fatalf("number %d of an address is refused", i)
		}
	}
	if come(1, 2, 3, 4) || len(s.waiting) != maxPerOrigin {
		t.Error("any number of an address")
	}
}
