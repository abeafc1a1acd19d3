// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/transport"
)

// Limits of a control connection.
const (
	// maxControl bounds one message, in bytes.
	maxControl = 4 << 10
	// pingEvery is how often the side that dialled asks whether the other lives.
	pingEvery = 12 * time.Second
	// controlSilence is how long a connection may say nothing: after that its
	// machine lost its power or its network. A ping may be late.
	controlSilence = 28 * time.Second
	// controlSend is how long the socket may take for one message.
	controlSend = 5 * time.Second
	// suspectTime is how long a connection has to answer when there is reason
	// to think that it is dead.
	suspectTime = 2 * time.Second
)

// What a control message is.
const (
	controlPing  = 1 + iota // Seq, Clock, RTT: answer with a pong
	controlPong             // Seq, Clock
	controlAbout            // Clock, Addresses, Servers, Mapped: where the sender can be reached
	controlCall             // open a reverse connection to the sender
	controlMail             // mail waits at the sender for the receiver
	controlWatch            // Token: the sender is about to knock with it by UDP; say from where it comes
	controlSeen             // Token, Addresses: from where that knock came
	controlPunch            // Token, Addresses, Answer, Device: where the sender, or the Device for which it passes this on, is by UDP
	controlPass             // the same, to be passed on to Device
)

// controlMsg is a message on a control connection: two bytes, big-endian, with
// its length, then the CBOR. A kind that the receiver does not know is passed
// over.
type controlMsg struct {
	What      uint8    `cbor:"1,keyasint"`
	Seq       uint64   `cbor:"2,keyasint,omitempty"`
	Clock     int64    `cbor:"3,keyasint,omitempty"` // Unix seconds
	RTT       int64    `cbor:"4,keyasint,omitempty"` // microseconds
	Addresses []string `cbor:"5,keyasint,omitempty"`
	Servers   []string `cbor:"6,keyasint,omitempty"`
	Mapped    []string `cbor:"7,keyasint,omitempty"` // of the addresses, those that a router passes on
	Token     []byte   `cbor:"8,keyasint,omitempty"` // 16 bytes
	Device    []byte   `cbor:"9,keyasint,omitempty"`
	Answer    bool     `cbor:"10,keyasint,omitempty"`
}

// control is the one long-lived connection to a device. Little goes over it; it
// tells within seconds that the other side is there, moved, or is gone.
type control struct {
	s    *Service
	conn *transport.Conn
	ours bool   // this device dialled
	addr string // as dialled

	write sync.Mutex
	seq   uint64    // of the last ping; with write
	asked time.Time // when that was sent; with write

	rtt   atomic.Int64 // nanoseconds; 0: not measured yet
	clock atomic.Int64 // the other side's, Unix seconds, when it last told
	told  atomic.Int64 // when that was, nanoseconds since the connection was opened
	done  chan struct{}
}

func (c *control) send(m controlMsg) error {
	raw, err := c.s.codec.Marshal(m)
	if err != nil {
		return err
	}
	if len(raw) > maxControl {
		return fmt.Errorf("control message of %d bytes", len(raw))
	}
	frame := append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(raw)), uint16(len(raw))), raw...)
	c.write.Lock()
	defer c.write.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(controlSend)); err != nil {
		return err
	}
	_, err = c.conn.Write(frame)
	return err
}

// ping asks whether the other side lives.
func (c *control) ping() error {
	c.write.Lock()
	c.seq++
	c.asked = time.Now()
	m := controlMsg{What: controlPing, Seq: c.seq, Clock: c.s.cfg.Now().Unix(), RTT: c.rtt.Load() / 1000}
	c.write.Unlock()
	return c.send(m)
}

// suspect gives the connection a moment to show that it lives.
func (c *control) suspect() {
	if c.ping() != nil || c.conn.SetReadDeadline(time.Now().Add(suspectTime)) != nil {
		c.conn.Close()
	}
}

// run reads until the connection ends, and says why.
func (c *control) run(hear func(controlMsg)) error {
	defer close(c.done)
	defer c.conn.Close()
	var head [2]byte
	buf := make([]byte, 256)
	for {
		if err := c.conn.SetReadDeadline(time.Now().Add(controlSilence)); err != nil {
			return err
		}
		if _, err := io.ReadFull(c.conn, head[:]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint16(head[:]))
		if n > maxControl {
			return fmt.Errorf("%w (a control message of %d bytes)", peers.ErrProtocol, n)
		}
		if n > len(buf) {
			buf = make([]byte, n)
		}
		if _, err := io.ReadFull(c.conn, buf[:n]); err != nil {
			return err
		}
		var m controlMsg
		if err := c.s.codec.Unmarshal(buf[:n], &m); err != nil {
			return fmt.Errorf("%w: %w", peers.ErrProtocol, err)
		}
		if err := c.note(m); err != nil {
			return err
		}
		hear(m)
	}
}

// note does what concerns the connection itself.
func (c *control) note(m controlMsg) error {
	if m.Clock > 0 {
		c.clock.Store(m.Clock)
		c.told.Store(int64(time.Since(c.conn.Opened())))
	}
	switch m.What {
	case controlPing:
		if m.RTT > 0 && m.RTT < int64(time.Hour/time.Microsecond) {
			c.rtt.Store(m.RTT * 1000)
		}
		return c.send(controlMsg{What: controlPong, Seq: m.Seq, Clock: c.s.cfg.Now().Unix()})
	case controlPong:
		c.write.Lock()
		first := false
		if m.Seq == c.seq {
			first = c.rtt.Swap(int64(time.Since(c.asked))) == 0
		}
		c.write.Unlock()
		if first {
			return c.ping() // which tells the other side how long it took
		}
	}
	return nil
}

// unixTime is the other side's clock now, 0 while it has not told.
func (c *control) unixTime() int64 {
	clock := c.clock.Load()
	if clock == 0 {
		return 0
	}
	return clock + int64((time.Since(c.conn.Opened())-time.Duration(c.told.Load()))/time.Second)
}

// ended says whether the connection is over.
func (c *control) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// poke puts a value into a channel that holds one, unless it does already.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// waitFor returns when one of on has a value or is closed, ctx ended, or d
// passed.
func waitFor(ctx context.Context, d time.Duration, on ...<-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	var a, b <-chan struct{}
	if len(on) > 0 {
		a = on[0]
	}
	if len(on) > 1 {
		b = on[1]
	}
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-a:
	case <-b:
	}
}
