// SPDX-License-Identifier: MPL-2.0

package netlab

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syncthing/syncthing/lib/tlsutil"

	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/transport"
	"github.com/preezm/preezm/peers/vault"
	"github.com/preezm/preezm/peers/vault/vaulttest"
)

// usage is what a process used so far.
type usage struct {
	cpu time.Duration
	rss int64 // bytes, at most
}

func (m *machine) usage() usage {
	m.r.t.Helper()
	pid := strconv.Itoa(m.About().PID)
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	m.r.check(err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')'):]))
	user, err := strconv.ParseInt(fields[12], 10, 64)
	m.r.check(err)
	system, err := strconv.ParseInt(fields[13], 10, 64)
	m.r.check(err)
	status, err := os.ReadFile("/proc/" + pid + "/status")
	m.r.check(err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	m.r.check(err)
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux
	return usage{time.Duration(user+system) * tick, kb << 10}
}

// bytes is what went over an interface of a space, both ways.
func (s *Space) bytes(t *testing.T, name string) int64 {
	t.Helper()
	var sum int64
	for _, way := range []string{"rx_bytes", "tx_bytes"} {
		out, err := s.Run("cat", "/sys/class/net/"+name+"/statistics/"+way)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// TestIdle measures what ten idle peers cost: less than 1 % of a core and 2 kB
// a second.
func TestIdle(t *testing.T) {
	onlyLong(t)
	r := newRig(t)
	a := r.lan("ra", "198.51.100.10", "192.168.1", nil)
	space := r.behind(a, "owner", "192.168.1", 2)
	owner := r.home(space, "owner")
	for i := range 10 {
		name := fmt.Sprintf("k%d", i)
		r.pair(owner, r.home(r.behind(a, name, "192.168.1", 10+i), name))
	}
	r.within(20*time.Second, "everybody is in touch", func() bool {
		n := 0
		for _, p := range owner.net().Peers {
			if p.Online {
				n++
			}
		}
		return n == 10
	})
	pause(r, 30*time.Second) // what a start brings is over
	before, moved := owner.usage(), space.bytes(t, "eth0")
	const span = 2 * time.Minute
	pause(r, span)
	after, now := owner.usage(), space.bytes(t, "eth0")
	cpu := float64(after.cpu-before.cpu) / float64(span) * 100
	rate := float64(now-moved) / span.Seconds()
	t.Logf("idle with 10 peers: %.2f %% of a core, %.0f bytes a second both ways, at most %d MiB", cpu, rate, after.rss>>20)
	if cpu >= 1 || rate >= 2000 {
		t.Error("more than it may")
	}
}

func pause(r *rig, d time.Duration) {
	r.t.Helper()
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
		r.t.Fatal(r.ctx.Err())
	}
}

// crowd makes devices that are members of a keeper's circle, by writing it.
func (r *rig) crowd(m *machine, n int) []*rpc.Service {
	r.t.Helper()
	book, err := circle.OpenIn(vaulttest.Boxes(r.t, m.Dir)[vault.Machine], filepath.Join(m.Dir, "circle.json"))
	r.check(err)
	about := m.About()
	var out []*rpc.Service
	for i := range n {
		id, err := transport.NewIdentity()
		r.check(err)
		r.check(book.Put(circle.Peer{Device: id.Device(), Name: fmt.Sprintf("peer %d", i)}))
		own, err := circle.Open(filepath.Join(r.t.TempDir(), "circle.json"))
		r.check(err)
		r.check(own.Put(circle.Peer{Device: about.Device, Name: "keeper", Addresses: about.Addresses, Keeper: true}))
		s, err := rpc.New(rpc.Config{Identity: id, Book: own, Version: "test"})
		r.check(err)
		out = append(out, s)
	}
	return out
}

// TestCrowd has 200 peers connected to one keeper: below 150 MiB.
func TestCrowd(t *testing.T) {
	onlyLong(t)
	r := newRig(t)
	s, err := r.Space("keeper")
	r.check(err)
	keeper := r.home(s, "keeper", "--listen", "127.0.0.1:24930")
	r.check(keeper.Stop(r.ctx))
	// The test's own process is in no namespace: it comes through loopback.
	keeper.Prefix = nil
	r.check(keeper.Start(r.ctx, "--listen", "127.0.0.1:0"))
	r.check(keeper.Stop(r.ctx))
	peersOf := r.crowd(keeper, 200)
	r.check(keeper.Start(r.ctx))
	ctx, cancel := context.WithCancel(r.ctx)
	var wg sync.WaitGroup
	for _, p := range peersOf {
		wg.Go(func() {
			if err := p.Serve(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	defer wg.Wait()
	defer cancel()
	r.within(60*time.Second, "200 are connected", func() bool {
		n := 0
		for _, p := range keeper.net().Peers {
			if p.Online {
				n++
			}
		}
		return n == 200
	})
	pause(r, 5*time.Second)
	u := keeper.usage()
	t.Logf("200 peers connected: at most %d MiB", u.rss>>20)
	if u.rss > 150<<20 {
		t.Error("more than 150 MiB")
	}
}

// TestGarbage floods a keeper with 10,000 connections a minute that are not of
// its circle, and has the owner put and get meanwhile.
func TestGarbage(t *testing.T) {
	r := newRig(t)
	a := r.lan("ra", "198.51.100.10", "192.168.1", nil)
	owner, keeper := r.home(r.behind(a, "owner", "192.168.1", 2), "owner"), r.home(r.behind(a, "keeper", "192.168.1", 3), "keeper")
	bad := r.behind(a, "bad", "192.168.1", 66)
	r.pair(owner, keeper)
	r.within(10*time.Second, "in touch", func() bool { return owner.way(keeper) == "LAN" })
	span := 6 * time.Second
	if long() {
		span = time.Minute
	}
	before := keeper.usage()
	since := touched(owner)
	ctx, cancel := context.WithTimeout(r.ctx, span)
	defer cancel()
	var tried atomic.Int64
	flood := make(chan struct{})
	go func() {
		defer close(flood)
		if err := inSpace(bad.Name, func() error { return garbage(ctx, "192.168.1.3:24930", &tried) }); err != nil {
			t.Error(err)
		}
	}()
	file := r.file("meanwhile", amount(50))
	took := owner.put(file, 1)
	owner.same(file)
	<-flood
	after := keeper.usage()
	t.Logf("%d garbage connections in %s; a put of %d MB meanwhile: %s; keeper: %.1f s CPU, at most %d MiB", tried.Load(), span, amount(50)>>20,
		took.Round(time.Millisecond), (after.cpu - before.cpu).Seconds(), after.rss>>20)
	if owner.way(keeper) != "LAN" || touched(owner) != since {
		t.Error("the good connection was lost")
	}
	if long() && float64(tried.Load()) < 0.9*10_000*span.Minutes() {
		t.Errorf("only %d connections: this machine is too slow to tell", tried.Load())
	}
}

func touched(m *machine) time.Time {
	for _, p := range m.net().Peers {
		return p.Since
	}
	return time.Time{}
}

// garbage opens 10,000 connections a minute: some say nothing, some say
// nonsense, some are TLS of strangers. It runs in the flooding namespace, on one
// thread: everything it starts has to be started from here.
func garbage(ctx context.Context, to string, tried *atomic.Int64) error {
	cert, err := tlsutil.NewCertificateInMemory("stranger", 1)
	if err != nil {
		return err
	}
	stranger := &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true, NextProtos: []string{transport.ALPN}}
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	began := time.Now()
	for n := 0; ; n++ {
		// By the clock: what was too slow is caught up with.
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(began.Add(time.Duration(n) * time.Minute / 10_000))):
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", to)
		if err != nil {
			continue // its accept queue is full: as good a defence as any
		}
		tried.Add(1)
		switch n % 3 {
		case 0: // silence
		case 1:
			_, _ = c.Write([]byte(strings.Repeat("GET / HTTP/1.1\r\n", 100)))
		case 2:
			t := tls.Client(c, stranger)
			_ = c.SetDeadline(time.Now().Add(50 * time.Millisecond))
			_ = t.Handshake()
		}
		open = append(open, c)
		if len(open) > 200 {
			open[0].Close()
			open = open[1:]
		}
	}
}
