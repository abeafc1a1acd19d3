// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/engine"
)

// metered is a meter on a clock that a test turns.
func metered(t *testing.T, tty bool, width int) (m *meter, out *strings.Builder, turn func(time.Duration)) {
	t.Helper()
	now := time.Unix(1000, 0)
	out = &strings.Builder{}
	m = &meter{w: out, now: func() time.Time { return now }, width: func() int { return width }, started: now, spoke: now}
	if tty {
		m.tty = os.Stderr // only its presence counts
	}
	return m, out, func(d time.Duration) { now = now.Add(d) }
}

func snapshot(bytes int64) engine.Progress {
	return engine.Progress{Stage: engine.StagePut, Bytes: bytes, TotalBytes: 1000e6, TotalKnown: true, Files: 1, TotalFiles: 3, Now: "photos/\x1b[2J.jpg"}
}

func TestProgressLine(t *testing.T) {
	m, _, turn := metered(t, true, 200)
	m.update(snapshot(0))
	turn(2 * time.Second)
	m.update(snapshot(200e6))
	want := `Keeping   20 %  200 MB of 1.0 GB  1 of 3 files  100 MB/s  9 s left  photos/\x1b[2J.jpg`
	if got := m.line(200); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := m.line(20); columns(got) > 20 || !strings.HasPrefix(got, "Keeping   20 %") {
		t.Errorf("narrow: %q", got)
	}
	turn(time.Hour) // asleep: the speed of an hour ago is none
	m.update(snapshot(201e6))
	if strings.Contains(m.line(200), "100 MB/s") {
		t.Errorf("after sleep: %s", m.line(200))
	}
}

func TestUnknownTotalsGiveNoPercent(t *testing.T) {
	m, _, turn := metered(t, true, 200)
	p := snapshot(0)
	p.TotalKnown = false
	m.update(p)
	turn(time.Second)
	p.Bytes = 100e6
	m.update(p)
	if got := m.line(200); strings.Contains(got, "%") || strings.Contains(got, "left") || !strings.Contains(got, "1.0 GB+") {
		t.Errorf("got %s", got)
	}
	m.update(engine.Progress{Stage: engine.StageScan, TotalFiles: 1200, TotalBytes: 5e6})
	if got := m.line(200); got != "Looking  1,200 files  5.0 MB" {
		t.Errorf("got %q", got)
	}
}

func TestRedrawing(t *testing.T) {
	m, out, _ := metered(t, true, 30)
	m.update(snapshot(0))
	m.update(engine.Progress{Stage: engine.StageWait})
	m.done()
	screen := []rune(strings.Repeat(" ", 40))
	at := 0
	for _, r := range out.String() {
		switch {
		case r == '\r':
			at = 0
		case r == '\n' || r == '\x1b':
			t.Fatalf("not one line: %q", out.String())
		case at >= 29:
			t.Fatalf("wider than the terminal: %q", out.String())
		default:
			screen[at] = r
			at++
		}
	}
	if left := strings.TrimSpace(string(screen)); left != "" {
		t.Errorf("the line stays behind: %q", left)
	}
}

func TestQuietLines(t *testing.T) {
	m, out, turn := metered(t, false, 80)
	for range 29 {
		m.update(snapshot(1e6))
		turn(100 * time.Millisecond)
	}
	if out.Len() > 0 {
		t.Errorf("short work speaks: %q", out.String())
	}
	for range 120 { // until 14.9 s
		m.update(snapshot(2e6))
		turn(100 * time.Millisecond)
	}
	m.done()
	if n := strings.Count(out.String(), "\n"); n != 3 { // at 3, 8 and 13 s
		t.Errorf("%d lines: %q", n, out.String())
	}
	if strings.ContainsAny(out.String(), "\r\x1b") {
		t.Errorf("control characters in a pipe: %q", out.String())
	}
}
