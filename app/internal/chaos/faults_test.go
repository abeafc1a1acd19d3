// SPDX-License-Identifier: MPL-2.0

//go:build unix

package chaos

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
)

// fault is something that happens to a keeper.
type fault struct {
	name  string
	do    func(r *rig, k *e2e.Home)
	undo  func(r *rig, k *e2e.Home) // nil: the owner's repair sees to it
	lies  bool                      // a get must blame it for wrong bytes
	files bool                      // shard files are changed
}

// eachShard changes every shard file of a keeper.
func eachShard(f func(r *rig, files []string)) func(*rig, *e2e.Home) {
	return func(r *rig, k *e2e.Home) { f(r, r.shardFiles(k)) }
}

// headerSize is the block in front of a shard's body.
const headerSize = 4096

var faults = []fault{
	{name: "killed",
		do:   func(r *rig, k *e2e.Home) { r.check(k.Kill()) },
		undo: func(r *rig, k *e2e.Home) { r.check(k.Start(r.ctx)) }},
	{name: "stopped",
		do:   func(r *rig, k *e2e.Home) { r.signal(k, syscall.SIGSTOP) },
		undo: func(r *rig, k *e2e.Home) { r.signal(k, syscall.SIGCONT) }},
	{name: "flipped bytes", files: true, lies: true,
		do: eachShard(func(r *rig, files []string) {
			for _, name := range files {
				b, err := os.ReadFile(name)
				r.check(err)
				for at := headerSize; at < len(b); at += 1 + r.rng.IntN(64<<10) {
					b[at] ^= byte(1 + r.rng.IntN(255))
				}
				r.check(os.WriteFile(name, b, 0o600))
			}
		})},
	{name: "flipped header", files: true,
		do: eachShard(func(r *rig, files []string) {
			for _, name := range files {
				b, err := os.ReadFile(name)
				r.check(err)
				b[r.rng.IntN(headerSize)] ^= byte(1 + r.rng.IntN(255))
				r.check(os.WriteFile(name, b, 0o600))
			}
		})},
	{name: "truncated", files: true,
		do: eachShard(func(r *rig, files []string) {
			for _, name := range files {
				fi, err := os.Stat(name)
				r.check(err)
				r.check(os.Truncate(name, r.rng.Int64N(fi.Size())))
			}
		})},
	{name: "swapped", files: true,
		do: eachShard(func(r *rig, files []string) {
			for i := 1; i < len(files); i += 2 {
				r.check(os.Rename(files[i], files[i]+".x"))
				r.check(os.Rename(files[i-1], files[i]))
				r.check(os.Rename(files[i]+".x", files[i-1]))
			}
		})},
	{name: "deleted", files: true,
		do: eachShard(func(r *rig, files []string) {
			for _, name := range files {
				r.check(os.Remove(name))
			}
		})},
	{name: "truncated, restarted", files: true,
		do: func(r *rig, k *e2e.Home) {
			r.check(k.Kill())
			for _, name := range r.shardFiles(k) {
				r.check(os.Truncate(name, 5000))
			}
			r.check(k.Start(r.ctx))
		}},
	{name: "index lost, restarted",
		do: func(r *rig, k *e2e.Home) {
			r.check(k.Kill())
			for _, name := range []string{"index.db", "index.db-wal", "index.db-shm"} {
				r.check(os.WriteFile(filepath.Join(k.Dir, "depot", name), []byte("garbage"), 0o600))
			}
			r.check(k.Start(r.ctx))
		}},
}

// material is what the fault tests keep: files of many segments, and small
// ones.
func (r *rig) material() string {
	src := filepath.Join(r.dir, "src")
	for i := range 3 {
		r.write(filepath.Join(src, fmt.Sprintf("big%d", i)), 9<<20)
	}
	for i := range 40 {
		r.write(filepath.Join(src, "small", fmt.Sprint(i)), r.rng.IntN(20000))
	}
	r.must(nil, "put", src)
	return src
}

// TestGetFromBadKeepers has as many keepers fail as the code can bear, each
// time in another way, and wants the right bytes, the liar's name, and in the
// end everything repaired.
func TestGetFromBadKeepers(t *testing.T) {
	r := newRig(t, 5, "4GB", nil)
	src := r.material()
	for i := range faults {
		f := &faults[i]
		bad := r.rng.Perm(5)[:2] // of n-k
		for _, v := range bad {
			f.do(r, r.Keepers[v])
		}
		to := filepath.Join(r.dir, "back", f.name)
		started := time.Now()
		var g engine.GetReport
		r.must(&g, "get", "src", "--to", to)
		r.Logf("%s %v: %v, %d rebuilt, blamed %v", f.name, bad, time.Since(started).Round(time.Millisecond), g.Rebuilt, g.Blamed)
		r.same(src, filepath.Join(to, "src"))
		if f.lies {
			r.blames(g.Blamed, bad)
		}
		if f.undo != nil {
			for _, v := range bad {
				f.undo(r, r.Keepers[v])
			}
		}
		r.heal(f, bad)
	}
}

// blames checks that just the bad keepers are blamed, all of them.
func (r *rig) blames(list []engine.Blame, bad []int) {
	r.Helper()
	names := map[string]bool{}
	for _, v := range bad {
		names[fmt.Sprintf("keeper%d", v+1)] = true
	}
	liars := 0
	for _, b := range list {
		if b.Lied && !names[b.Name] {
			r.Errorf("%s is blamed and did nothing wrong", b.Name)
		}
		if b.Lied {
			liars++
		}
	}
	if liars == 0 {
		r.Errorf("no liar is named, of %v", names)
	}
}

// heal finds all damage, and just the bad keepers to blame for it, lets the
// owner repair it and checks that it did.
func (r *rig) heal(f *fault, bad []int) {
	r.Helper()
	v := r.verify([]int{0, 1}) // damage found is a failure
	guilty := map[string]bool{}
	for _, at := range bad {
		guilty[r.Keepers[at].About().Name] = f.files
	}
	r.onlyBad(v.Blamed, guilty, true)
	if f.files && v.Good == v.Shards {
		r.Errorf("%s: verify finds no damage in %d shards", f.name, v.Shards)
	}
	r.settle()
	v = r.verify([]int{0})
	if v.Good != v.Shards || v.Lost > 0 {
		r.Errorf("%s: after the repair %d of %d shards are good: %v", f.name, v.Good, v.Shards, v.Blamed)
	}
}

// onlyBad holds what is said of keepers' pieces against what was done to them.
func (r *rig) onlyBad(blamed []engine.Blame, bad map[string]bool, all bool) {
	r.Helper()
	said := map[string]string{}
	for _, b := range blamed {
		if b.Lied || b.Said.Text == peers.ErrNotFound.Error() {
			said[b.Name] = b.Said.Text
		}
	}
	for name, text := range said {
		if !bad[name] {
			r.Errorf("%s is blamed and did nothing wrong: %s", name, text)
		}
	}
	for name, is := range bad {
		if all && is && said[name] == "" {
			r.Errorf("%s is not blamed: %+v", name, blamed)
		}
	}
}

func (r *rig) verify(codes []int) (v engine.VerifyReport) {
	r.Helper()
	res := r.run(codes, "verify", "--json")
	if err := json.Unmarshal(res.Stdout, &v); err != nil {
		r.Fatalf("%v: %s %s", err, res.Stdout, res.Stderr)
	}
	return v
}

// TestTooManyBadKeepers has one keeper more fail than the code can bear.
func TestTooManyBadKeepers(t *testing.T) {
	r := newRig(t, 5, "4GB", nil)
	src := r.material()
	for _, name := range []string{"killed", "flipped bytes"} {
		var f *fault
		for i := range faults {
			if faults[i].name == name {
				f = &faults[i]
			}
		}
		bad := r.rng.Perm(5)[:3]
		var words []string
		for _, v := range bad {
			f.do(r, r.Keepers[v])
			words = append(words, fmt.Sprintf("keeper%d", v+1))
		}
		to := filepath.Join(r.dir, "back", name)
		started := time.Now()
		res := r.fails(words, "get", "src", "--to", to)
		r.Logf("%s %v: %v: %.300s", name, bad, time.Since(started).Round(time.Millisecond), res.Stderr)
		want := r.digests(src)
		for file, d := range r.digests(to) {
			if want[strings.TrimPrefix(file, "src/")] != d {
				r.Errorf("%s: %q was written and is wrong", name, file)
			}
		}
		if f.undo == nil {
			continue // the last one: nothing is left to repair from
		}
		for _, v := range bad {
			f.undo(r, r.Keepers[v])
		}
		r.must(nil, "get", "src", "--to", to, "--resume")
		r.same(src, filepath.Join(to, "src"))
	}
}

// TestSlowKeepers puts keepers behind a line of 10 kB/s.
func TestSlowKeepers(t *testing.T) {
	r := newRig(t, 5, "4GB", nil)
	src := r.material()
	for _, v := range r.rng.Perm(5)[:2] {
		r.slow(r.Keepers[v], 10_000)
	}
	to := filepath.Join(r.dir, "back")
	started := time.Now()
	var g engine.GetReport
	r.must(&g, "get", "src", "--to", to)
	r.Logf("get took %v, blamed %v", time.Since(started).Round(time.Millisecond), g.Blamed)
	r.same(src, filepath.Join(to, "src"))

	// Three fast ones and the quicker of two slow ones would have to take a
	// piece of 4 MiB each: small data, so that the put ends in time.
	small := filepath.Join(r.dir, "little")
	for i := range 20 {
		r.write(filepath.Join(small, fmt.Sprint(i)), 2000)
	}
	started = time.Now()
	var p engine.PutReport
	r.must(&p, "put", small)
	r.Logf("put took %v, owes %d shards", time.Since(started).Round(time.Millisecond), p.Debt)
	r.must(nil, "get", "little", "--to", to)
	r.same(small, filepath.Join(to, "little"))
}

// slow moves a keeper to another port and lets a slow proxy take its old one.
func (r *rig) slow(k *e2e.Home, rate int) *proxy {
	r.Helper()
	old := k.About().Addresses[0]
	r.check(k.Stop(r.ctx))
	r.check(k.Start(r.ctx, "--listen", e2e.Loopback()))
	l, err := net.Listen("tcp", old)
	r.check(err)
	p := newProxy(l, k.About().Addresses[0], rate)
	r.Cleanup(p.close)
	return p
}
