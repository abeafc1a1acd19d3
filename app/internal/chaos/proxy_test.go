// SPDX-License-Identifier: MPL-2.0

//go:build unix

package chaos

import (
	"net"
	"sync"
	"time"
)

// way is what a proxy does with what comes.
type way int

const (
	open  way = iota // it goes on
	stuck            // it is held back, and no connection ends
	cut              // connections are ended and new ones refused
)

// proxy passes TCP connections on at so many bytes a second each way, for all
// of them together; 0 is no limit.
type proxy struct {
	l    net.Listener
	to   string
	rate int
	work sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]bool
	way    way
	free   chan struct{} // closed when nothing is held back
}

func newProxy(l net.Listener, to string, rate int) *proxy {
	p := &proxy{l: l, to: to, rate: rate, conns: map[net.Conn]bool{}, free: make(chan struct{})}
	close(p.free)
	p.work.Go(p.serve)
	return p
}

// set changes what becomes of the connections.
func (p *proxy) set(w way) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w == stuck && p.way != stuck {
		p.free = make(chan struct{})
	} else if w != stuck && p.way == stuck {
		close(p.free)
	}
	if p.way = w; w == cut {
		p.end()
	}
}

// end closes all connections, with a reset where that is possible. The lock is
// held.
func (p *proxy) end() {
	for c := range p.conns {
		if t, ok := c.(*net.TCPConn); ok {
			t.SetLinger(0) // fails on a closed connection only
		}
		c.Close()
	}
	clear(p.conns)
}

func (p *proxy) serve() {
	up, down := &line{rate: p.rate}, &line{rate: p.rate}
	for {
		a, err := p.l.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial("tcp", p.to)
		if err != nil {
			a.Close()
			continue
		}
		if !p.own(a, b) {
			continue
		}
		p.work.Go(func() { p.copy(up, b, a) })
		p.work.Go(func() { p.copy(down, a, b) })
	}
}

// own notes connections for close, unless that has been or the line is cut.
func (p *proxy) own(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
	if p.closed || p.way == cut {
		p.end()
		return false
	}
	return true
}

func (p *proxy) close() {
	p.set(open)
	p.mu.Lock()
	p.closed = true
	p.l.Close()
	p.end()
	p.mu.Unlock()
	p.work.Wait()
}

// wait returns when nothing is held back.
func (p *proxy) wait() {
	p.mu.Lock()
	free := p.free
	p.mu.Unlock()
	<-free
}

func (p *proxy) copy(l *line, dst, src net.Conn) {
	defer dst.Close()
	defer src.Close()
	size := 1000
	if p.rate == 0 {
		size = 64 << 10
	}
	buf := make([]byte, size)
	for {
		n, err := src.Read(buf)
		p.wait()
		if n > 0 {
			l.pass(n)
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// line is one direction: whoever sends n bytes has it for n/rate seconds.
type line struct {
	mu   sync.Mutex
	rate int
	free time.Time
}

// pass waits until n bytes have gone over the line.
func (l *line) pass(n int) {
	if l.rate == 0 {
		return
	}
	l.mu.Lock()
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(n) * time.Second / time.Duration(l.rate))
	wait := l.free.Sub(now)
	l.mu.Unlock()
	<-time.After(wait) // the line is what it simulates
}
