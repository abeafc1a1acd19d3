// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers"
)

// The child of a crash test is this test binary with these variables set: it
// opens the custodian in the folder, does the work, and is killed, as by kill
// -9, at the named point the given time it comes by.
const (
	crashDir   = "PREEZM_TEST_CRASH_DIR"
	crashWork  = "PREEZM_TEST_CRASH_WORK" // "letter" or "tick"
	crashPoint = "PREEZM_TEST_CRASH_POINT"
	crashTime  = "PREEZM_TEST_CRASH_TIME"
	crashNow   = "PREEZM_TEST_CRASH_NOW" // the clock, Unix seconds
	crashVia   = "PREEZM_TEST_CRASH_VIA" // the gateway's device ID
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := crashChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func crashChild(dir string) error {
	o, err := loadKeys(dir)
	if err != nil {
		return err
	}
	now, err := strconv.ParseInt(os.Getenv(crashNow), 10, 64)
	if err != nil {
		return err
	}
	left, err := strconv.Atoi(os.Getenv(crashTime))
	if err != nil {
		return err
	}
	o.Now = func() time.Time { return time.Unix(now, 0) }
	o.step = func(point string) {
		if point != os.Getenv(crashPoint) {
			return
		}
		if left--; left > 0 {
			return
		}
		p, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = p.Kill() // SIGKILL
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(4)
		}
		select {}
	}
	ctx := context.Background()
	s, err := Open(ctx, dir, o)
	if err != nil {
		return err
	}
	if os.Getenv(crashWork) == "tick" {
		if err := s.Tick(ctx); err != nil {
			return err
		}
		return s.Close()
	}
	var via peers.DeviceID
	if via, err = peers.ParseDeviceID(os.Getenv(crashVia)); err != nil {
		return err
	}
	letter, err := os.ReadFile(filepath.Join(dir, "test.letter"))
	if err != nil {
		return err
	}
	answer, err := s.Letter(ctx, via, letter)
	if err != nil {
		return err
	}
	fmt.Printf("%x\n", answer)
	return s.Close()
}

// die runs the child in a custodian's folder, which is closed meanwhile, and
// reports whether it came to the point and was killed there.
func (h *home) die(work, point string, times int) bool {
	h.t.Helper()
	h.saveKeys()
	h.close()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), crashDir+"="+h.dir, crashWork+"="+work, crashPoint+"="+point,
		crashTime+"="+strconv.Itoa(times), crashNow+"="+strconv.FormatInt(h.w.Now, 10),
		crashVia+"="+peers.DeviceID(h.w.Gateway.Device).String())
	var out, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	if err != nil && cmd.ProcessState.ExitCode() >= 0 && stderr.Len() > 0 {
		h.t.Fatalf("child at %q: %v: %s", point, err, stderr.String())
	}
	if err != nil && out.Len() > 0 {
		h.t.Fatalf("the child answered before it died at %q", point)
	}
	h.open()
	return err != nil
}

func TestKillBetweenLogAndRelease(t *testing.T) {
	for _, c := range []struct {
		point  string
		logged int
	}{{"checked", 0}, {"logged", 1}} {
		t.Run(c.point, func(t *testing.T) {
			w := newWorld(t, 1)
			h := w.homes[0]
			ticket := w.grant(3600, func(x *custody.Terms) { x.MaxOpens = 1 })
			o := w.request(ticket)
			check(t, os.WriteFile(filepath.Join(h.dir, "test.letter"), h.letter(o, ticket), 0o600))
			if !h.die("letter", c.point, 1) {
				t.Fatal("it was not killed")
			}
			if n := h.count(ledger.Release); n != c.logged {
				t.Fatalf("%d releases in the log, want %d", n, c.logged)
			}
			if c.logged > 0 { // it counts, whether it arrived or not
				want(t, h.reason(w.request(ticket), ticket), custody.UsedUp)
			}
			// The gateway brings the letter again: one opening, not two.
			want(t, h.reason(o, ticket), "")
			if n := h.count(ledger.Release); n != 1 {
				t.Fatalf("%d releases in the log, want 1", n)
			}
			want(t, h.reason(w.request(ticket), ticket), custody.UsedUp)
		})
	}
}

func TestRatchetCrash(t *testing.T) {
	root := seat{generation: 0}
	for _, point := range []string{keySuffix + " synced", "key written", boxSuffix + " synced", "box named", "forgotten one"} {
		times := 1
		if point == "forgotten one" {
			times = 2 // of the two files of the state before
		}
		for nth := 1; nth <= times; nth++ {
			t.Run(fmt.Sprintf("%s %d", point, nth), func(t *testing.T) {
				w := newWorld(t, 1)
				h := w.homes[0]
				root.owner = custody.KeyOf(w.Root)
				old := h.svc.kept.chains[root]
				ticket := w.grant(5*custodytest.Day, nil)
				w.Now += 2 * custodytest.Day
				if !h.die("tick", point, nth) {
					t.Fatal("it was not killed")
				}
				want2, err := old.At(old.Day + 2)
				check(t, err)
				now := h.svc.kept.chains[root]
				named := point == "box named" || point == "forgotten one"
				if named && now != want2 || !named && now != old {
					t.Fatalf("the chain is at day %d, was at %d", now.Day, old.Day)
				}
				// Nothing of another state is left.
				for _, suffix := range []string{keySuffix, boxSuffix, newSuffix} {
					files, err := filepath.Glob(filepath.Join(h.dir, Folder, "*"+suffix))
					check(t, err)
					if n := len(files); n != 1 && suffix != newSuffix || n != 0 && suffix == newSuffix {
						t.Fatalf("%d files *%s: %v", n, suffix, files)
					}
				}
				// It goes on, and opens what has not ended.
				check(t, h.svc.Tick(t.Context()))
				if now := h.svc.kept.chains[root]; now != want2 {
					t.Fatalf("the chain is at day %d after a tick, want %d", now.Day, want2.Day)
				}
				h.restart()
				want(t, h.reason(w.request(ticket), ticket), "")
			})
		}
	}
}

func TestRatchetDamage(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	h.close()
	files, err := filepath.Glob(filepath.Join(h.dir, Folder, "*"+boxSuffix))
	check(t, err)
	b, err := os.ReadFile(files[0])
	check(t, err)
	b[len(b)/2] ^= 1
	check(t, os.WriteFile(files[0], b, 0o600))
	if _, err := Open(t.Context(), h.dir, h.opts); err == nil {
		t.Fatal("a damaged ratchet was opened")
	}
	b[len(b)/2] ^= 1
	check(t, os.WriteFile(files[0], b, 0o600))
	h.open()
}
