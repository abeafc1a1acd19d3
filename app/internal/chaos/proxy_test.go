// SPDX-License-Identifier: MPL-2.0

//go:build unix

package chaos

import (
	"net"
	"sync"
	"time"
)

// proxy passes TCP connections on at so many bytes a second each way, for all
// of them together.
type proxy struct {
	l    net.Listener
	to   string
	rate int
	work sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]bool
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
			return
		}
		p.work.Go(func() { up.copy(b, a) })
		p.work.Go(func() { down.copy(a, b) })
	}
}

// own notes connections for close, unless that has been.
func (p *proxy) own(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.closed {
			c.Close()
		}
		p.open[c] = true
	}
	return !p.closed
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.l.Close()
	for c := range p.open {
		c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}

// line is one direction: whoever sends n bytes has it for n/rate seconds.
type line struct {
	mu   sync.Mutex
	rate int
	free time.Time
}

func (l *line) copy(dst, src net.Conn) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 1000)
	for {
		n, err := src.Read(buf)
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

// pass waits until n bytes have gone over the line.
func (l *line) pass(n int) {
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
