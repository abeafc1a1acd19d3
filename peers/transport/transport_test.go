// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/preezm/preezm/peers"
)

// TestMain fails when goroutines are left; the two that a dependency starts
// when it is loaded do not count.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

func newID(t *testing.T) *Identity {
	t.Helper()
	id, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// listen starts a listener that says w to everybody.
func listen(t *testing.T, id *Identity, w Welcome, o ListenOptions) (string, chan *Conn) {
	t.Helper()
	conns := make(chan *Conn, 16)
	o.Admit = func(peers.DeviceID, Kind) Welcome { return w }
	o.Accept = func(c *Conn) { conns <- c }
	l, err := id.Listen(t.Context(), []string{"127.0.0.1:0"}, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() { defer close(served); l.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-served
		for len(conns) > 0 {
			(<-conns).Close()
		}
	})
	return l.Addrs()[0].String(), conns
}

func pair(t *testing.T) (*Conn, *Conn) {
	t.Helper()
	a, b := newID(t), newID(t)
	addr, conns := listen(t, b, Member, ListenOptions{})
	c, _, err := a.Dial(t.Context(), b.Device(), []string{addr}, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := <-conns
	t.Cleanup(func() { c.Close(); s.Close() })
	if s.Device() != a.Device() || c.Device() != b.Device() || c.Welcome() != Member {
		t.Fatal("who is who?")
	}
	return c, s
}

func TestIdentityFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "device.crt"), filepath.Join(dir, "device.key")
	id, err := CreateIdentity(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadIdentity(cert, key)
	if err != nil || again.Device() != id.Device() {
		t.Fatalf("another device after loading: %v", err)
	}
	if _, err := CreateIdentity(cert, key); !errors.Is(err, ErrIdentityExists) {
		t.Errorf("overwrote: %v", err)
	}
	fi, err := os.Stat(key)
	if err != nil || runtime.GOOS != "windows" && fi.Mode().Perm() != 0o600 {
		t.Errorf("key mode %v %v", fi.Mode(), err)
	}
}

// Any sizes of writes and reads give the same bytes, both ways at once.
func TestConnCarriesBytes(t *testing.T) {
	c, s := pair(t)
	const total = 5 << 20
	send := func(w *Conn, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		for left := total; left > 0; {
			p := make([]byte, min(left, 1+r.IntN(1<<(1+r.IntN(19)))))
			for i := range p {
				p[i] = byte(seed) + byte(left-i)
			}
			if _, err := w.Write(p); err != nil {
				t.Error(err)
				return
			}
			left -= len(p)
		}
	}
	go send(c, 1)
	go send(s, 2)
	receive := func(rd *Conn, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 9))
		buf := make([]byte, 600<<10)
		for left := total; left > 0; {
			n, err := rd.Read(buf[:1+r.IntN(1<<(1+r.IntN(19)))])
			if err != nil {
				t.Error(err)
				return
			}
			for i := range n {
				if buf[i] != byte(seed)+byte(left-i) {
					t.Errorf("another byte with %d left", left-i)
					return
				}
			}
			left -= n
		}
	}
	done := make(chan struct{})
	go func() { defer close(done); receive(c, 2) }()
	receive(s, 1)
	<-done
}

type taker struct{ b []byte }

func (k *taker) Read(p []byte) (int, error) { return 0, errors.New("copied") }
func (k *taker) Take(n int64) []byte {
	p := k.b[:min(n, int64(len(k.b)))]
	k.b = k.b[len(p):]
	return p
}

func TestReadFrom(t *testing.T) {
	c, s := pair(t)
	data := bytes.Repeat([]byte("0123456789"), 100_000)
	go func() {
		if n, err := c.ReadFrom(&io.LimitedReader{R: &taker{data}, N: int64(len(data))}); n != int64(len(data)) || err != nil {
			t.Error(n, err)
		}
		if n, err := c.ReadFrom(bytes.NewReader(data)); n != int64(len(data)) || err != nil {
			t.Error(n, err)
		}
	}()
	got := make([]byte, 2*len(data))
	if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, append(data, data...)) {
		t.Error("other bytes", err)
	}
}

// A read deadline that passes leaves the connection whole.
func TestReadDeadline(t *testing.T) {
	c, s := pair(t)
	if err := s.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	var b [5]byte
	if _, err := s.Read(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if err := s.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s, b[:]); err != nil || string(b[:]) != "hello" {
		t.Error(err)
	}
}

func TestWriteGivesUpWhenNothingMoves(t *testing.T) {
	a, b := newID(t), newID(t)
	addr, conns := listen(t, b, Member, ListenOptions{})
	c, _, err := a.Dial(t.Context(), b.Device(), []string{addr}, DialOptions{Idle: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := <-conns
	defer s.Close()
	started := time.Now()
	for err == nil {
		_, err = c.Write(make([]byte, 1<<20)) // nobody reads
	}
	if took := time.Since(started); !errors.Is(err, os.ErrDeadlineExceeded) || took > 20*time.Second {
		t.Errorf("%v after %s", err, took)
	}
}

func TestCloseUnblocks(t *testing.T) {
	c, _ := pair(t)
	done := make(chan error)
	go func() {
		var err error
		for err == nil {
			_, err = c.Write(make([]byte, 1<<20))
		}
		done <- err
	}()
	go func() {
		_, err := c.Read(make([]byte, 1))
		done <- err
	}()
	time.AfterFunc(50*time.Millisecond, func() { c.Close() })
	for range 2 {
		select {
		case err := <-done:
			if err == nil {
				t.Error("no error")
			}
		case <-time.After(30 * time.Second):
			t.Fatal("blocked after Close")
		}
	}
}

func TestDial(t *testing.T) {
	a, b, other := newID(t), newID(t), newID(t)
	good, _ := listen(t, b, Member, ListenOptions{})
	wrong, _ := listen(t, other, Member, ListenOptions{})
	refuses, _ := listen(t, b, Refused, ListenOptions{})
	busy, _ := listen(t, b, Busy, ListenOptions{})
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, c := range map[string]struct {
		addresses []string
		want      error
	}{
		"good":             {[]string{good}, nil},
		"after wrong":      {[]string{wrong, good}, nil},
		"after silent":     {[]string{silent.Addr().String(), good}, nil},
		"after unknown":    {[]string{"relay://x", "127.0.0.1:1", good}, nil},
		"wrong":            {[]string{wrong}, ErrWrongDevice},
		"refused":          {[]string{refuses, good}, ErrNotAdmitted},
		"busy":             {[]string{busy}, ErrBusy},
		"only silent ones": {[]string{silent.Addr().String()}, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			conn, addr, err := a.Dial(t.Context(), b.Device(), c.addresses, DialOptions{Timeout: 3 * time.Second})
			if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if err == nil {
				conn.Close()
				if addr != good {
					t.Error("through", addr)
				}
			}
			if took := time.Since(started); took > 9*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
	if _, _, err := a.Dial(t.Context(), b.Device(), nil, DialOptions{}); err == nil {
		t.Error("dialled nowhere")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	started := time.Now()
	if _, _, err := a.Dial(ctx, b.Device(), []string{silent.Addr().String()}, DialOptions{}); err == nil || time.Since(started) > 5*time.Second {
		t.Errorf("cancelled: %v after %s", err, time.Since(started))
	}
}

func TestHandshakeIsNotWaitedForForever(t *testing.T) {
	addr, _ := listen(t, newID(t), Member, ListenOptions{Handshake: 100 * time.Millisecond})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("still open")
	}
}

func TestCandidates(t *testing.T) {
	ifs := []netip.Addr{}
	for _, s := range []string{"127.0.0.1", "::1", "fe80::1", "2001:db8::5", "192.168.1.7"} {
		ifs = append(ifs, netip.MustParseAddr(s))
	}
	tcp := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	for name, c := range map[string]struct {
		bound []net.Addr
		ifs   []netip.Addr
		want  []string
	}{
		"wildcard":      {[]net.Addr{tcp("[::]:7")}, ifs, []string{"192.168.1.7:7", "[2001:db8::5]:7"}},
		"IPv4 wildcard": {[]net.Addr{tcp("0.0.0.0:7")}, ifs, []string{"192.168.1.7:7"}},
		"loopback last": {[]net.Addr{tcp("127.0.0.1:7"), tcp("[::]:7")}, ifs, []string{"192.168.1.7:7", "[2001:db8::5]:7", "127.0.0.1:7"}},
		"loopback only": {[]net.Addr{tcp("127.0.0.1:7")}, ifs, []string{"127.0.0.1:7"}},
		"no network":    {[]net.Addr{tcp("0.0.0.0:7")}, ifs[:1], []string{"127.0.0.1:7"}},
	} {
		if got := candidates(c.bound, c.ifs); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if !LoopbackOnly([]net.Addr{tcp("127.0.0.1:7"), tcp("[::1]:7")}) || LoopbackOnly([]net.Addr{tcp("0.0.0.0:7")}) {
		t.Error("LoopbackOnly")
	}
}

// FuzzBatch feeds foreign bytes below TLS: nothing is lost, added or reordered
// by the cutting into records, whatever the headers say.
func FuzzBatch(f *testing.F) {
	f.Add([]byte{23, 3, 3, 0, 2, 1, 2, 23, 3, 3, 0, 0}, uint8(3))
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		a, b := net.Pipe()
		go func() {
			defer a.Close()
			for rest := in; len(rest) > 0; {
				n := min(len(rest), 1+int(step))
				if _, err := a.Write(rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
		}()
		defer b.Close()
		var out []byte
		raw := newBatch(b, new(bufferPool), time.Second)
		buf := make([]byte, 512)
		for {
			n, err := raw.Read(buf)
			out = append(out, buf[:n]...)
			raw.wholeRecord()
			if err != nil {
				break
			}
		}
		// A header that never came whole is not given out.
		if !bytes.HasPrefix(in, out) || len(in)-len(out) >= recordHeader {
			t.Errorf("%x became %x", in, out)
		}
	})
}
