// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"errors"
	"testing"
	"time"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/transport"
)

func (n *node) invite(ttl time.Duration) circle.Invite {
	n.t.Helper()
	inv, err := n.book.NewInvite(circle.Invite{Device: n.id.Device(), Name: n.cfg.Name(), Addresses: n.Addresses()}, ttl)
	if err != nil {
		n.t.Fatal(err)
	}
	return inv
}

func TestJoin(t *testing.T) {
	noLeaks(t)
	home, laptop, bert := newNode(t, "home", times{}), newNode(t, "laptop", times{}), newNode(t, "bert", times{})
	code := home.invite(time.Hour).Code()
	inv, err := circle.ParseInvite(code)
	if err != nil {
		t.Fatal(err)
	}
	p, err := laptop.Join(t.Context(), inv)
	if err != nil || p.Device != home.id.Device() || p.Name != "home" || !p.Keeper {
		t.Fatalf("%+v %v", p, err)
	}
	// Both ways at once, and shards flow.
	if err := laptop.keeper(home).PutShard(t.Context(), peers.ShardID{1}, erasure.Root{}, []byte("x")); err != nil {
		t.Error(err)
	}
	if err := home.keeper(laptop).PutShard(t.Context(), peers.ShardID{1}, erasure.Root{}, []byte("x")); err != nil {
		t.Error(err)
	}
	// The answer may have been lost: the same device tries again.
	if _, err := laptop.Join(t.Context(), inv); err != nil {
		t.Errorf("again: %v", err)
	}
	// Nobody else; first with no other invite open, then with one.
	if _, err := bert.Join(t.Context(), inv); !errors.Is(err, circle.ErrInviteUnknown) {
		t.Errorf("second device: %v", err)
	}
	open := home.invite(time.Hour)
	if _, err := bert.Join(t.Context(), inv); !errors.Is(err, circle.ErrInviteUsed) {
		t.Errorf("second device: %v", err)
	}
	forged := open
	forged.Token[3] ^= 1
	if _, err := bert.Join(t.Context(), forged); !errors.Is(err, circle.ErrInviteUnknown) {
		t.Errorf("forged token: %v", err)
	}
	wrong := open
	wrong.Device = laptop.id.Device()
	if _, err := bert.Join(t.Context(), wrong); !errors.Is(err, transport.ErrWrongDevice) {
		t.Errorf("another device in the code: %v", err)
	}
	if bert.book.Has(laptop.id.Device()) || home.book.Has(bert.id.Device()) {
		t.Error("a failed join left traces")
	}
	if _, err := home.Join(t.Context(), open); !errors.Is(err, ErrSelf) {
		t.Errorf("own invite: %v", err)
	}
	old := open
	old.Expires = time.Now().Add(-time.Second)
	if _, err := bert.Join(t.Context(), old); !errors.Is(err, circle.ErrInviteExpired) {
		t.Errorf("expired: %v", err)
	}
	// Taken out of the circle it stays out, and what it has open is cut.
	if err := home.Remove(laptop.id.Device()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its connections are closed", func() bool {
		home.server.mu.Lock()
		defer home.server.mu.Unlock()
		return len(home.server.open[laptop.id.Device()]) == 0
	})
	if _, err := laptop.Join(t.Context(), inv); !errors.Is(err, circle.ErrInviteUnknown) {
		t.Errorf("again after it was removed: %v", err)
	}
}

func TestGuestsAreFew(t *testing.T) {
	noLeaks(t)
	home, stranger := newNode(t, "home", times{}), newNode(t, "stranger", times{})
	home.invite(time.Hour)
	var conns []*transport.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for range maxGuests {
		c, _, err := stranger.id.Dial(t.Context(), home.id.Device(), home.Addresses(), transport.DialOptions{})
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	_, _, err := stranger.id.Dial(t.Context(), home.id.Device(), home.Addresses(), transport.DialOptions{})
	if !errors.Is(err, transport.ErrBusy) {
		t.Errorf("guest %d: %v", maxGuests+1, err)
	}
	conns[0].Close()
	eventually(t, "a guest's place is free again", func() bool {
		c, _, err := stranger.id.Dial(t.Context(), home.id.Device(), home.Addresses(), transport.DialOptions{})
		if err == nil {
			conns = append(conns, c)
		}
		return err == nil
	})
}
