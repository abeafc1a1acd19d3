// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// lingerTime is how long what was written last may take to get there once a
// connection is closed here.
const lingerTime = 3 * time.Second

// quicConn is a QUIC connection with its one stream, as a net.Conn.
type quicConn struct {
	q      *QUIC
	conn   *quic.Conn
	stream *quic.Stream
	once   sync.Once
	over   atomic.Bool // the other side said that nothing more comes

	deadline sync.Mutex // held while one is set for writes
	closing  bool       // with deadline

	write sync.Mutex // held while writing
	shut  bool       // no more is written; with write
	cut   bool       // a write did not go out whole; with write
}

// quicError is why a connection broke, in words that callers of a net.Conn know.
type quicError struct{ err error }

func (e *quicError) Error() string   { return "quic: " + e.err.Error() }
func (e *quicError) Unwrap() []error { return []error{io.ErrUnexpectedEOF, e.err} }

func brokenBy(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return &quicError{err}
}

func (c *quicConn) Read(p []byte) (int, error) {
	n, err := c.stream.Read(p)
	if errors.Is(err, io.EOF) {
		c.over.Store(true)
	}
	if n > 0 {
		return n, nil
	}
	return n, brokenBy(err)
}

func (c *quicConn) Write(p []byte) (int, error) {
	c.write.Lock()
	defer c.write.Unlock()
	if c.shut {
		return 0, net.ErrClosed
	}
	n, err := c.stream.Write(p)
	c.cut = n < len(p)
	return n, brokenBy(err)
}

// CloseWrite tells the other side that nothing more comes.
func (c *quicConn) CloseWrite() error {
	c.write.Lock()
	defer c.write.Unlock()
	if c.shut {
		return nil
	}
	c.shut = true
	return c.stream.Close()
}

// Close ends reads and writes at once. What was written whole still gets there,
// as with TCP: the connection lives on without anybody for a moment, until the
// other side closes it.
func (c *quicConn) Close() error {
	c.once.Do(func() {
		c.deadline.Lock()
		c.closing = true
		err := c.stream.SetWriteDeadline(time.Now().Add(-time.Second)) // ends a write that waits
		c.deadline.Unlock()
		c.stream.CancelRead(0)
		c.write.Lock()
		cut := c.cut || err != nil
		if !c.shut && !cut {
			cut = c.stream.Close() != nil
		}
		c.shut = true
		c.write.Unlock()
		if cut || c.over.Load() || !c.linger() {
			c.end()
		}
	})
	return nil
}

// linger leaves the connection to itself for a moment.
func (c *quicConn) linger() bool {
	c.q.mu.Lock()
	defer c.q.mu.Unlock()
	if c.q.closed {
		return false
	}
	c.q.work.Go(func() {
		t := time.NewTimer(lingerTime)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.conn.Context().Done():
		}
		c.end()
	})
	return true
}

func (c *quicConn) end() {
	hangUp(c.conn)
	c.q.mu.Lock()
	defer c.q.mu.Unlock()
	delete(c.q.conns, c)
}

func (c *quicConn) LocalAddr() net.Addr  { return c.conn.LocalAddr() }
func (c *quicConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

func (c *quicConn) SetReadDeadline(t time.Time) error { return c.stream.SetReadDeadline(t) }

func (c *quicConn) SetWriteDeadline(t time.Time) error {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	if c.closing {
		return net.ErrClosed
	}
	return c.stream.SetWriteDeadline(t)
}

func (c *quicConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
