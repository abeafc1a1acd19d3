// SPDX-License-Identifier: MPL-2.0

package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/engine"
)

// mount puts a small file system of its own on dir.
func mount(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("preezm-chaos", dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		t.Skipf("cannot mount a tmpfs (needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

// grow makes room on a mounted file system.
func (r *rig) grow(dir, size string) {
	r.Helper()
	r.check(unix.Mount("preezm-chaos", dir, "tmpfs", unix.MS_REMOUNT, "mode=0700,size="+size))
}

// TestKeeperDiskFull fills the disk of one keeper of three, all of which must
// take their part.
func TestKeeperDiskFull(t *testing.T) {
	var disk string
	r := newRig(t, 3, "4GB", func(homes string) {
		disk = filepath.Join(homes, "keeper2")
		mount(t, disk, "24m")
	})
	src := filepath.Join(r.dir, "src")
	for i := range 8 {
		r.write(filepath.Join(src, fmt.Sprint(i)), 8<<20)
	}
	r.fails([]string{"keeper2 has a full disk", "repeat"}, "put", src)
	r.grow(disk, "200m")
	var p engine.PutReport
	r.must(&p, "put", src)
	if p.NewBytes >= 8*8<<20 {
		t.Errorf("after room was made the put began anew: %d bytes", p.NewBytes)
	}
	to := filepath.Join(r.dir, "back")
	r.must(nil, "get", "src", "--to", to)
	r.same(src, filepath.Join(to, "src"))
	r.settle()
}

// TestRepairDiskFull has a repair meet a full disk: the machine that joined for
// the one that is lost takes less than there is. What it took counts, the rest
// goes where there is room, or is said, and moves there when it has room again.
func TestRepairDiskFull(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "joined")
	mount(t, disk, "7m")
	r := newRig(t, 5, "4GB", nil)
	src := r.material()
	// Not the first one, which alone has the copies of the list that were made
	// before there were others: no repair ends while it is away.
	lost := r.Keepers[1+r.rng.IntN(4)]
	r.check(lost.Kill())
	r.check(r.Owner.Start(r.ctx))
	k := &e2e.Home{Binary: binary, Dir: disk}
	r.check(k.Init(r.ctx, "joined", "1GB"))
	r.check(k.Start(r.ctx))
	r.Keepers = append(r.Keepers, k) // the fleet ends it
	r.check(e2e.Pair(r.ctx, k, r.Owner))
	// It may not have answered yet when it is asked for the first time.
	r.until("the machine that joined takes nothing", func() error {
		res := r.run([]int{0, 1}, "repair")
		t.Logf("disk full: exit status %d: %s%s", res.Code, res.Stdout, res.Stderr)
		if len(r.shardFiles(k)) == 0 {
			return fmt.Errorf("%s%s", res.Stdout, res.Stderr)
		}
		return nil
	})
	var s engine.Status
	r.must(&s, "status")
	if n := len(r.shardFiles(k)); n == 0 || int64(n) >= s.Segments {
		t.Errorf("it took %d pieces of %d segments, and had room for some", n, s.Segments)
	}
	if s.MayLose < 1 {
		t.Errorf("%d may be lost", s.MayLose)
	}
	// One more that is away is no reason to lose anything.
	away := r.Keepers[slices.IndexFunc(r.Keepers, func(x *e2e.Home) bool { return x != lost })]
	r.check(away.Kill())
	to := filepath.Join(r.dir, "back")
	r.must(nil, "get", "src", "--to", to)
	r.same(src, filepath.Join(to, "src"))
	r.check(away.Start(r.ctx))

	r.grow(disk, "200m")
	r.until("the repair comes to no end", func() error {
		if res := r.run([]int{0, 1}, "repair"); res.Code != 0 {
			return fmt.Errorf("%s", res.Stderr)
		}
		return nil
	})
	r.check(r.Owner.Stop(r.ctx))
	r.wholeAgain(src)
}

// TestQuotaOverrun puts more than keepers offer.
func TestQuotaOverrun(t *testing.T) {
	r := newRig(t, 3, "12MB", nil)
	src := filepath.Join(r.dir, "src")
	for i := range 8 {
		r.write(filepath.Join(src, fmt.Sprint(i)), 8<<20)
	}
	r.fails([]string{"keeper", "no more room for you (quota)", "repeat"}, "put", src)
	r.must(nil, "get", "/", "--to", filepath.Join(r.dir, "part"))
	want := r.digests(src)
	for name, d := range r.digests(filepath.Join(r.dir, "part", "src")) {
		if want[name] != d {
			t.Errorf("%q came back wrong", name)
		}
	}
	for _, k := range r.Keepers {
		r.check(k.Stop(r.ctx))
		r.check(k.Start(r.ctx, "--offer", "1GB"))
	}
	r.must(nil, "put", src)
	to := filepath.Join(r.dir, "back")
	r.must(nil, "get", "src", "--to", to)
	r.same(src, filepath.Join(to, "src"))
	r.settle()
}

// TestOwnerDiskFull fills the disk that holds the catalog, then the one that
// files are brought back to.
func TestOwnerDiskFull(t *testing.T) {
	var disk string
	r := newRig(t, 3, "4GB", func(homes string) {
		disk = filepath.Join(homes, "owner")
		mount(t, disk, "1500k")
	})
	src := filepath.Join(r.dir, "src")
	first := filepath.Join(r.dir, "first")
	r.write(first, 100_000)
	r.must(nil, "put", first)
	for i := range 8_000 {
		r.write(filepath.Join(src, fmt.Sprint(i%20), fmt.Sprintf("%d-and-a-longer-name-to-fill-the-catalog", i)), 64)
	}
	res := r.fails([]string{"disk that holds the catalog is full"}, "put", src)
	t.Logf("catalog full: %s", res.Stderr)
	// What was kept before can be had with the disk still full.
	to := filepath.Join(r.dir, "back")
	r.must(nil, "get", "first", "--to", to)
	r.grow(disk, "100m")
	r.must(nil, "put", src)

	target := filepath.Join(r.dir, "target")
	big := filepath.Join(r.dir, "big")
	for i := range 4 {
		r.write(filepath.Join(big, fmt.Sprint(i)), 4<<20)
	}
	r.must(nil, "put", big)
	mount(t, target, "10m")
	res = r.fails([]string{"is full", "--resume"}, "get", "big", "--to", target)
	t.Logf("target full: %s", res.Stderr)
	want := r.digests(big)
	for name, d := range r.digests(filepath.Join(target, "big")) {
		if want[name] != d {
			t.Errorf("%q is there and is not what it was", name)
		}
	}
	r.grow(target, "100m")
	r.must(nil, "get", "big", "--to", target, "--resume")
	r.same(big, filepath.Join(target, "big"))
	r.must(nil, "get", "src", "--to", to)
	r.same(src, filepath.Join(to, "src"))
	r.settle()
}
