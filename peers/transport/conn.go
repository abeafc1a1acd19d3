// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
)

// Conn is an authenticated connection to one device. Below TLS sits a batch
// that joins 16 KiB records into few large system calls; above it, Read
// returns as many records as have arrived whole instead of one at a time, and
// ReadFrom hands a body that lies in memory to TLS in one piece.
type Conn struct {
	top    upper
	raw    *batch
	device peers.DeviceID
	kind   Kind
	route  Route
	opened time.Time
	// Welcome is what the accepting side said to this connection.
	welcome Welcome

	closing  sync.Once
	closeErr error
	onClose  func()
}

// upper is what encrypts: TLS, or the batch itself where QUIC does beneath.
type upper interface {
	net.Conn
	CloseWrite() error
}

// Taker is a body in memory. Take returns the next at most n bytes of it and
// counts them as read; the slice stays valid until the body is closed.
type Taker interface{ Take(n int64) []byte }

// Device is who is at the other end.
func (c *Conn) Device() peers.DeviceID { return c.device }

// Welcome is what the accepting side said of this connection.
func (c *Conn) Welcome() Welcome { return c.welcome }

// Kind is what the connection is for.
func (c *Conn) Kind() Kind { return c.kind }

// Route is the kind of way it takes.
func (c *Conn) Route() Route { return c.route }

// Opened is when it was there.
func (c *Conn) Opened() time.Time { return c.opened }

// Moved is how many bytes went through the socket, in and out.
func (c *Conn) Moved() (in, out int64) { return c.raw.in.Load(), c.raw.sent.Load() }

// OnClose has f called once when the connection is closed, beside whoever asked
// for that before. It is called before anybody else has the connection.
func (c *Conn) OnClose(f func()) {
	before := c.onClose
	c.onClose = func() {
		if before != nil {
			before()
		}
		f()
	}
}

// LastMoved is when bytes last went through the socket, in either direction.
func (c *Conn) LastMoved() time.Time { return time.Unix(0, c.raw.moved.Load()) }

// Read fills p with what is there: at least one record, and every further one
// that has arrived whole.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.top.Read(p)
	for err == nil && n > 0 && n < len(p) && c.raw.wholeRecord() {
		var m int
		m, err = c.top.Read(p[n:])
		n += m
	}
	return n, err
}

// Write sends p; when it returns the socket has everything.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.top.Write(p)
	if err != nil {
		return n, err
	}
	if err := c.raw.flush(); err != nil {
		return 0, err
	}
	return n, nil
}

// ReadFrom sends what r holds: from memory in one piece when r is a Taker, or
// a limited one, as net/http passes request bodies.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	if lr, ok := r.(*io.LimitedReader); ok {
		if t, ok := lr.R.(Taker); ok {
			p := t.Take(lr.N)
			n, err := c.Write(p)
			lr.N -= int64(n)
			return int64(n), err
		}
	}
	buf := c.raw.pool.get()
	defer c.raw.pool.put(buf)
	var total int64
	for {
		n, err := io.ReadFull(r, *buf)
		if n > 0 {
			w, werr := c.Write((*buf)[:n])
			total += int64(w)
			if werr != nil {
				return total, werr
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// Close ends the connection at once, even under a blocked Read or Write. It
// sends no close-notify, which could block behind a full window: the length
// of everything rpc sends is known, so a cut is noticed without it.
func (c *Conn) Close() error {
	c.closing.Do(func() {
		close(c.raw.over)
		c.closeErr = c.raw.Conn.Close()
		if c.onClose != nil {
			c.onClose()
		}
	})
	return c.closeErr
}

// CloseWrite tells the other side that nothing more comes.
func (c *Conn) CloseWrite() error {
	if err := c.top.CloseWrite(); err != nil {
		return err
	}
	return c.raw.flush()
}

// LocalAddr is this end's address.
func (c *Conn) LocalAddr() net.Addr { return c.top.LocalAddr() }

// RemoteAddr is the other end's address.
func (c *Conn) RemoteAddr() net.Addr { return c.top.RemoteAddr() }

// SetDeadline bounds reads and writes.
func (c *Conn) SetDeadline(t time.Time) error { return c.top.SetDeadline(t) }

// SetReadDeadline bounds reads.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.top.SetReadDeadline(t) }

// SetWriteDeadline bounds writes. Without one, a write fails once not a byte
// has moved for the idle time.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.top.SetWriteDeadline(t) }
