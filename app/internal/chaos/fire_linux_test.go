// SPDX-License-Identifier: MPL-2.0

package chaos

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/engine"
)

// fire is a circle to which everything happens at once.
type fire struct {
	*rig
	src   string
	small map[*e2e.Home]bool // their disks can be filled
	round int
}

// TestUnderFire draws, round after round, something that the owner does and
// what happens to keepers and to the owner's process meanwhile. After each
// round everything is back as it was put; then keepers' files are damaged, and
// just those keepers are blamed.
func TestUnderFire(t *testing.T) {
	f := &fire{small: map[*e2e.Home]bool{}}
	var disks []string
	f.rig = newRig(t, 5, "4GB", func(homes string) {
		for _, name := range []string{"keeper2", "keeper4"} {
			if dir := filepath.Join(homes, name); os.Geteuid() == 0 {
				mount(t, dir, "160m")
				disks = append(disks, dir)
			}
		}
	})
	for _, k := range f.Keepers {
		f.small[k] = slices.Contains(disks, k.Dir)
	}
	f.src = filepath.Join(f.dir, "src")
	for i := range 30 {
		f.write(filepath.Join(f.src, fmt.Sprintf("d%d/s%d", i%5, i)), f.rng.IntN(9000))
	}
	for i := range 2 {
		f.write(filepath.Join(f.src, fmt.Sprintf("big%d", i)), 3<<20+f.rng.IntN(3<<20))
	}
	f.must(nil, "put", f.src)
	f.calm()
	for f.round = range 3 * long() {
		f.burn()
		f.calm()
		f.must(nil, "put", f.src) // what was broken off is repeated
		f.back("after it")
		f.calm()
		f.damage()
	}
	f.settle()
	f.wholeAgain(f.src)
}

// deed is something that the owner does.
type deed struct {
	name  string
	args  []string
	reads bool // it has to end well with two keepers missing
}

// draw chooses the next one.
func (f *fire) draw() deed {
	to := filepath.Join(f.dir, fmt.Sprint("get", f.round))
	switch f.rng.IntN(7) {
	case 0, 1:
		f.edit()
		return deed{name: "put", args: []string{"put", f.src}}
	case 2:
		return deed{"get", []string{"get", "src", "--to", to}, true}
	case 3:
		return deed{name: "remove", args: []string{"rm", fmt.Sprintf("src/d%d", f.rng.IntN(5))}}
	case 4:
		return deed{name: "prune", args: []string{"prune", "--keep-last", "1", "--keep-daily", "0", "--keep-weekly", "0", "--keep-monthly", "0", "--trash-days", "0"}}
	case 5:
		return deed{name: "compact", args: []string{"compact"}}
	}
	return deed{name: "repair", args: []string{"repair"}}
}

// edit changes a few files and adds one.
func (f *fire) edit() {
	names := slices.Sorted(maps.Keys(f.digests(f.src)))
	for range 1 + f.rng.IntN(6) {
		name := filepath.Join(f.src, names[f.rng.IntN(len(names))])
		b, err := os.ReadFile(name)
		f.check(err)
		if len(b) > 0 {
			b[f.rng.IntN(len(b))] ^= 0x55
			f.check(os.WriteFile(name, b, 0o644))
		}
	}
	f.write(filepath.Join(f.src, fmt.Sprintf("new/n%d", f.round)), f.rng.IntN(2<<20))
}

// blow is something that happens to a keeper, until undo.
type blow struct {
	name string
	do   func(f *fire, k *e2e.Home)
	undo func(f *fire, k *e2e.Home)
}

var shifts = []string{"9000h", "-9000h", "36h", "-36h"}

var blows = []blow{
	{"killed", func(f *fire, k *e2e.Home) { f.check(k.Kill()) },
		func(f *fire, k *e2e.Home) { f.check(k.Start(f.ctx)) }},
	{"killed, back with another clock", func(f *fire, k *e2e.Home) { f.check(k.Kill()) },
		func(f *fire, k *e2e.Home) {
			f.check(k.Start(f.ctx, "--clock-shift", shifts[f.rng.IntN(len(shifts))], "--clock-shift-after", "2s"))
		}},
	{"stopped", func(f *fire, k *e2e.Home) { f.signal(k, syscall.SIGSTOP) },
		func(f *fire, k *e2e.Home) { f.signal(k, syscall.SIGCONT) }},
	{"disk full", (*fire).fill, func(f *fire, k *e2e.Home) { f.check(os.Remove(ballast(k))) }},
}

func ballast(k *e2e.Home) string { return filepath.Join(k.Dir, "ballast") }

// fill takes all room of a keeper's disk; one without a disk of its own is
// killed and starts again.
func (f *fire) fill(k *e2e.Home) {
	if !f.small[k] {
		f.check(os.WriteFile(ballast(k), nil, 0o600))
		f.check(k.Kill())
		f.check(k.Start(f.ctx))
		return
	}
	var fs unix.Statfs_t
	f.check(unix.Statfs(k.Dir, &fs))
	if err := os.WriteFile(ballast(k), make([]byte, int64(fs.Bavail)*int64(fs.Bsize)), 0o600); err != nil && !errors.Is(err, syscall.ENOSPC) {
		f.Fatal(err)
	}
}

// burn does one deed under blows.
func (f *fire) burn() {
	d := f.draw()
	served := f.rng.IntN(2) == 0
	if served {
		var args []string
		if f.rng.IntN(3) == 0 { // the clock jumps while it runs
			args = []string{"--clock-shift", shifts[f.rng.IntN(len(shifts))], "--clock-shift-after", "500ms"}
		}
		f.check(f.Owner.Start(f.ctx, args...))
	}
	// Who is hit, by what, and when: drawn before anything depends on time.
	victims := f.rng.Perm(len(f.Keepers))[:1+f.rng.IntN(2)]
	var hits []blow
	for range victims {
		hits = append(hits, blows[f.rng.IntN(len(blows))])
	}
	before, during := time.Duration(f.rng.IntN(300))*time.Millisecond, time.Duration(f.rng.IntN(2500))*time.Millisecond
	kill := served && f.rng.IntN(3) == 0

	done := f.background(d.args...)
	f.after(before)
	var what []string
	for i, v := range victims {
		hits[i].do(f, f.Keepers[v])
		what = append(what, fmt.Sprintf("keeper%d %s", v+1, hits[i].name))
	}
	f.after(during)
	if kill {
		f.check(f.Owner.Kill())
		what = append(what, "owner killed")
	}
	var res e2e.Result
	standing := d.reads && !kill
	if standing {
		res = <-done
	}
	for i, v := range victims {
		hits[i].undo(f, f.Keepers[v])
	}
	if !standing {
		res = <-done
	}
	f.Logf("round %d: %s, served %v, %s: exit status %d", f.round, d.name, served, strings.Join(what, ", "), res.Code)
	switch {
	case res.Code == 0 && d.name == "get":
		f.same(f.src, filepath.Join(f.dir, fmt.Sprint("get", f.round), "src"))
	case res.Code == 0:
	case standing || res.Code != 1:
		f.Errorf("preezm %s: exit status %d: %s", strings.Join(d.args, " "), res.Code, res.Stderr)
	case len(bytes.TrimSpace(res.Stderr)) == 0:
		f.Errorf("preezm %s fails without a word", strings.Join(d.args, " "))
	}
	f.check(os.RemoveAll(filepath.Join(f.dir, fmt.Sprint("get", f.round))))
	f.check(f.Owner.Stop(f.ctx))
}

// calm serves the owner until nothing is to be done and any two keepers may be
// lost.
func (f *fire) calm() {
	f.Helper()
	f.check(f.Owner.Start(f.ctx))
	f.rests(2)
	f.check(f.Owner.Stop(f.ctx))
	f.until("keepers and catalog differ", f.strangers)
}

// back brings everything back and compares it; it tells whom the get blames.
func (f *fire) back(when string) []engine.Blame {
	f.Helper()
	to := filepath.Join(f.dir, "back")
	var g engine.GetReport
	f.must(&g, "get", "src", "--to", to)
	f.same(f.src, filepath.Join(to, "src"))
	if f.Failed() {
		f.Fatalf("round %d, %s", f.round, when)
	}
	f.check(os.RemoveAll(to))
	return g.Blamed
}

// harm is a way to damage a shard file.
var harms = []struct {
	name string
	do   func(f *fire, file string)
}{
	{"flipped a bit of", func(f *fire, file string) {
		b, err := os.ReadFile(file)
		f.check(err)
		b[headerSize+f.rng.IntN(len(b)-headerSize)] ^= 1 << f.rng.IntN(8)
		f.check(os.WriteFile(file, b, 0o600))
	}},
	{"cut off", func(f *fire, file string) {
		fi, err := os.Stat(file)
		f.check(err)
		f.check(os.Truncate(file, f.rng.Int64N(fi.Size())))
	}},
	{"deleted", func(f *fire, file string) { f.check(os.Remove(file)) }},
}

// damage harms what up to two keepers hold, and wants the right bytes, just
// these keepers blamed, and everything made good.
func (f *fire) damage() {
	f.Helper()
	known, err := f.known()
	f.check(err)
	bad := map[string]bool{}
	all := f.rng.IntN(2) == 0
	for _, v := range f.rng.Perm(len(f.Keepers))[:1+f.rng.IntN(2)] {
		k := f.Keepers[v]
		harm := harms[f.rng.IntN(len(harms))]
		n := 0
		for _, file := range f.shardFiles(k) {
			if known[k.About().Device][filepath.Base(file)] && (all || f.rng.IntN(2) == 0) {
				harm.do(f, file)
				n++
			}
		}
		bad[k.About().Name] = n > 0
		f.Logf("round %d: %s %d pieces of %s", f.round, harm.name, n, k.About().Name)
	}
	for _, b := range f.back("damaged") {
		if b.Lied && !bad[b.Name] {
			f.Errorf("round %d: the get blames %s, which did nothing wrong: %s", f.round, b.Name, b.Said)
		}
	}
	f.onlyBad(f.verify([]int{0, 1}).Blamed, bad, all)
	f.calm()
	if v := f.verify([]int{0}); v.Good != v.Shards {
		f.Errorf("round %d: %d of %d shards are good after the repair: %v", f.round, v.Good, v.Shards, v.Blamed)
	}
}
