// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
)

// pace is how soon the window's thread came to what it was asked to do.
type pace struct {
	Count                int
	Median, Late, Latest time.Duration
}

func (p pace) String() string {
	round := func(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
	return fmt.Sprintf("median %v, 99 of 100 within %v, worst %v (of %d)", round(p.Median), round(p.Late), round(p.Latest), p.Count)
}

func (s *screen) pace(while func()) pace {
	s.t.Helper()
	c, err := net.DialTimeout("unix", s.probe+".pace", time.Second)
	must(s.t, err)
	defer c.Close()
	while()
	must(s.t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = c.Write([]byte{1})
	must(s.t, err)
	var p pace
	must(s.t, json.NewDecoder(c).Decode(&p))
	return p
}

// memory is what the window's process holds now and held at most, in MiB.
func (s *screen) memory() (now, most int) {
	s.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.window.Process.Pid))
	must(s.t, err)
	for line := range strings.Lines(string(raw)) {
		name, value, _ := strings.Cut(line, ":")
		kb, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		switch name {
		case "VmRSS":
			now = kb / 1024
		case "VmHWM":
			most = kb / 1024
		}
	}
	return now, most
}

// cpu is the processor time the window's process has used.
func (s *screen) cpu() time.Duration {
	s.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.window.Process.Pid))
	must(s.t, err)
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	var ticks int
	for _, f := range fields[11:13] { // utime, stime, in hundredths of a second
		n, err := strconv.Atoi(string(f))
		must(s.t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// idle is the part of a core that the window uses over a while, in percent.
func (s *screen) idle(span time.Duration) float64 {
	s.t.Helper()
	before, begin := s.cpu(), time.Now()
	time.Sleep(span)
	return 100 * (s.cpu() - before).Seconds() / time.Since(begin).Seconds()
}

// TestPace measures the window on a home of many files: PREEZM_PACE says how
// many. See docs/performance.md.
func TestPace(t *testing.T) {
	count, err := strconv.Atoi(os.Getenv("PREEZM_PACE"))
	if err != nil {
		t.Skip("PREEZM_PACE names no number of files")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	binary := window(t, ctx)
	dir := os.Getenv("PREEZM_PACE_DIR") // kept from one measurement to the next
	if dir == "" {
		dir = t.TempDir()
	}
	s := newScreen(t, ctx, "owner", filepath.Join(dir, "owner"))
	s.env = append(s.env, "PREEZM_THREADS=") // as people run it
	home := &e2e.Home{Binary: binary, Dir: s.home, Env: s.env}
	names := []string{"cellar-nas", "office", "attic-pc"}
	keepers := make([]*e2e.Home, len(names))
	for i, name := range names {
		keepers[i] = &e2e.Home{Binary: binary, Dir: filepath.Join(dir, name), Env: s.env}
	}
	if _, err := os.Stat(s.home); os.IsNotExist(err) {
		fillHome(t, ctx, dir, home, keepers, names, count)
	}
	for _, k := range keepers {
		must(t, k.Start(ctx))
		t.Cleanup(func() { k.Kill() })
	}

	for range 3 {
		took := s.open(binary)
		now, most := s.memory()
		t.Logf("first window after %v, %d MiB, at most %d", took.Round(10*time.Millisecond), now, most)
		s.reads("Everything is safe")
		s.kill()
	}
	s.open(binary)
	s.reads("Everything is safe")
	s.at(s.find("text", "photos", false))
	s.key("Return")
	s.reads("file-00000")
	now, most := s.memory()
	t.Logf("%d files loaded: %d MiB, at most %d", count, now, most)
	s.measureIdle("idle, files in front")

	wheel := func(times, button string) []string {
		return []string{"click", "--repeat", times, "--delay", "16", button}
	}
	for _, way := range []struct {
		name string
		x, y int
		args []string
	}{
		{"wheel", 600, 420, wheel("600", "5")},
		{"wheel back", 600, 420, wheel("300", "4")},
		{"scroll bar dragged", barX, barTop, dragged(600)},
		{"wheel again", 600, 420, wheel("600", "5")},
	} {
		s.xdotool("mousemove", strconv.Itoa(way.x), strconv.Itoa(way.y), "sleep", "0.5")
		p := s.moves(func() { s.xdotool(way.args...) })
		now, most := s.memory()
		t.Logf("%s: %v; %d MiB, at most %d", way.name, p, now, most)
	}
	p := s.pace(func() {
		s.fill("Search by name", "00099")
		s.reads("file-00099")
	})
	now, most = s.memory()
	t.Logf("searched: %v; %d MiB, at most %d", p, now, most)
	s.key("Tab")
	s.measureIdle("idle after the search")
	s.key("ctrl+2")
	s.measureIdle("idle, circle in front")
	now, most = s.memory()
	t.Logf("at the end %d MiB, at most %d", now, most)
	s.picture()
}

func (s *screen) measureIdle(what string) {
	s.t.Helper()
	if testing.Short() {
		return
	}
	time.Sleep(5 * time.Second) // what was begun is over
	s.t.Logf("%s: %.2f %% of a core", what, s.idle(30*time.Second))
}

// The scroll bar of the list, from top to bottom.
const barX, barTop, barBottom = 1000, 264, 640

// dragged moves the scroll bar from the top to the bottom.
func dragged(steps int) []string {
	args := []string{"mousedown", "1"}
	for i := range steps {
		args = append(args, "mousemove", strconv.Itoa(barX), strconv.Itoa(barTop+(barBottom-barTop)*i/steps), "sleep", "0.016")
	}
	return append(args, "mouseup", "1")
}

// fillHome makes a home of small files that three machines keep.
func fillHome(t *testing.T, ctx context.Context, dir string, home *e2e.Home, keepers []*e2e.Home, names []string, count int) {
	t.Helper()
	must(t, home.Must(ctx, nil, "init", "--name", "study", "--listen", "0.0.0.0:0"))
	must(t, home.Start(ctx))
	for i, k := range keepers {
		must(t, k.Must(ctx, nil, "init", "--name", names[i], "--offer", "2G", "--listen", "0.0.0.0:0"))
		must(t, k.Start(ctx))
		must(t, e2e.Pair(ctx, home, k))
	}
	folder := filepath.Join(dir, "photos")
	must(t, os.Mkdir(folder, 0o700))
	for i := range count {
		must(t, os.WriteFile(filepath.Join(folder, fmt.Sprintf("file-%05d of the summer.jpg", i)), []byte(strconv.Itoa(i)), 0o600))
	}
	must(t, home.Must(ctx, nil, "put", folder))
	must(t, os.RemoveAll(folder))
	must(t, home.Stop(ctx))
	for _, k := range keepers {
		must(t, k.Stop(ctx))
	}
}
