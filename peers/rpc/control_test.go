// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/internal/wire"
	"github.com/preezm/preezm/peers/transport"
)

// What a member says on a control connection may be nonsense; it costs it the
// connection and nobody else anything.
func TestNonsenseOnControl(t *testing.T) {
	noLeaks(t)
	a, b := newNode(t, "a", times{}), newNode(t, "b", times{})
	// b has no contact of its own with a: the test plays it.
	b.stop()
	if err := a.book.Put(circle.Peer{Device: b.id.Device(), Name: "b"}); err != nil {
		t.Fatal(err)
	}
	frame := func(n int, body []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(n)), body...) }
	good, err := a.codec.Marshal(controlMsg{What: controlPing, Seq: 1})
	if err != nil {
		t.Fatal(err)
	}
	for what, raw := range map[string][]byte{
		"too long": frame(maxControl+1, make([]byte, maxControl+1)), "no CBOR": frame(3, []byte{1, 2, 3}), "empty": frame(0, nil),
		"trailing": frame(len(good)+1, append(good, 0)),
	} {
		c, _, err := b.id.Dial(t.Context(), a.id.Device(), a.Addresses(), transport.DialOptions{Kind: transport.Control})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(raw); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		closed := false
		for buf := make([]byte, 512); !closed; {
			if _, err := c.Read(buf); err != nil {
				closed = true
			}
		}
		c.Close()
		eventually(t, what+": it is over", func() bool { return !a.inTouch(b) })
	}
	// An unknown kind is passed over.
	c, _, err := b.id.Dial(t.Context(), a.id.Device(), a.Addresses(), transport.DialOptions{Kind: transport.Control})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	strange, err := a.codec.Marshal(controlMsg{What: 99})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(append(frame(len(strange), strange), frame(len(good), good)...)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it lives", func() bool { return a.inTouch(b) })
	for _, e := range a.Journal() {
		if e.Peer > 1 || len(e.How)+len(e.Note) > 80 {
			t.Errorf("%+v", e)
		}
	}
}

func FuzzControl(f *testing.F) {
	c, err := wire.New()
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range []controlMsg{
		{What: controlPing, Seq: 7, Clock: 1, RTT: 2}, {What: controlAbout, Addresses: []string{"10.0.0.1:1"}, Servers: []string{"x"}, Mapped: []string{"y"}},
	} {
		raw, err := c.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m controlMsg
		if c.Unmarshal(raw, &m) != nil {
			return
		}
		if again, err := c.Marshal(m); err != nil || string(again) != string(raw) {
			t.Errorf("%x is written %x: %v", raw, again, err)
		}
	})
}

// What is told of errors for a bug report holds nothing of the error's own text.
func TestErrorClasses(t *testing.T) {
	for _, err := range []error{peers.ErrProtocol, transport.ErrBusy, transport.ErrNotAdmitted, transport.ErrWrongDevice, transport.ErrRelay, transport.ErrNotThere} {
		if c := errorClass(err); c == "other" || c == "" {
			t.Errorf("%v: %q", err, c)
		}
	}
	for addr, want := range map[string]string{
		"192.168.1.1:1": "private IPv4", "[2001:db8::1]:1": "public IPv6", "nas.example:1": "name", "relay://203.0.113.1:1/?id=x": "relay",
	} {
		if got := addressClass(addr); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
}

// A device that asks to be called back without end gets a few connections.
func TestCallsAreFew(t *testing.T) {
	p := &contact{}
	now := time.Now()
	n := 0
	for range 100 {
		if p.mayCallBack(now) {
			n++
			p.back-- // it was opened, used and closed
		}
	}
	if n != callBurst {
		t.Errorf("%d at once", n)
	}
	if !p.mayCallBack(now.Add(callRefill)) || p.mayCallBack(now.Add(callRefill)) {
		t.Error("not one more after a while")
	}
	p.back = maxBack
	if p.mayCallBack(now.Add(time.Hour)) {
		t.Error("more than are useful")
	}
}
