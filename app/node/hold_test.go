// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
)

// What was moved is held until most keepers know where it is now. One that is
// taken for lost does not hold it for ever.
func TestHoldsEndWithoutWhoIsLost(t *testing.T) {
	clock := &testClock{at: time.Now()}
	n, err := Open(testContext(t), testHome(t, "laptop"), Options{NoDiscovery: true, Clock: clock.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, c := testContext(t), n.backups.catalog
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	keepers := []peers.DeviceID{{1}, {2}}
	s := &catalog.Segment{ID: 1, K: 1, N: 2, ShardLen: 4096, DataLen: 4000, Shards: make([]catalog.Shard, 2)}
	for i, d := range keepers {
		must(n.book.Put(circle.Peer{Device: d, Name: d.Short(), Keeper: true}))
		s.Shards[i].Keeper = d
	}
	must(c.Intend(ctx, []*catalog.Segment{s}, 1))
	for i := range s.Shards {
		s.Shards[i].State = catalog.There
	}
	must(c.Commit(ctx, &catalog.Batch{Segments: []*catalog.Segment{s}}))
	must(c.SetShard(ctx, 1, 0, s.Shards[0].ID, catalog.Shard{Keeper: keepers[1], ID: peers.ShardID{7}, State: catalog.There}))
	held, err := c.Held(ctx)
	must(err)
	b := &catalog.Backup{Device: n.device, Number: 1, Head: []byte{1}, Held: held}
	must(c.AddBackup(ctx, b, 1))
	must(c.AckHead(ctx, catalog.HeadAck{Keeper: keepers[0], Number: 1, At: 1}))
	holds := func() bool {
		t.Helper()
		must(n.unhold(ctx, b))
		left, err := c.Held(ctx)
		must(err)
		return left > 0
	}
	grace, err := n.engine.Grace(ctx)
	must(err)
	for hour := time.Duration(0); hour <= grace+time.Hour; hour += time.Hour {
		must(n.engine.Noticed(ctx, []engine.Notice{{Device: keepers[0], Online: true}, {Device: keepers[1], Online: hour == 0}}))
		if over := !holds(); over != (hour >= grace) {
			t.Fatalf("after %v: the hold ended: %v", hour, over)
		}
		clock.add(time.Hour)
	}
}

// Who waits for a backup under way can give up: it may wait for a put, for hours.
func TestBackupIsWaitedForInVain(t *testing.T) {
	n, _ := openQuietly(t, testHome(t, "laptop"))
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	n.backups.turn <- struct{}{}
	defer func() { <-n.backups.turn }()
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if err := n.RenewBackup(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("it says %v", err)
	}
}
