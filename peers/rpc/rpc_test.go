// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/internal/wire"
	"github.com/preezm/preezm/peers/transport"
)

func bytesOf(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestShards(t *testing.T) {
	noLeaks(t)
	owner, keeper := newNode(t, "owner", times{}), newNode(t, "study laptop", times{})
	befriend(t, owner, keeper)
	k := owner.keeper(keeper)
	if again := owner.keeper(keeper); again != k {
		t.Error("Keepers gives another client each time")
	}
	for i, size := range []int{0, 1, 4096, 65536, 1<<20 + 7, peers.MaxShard} {
		id, data := peers.ShardID{byte(i)}, bytesOf(size, uint64(i))
		root := erasure.Root{byte(i), 1}
		for range 2 { // the second time it is there already
			if err := k.PutShard(t.Context(), id, root, data); err != nil {
				t.Fatalf("put %d bytes: %v", size, err)
			}
		}
		if got := keeper.depot.shards[key{owner.id.Device(), id}]; !bytes.Equal(got.data, data) || got.root != root {
			t.Fatalf("%d bytes arrived differently", size)
		}
		for _, r := range [][2]int{{0, size}, {size / 3, size / 2}, {size, size}} {
			dst := make([]byte, r[1]-r[0])
			if err := k.ReadShard(t.Context(), id, int64(r[0]), dst); err != nil {
				t.Fatalf("read %v of %d: %v", r, size, err)
			}
			if !bytes.Equal(dst, data[r[0]:r[1]]) {
				t.Fatalf("read %v of %d: other bytes", r, size)
			}
		}
		if err := k.ReadShard(t.Context(), id, int64(size), make([]byte, 1)); !errors.Is(err, peers.ErrDamaged) {
			t.Errorf("read beyond the end: %v", err)
		}
	}
	sizes, err := k.StatShards(t.Context(), []peers.ShardID{{1}, {99}, {2}})
	if err != nil || len(sizes) != 3 || sizes[0] != 1 || sizes[1] != -1 || sizes[2] != 4096 {
		t.Errorf("stat: %v %v", sizes, err)
	}
	info, err := k.Info(t.Context())
	if err != nil || info.Name != "study laptop" || info.Shards != 6 || info.Version != "test" {
		t.Errorf("info: %+v %v", info, err)
	}
	if err := k.DeleteShards(t.Context(), []peers.ShardID{{1}, {99}}); err != nil {
		t.Errorf("delete: %v", err)
	}
	err = k.ReadShard(t.Context(), peers.ShardID{1}, 0, make([]byte, 1))
	if !errors.Is(err, peers.ErrNotFound) || err.Error() != "study laptop: does not have the shard" {
		t.Errorf("read a deleted shard: %v", err)
	}
	many := make([]peers.ShardID, maxIDs+5)
	if sizes, err := k.StatShards(t.Context(), many); err != nil || len(sizes) != len(many) {
		t.Errorf("stat of %d: %d %v", len(many), len(sizes), err)
	}
}

func TestErrorsTravel(t *testing.T) {
	noLeaks(t)
	owner, keeper := newNode(t, "owner", times{}), newNode(t, "keeper", times{})
	befriend(t, owner, keeper)
	k := owner.keeper(keeper)
	data := bytesOf(peers.MaxShard, 1)
	for _, want := range []error{peers.ErrQuota, peers.ErrDiskFull, peers.ErrDamaged, peers.ErrRefused, peers.ErrNotFound} {
		keeper.depot.setFailure(want)
		// A full shard: the answer comes although the keeper reads none of it.
		if err := k.PutShard(t.Context(), peers.ShardID{}, erasure.Root{}, data); !errors.Is(err, want) {
			t.Errorf("put: %v, want %v", err, want)
		}
		if err := k.ReadShard(t.Context(), peers.ShardID{}, 0, data[:9]); !errors.Is(err, want) {
			t.Errorf("read: %v, want %v", err, want)
		}
		if err := k.DeleteShards(t.Context(), []peers.ShardID{{}}); !errors.Is(err, want) {
			t.Errorf("delete: %v, want %v", err, want)
		}
	}
	keeper.depot.setFailure(errors.New("secret path"))
	err := k.PutShard(t.Context(), peers.ShardID{}, erasure.Root{}, data)
	if !errors.Is(err, peers.ErrRefused) || bytes.Contains([]byte(err.Error()), []byte("secret")) {
		t.Errorf("internal error: %v", err)
	}
	if err := k.PutShard(t.Context(), peers.ShardID{}, erasure.Root{}, make([]byte, peers.MaxShard+1)); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("too large: %v", err)
	}
}

func TestSideBySide(t *testing.T) {
	noLeaks(t)
	owner, keeper := newNode(t, "owner", times{}), newNode(t, "keeper", times{})
	befriend(t, owner, keeper)
	k := owner.keeper(keeper)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 4 {
				id := peers.ShardID{byte(w), byte(i)}
				data := bytesOf(100_000+w*1000+i, uint64(w*10+i))
				if err := k.PutShard(t.Context(), id, erasure.Root{}, data); err != nil {
					t.Error(err)
					return
				}
				want := bytes.Clone(data)
				clear(data) // the client must be done with it
				if err := k.ReadShard(t.Context(), id, 0, data); err != nil || !bytes.Equal(data, want) {
					t.Error("other bytes", err)
				}
			}
		})
	}
	wg.Wait()
	keeper.server.mu.Lock()
	defer keeper.server.mu.Unlock()
	if n := len(keeper.server.open[owner.id.Device()]); n > maxConns {
		t.Errorf("%d connections", n)
	}
}

func TestUnknownDevice(t *testing.T) {
	noLeaks(t)
	owner, keeper := newNode(t, "owner", times{}), newNode(t, "keeper", times{})
	befriend(t, owner, keeper)
	if err := keeper.book.Remove(owner.id.Device()); err != nil {
		t.Fatal(err)
	}
	k := owner.keeper(keeper)
	if _, err := k.Info(t.Context()); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("unknown device: %v", err)
	}
	// With an invite open it gets in, but not further than joining.
	if _, err := keeper.book.NewInvite(circle.Invite{Device: keeper.id.Device()}, time.Hour); err != nil {
		t.Fatal(err)
	}
	owner.client(keeper.id.Device()).forgive()
	if _, err := k.Info(t.Context()); err == nil {
		t.Error("a guest was served")
	}
}

func TestRemovedWhileConnected(t *testing.T) {
	noLeaks(t)
	owner, keeper := newNode(t, "owner", times{}), newNode(t, "keeper", times{})
	befriend(t, owner, keeper)
	k := owner.keeper(keeper)
	if _, err := k.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := keeper.book.Remove(owner.id.Device()); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Info(t.Context()); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("removed device on an open connection: %v", err)
	}
}

// A device that is removed loses its connections, also in the middle of a
// request.
func TestRemoveCutsConnections(t *testing.T) {
	noLeaks(t)
	owner, keeper := newNode(t, "owner", times{}), newNode(t, "keeper", times{})
	befriend(t, owner, keeper)
	c := owner.raw(keeper)
	_, err := fmt.Fprintf(c, "PUT /v1/shards/%s HTTP/1.1\r\nHost: x\r\nPreezm-Root: %s\r\nContent-Length: 1000\r\n\r\nbegin",
		strings.Repeat("ab", 32), strings.Repeat("cd", 32))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the connection is noted", func() bool {
		keeper.server.mu.Lock()
		defer keeper.server.mu.Unlock()
		return len(keeper.server.open[owner.id.Device()]) > 0
	})
	if err := keeper.Remove(owner.id.Device()); err != nil {
		t.Fatal(err)
	}
	closedSoon(t, c)
	if keeper.book.Has(owner.id.Device()) {
		t.Error("still in the circle")
	}
}

func TestAnotherDeviceAnswers(t *testing.T) {
	noLeaks(t)
	owner, keeper, other := newNode(t, "owner", times{}), newNode(t, "keeper", times{}), newNode(t, "other", times{})
	befriend(t, owner, keeper)
	befriend(t, owner, other)
	keeper.stop()
	err := owner.book.Update(keeper.id.Device(), func(p *circle.Peer) { p.Addresses = other.Addresses() })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := owner.keeper(keeper).Info(t.Context()); !errors.Is(err, peers.ErrUnreachable) {
		t.Errorf("wrong device: %v", err)
	}
}

func TestProbe(t *testing.T) {
	noLeaks(t)
	a, b, c := newNode(t, "a", quick()), newNode(t, "b", quick()), newNode(t, "c", quick())
	befriend(t, a, b)
	befriend(t, a, c)
	c.stop()
	rs := a.Probe(t.Context())
	if len(rs) != 2 || !rs[0].Online || rs[0].Info.Name != "b" || rs[0].Latency <= 0 {
		t.Fatalf("%+v", rs)
	}
	if rs[1].Online || !errors.Is(rs[1].Err, peers.ErrUnreachable) {
		t.Fatalf("%+v", rs[1])
	}
}

func TestRestart(t *testing.T) {
	noLeaks(t)
	owner, keeper := newNode(t, "owner", quick()), newNode(t, "keeper", quick())
	befriend(t, owner, keeper)
	k := owner.keeper(keeper)
	if err := k.PutShard(t.Context(), peers.ShardID{1}, erasure.Root{}, []byte("x")); err != nil {
		t.Fatal(err)
	}
	before := keeper.Addresses()
	keeper.stop()
	if err := k.PutShard(t.Context(), peers.ShardID{2}, erasure.Root{}, []byte("x")); !errors.Is(err, peers.ErrUnreachable) {
		t.Fatalf("put to a dead keeper: %v", err)
	}
	started := time.Now()
	if _, err := k.Info(t.Context()); !errors.Is(err, peers.ErrUnreachable) || time.Since(started) > 5*time.Second {
		t.Errorf("no back-off: %v after %s", err, time.Since(started))
	}
	keeper.start() // on another port, which it tells the owner
	if keeper.Addresses()[0] == before[0] {
		t.Skip("the same port again")
	}
	eventually(t, "the owner hears of the new address", func() bool {
		p, _ := owner.book.Peer(keeper.id.Device())
		return p.Addresses[0] == keeper.Addresses()[0]
	})
	if err := k.PutShard(t.Context(), peers.ShardID{2}, erasure.Root{}, []byte("x")); err != nil {
		t.Errorf("put after the restart: %v", err)
	}
}

func TestCancel(t *testing.T) {
	noLeaks(t)
	owner, keeper := newNode(t, "owner", times{}), newNode(t, "keeper", times{stop: 100 * time.Millisecond})
	befriend(t, owner, keeper)
	k := owner.keeper(keeper)
	held := make(chan struct{})
	keeper.depot.hold = held
	defer close(held)
	for _, op := range []func(context.Context) error{
		func(ctx context.Context) error {
			return k.PutShard(ctx, peers.ShardID{1}, erasure.Root{}, bytesOf(peers.MaxShard, 1))
		},
		func(ctx context.Context) error { return k.ReadShard(ctx, peers.ShardID{1}, 0, make([]byte, 9)) },
		func(ctx context.Context) error { _, err := k.Info(ctx); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		started := time.Now()
		err := op(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(started) > 10*time.Second {
			t.Errorf("cancelled: %v after %s", err, time.Since(started))
		}
	}
}

// However many connections of a member come at once, no more than its share
// is held at any time, and every other one is closed.
func TestMembersShare(t *testing.T) {
	noLeaks(t)
	owner, keeper := newNode(t, "owner", times{}), newNode(t, "keeper", times{})
	befriend(t, owner, keeper)
	held := func() int {
		keeper.server.mu.Lock()
		defer keeper.server.mu.Unlock()
		return len(keeper.server.open[owner.id.Device()])
	}
	end, most := make(chan struct{}), 0
	var watch, wg sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
				most = max(most, held())
			}
		}
	})
	var conns [8][]*transport.Conn
	for i := range conns {
		wg.Go(func() {
			for range maxPerDevice / 2 {
				c, _, err := owner.id.Dial(t.Context(), keeper.id.Device(), keeper.Addresses(), transport.DialOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = append(conns[i], c)
			}
		})
	}
	wg.Wait()
	close(end)
	watch.Wait()
	if most > maxPerDevice {
		t.Errorf("%d connections at once", most)
	}
	all := slices.Concat(conns[:]...)
	closed := make(chan struct{}, len(all))
	for _, c := range all {
		wg.Go(func() {
			_, _ = c.Read(make([]byte, 1)) // ends when either side closes
			closed <- struct{}{}
		})
	}
	deadline := time.After(30 * time.Second)
	for n := len(all); n > maxPerDevice; n-- {
		select {
		case <-closed:
		case <-deadline:
			t.Errorf("%d connections stayed open", n)
			n = 0
		}
	}
	for _, c := range all {
		c.Close()
	}
	wg.Wait()
}

// A peer that hangs up is no trouble of this device's.
func TestAbortedRequestsAreNoErrors(t *testing.T) {
	var log strings.Builder
	s := &Service{log: slog.New(slog.NewTextHandler(&log, nil))}
	var err error
	if s.codec, err = wire.New(); err != nil {
		t.Fatal(err)
	}
	v := &server{s: s}
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	for name, c := range map[string]struct {
		ctx   context.Context
		err   error
		level string
	}{
		"cancelled": {t.Context(), fmt.Errorf("stat: %w", context.Canceled), ""},
		"hung up":   {gone, errors.New("interrupted"), ""},
		"trouble":   {t.Context(), errors.New("no such table"), "level=ERROR"},
	} {
		log.Reset()
		v.fail(httptest.NewRecorder(), httptest.NewRequestWithContext(c.ctx, "POST", pathStat, http.NoBody), c.err)
		if got := log.String(); !strings.Contains(got, c.level) || c.level == "" && got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Nobody makes this device dial a name or a place that is not the speaker's.
func TestHeardAddresses(t *testing.T) {
	noLeaks(t)
	owner, keeper := newNode(t, "owner", alone()), newNode(t, "keeper", alone())
	befriend(t, owner, keeper)
	within(t, "heard", func() bool {
		_, _, err := owner.client(keeper.id.Device()).hello(t.Context(),
			[]string{"nas.example:1", "169.254.169.254:80", "0.0.0.0:1", "10.0.0.1:1", "127.0.0.1:1"})
		if err != nil {
			t.Fatal(err)
		}
		p, _ := keeper.book.Peer(owner.id.Device())
		if slices.Equal(p.Addresses, owner.Addresses()) {
			return false // its control connection, which was just made, told the truth
		}
		if !slices.Equal(p.Addresses, []string{"10.0.0.1:1", "127.0.0.1:1"}) {
			t.Fatalf("%q", p.Addresses)
		}
		return true
	})
}
