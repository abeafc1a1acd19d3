// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"bytes"
	"crypto/rand"
	"io"
	"testing"
	"time"
)

// paced makes a pair whose dialling side has limits.
func paced(t *testing.T, r Rates, lan bool) (*Conn, *Conn) {
	t.Helper()
	a, b := newID(t), newID(t)
	a.Pacer().Set(r, lan)
	addr, conns := listen(t, b, Member, ListenOptions{})
	c, _, err := a.Dial(t.Context(), b.Device(), []string{addr}, DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := <-conns
	t.Cleanup(func() { c.Close(); s.Close() })
	return c, s
}

// carry sends n bytes from one end to the other and says how long it took.
func carry(t *testing.T, from, to *Conn, n int) time.Duration {
	t.Helper()
	p := make([]byte, n)
	rand.Read(p)
	started := time.Now()
	go func() {
		if _, err := from.Write(p); err != nil {
			t.Error(err)
		}
	}()
	got := make([]byte, n)
	if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, p) {
		t.Fatal("wrong bytes", err)
	}
	return time.Since(started)
}

func TestLimitsHold(t *testing.T) {
	const n = 1 << 20
	for name, tc := range map[string]struct {
		r        Rates
		lan      bool
		up, down bool // which way is slow
	}{
		"up":            {Rates{Up: n}, true, true, false},
		"down":          {Rates{Down: n}, true, false, true},
		"not on a LAN":  {Rates{Up: n, Down: n}, false, false, false},
		"without":       {Rates{}, true, false, false},
		"of both sorts": {Rates{Up: n, Down: n}, true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := paced(t, tc.r, tc.lan)
			for _, way := range []struct {
				from, to *Conn
				slow     bool
			}{{c, s, tc.up}, {s, c, tc.down}} {
				// What lies in buffers and the first burst are ahead of the rate.
				const soon = 600 * time.Millisecond
				took := carry(t, way.from, way.to, n)
				// A busy machine may be as slow as a limit, but not each time.
				for more := 30; !way.slow && took > soon && more > 0; more-- {
					took = carry(t, way.from, way.to, n)
				}
				if slow := took > soon; way.slow != slow {
					t.Errorf("1 MiB took %v, slow: want %v", took, way.slow)
				}
			}
		})
	}
}

func TestLimitsChangeUnderWay(t *testing.T) {
	c, s := paced(t, Rates{Up: MinRate}, true)
	done := make(chan time.Duration, 1)
	go func() { done <- carry(t, c, s, 2<<20) }() // a minute, at that rate
	for in, _ := s.Moved(); in < 20<<10; in, _ = s.Moved() {
		time.Sleep(time.Millisecond)
	}
	c.raw.pace.Set(Rates{}, true)
	if took := <-done; took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A connection that waits for its turn ends at once when it is closed.
func TestCloseEndsAWaitForTheLimit(t *testing.T) {
	c, _ := paced(t, Rates{Up: MinRate}, true)
	// Somebody has taken the next minute.
	c.raw.pace.up.limit.Load().ReserveN(time.Now(), minPiece)
	for range 200 {
		c.raw.pace.up.limit.Load().ReserveN(time.Now(), minPiece)
	}
	done := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, 100))
		done <- err
	}()
	time.Sleep(10 * time.Millisecond)
	c.Close()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a write to a closed connection succeeded")
		}
	case <-time.After(30 * time.Second):
		t.Error("it waits for a closed connection")
	}
}
