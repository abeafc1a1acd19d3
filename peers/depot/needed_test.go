// SPDX-License-Identifier: MPL-2.0

package depot_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/depot"
	"github.com/preezm/preezm/peers/shardlist"
)

// tale is a depot with a clock, and an owner that tells it lists.
type tale struct {
	*testing.T
	d      *depot.Depot
	key    ed25519.PrivateKey
	clock  time.Time
	number uint64
}

func newTale(t *testing.T, account func(peers.DeviceID) peers.DeviceID) *tale {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &tale{T: t, key: key, clock: time.Unix(1e9, 0)}
	x.d = open(t, t.TempDir(), depot.Options{Now: func() time.Time { return x.clock }, Account: account})
	return x
}

// named is the shard with a number in an epoch.
func named(tag byte, n uint64) (s peers.ShardID) {
	s[0] = byte(n)
	shardlist.Join(&s, shardlist.Tag{tag}, n)
	return s
}

func (x *tale) store(owner peers.DeviceID, ids ...peers.ShardID) {
	x.Helper()
	b := body(1, 5000)
	for _, id := range ids {
		if err := x.d.Put(ctx, owner, id, erasure.ShardRoot(b), int64(len(b)), bytes.NewReader(b)); err != nil {
			x.Fatal(err)
		}
	}
}

// tell has an owner say what it knows and needs.
func (x *tale) tell(owner peers.DeviceID, unneeded, needed []peers.ShardID) (shardlist.Swept, error) {
	x.Helper()
	var tags []shardlist.Tag
	for _, id := range append(append([]peers.ShardID{}, unneeded...), needed...) {
		t, _ := shardlist.Split(id)
		tags = append(tags, t)
	}
	b := shardlist.NewBuilder(tags, nil)
	for _, id := range unneeded {
		b.Add(id, false)
	}
	for _, id := range needed {
		b.Add(id, true)
	}
	x.number++
	l := b.List(owner, tower, x.number)
	raw, err := l.Sign(x.key)
	if err != nil {
		x.Fatal(err)
	}
	return x.d.Needed(ctx, l, raw)
}

func (x *tale) want(owner peers.DeviceID, there bool, ids ...peers.ShardID) {
	x.Helper()
	sizes, err := x.d.Stat(ctx, owner, ids)
	if err != nil {
		x.Fatal(err)
	}
	for i, n := range sizes {
		if there != (n >= 0) {
			x.Errorf("shard %x: there %v, want %v", ids[i][:1], n >= 0, there)
		}
	}
}

func TestUnneededGoesAfterTheGrace(t *testing.T) {
	x := newTale(t, nil)
	one, two, three, newer, other := named(1, 1), named(1, 2), named(1, 3), named(1, 9), named(2, 1)
	x.store(laptop, one, two, three, newer, other)
	x.store(tower, named(1, 4))
	all := []peers.ShardID{one, two, three, newer, other}
	keep := []peers.ShardID{three}
	if s, err := x.tell(laptop, []peers.ShardID{one, two}, keep); err != nil || s != (shardlist.Swept{Waiting: 2}) {
		t.Fatalf("%+v, %v", s, err)
	}
	x.want(laptop, true, all...)
	x.clock = x.clock.Add(depot.DefaultGrace - time.Minute)
	if s, err := x.tell(laptop, []peers.ShardID{one, two}, keep); err != nil || s != (shardlist.Swept{Waiting: 2}) {
		t.Fatalf("%+v, %v", s, err)
	}
	// One is needed after all: its grace begins anew.
	if s, err := x.tell(laptop, []peers.ShardID{two}, append(keep, one)); err != nil || s != (shardlist.Swept{Waiting: 1}) {
		t.Fatalf("%+v, %v", s, err)
	}
	x.clock = x.clock.Add(2 * time.Minute)
	if s, err := x.tell(laptop, []peers.ShardID{one, two}, keep); err != nil || s != (shardlist.Swept{Waiting: 1, Gone: 1}) {
		t.Fatalf("%+v, %v", s, err)
	}
	x.want(laptop, true, one, three, newer, other)
	x.want(laptop, false, two)
	x.want(tower, true, named(1, 4))
	// An old list says nothing.
	x.number = 1
	if _, err := x.tell(laptop, all, nil); !errors.Is(err, peers.ErrStale) {
		t.Errorf("got %v", err)
	}
	x.want(laptop, true, one, three, newer, other)
}

// What another machine of the account needs stays, whoever does not.
func TestOthersOfTheAccountAreHeard(t *testing.T) {
	x := newTale(t, func(peers.DeviceID) peers.DeviceID { return laptop })
	a, b := named(1, 1), named(1, 2)
	x.store(laptop, a, b)
	if _, err := x.tell(tower, nil, []peers.ShardID{a, b}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if s, err := x.tell(laptop, []peers.ShardID{a, b}, nil); err != nil || s.Waiting+s.Gone != 0 {
			t.Fatalf("%+v, %v", s, err)
		}
		x.clock = x.clock.Add(2 * depot.DefaultGrace)
	}
	x.want(laptop, true, a, b)
	if _, err := x.tell(tower, []peers.ShardID{a}, []peers.ShardID{b}); err != nil {
		t.Fatal(err)
	}
	if s, err := x.tell(laptop, []peers.ShardID{a, b}, nil); err != nil || s.Waiting != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	x.clock = x.clock.Add(2 * depot.DefaultGrace)
	if s, err := x.tell(laptop, []peers.ShardID{a, b}, nil); err != nil || s.Gone != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	x.want(laptop, false, a)
	x.want(laptop, true, b)
}
