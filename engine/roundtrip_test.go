// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/chunk"
)

func sum(b []byte) [32]byte { return sha256.Sum256(b) }

// sampleTree makes a folder with everything that is awkward to keep.
func sampleTree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sample")
	write(t, filepath.Join(dir, "empty"), nil)
	write(t, filepath.Join(dir, "one byte"), []byte("x"))
	write(t, filepath.Join(dir, "text.txt"), []byte(strings.Repeat("the same line again and again\n", 20000)))
	write(t, filepath.Join(dir, "large.bin"), data(1, 9<<20))
	write(t, filepath.Join(dir, "twin.bin"), data(1, 9<<20))
	write(t, filepath.Join(dir, "limit.bin"), data(2, chunk.Min))
	write(t, filepath.Join(dir, "over.bin"), data(3, chunk.Min+1))
	write(t, filepath.Join(dir, "été/ñandú/日本語 🎉.txt"), []byte("unicode"))
	write(t, filepath.Join(dir, "zeros.bin"), make([]byte, 3<<20))
	for i := range 300 {
		write(t, filepath.Join(dir, "many", fmt.Sprintf("%03d", i)), data(byte(i), 100+i*37))
	}
	if err := os.MkdirAll(filepath.Join(dir, "nothing in here"), 0o700); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" {
		write(t, filepath.Join(dir, "bytes \xff\xfe\n\x01.bin"), []byte("odd"))
		write(t, filepath.Join(dir, strings.Repeat("n", 255)), []byte("long name"))
		if err := os.Symlink("../away/\xff", filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("text.txt", filepath.Join(dir, "link2")); err != nil {
			t.Fatal(err)
		}
		for name, mode := range map[string]os.FileMode{"one byte": 0o400, "limit.bin": 0o755, "over.bin": 0o6751 &^ 0o6000} {
			if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	old := time.Date(1999, 12, 31, 23, 59, 59, 123456789, time.UTC)
	for _, name := range []string{"text.txt", "many", "nothing in here", "été"} {
		if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRoundTrip(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := newCircle(t, n)
			src := sampleTree(t)
			r := c.put(src)
			if len(r.Problems) > 0 || r.Debt != 0 {
				t.Errorf("problems %v, debt %d", r.Problems, r.Debt)
			}
			if r.NewBytes >= r.Bytes-9<<20 {
				t.Errorf("kept %d new of %d bytes: the twin was not found", r.NewBytes, r.Bytes)
			}
			sameTree(t, src, filepath.Join(c.get(), "sample"))
			c.reopen()
			sameTree(t, src, filepath.Join(c.get("sample"), "sample"))
		})
	}
}

func TestUnchangedSendsNothing(t *testing.T) {
	c := newCircle(t, 5)
	src := sampleTree(t)
	first := c.put(src)
	before := c.putSize()
	c.put(src) // reads once more what changed within the clock's grain
	again := c.put(src)
	if again.Unchanged != first.Files || c.putSize() != before {
		t.Fatalf("unchanged %d of %d files, %d bytes sent", again.Unchanged, first.Files, c.putSize()-before)
	}
	// The same content under another name, and touched files, send nothing either.
	now := time.Now()
	if err := os.Chtimes(filepath.Join(src, "large.bin"), now, now); err != nil {
		t.Fatal(err)
	}
	c.put(src)
	if _, err := c.Put(t.Context(), PutOptions{Sources: []string{src}, Into: "copies/of"}, nil); err != nil {
		t.Fatal(err)
	}
	if c.putSize() != before {
		t.Fatalf("%d bytes sent for content that is kept already", c.putSize()-before)
	}
	sameTree(t, src, filepath.Join(c.get("copies"), "copies/of/sample"))
}

func TestInsertionStoresLittle(t *testing.T) {
	c := newCircle(t, 5)
	dir := filepath.Join(t.TempDir(), "d")
	b := data(7, 64<<20)
	write(t, filepath.Join(dir, "f"), b)
	c.put(dir)
	before := c.putSize()
	ins := data(8, 640<<10)
	changed := append(append(append([]byte{}, b[:30<<20]...), ins...), b[30<<20:]...)
	write(t, filepath.Join(dir, "f"), changed)
	c.put(dir)
	// The insertion, and what is left of the chunks around it, at 5/3 of its
	// size: the cuts are the owner's own, so the latter varies.
	if sent := c.putSize() - before; sent > 5*(640<<10+3*chunk.Max)/3 {
		t.Errorf("an insertion of %d bytes sent %d", len(ins), sent)
	}
	sameTree(t, dir, filepath.Join(c.get("d"), "d"))
}

// Where something was inserted, the chunk it fell into is new, and no other:
// the cuts meet those of the version before.
func TestInsertionsMeetTheCutsBefore(t *testing.T) {
	c := newCircle(t, 3)
	dir := filepath.Join(t.TempDir(), "d")
	b := data(7, 64<<20)
	write(t, filepath.Join(dir, "f"), b)
	c.put(dir)
	const places, size = 8, 100 << 10
	var changed []byte
	for i := range places {
		at := i * len(b) / places
		changed = append(append(changed, b[at:at+3<<20]...), data(byte(10+i), size)...)
		changed = append(changed, b[at+3<<20:at+len(b)/places]...)
	}
	write(t, filepath.Join(dir, "f"), changed)
	r := c.put(dir)
	// A chunk in which a random byte lies has 1.25 MB on average.
	if fresh := r.NewBytes - places*size; fresh > places*7*chunk.Avg/4 {
		t.Errorf("%d insertions made %d other bytes new", places, fresh)
	}
	sameTree(t, dir, filepath.Join(c.get("d"), "d"))
	if again := c.put(dir); again.NewBytes != 0 {
		t.Errorf("%d bytes are new when nothing is", again.NewBytes)
	}
}

func TestReplaceAndRemove(t *testing.T) {
	c := newCircle(t, 3)
	dir := filepath.Join(t.TempDir(), "d")
	write(t, filepath.Join(dir, "a"), data(1, 2<<20))
	write(t, filepath.Join(dir, "sub/b"), data(2, 2<<20))
	write(t, filepath.Join(dir, "sub-b"), data(4, 100))
	c.put(dir)
	write(t, filepath.Join(dir, "a"), data(3, 1<<20))
	c.put(dir)
	sameTree(t, dir, filepath.Join(c.get("d"), "d"))
	if _, err := c.Remove(t.Context(), []Path{"d/nope"}); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
	if _, err := c.Remove(t.Context(), []Path{"d/a", "d/nope"}); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
	if _, err := c.List(t.Context(), ListOptions{Folder: "d/a"}); err != nil {
		t.Fatalf("a failed removal removed: %v", err)
	}
	r, err := c.Remove(t.Context(), []Path{"d/sub"})
	if err != nil || r.Files != 1 || r.Folders != 1 {
		t.Fatalf("removed %+v, %v", r, err)
	}
	list, err := c.List(t.Context(), ListOptions{Recursive: true, Health: true})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, string(e.Path))
	}
	if got := strings.Join(names, " "); got != "d d/a d/sub-b" {
		t.Fatalf("left: %s", got)
	}
	if _, err := c.Forget(t.Context(), []Path{"d"}); err != nil {
		t.Fatal(err)
	}
	s, err := c.Status(t.Context(), StatusOptions{Probe: true})
	if err != nil {
		t.Fatal(err)
	}
	if s.Segments != 0 || s.Stored != 0 || s.Pending != 0 {
		t.Fatalf("left behind: %+v", s)
	}
	for _, k := range c.keepers {
		u, err := k.depot.Usage(t.Context(), k.owner)
		if err != nil || u.Shards != 0 {
			t.Fatalf("%s still keeps %d shards, %v", k.name, u.Shards, err)
		}
	}
}

func TestGetRefuses(t *testing.T) {
	c := newCircle(t, 3)
	dir := filepath.Join(t.TempDir(), "d")
	write(t, filepath.Join(dir, "a"), []byte("kept"))
	c.put(dir)
	to := t.TempDir()
	write(t, filepath.Join(to, "d/a"), []byte("mine"))
	_, err := c.Get(t.Context(), GetOptions{Names: []Path{"d"}, To: to}, nil)
	if !errors.Is(err, ErrExists) {
		t.Fatalf("got %v, want ErrExists", err)
	}
	if b, _ := os.ReadFile(filepath.Join(to, "d/a")); string(b) != "mine" {
		t.Fatal("a refused get changed the file")
	}
	if _, err = c.Get(t.Context(), GetOptions{Names: []Path{"d"}, To: to, Overwrite: true}, nil); err != nil {
		t.Fatal(err)
	}
	sameTree(t, dir, filepath.Join(to, "d"))
	r, err := c.Get(t.Context(), GetOptions{Names: []Path{"d"}, To: to, Resume: true}, nil)
	if err != nil || r.Skipped != 1 || r.Files != 0 {
		t.Fatalf("resume: %+v, %v", r, err)
	}
	for _, bad := range []Path{"../d", "/d", "d/..", "d//a", "d/", ".", "d\x00"} {
		if _, err := c.Get(t.Context(), GetOptions{Names: []Path{bad}, To: to}, nil); !errors.Is(err, ErrInvalidPath) {
			t.Errorf("%q: got %v, want ErrInvalidPath", bad, err)
		}
	}
	if _, err := c.Get(t.Context(), GetOptions{Names: []Path{"x"}, To: to}, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

// A folder of the target that is a symlink to somewhere else is not followed.
func TestGetStaysInside(t *testing.T) {
	c := newCircle(t, 3)
	dir := filepath.Join(t.TempDir(), "d")
	write(t, filepath.Join(dir, "a"), []byte("kept"))
	c.put(dir)
	to, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(to, "d")); err != nil {
		t.Skip("no symlinks here: ", err)
	}
	if _, err := c.Get(t.Context(), GetOptions{Names: []Path{"d"}, To: to, Overwrite: true}, nil); !errors.Is(err, ErrNotBack) {
		t.Errorf("got %v, want ErrNotBack", err)
	}
	if names, _ := os.ReadDir(outside); len(names) > 0 {
		t.Fatalf("%q was written outside of the folder", names[0].Name())
	}
}

func TestKindConflict(t *testing.T) {
	c := newCircle(t, 3)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "one/x"), []byte("file"))
	write(t, filepath.Join(dir, "two/x/y"), []byte("in a folder"))
	c.put(filepath.Join(dir, "one/x"))
	r, err := c.Put(t.Context(), PutOptions{Sources: []string{filepath.Join(dir, "two/x")}}, nil)
	if !errors.Is(err, ErrNotKept) || len(r.Problems) != 1 {
		t.Fatalf("got %v, %+v", err, r.Problems)
	}
	if _, err := c.Put(t.Context(), PutOptions{Sources: []string{filepath.Join(dir, "two")}, Into: "x"}, nil); err == nil {
		t.Fatal("a file was taken for a folder")
	}
}
