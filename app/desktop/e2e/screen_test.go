// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds how long anything may take to appear.
const patience = 60 * time.Second

// screen is a window on a virtual screen of its own.
type screen struct {
	t       *testing.T
	ctx     context.Context
	name    string
	display string
	home    string // the home folder
	dir     string // of this person's system: HOME
	env     []string
	probe   string
	window  *exec.Cmd
	ended   chan struct{}
	log     bytes.Buffer
}

// seen is what the probe tells of a thing on the screen.
type seen struct {
	Kind, Text string
	X, Y, W, H int
	Off, On    bool
}

// newScreen starts a virtual screen.
func newScreen(t *testing.T, ctx context.Context, name, home string) *screen {
	t.Helper()
	s := &screen{t: t, ctx: ctx, name: name, home: home, dir: t.TempDir()}
	s.probe = filepath.Join(s.dir, "probe")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	x := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1024x700x24", "-fbdir", s.dir, "+extension", "GLX", "-nolisten", "tcp", "-noreset")
	x.ExtraFiles = []*os.File{w}
	x.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := x.Start(); err != nil {
		t.Fatalf("Xvfb: %v (make deps installs it)", err)
	}
	t.Cleanup(func() { x.Process.Kill(); x.Wait() })
	w.Close()
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb names no screen: %v", err)
	}
	s.display = ":" + strings.TrimSpace(line)
	s.env = append(os.Environ(), "DISPLAY="+s.display, "HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir+"/.config", "XDG_CACHE_HOME="+s.dir+"/.cache",
		"LANG=C.UTF-8", "LANGUAGE=en", "LC_ALL=C.UTF-8", "WAYLAND_DISPLAY=", "DBUS_SESSION_BUS_ADDRESS=", "FYNE_SCALE=1",
		"PREEZM_PROBE="+s.probe, "PREEZM_THREADS=check", "LIBGL_ALWAYS_SOFTWARE=1", "LP_NUM_THREADS=1")
	return s
}

// open starts the window and says how long it took until something was drawn.
func (s *screen) open(binary string) time.Duration {
	s.t.Helper()
	os.Remove(s.probe)
	os.Remove(s.probe + ".pace")
	s.window = exec.Command(binary, "--home", s.home)
	s.window.Env = s.env
	s.window.Stdout, s.window.Stderr = &s.log, &s.log
	s.window.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	begin := time.Now()
	if err := s.window.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	s.ended = ended
	window := s.window
	go func() { window.Wait(); close(ended) }()
	s.t.Cleanup(s.kill)
	s.until("the window is there", func() bool { _, err := s.look(); return err == nil })
	return time.Since(begin)
}

func (s *screen) kill() {
	s.window.Process.Kill()
	<-s.ended
}

// look asks what is on the screen.
func (s *screen) look() ([]seen, error) {
	c, err := net.DialTimeout("unix", s.probe, time.Second)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	var all []seen
	return all, json.NewDecoder(c).Decode(&all)
}

// text is all words on the screen, in one line.
func (s *screen) text() string {
	all, err := s.look()
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return textOf(all)
}

func textOf(all []seen) string {
	var words []string
	for _, o := range all {
		if o.Text != "" && o.Kind != "text" {
			words = append(words, o.Text)
		}
	}
	for _, o := range all {
		if o.Kind == "text" {
			words = append(words, o.Text)
		}
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

func (s *screen) until(what string, holds func() bool) {
	s.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !holds(); {
		select {
		case <-tick.C:
		case <-s.ended:
			s.t.Fatalf("%s: the window has ended before: %s\n%s", s.name, what, s.log.String())
		case <-deadline:
			s.picture()
			s.t.Fatalf("%s: never happened: %s\non screen: %s\nlog: %s", s.name, what, s.text(), s.log.String())
		}
	}
}

// reads waits until words are on the screen.
func (s *screen) reads(words string) {
	s.t.Helper()
	s.until(strconv.Quote(words), func() bool { return strings.Contains(s.text(), words) })
}

// visible tells whether the window can be seen on the screen.
func (s *screen) visible() bool {
	cmd := exec.CommandContext(s.ctx, "xdotool", "search", "--onlyvisible", "--name", "^Preezm$")
	cmd.Env = s.env
	out, err := cmd.Output()
	return err == nil && len(out) > 0
}

// picture saves what the screen shows, for whoever looks into a failure.
func (s *screen) picture() {
	dir := os.Getenv("PREEZM_E2E_PICTURES")
	if dir == "" {
		return
	}
	file := filepath.Join(dir, fmt.Sprintf("%s-%s.png", s.t.Name(), s.name))
	cmd := exec.CommandContext(s.ctx, "import", "-window", "root", file)
	cmd.Env = s.env
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Logf("no picture: %v: %s", err, out)
	}
}

func (s *screen) xdotool(args ...string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.ctx, "xdotool", args...)
	cmd.Env = s.env
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("xdotool %v: %v: %s", args, err, out)
	}
}

// find waits for a thing of a kind with these words; prefix is enough. It
// scrolls down to it.
func (s *screen) find(kind, words string, last bool) seen {
	s.t.Helper()
	var found seen
	s.until(kind+" "+strconv.Quote(words), func() bool {
		all, err := s.look()
		if err != nil {
			return false
		}
		if last {
			slices.Reverse(all)
		}
		i := slices.IndexFunc(all, func(o seen) bool { return o.Kind == kind && strings.HasPrefix(o.Text, words) && !o.Off })
		if i < 0 {
			return false
		}
		found = all[i]
		if found.H < 12 || found.W < 12 { // out of sight
			s.xdotool("mousemove", "600", "420", "click", "5", "click", "5")
			return false
		}
		// What is laid out anew is not pressed before it stands still.
		again, err := s.look()
		return err == nil && slices.Contains(again, found)
	})
	return found
}

func (s *screen) click(kind, words string) {
	s.t.Helper()
	s.at(s.find(kind, words, false))
}

// clickLast presses the last of several, such as the answer in a dialog.
func (s *screen) clickLast(kind, words string) {
	s.t.Helper()
	s.at(s.find(kind, words, true))
}

func (s *screen) at(o seen) {
	s.t.Helper()
	x, y := o.X+min(o.W/2, 40), o.Y+o.H/2
	// The pointer moves as a hand moves it: a window that was drawn anew under
	// a pointer that rests does not know what is there.
	s.xdotool("mousemove", strconv.Itoa(x+4), strconv.Itoa(y+2), "sleep", "0.03", "mousemove", strconv.Itoa(x), strconv.Itoa(y),
		"sleep", "0.05", "mousedown", "1", "sleep", "0.03", "mouseup", "1")
}

// tick presses a box until it is ticked.
func (s *screen) tick(words string) {
	s.t.Helper()
	s.again(strconv.Quote(words)+" is ticked", func() { s.click("check", words) }, func(all []seen) bool {
		return slices.ContainsFunc(all, func(o seen) bool { return o.Kind == "check" && strings.HasPrefix(o.Text, words) && o.On })
	})
}

// press presses a button, once more when nothing at all has come of it: on a
// busy machine a press may fall between two pages.
func (s *screen) press(words string) {
	s.t.Helper()
	o := s.find("button", words, false)
	before, err := s.look()
	must(s.t, err)
	at := func(o seen) bool { return o.Kind == "button" && strings.HasPrefix(o.Text, words) && !o.Off }
	s.again(strconv.Quote(words)+" does something", func() { s.at(o) }, func(all []seen) bool {
		// Without the button there is nothing to press again.
		i := slices.IndexFunc(all, at)
		if i >= 0 {
			o = all[i]
		}
		return i < 0 || textOf(all) != textOf(before)
	})
}

// again does something, and once more when nothing has come of it in a while,
// until what it is for holds.
func (s *screen) again(what string, do func(), holds func(all []seen) bool) {
	s.t.Helper()
	var last time.Time
	s.until(what, func() bool {
		all, err := s.look()
		if err != nil || !last.IsZero() && holds(all) {
			return err == nil
		}
		if time.Since(last) > 3*time.Second {
			do()
			last = time.Now()
		}
		return false
	})
}

// fill types into a field, in place of what is there.
func (s *screen) fill(placeholder, text string) {
	s.t.Helper()
	var field seen
	s.until("a field "+strconv.Quote(placeholder), func() bool {
		all, err := s.look()
		i := slices.IndexFunc(all, func(o seen) bool { return o.Kind == "entry" && strings.HasSuffix(o.Text, "|"+placeholder) && o.H > 12 })
		if err != nil || i < 0 {
			return false
		}
		field = all[i]
		return true
	})
	s.write(field, text)
}

// write types into a field, in place of what is there, until it stands there.
func (s *screen) write(field seen, text string) {
	s.t.Helper()
	_, placeholder, _ := strings.Cut(field.Text, "|")
	s.again(strconv.Quote(text)+" is typed", func() {
		s.at(field)
		s.xdotool("key", "ctrl+a")
		s.xdotool("type", "--delay", "8", text)
	}, func(all []seen) bool {
		return slices.ContainsFunc(all, func(o seen) bool { return o.Kind == "entry" && o.Text == text+"|"+placeholder })
	})
}

func (s *screen) key(keys string) { s.t.Helper(); s.xdotool("key", keys) }
