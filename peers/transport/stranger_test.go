// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"bytes"
	"net"
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
	raw.start()
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
