// SPDX-License-Identifier: MPL-2.0

package depot_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/depot"
	"github.com/preezm/preezm/peers/depot/storagetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(crashDir) != "" {
		crashChild() // does not return
	}
	goleak.VerifyTestMain(m)
}

var (
	ctx    = context.Background()
	laptop = peers.DeviceID{0xa}
	tower  = peers.DeviceID{0xb}
	id     = storagetest.ID
	body   = storagetest.Body
)

const ample = 1 << 40

var nopLogger = slog.New(slog.DiscardHandler)

func open(t testing.TB, dir string, o depot.Options) *depot.Depot {
	t.Helper()
	if o.Offer == 0 {
		o.Offer = ample
	}
	d, err := depot.Open(ctx, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDepot(t, d) })
	return d
}

func closeDepot(t testing.TB, d *depot.Depot) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func put(d *depot.Depot, owner peers.DeviceID, id peers.ShardID, b []byte) error {
	return d.Put(ctx, owner, id, erasure.ShardRoot(b), int64(len(b)), bytes.NewReader(b))
}

func mustPut(t testing.TB, d *depot.Depot, owner peers.DeviceID, id peers.ShardID, b []byte) {
	t.Helper()
	if err := put(d, owner, id, b); err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, d *depot.Depot, owner peers.DeviceID, id peers.ShardID, b []byte) {
	t.Helper()
	s, err := d.Get(ctx, owner, id)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size()))
	if err != nil || !bytes.Equal(got, b) {
		t.Fatalf("got %d bytes (%v), not the %d that were put", len(got), err, len(b))
	}
}

func wantStat(t testing.TB, d *depot.Depot, owner peers.DeviceID, id peers.ShardID, size int64) {
	t.Helper()
	got, err := d.Stat(ctx, owner, []peers.ShardID{id})
	if err != nil || len(got) != 1 || got[0] != size {
		t.Fatalf("stat says %v (%v), want %d", got, err, size)
	}
}

func wantMissing(t testing.TB, d *depot.Depot, owner peers.DeviceID, id peers.ShardID) {
	t.Helper()
	if _, err := d.Get(ctx, owner, id); !errors.Is(err, peers.ErrNotFound) {
		t.Fatalf("get: %v, want ErrNotFound", err)
	}
	wantStat(t, d, owner, id, -1)
}

// wantUsed compares the owner's sums, which must be the index's and the files'.
func wantUsed(t testing.TB, d *depot.Depot, owner peers.DeviceID, sizes ...int64) {
	t.Helper()
	var used int64
	for _, s := range sizes {
		used += depot.Cost(s)
	}
	u, err := d.Usage(ctx, owner)
	if err != nil || u.Used != used || u.Shards != int64(len(sizes)) {
		t.Fatalf("usage is %+v (%v), want %d bytes in %d shards", u, err, used, len(sizes))
	}
}

func wantEmpty(t testing.TB, dir, sub string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(dir, sub))
	if err != nil || len(left) != 0 {
		t.Fatalf("%s holds %v (%v)", sub, left, err)
	}
}

func shardFile(dir string, id peers.ShardID) string {
	return filepath.Join(dir, "shards", id.String()[:2], id.String())
}

// noRead fails the test when it is read.
type noRead struct{ t *testing.T }

func (r noRead) Read([]byte) (int, error) {
	r.t.Error("the body was read")
	return 0, io.EOF
}

func TestPutAndGet(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, depot.Options{})
	sizes := []int64{1, 4096, 64 << 10, 256<<10 + 1, 1 << 20, peers.MaxShard}
	for i, n := range sizes {
		mustPut(t, d, laptop, id(uint64(i)), body(uint64(i), int(n)))
	}
	for range 2 {
		for i, n := range sizes {
			want(t, d, laptop, id(uint64(i)), body(uint64(i), int(n)))
			wantStat(t, d, laptop, id(uint64(i)), n)
		}
		wantUsed(t, d, laptop, sizes...)
		wantEmpty(t, dir, "tmp")
		closeDepot(t, d)
		d = open(t, dir, depot.Options{})
	}
}

func TestPutRefusesWhatIsWrong(t *testing.T) {
	good := body(1, 300<<10)
	root := erasure.ShardRoot(good)
	n := int64(len(good))
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		size int64
		root erasure.Root
		r    io.Reader
		want error
	}{
		"wrong root":      {n, erasure.ShardRoot(good[1:]), bytes.NewReader(good), peers.ErrDamaged},
		"flipped bit":     {n, root, bytes.NewReader(append([]byte{good[0] ^ 1}, good[1:]...)), peers.ErrDamaged},
		"short body":      {n, root, bytes.NewReader(good[:n-1]), peers.ErrDamaged},
		"empty body":      {n, root, bytes.NewReader(nil), peers.ErrDamaged},
		"long body":       {n, root, io.MultiReader(bytes.NewReader(good), strings.NewReader("x")), peers.ErrDamaged},
		"size too small":  {n - 1, root, bytes.NewReader(good), peers.ErrDamaged},
		"over the limit":  {peers.MaxShard + 1, root, noRead{t}, peers.ErrRefused},
		"nothing":         {0, root, noRead{t}, peers.ErrRefused},
		"negative size":   {-1, root, noRead{t}, peers.ErrRefused},
		"broken reader":   {n, root, io.MultiReader(bytes.NewReader(good[:n/2]), iotest.ErrReader(boom)), boom},
		"broken at end":   {n, root, io.MultiReader(bytes.NewReader(good), iotest.ErrReader(boom)), boom},
		"timeout at half": {n, root, iotest.TimeoutReader(bytes.NewReader(good)), iotest.ErrTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d := open(t, dir, depot.Options{})
			if err := d.Put(ctx, laptop, id(1), c.root, c.size, c.r); !errors.Is(err, c.want) {
				t.Errorf("put: %v, want %v", err, c.want)
			}
			wantMissing(t, d, laptop, id(1))
			wantUsed(t, d, laptop)
			wantEmpty(t, dir, "tmp")
			// Nothing stands in the way of the right one, in small pieces too.
			if err := d.Put(ctx, laptop, id(1), root, n, iotest.HalfReader(bytes.NewReader(good))); err != nil {
				t.Fatal(err)
			}
			want(t, d, laptop, id(1), good)
		})
	}
}

func TestPutTheSameAgain(t *testing.T) {
	d := open(t, t.TempDir(), depot.Options{})
	b := body(1, 100_000)
	mustPut(t, d, laptop, id(1), b)
	if err := d.Put(ctx, laptop, id(1), erasure.ShardRoot(b), int64(len(b)), noRead{t}); err != nil {
		t.Errorf("the same again: %v", err)
	}
	other := body(2, 100_000)
	if err := d.Put(ctx, laptop, id(1), erasure.ShardRoot(other), int64(len(other)), noRead{t}); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("another root: %v, want ErrRefused", err)
	}
	if err := d.Put(ctx, tower, id(1), erasure.ShardRoot(b), int64(len(b)), noRead{t}); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("another owner: %v, want ErrRefused", err)
	}
	want(t, d, laptop, id(1), b)
	wantUsed(t, d, laptop, int64(len(b)))
	wantUsed(t, d, tower)
}

func TestOnlyTheOwner(t *testing.T) {
	d := open(t, t.TempDir(), depot.Options{})
	b := body(1, 5000)
	mustPut(t, d, laptop, id(1), b)
	wantMissing(t, d, tower, id(1))
	if err := put(d, tower, id(1), body(2, 5000)); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("overwrite: %v, want ErrRefused", err)
	}
	if err := d.Delete(ctx, tower, []peers.ShardID{id(1)}); err != nil {
		t.Errorf("delete: %v", err)
	}
	want(t, d, laptop, id(1), b)
	wantStat(t, d, laptop, id(1), 5000)
	wantUsed(t, d, laptop, 5000)
	wantUsed(t, d, tower)
}

func TestDelete(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, depot.Options{})
	var ids []peers.ShardID
	for i := range uint64(20) {
		mustPut(t, d, laptop, id(i), body(i, 100))
		ids = append(ids, id(i), id(i), id(1000+i)) // twice, and one that is not there
	}
	mustPut(t, d, tower, id(50), body(50, 100))
	s, err := d.Get(ctx, laptop, id(3))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(ctx, laptop, append(ids, id(50))); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 100)
	if _, err := s.ReadAt(got, 0); err != nil || !bytes.Equal(got, body(3, 100)) {
		t.Errorf("an open shard is not readable any more: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	closeDepot(t, d)
	d = open(t, dir, depot.Options{})
	for i := range uint64(20) {
		wantMissing(t, d, laptop, id(i))
	}
	wantUsed(t, d, laptop)
	want(t, d, tower, id(50), body(50, 100))
	mustPut(t, d, tower, id(3), body(4, 10)) // the ID is anybody's again
	want(t, d, tower, id(3), body(4, 10))
}

func TestTwoDepotsOnOneFolder(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, depot.Options{})
	mustPut(t, d, laptop, id(1), body(1, 100))
	if _, err := depot.Open(ctx, dir, depot.Options{}); !errors.Is(err, depot.ErrBusy) {
		t.Fatalf("second open: %v, want ErrBusy", err)
	}
	want(t, d, laptop, id(1), body(1, 100))
	closeDepot(t, d)
	d = open(t, dir, depot.Options{})
	want(t, d, laptop, id(1), body(1, 100))
}

func TestFolderWithAnyName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "Père Noël's #1 50% ?x=y&mode=ro;", "depot")
	d := open(t, dir, depot.Options{})
	mustPut(t, d, laptop, id(1), body(1, 100))
	closeDepot(t, d)
	if _, err := os.Stat(filepath.Join(dir, "index.db")); err != nil {
		t.Error(err)
	}
	want(t, open(t, dir, depot.Options{}), laptop, id(1), body(1, 100))
}

func TestClosed(t *testing.T) {
	d := open(t, t.TempDir(), depot.Options{})
	mustPut(t, d, laptop, id(1), body(1, 100))
	s, err := d.Get(ctx, laptop, id(1))
	if err != nil {
		t.Fatal(err)
	}
	closeDepot(t, d)
	if _, err := s.ReadAt(make([]byte, 100), 0); err != nil {
		t.Errorf("an open shard is not readable after close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	_, getErr := d.Get(ctx, laptop, id(1))
	_, statErr := d.Stat(ctx, laptop, nil)
	_, usageErr := d.Usage(ctx, laptop)
	_, totalErr := d.Total(ctx)
	for name, err := range map[string]error{
		"put": put(d, laptop, id(2), body(2, 10)), "get": getErr, "stat": statErr,
		"delete": d.Delete(ctx, laptop, nil), "usage": usageErr, "total": totalErr,
	} {
		if !errors.Is(err, depot.ErrClosed) {
			t.Errorf("%s after close: %v", name, err)
		}
	}
}

// half is a body that comes to a halt in the middle until it is let go.
type half struct {
	io.Reader
	reached chan struct{}
	once    sync.Once
	goOn    chan struct{}
}

func newHalf(b []byte) *half {
	h := &half{reached: make(chan struct{}), goOn: make(chan struct{})}
	h.Reader = io.MultiReader(bytes.NewReader(b[:len(b)/2]), readerFunc(func(p []byte) (int, error) {
		h.once.Do(func() { close(h.reached) })
		<-h.goOn
		return 0, io.EOF
	}), bytes.NewReader(b[len(b)/2:]))
	return h
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestOnePutAtATimeForAShard(t *testing.T) {
	d := open(t, t.TempDir(), depot.Options{})
	b := body(1, 1<<20)
	h := newHalf(b)
	errs := make(chan error, 3)
	go func() { errs <- d.Put(ctx, laptop, id(1), erasure.ShardRoot(b), int64(len(b)), h) }()
	<-h.reached

	wantMissing(t, d, laptop, id(1)) // half a shard is none
	if err := put(d, tower, id(1), b); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("another owner's put: %v, want ErrRefused", err)
	}
	if err := d.Delete(ctx, tower, []peers.ShardID{id(1)}); err != nil {
		t.Errorf("another owner's delete: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := d.Put(short, laptop, id(1), erasure.ShardRoot(b), int64(len(b)), noRead{t}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a put that waits for the other: %v", err)
	}
	go func() { errs <- d.Put(ctx, laptop, id(1), erasure.ShardRoot(b), int64(len(b)), noRead{t}) }()
	close(h.goOn)
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	want(t, d, laptop, id(1), b)
	wantUsed(t, d, laptop, 1<<20)
}

func TestCloseWaitsForAPut(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, depot.Options{})
	b := body(1, 1<<20)
	h := newHalf(b)
	errs, closed := make(chan error, 1), make(chan error, 1)
	go func() { errs <- d.Put(ctx, laptop, id(1), erasure.ShardRoot(b), int64(len(b)), h) }()
	<-h.reached
	go func() { closed <- d.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("closed (%v) under a put", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(h.goOn)
	if err := <-errs; err != nil {
		t.Error(err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	want(t, open(t, dir, depot.Options{}), laptop, id(1), b)
}

func TestCancelledPut(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, depot.Options{})
	b := body(1, 1<<20)
	h := newHalf(b)
	c, cancel := context.WithCancel(ctx)
	errs := make(chan error, 1)
	go func() { errs <- d.Put(c, laptop, id(1), erasure.ShardRoot(b), int64(len(b)), h) }()
	<-h.reached
	cancel()
	close(h.goOn)
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v, want context.Canceled", err)
	}
	wantMissing(t, d, laptop, id(1))
	wantUsed(t, d, laptop)
	wantEmpty(t, dir, "tmp")
}
