// SPDX-License-Identifier: MPL-2.0

package netlab

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
)

// program is the one under test, with Syncthing's servers beside it.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		err := Possible()
		if err == nil && testing.Short() {
			err = errors.New("a short run is asked for")
		}
		if err != nil {
			fmt.Println("SKIPPED: no test networks here:", err)
			return 0
		}
		dir, err := os.MkdirTemp("", "preezm-net-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if program, err = e2e.Build(context.Background(), dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		build := exec.Command("go", "build", "-o", dir+"/", "github.com/syncthing/syncthing/cmd/strelaysrv", "github.com/syncthing/syncthing/cmd/stdiscosrv")
		build.Dir = filepath.Join("..", "..", "..", "packaging", "servers")
		if text, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the servers: %v: %s\n", err, text)
			return 1
		}
		return m.Run()
	}())
}

// long says whether the long tests are asked for (make nettest).
func long() bool { return os.Getenv("PREEZM_NETTEST") != "" }

// longest says whether even those that take a quarter of an hour are.
func longest() bool { return os.Getenv("PREEZM_NETTEST") == "all" }

// onlyLong skips a test that takes minutes.
func onlyLong(t *testing.T) {
	t.Helper()
	if !long() {
		t.Skip("SKIPPED: takes minutes; 'make nettest' runs it")
	}
}

// together has a test run beside others, but for the long run, which measures.
func together(t *testing.T) {
	if !long() {
		t.Parallel()
	}
}

// amount is how much a put moves: mega in the long run, else a tenth.
func amount(mega int) int {
	if long() {
		return mega << 20
	}
	return mega << 20 / 10
}

// rig is a lab with homes in it.
type rig struct {
	*Lab
	t    *testing.T
	ctx  context.Context
	dir  string
	inet *Space
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{Lab: New(), t: t, dir: t.TempDir()}
	limit := 5 * time.Minute // for what hangs
	if long() {
		limit = 10 * time.Minute
	}
	if longest() {
		limit = 40 * time.Minute
	}
	var cancel context.CancelFunc
	r.ctx, cancel = context.WithTimeout(t.Context(), limit)
	t.Cleanup(func() {
		cancel()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	inet, err := r.Internet()
	r.check(err)
	r.inet = inet
	return r
}

func (r *rig) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// public puts a machine on the internet itself.
func (r *rig) public(name, address string, line *Line) *Space {
	r.t.Helper()
	s, err := r.Space(name)
	r.check(err)
	r.check(r.Attach(r.inet, s, address, line))
	return s
}

// lan makes a router with a local network behind it.
func (r *rig) lan(name, address, net string, line *Line) *Space {
	r.t.Helper()
	s, err := r.Router(name)
	r.check(err)
	r.check(r.Attach(r.inet, s, address, line))
	r.check(s.Masquerade(""))
	r.check(r.Lab.Home(s, net))
	return s
}

// behind puts a machine into a local network.
func (r *rig) behind(router *Space, name, net string, n int) *Space {
	r.t.Helper()
	s, err := r.Space(name)
	r.check(err)
	r.check(r.Plug(router, s, net, n))
	return s
}

// machine is a home that runs in a space.
type machine struct {
	*e2e.Home
	r    *rig
	name string
	log  *locked
}

// locked is a buffer for several writers.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// home makes a home and serves it; args are those of serve.
func (r *rig) home(s *Space, name string, args ...string) *machine {
	r.t.Helper()
	log := new(locked)
	m := &machine{&e2e.Home{Binary: program, Dir: filepath.Join(r.dir, name), Prefix: s.Prefix(), Discovery: true, Log: log}, r, name, log}
	r.check(m.Must(r.ctx, nil, "init", "--name", name, "--offer", "5GB"))
	r.t.Cleanup(func() {
		if err := m.Kill(); err != nil {
			r.t.Error(err)
		}
		if r.t.Failed() {
			log.mu.Lock()
			defer log.mu.Unlock()
			text := log.b.Bytes()
			r.t.Logf("%s said:\n%s", name, text[max(0, len(text)-6000):])
		}
	})
	r.check(m.Start(r.ctx, append([]string{"-v"}, args...)...))
	return m
}

// pair lets guest join host's circle.
func (r *rig) pair(host, guest *machine) {
	r.t.Helper()
	r.check(e2e.Pair(r.ctx, host.Home, guest.Home))
}

// net is what 'preezm net' says.
func (m *machine) net() node.NetReport {
	m.r.t.Helper()
	var n node.NetReport
	m.r.check(m.Must(m.r.ctx, &n, "net"))
	return n
}

// way is how m reaches another machine.
func (m *machine) way(to *machine) string {
	for _, p := range m.net().Peers {
		if p.Name == to.name {
			return p.How
		}
	}
	return "unknown"
}

// within polls until ok, and gives how long that took. Only the long run, which
// has the machine for itself, is held to the limit.
func (r *rig) within(limit time.Duration, what string, ok func() bool) time.Duration {
	r.t.Helper()
	if !long() {
		limit *= 4
	}
	started := time.Now()
	for !ok() {
		if time.Since(started) > limit {
			r.t.Fatalf("not within %s: %s", limit, what)
		}
		select {
		case <-r.ctx.Done():
			r.t.Fatalf("%s: %v", what, r.ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return time.Since(started)
}

// file makes a file of random bytes.
func (r *rig) file(name string, size int) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	data := make([]byte, size)
	src := rand.NewChaCha8([32]byte{byte(size), byte(size >> 8), 7})
	_, _ = src.Read(data)
	r.check(os.WriteFile(path, data, 0o600))
	return path
}

// put keeps a file, as often as it takes, and gives how long that was.
func (m *machine) put(path string, tries int) time.Duration {
	m.r.t.Helper()
	started := time.Now()
	for n := 1; ; n++ {
		res, err := m.Run(m.r.ctx, "put", path)
		m.r.check(err)
		if res.Code == 0 {
			return time.Since(started)
		}
		if n == tries {
			m.r.t.Fatalf("%s: put: %s", m.name, res.Stderr)
		}
		m.r.t.Logf("put, try %d: %s", n, bytes.TrimSpace(res.Stderr))
	}
}

// same gets a file back and compares it.
func (m *machine) same(path string) {
	m.r.t.Helper()
	back := filepath.Join(m.r.dir, "back-"+m.name+filepath.Base(path))
	m.r.check(m.Must(m.r.ctx, nil, "get", filepath.Base(path), "--to", back))
	want, err := os.ReadFile(path)
	m.r.check(err)
	got, err := os.ReadFile(filepath.Join(back, filepath.Base(path)))
	m.r.check(err)
	if !bytes.Equal(want, got) {
		m.r.t.Errorf("%s came back otherwise", path)
	}
}
