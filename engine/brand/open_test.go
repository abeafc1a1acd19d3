// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

// dies runs an opening that stops for ever at the nth passing of a point, as a
// kill would: nothing of it is cleaned up. It gives false when it came to its
// end before.
func (s *scene) dies(r *Received, to, point string, nth int) bool {
	s.Helper()
	b := s.open()
	stopped, ended := make(chan struct{}), make(chan error, 1)
	over := make(chan struct{})
	s.Cleanup(func() { close(over) })
	b.step = func(at string) {
		if at != point {
			return
		}
		if nth--; nth == 0 {
			close(stopped)
			<-over
			runtime.Goexit()
		}
	}
	go func() {
		defer func() { ended <- nil }()
		_, err := b.Open(s.Context(), r, nil, to, 0, s.dial, nil)
		ended <- err
	}()
	select {
	case <-stopped:
		// The lock goes with the process.
		s.must(os.Remove(strings.TrimSuffix(b.sessionPath(r), ".session") + ".lock"))
		return true
	case err := <-ended:
		s.must(err)
		return false
	}
}

// TestOpenSurvivesBeingKilled: whenever an opening of two files dies, the same
// order opens both, and each counts once.
func TestOpenSurvivesBeingKilled(t *testing.T) {
	for _, point := range []string{"kept", "answered", "agreed", "written", "announced", "placed", "dropped"} {
		most := 2
		if point == "answered" {
			most = 6
		}
		for nth := 1; nth <= most; nth++ {
			t.Run(fmt.Sprintf("%s %d", point, nth), func(t *testing.T) {
				s := newScene(t, 5)
				r, err := s.b.Receive(t.Context(), s.grant(1, 1, 1, 2))
				s.must(err)
				to := filepath.Join(t.TempDir(), "to")
				if !s.dies(r, to, point, nth) {
					t.Fatal("it did not come by there")
				}
				done, err := s.open().Open(t.Context(), r, nil, to, 0, s.dial, nil)
				s.must(err)
				if len(done) != 2 {
					t.Fatalf("%d files", len(done))
				}
				for i, o := range done {
					got, err := os.ReadFile(o.Path)
					s.must(err)
					if want := append(text(byte(i+1)), make([]byte, 10)...); !bytes.Equal(got, want) {
						t.Errorf("%s is not what was granted", o.Path)
					}
					if filepath.Base(o.Path) != o.Name {
						t.Errorf("%q lies at %q", o.Name, o.Path)
					}
					if n := s.counted(r.Ticket.Grant.Hash, byte(i+1)); n != 1 {
						t.Errorf("%s counts %d times", o.Name, n)
					}
				}
				left, err := os.ReadDir(to)
				if err != nil || len(left) != 2 {
					t.Errorf("%d files are in the folder, %v", len(left), err)
				}
				pending, err := filepath.Glob(filepath.Join(s.dir, unfinished, "*.[rs]e*"))
				if err != nil || len(pending) != 0 {
					t.Errorf("still kept: %v, %v", pending, err)
				}
				// It was opened as often as allowed.
				var no *RefusedError
				_, err = s.open().Open(t.Context(), r, nil, filepath.Join(t.TempDir(), "x"), 0, s.dial, nil)
				if !errors.As(err, &no) || no.Reason != custody.UsedUp {
					t.Errorf("once more: %v", err)
				}
			})
		}
	}
}

// TestOpenIsLeftAndGoesOn: who agreed before somebody stopped it is not asked
// again, also when it is off by then.
func TestOpenIsLeftAndGoesOn(t *testing.T) {
	s := newScene(t, 5)
	r, err := s.b.Receive(t.Context(), s.grant(1, 1, 1))
	s.must(err)
	s.asleep[2], s.asleep[3], s.asleep[4] = true, true, true
	ctx, cancel := context.WithCancel(t.Context())
	var told []string
	_, err = s.open().Open(ctx, r, nil, t.TempDir(), time.Hour, s.dial, func(name string, have, need int) {
		told = append(told, fmt.Sprintf("%s %d of %d", name, have, need))
		if have == 2 {
			s.waits(3)
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || told[0] != "file 1.txt 0 of 3" || told[len(told)-1] != "file 1.txt 2 of 3" {
		t.Fatalf("%v, told %q", err, told)
	}
	path, err := filepath.Glob(filepath.Join(s.dir, unfinished, "*.request"))
	s.must(err)
	if len(path) != 1 {
		t.Fatalf("kept: %q", path)
	}
	if fi, err := os.Stat(path[0]); err != nil || runtime.GOOS != "windows" && fi.Mode().Perm() != 0o600 {
		t.Errorf("anybody may read the request: %v, %v", fi.Mode(), err)
	}
	// With too few, the error says how many, and the request stays.
	s.asleep[0], s.asleep[1] = true, true
	var few *WaitingError
	if _, err = s.open().Open(t.Context(), r, nil, t.TempDir(), 0, s.dial, nil); !errors.As(err, &few) || few.Have != 2 {
		t.Fatalf("%v, want 2 that agreed", err)
	}
	// One woke in the night, answered what was left for it, and sleeps again.
	s.wakes(3)
	before := s.letters
	done, err := s.open().Open(t.Context(), r, nil, t.TempDir(), 0, s.dial, nil)
	s.must(err)
	if len(done) != 1 || done[0].Agreed != 3 || s.letters != before || s.counted(r.Ticket.Grant.Hash, 1) != 1 {
		t.Errorf("%+v, %d letters", done, s.letters-before)
	}
}

// TestOldRequestsAreNotRepeated: a request that custodians would not take any
// more is made anew.
func TestOldRequestsAreNotRepeated(t *testing.T) {
	for name, age := range map[string]func(*scene){
		"three days": func(s *scene) { s.w.Now += custody.MaxRequestAge },
		"damaged": func(s *scene) {
			all, err := filepath.Glob(filepath.Join(s.dir, unfinished, "*.request"))
			s.must(err)
			s.must(os.WriteFile(all[0], []byte("x"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 3)
			terms := s.grant(0, 1, 1)
			r, err := s.b.Receive(t.Context(), terms)
			s.must(err)
			s.asleep[0], s.asleep[1], s.asleep[2] = true, true, true
			var few *WaitingError
			if _, err := s.open().Open(t.Context(), r, nil, t.TempDir(), 0, s.dial, nil); !errors.As(err, &few) {
				t.Fatal(err)
			}
			old, err := os.ReadFile(s.b.requestPath(r.Ticket.Grant.Hash, r.Ticket.Package.Body.Entries[0].File, 1))
			s.must(err)
			age(s)
			_, err = s.open().Open(t.Context(), r, nil, t.TempDir(), 0, s.dial, nil)
			if !errors.As(err, &few) {
				t.Fatal(err)
			}
			again, err := os.ReadFile(s.b.requestPath(r.Ticket.Grant.Hash, r.Ticket.Package.Body.Entries[0].File, 1))
			s.must(err)
			if bytes.Equal(old, again) {
				t.Error("the old request is still there")
			}
		})
	}
}

// TestGatewaysAreTriedInTurn: with one off and one that refuses the third is
// used, and with none each says why.
func TestGatewaysAreTriedInTurn(t *testing.T) {
	s := newScene(t, 3)
	r, err := s.b.Receive(t.Context(), s.grant(0, 3, 1))
	s.must(err)
	var gws []peers.DeviceID
	for _, g := range r.Ticket.Grant.Body.Gateways {
		gws = append(gws, g.Device)
	}
	s.down[gws[0]], s.down[gws[1]] = peers.ErrUnreachable, peers.ErrRefused
	done, err := s.open().Open(t.Context(), r, nil, t.TempDir(), 0, s.dial, nil)
	s.must(err)
	if len(done) != 1 || s.asked[gws[0]] > 4 {
		t.Errorf("%d files; the first gateway was asked %d times", len(done), s.asked[gws[0]])
	}
	s.down[gws[2]] = peers.ErrUnreachable
	_, err = s.open().Open(t.Context(), r, nil, t.TempDir(), 0, s.dial, nil)
	if !errors.Is(err, peers.ErrUnreachable) || !errors.Is(err, peers.ErrRefused) {
		t.Fatal(err)
	}
	for _, said := range []string{"gateway 1 of the grant (192.0.2.1:24930): cannot be reached", "gateway 2", "refused the request", "gateway 3"} {
		if !strings.Contains(err.Error(), said) {
			t.Errorf("%q does not say %q", err, said)
		}
	}
}

// TestMachinesBehindTheGatewayComeBack: a chunk that cannot be had right after
// the custodians agreed is asked for again.
func TestMachinesBehindTheGatewayComeBack(t *testing.T) {
	s := newScene(t, 3)
	r, err := s.b.Receive(t.Context(), s.grant(0, 2, 1))
	s.must(err)
	s.away = 3 // the second time one of two gateways
	done, err := s.open().Open(t.Context(), r, nil, t.TempDir(), 0, s.dial, nil)
	s.must(err)
	if len(done) != 1 || s.away != 0 {
		t.Errorf("%d files", len(done))
	}
	if e := (&GatewayError{Said: []error{peers.ErrUnreachable, peers.ErrRefused}}); e.passing() {
		t.Error("a refusal is waited for")
	}
}

// TestOneOrderAtATime keeps two commands from writing one file.
func TestOneOrderAtATime(t *testing.T) {
	s := newScene(t, 3)
	r, err := s.b.Receive(t.Context(), s.grant(1, 1, 1))
	s.must(err)
	unlock, err := s.b.lock(r)
	s.must(err)
	if _, err := s.open().Open(t.Context(), r, nil, t.TempDir(), 0, s.dial, nil); !errors.Is(err, ErrOpening) {
		t.Errorf("%v, want ErrOpening", err)
	}
	unlock()
	to := t.TempDir()
	_, err = s.open().Open(t.Context(), r, nil, to, 0, s.dial, nil)
	s.must(err)
	if _, err = s.open().Open(t.Context(), r, nil, to, 0, s.dial, nil); !errors.Is(err, engine.ErrExists) {
		t.Errorf("%v, want ErrExists", err)
	}
}

// TestLookReadsAnyPartAndForgets: parts are read without asking again, an
// opening that nobody saw does not count twice, and after Close nothing is left.
func TestLookReadsAnyPartAndForgets(t *testing.T) {
	s := newScene(t, 3)
	r, err := s.b.Receive(t.Context(), s.grant(1, 1, 1))
	s.must(err)
	l, err := s.open().Look(t.Context(), r, 0, s.dial)
	s.must(err)
	s.must(l.Close()) // the browser went away
	l, err = s.open().Look(t.Context(), r, 0, s.dial)
	s.must(err)
	letters := s.letters
	want := append(text(1), make([]byte, 10)...)
	rd := l.Reader(t.Context())
	for _, at := range []int64{0, 9000, 3, 10_000, 10_009} {
		if _, err := rd.Seek(at, 0); err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := got.ReadFrom(rd); err != nil || !bytes.Equal(got.Bytes(), want[at:]) {
			t.Errorf("from %d: %d bytes, %v", at, got.Len(), err)
		}
	}
	if s.letters != letters {
		t.Errorf("%d letters for parts of one file", s.letters-letters)
	}
	s.must(l.Seen())
	m, buf := l.m, l.buf
	s.must(l.Close())
	if m.Pieces[0].Key != [32]byte{} || !bytes.Equal(buf, make([]byte, len(buf))) {
		t.Error("keys or bytes are still in memory")
	}
	if _, err := rd.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := rd.Read(make([]byte, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	var no *RefusedError
	if _, err = s.open().Look(t.Context(), r, 0, s.dial); !errors.As(err, &no) || no.Reason != custody.UsedUp {
		t.Errorf("a second look: %v", err)
	}
	if n := s.counted(r.Ticket.Grant.Hash, 1); n != 1 {
		t.Errorf("it counts %d times", n)
	}
}
