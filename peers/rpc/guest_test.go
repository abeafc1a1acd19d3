// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/transport"
)

// door lets devices in that show a pass of one text, until it is shut.
type door struct {
	owner peers.DeviceID
	lent  peers.ShardID

	mu     sync.Mutex
	shut   bool
	inside []peers.DeviceID
	said   []string
}

func (d *door) with(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func (d *door) Open() (open bool) { d.with(func() { open = !d.shut }); return open }

func (d *door) Known(id peers.DeviceID) (known bool) {
	d.with(func() { known = slices.Contains(d.inside, id) })
	return known
}

func (d *door) Present(_ context.Context, id peers.DeviceID, pass []byte) error {
	if string(pass) != "good" {
		return peers.ErrRefused
	}
	d.with(func() { d.inside = append(d.inside, id) })
	return nil
}

func (d *door) Statement(_ context.Context, _ peers.DeviceID, raw []byte) error {
	d.with(func() { d.said = append(d.said, string(raw)) })
	return nil
}

func (d *door) Plan(context.Context, peers.DeviceID, []byte) error { return nil }

func (d *door) Answer(_ context.Context, verb string, _ peers.DeviceID, raw []byte) ([]byte, error) {
	if verb != "echo" {
		return nil, peers.ErrRefused
	}
	return raw, nil
}

func (d *door) Lender(_ peers.DeviceID, id peers.ShardID) (peers.DeviceID, error) {
	if id != d.lent {
		return peers.DeviceID{}, peers.ErrRefused
	}
	return d.owner, nil
}

func (d *door) Courier(peers.DeviceID) bool { return false }

func withDoor(t *testing.T, tm times) (*node, *door) {
	t.Helper()
	host, d := newNode(t, "host", tm), &door{}
	host.stop()
	host.cfg.Guests = d
	host.start()
	return host, d
}

func (n *node) visitTo(host *node, pass string) *Visit {
	n.t.Helper()
	v := n.Visit(host.id.Device(), "the host", host.Addresses(), []byte(pass))
	n.t.Cleanup(v.Close)
	return v
}

func TestGuestsShowTheirPass(t *testing.T) {
	noLeaks(t)
	host, d := withDoor(t, times{})
	guest, stranger := newNode(t, "guest", times{}), newNode(t, "stranger", times{})
	ctx := t.Context()
	v := guest.visitTo(host, "good")
	for range 3 { // the pass is shown once
		answer, err := v.Ask(ctx, "echo", []byte("hello"))
		if err != nil || string(answer) != "hello" {
			t.Fatalf("%q, %v", answer, err)
		}
	}
	if len(d.inside) != 1 {
		t.Errorf("the pass was shown %d times", len(d.inside))
	}
	for what, err := range map[string]error{
		"an unknown verb":        second(v.Ask(ctx, "sing", nil)),
		"a letter without leave": second(v.Letter(ctx, []byte("x"))),
		"another shard":          v.ReadShard(ctx, peers.ShardID{9}, 0, make([]byte, 4)),
		"a bad pass":             second(stranger.visitTo(host, "bad").Ask(ctx, "echo", nil)),
	} {
		if !errors.Is(err, peers.ErrRefused) {
			t.Errorf("%s: %v, want a refusal", what, err)
		}
	}
	// A restarted host knows nobody: the pass is shown again.
	d.with(func() { d.inside = nil })
	if _, err := v.Ask(ctx, "echo", []byte("x")); err != nil {
		t.Errorf("after the host forgot: %v", err)
	}
	// A guest is no member.
	if err := stranger.client(host.id.Device()).TellOwner(ctx, []byte("mine")); err == nil {
		t.Error("a stranger introduced itself")
	}
	d.with(func() { d.shut, d.inside = true, nil })
	if _, err := stranger.visitTo(host, "good").Ask(ctx, "echo", nil); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("a shut door: %v, want a refusal", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestGuestsReadWhatIsLentAndNothingElse(t *testing.T) {
	noLeaks(t)
	host, d := withDoor(t, times{})
	owner, guest := newNode(t, "owner", times{}), newNode(t, "guest", times{})
	befriend(t, owner, host)
	data := bytes.Repeat([]byte("shard"), 1000)
	for _, id := range []peers.ShardID{{1}, {2}} {
		if err := owner.keeper(host).PutShard(t.Context(), id, erasure.ShardRoot(data), data); err != nil {
			t.Fatal(err)
		}
	}
	d.owner, d.lent = owner.id.Device(), peers.ShardID{1}
	v := guest.visitTo(host, "good")
	got := make([]byte, 1000)
	if err := v.ReadShard(t.Context(), peers.ShardID{1}, 500, got); err != nil || !bytes.Equal(got, data[500:1500]) {
		t.Fatalf("a lent shard: %v", err)
	}
	if err := v.ReadShard(t.Context(), peers.ShardID{2}, 0, got); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("a shard that is not lent: %v", err)
	}
	if err := owner.client(host.id.Device()).TellOwner(t.Context(), []byte("it is me")); err != nil || len(d.said) != 1 {
		t.Errorf("%v, %q", err, d.said)
	}
}

// Guests with a pass take none of the strangers' places, nor the other way
// round, and have a limit of their own: the one with most connections gives.
func TestGuestsWithAPassHaveTheirOwnPlaces(t *testing.T) {
	noLeaks(t)
	host, d := withDoor(t, times{})
	host.server.mu.Lock()
	host.server.room = 6
	host.server.mu.Unlock()
	known, other, stranger := newNode(t, "known", times{}), newNode(t, "other", times{}), newNode(t, "stranger", times{})
	d.with(func() { d.inside = []peers.DeviceID{known.id.Device(), other.id.Device()} })
	passed := func() (n int) {
		host.server.mu.Lock()
		defer host.server.mu.Unlock()
		return len(host.server.passed)
	}
	for i := range maxPerAddress { // one after the other: the oldest are known
		defer stranger.raw(host).Close()
		eventually(t, "a stranger is in", func() bool { return host.guests() == i+1 })
	}
	var conns, others []*transport.Conn
	for i := range 5 {
		c := known.raw(host)
		defer c.Close()
		conns = append(conns, c)
		eventually(t, "a guest is in", func() bool { return passed() == i+1 })
	}
	for range 2 {
		c := other.raw(host)
		defer c.Close()
		others = append(others, c)
	}
	closedSoon(t, conns[0])
	eventually(t, "as many as may", func() bool { return passed() == 6 })
	if host.guests() != maxPerAddress {
		t.Errorf("%d strangers", host.guests())
	}
	for _, c := range append(others, conns[1:]...) {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Error(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Errorf("one that should stay: %v", err)
		}
	}
}

// Who may not join has a moment to show its pass, whatever an invited one has.
func TestStrangersHaveAMoment(t *testing.T) {
	noLeaks(t)
	host, _ := withDoor(t, times{stranger: 300 * time.Millisecond})
	stranger := newNode(t, "stranger", times{})
	closedSoon(t, stranger.raw(host))
	host.invite(time.Hour)
	c := stranger.raw(host)
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one that may be invited was cut: %v", err)
	}
}

// A plan or a panel names few addresses, and nothing but addresses.
func TestGivenAddressesAreFew(t *testing.T) {
	n := newNode(t, "gateway", times{})
	bad := []string{"", "host", "host:0", ":5", "http://host:5", strings.Repeat("x", 999) + ":5", "192.0.2.1:5", "192.0.2.1:5"}
	long := bad
	for i := range 100 {
		long = append(long, fmt.Sprintf("192.0.2.1:%d", 6+i))
	}
	for what, want := range map[*[]string]int{&bad: 1, &long: maxGiven, {}: 0} {
		v := n.Visit(peers.DeviceID{1}, "keeper", *what, nil)
		f := n.Fellow(peers.DeviceID{1}, *what)
		for _, got := range [][]string{v.c.link.addresses(), f.link.addresses()} {
			if len(got) != want || want > 0 && got[0] != "192.0.2.1:5" {
				t.Errorf("%q are dialled, want %d", got, want)
			}
		}
		v.Close()
	}
}

func TestGuestsFindNoMembersDoors(t *testing.T) {
	noLeaks(t)
	host, _ := withDoor(t, times{})
	guest := newNode(t, "guest", times{})
	if _, err := guest.visitTo(host, "good").Ask(t.Context(), "echo", nil); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"POST /v1/hello HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
		"POST /v1/owner HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
		"GET /v1/shards/" + strings.Repeat("01", 32) + " HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\n",
		"PUT /v1/shards/" + strings.Repeat("01", 32) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
		"POST /v1/shards/delete HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
	} {
		if status, _, err := ask(guest.raw(host), guest, text); err != nil || status/100 != 4 {
			t.Errorf("%.20q: %d, %v", text, status, err)
		}
	}
	big := "POST /v1/gateway/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n"
	if status, _, err := ask(guest.raw(host), guest, big); err == nil && status/100 != 4 {
		t.Errorf("five megabytes: %d", status)
	}
}
