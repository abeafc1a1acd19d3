// SPDX-License-Identifier: MPL-2.0

//go:build unix

package chaos

import (
	"context"
	"crypto/ed25519"
	"crypto/hpke"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretaker"
	"github.com/preezm/preezm/peers/caretask"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/depot"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/transport"
)

// filler is a member of a circle that gives a machine lists without end.
type filler struct {
	*rig
	s    *rpc.Service
	key  ed25519.PrivateKey
	self peers.DeviceID
	to   peers.DeviceID
	last uint64
	raw  [][]byte // segments of a full part, of which each part has another first one
}

// newFiller lets one into the circle of a keeper that serves.
func (r *rig) newFiller(k interface {
	Must(context.Context, any, ...string) error
}) *filler {
	r.Helper()
	dir := r.TempDir()
	id, err := transport.CreateIdentity(filepath.Join(dir, "crt"), filepath.Join(dir, "key"))
	r.check(err)
	book, err := circle.Open(filepath.Join(dir, "circle.json"))
	r.check(err)
	pub, key, err := ed25519.GenerateKey(nil)
	r.check(err)
	kem, err := hpke.MLKEM768X25519().GenerateKey()
	r.check(err)
	s, err := rpc.New(rpc.Config{
		Identity: id, Book: book, Name: func() string { return "filler" }, Version: "filler", Listen: []string{"127.0.0.1:0"},
		Keys: rpc.Keys{Sign: pub, KEM: kem.PublicKey().Bytes()},
	})
	r.check(err)
	r.check(s.Listen(r.ctx))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	r.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			r.Error(err)
		}
	})
	var inv node.Invite
	r.check(k.Must(r.ctx, &inv, "invite"))
	code, err := circle.ParseInvite(inv.Code)
	r.check(err)
	p, err := s.Join(r.ctx, code)
	r.check(err)
	f := &filler{rig: r, s: s, key: key, self: id.Device(), to: p.Device}
	for range caretask.MaxSegments {
		f.raw = append(f.raw, f.segment())
	}
	return f
}

// segment is one as long as there may be.
func (f *filler) segment() []byte {
	f.Helper()
	seg := caretask.Segment{K: 1, Size: peers.MaxShard}
	for range caretask.MaxPieces {
		p := caretask.Piece{Keeper: caretask.Nowhere}
		for i := range p.ID {
			p.ID[i], p.Root[i] = byte(f.rng.Uint32()), byte(f.rng.Uint32())
		}
		seg.Pieces = append(seg.Pieces, p)
	}
	raw, err := seg.Encode()
	f.check(err)
	return raw
}

// fill gives a task of so many parts and sends them until one is refused; it
// gives how many bytes were taken, and why no more.
func (f *filler) fill(parts int) (taken int64, err error) {
	f.Helper()
	c, err := f.s.Peer(f.to)
	f.check(err)
	list := make([]caretask.Part, parts)
	now := time.Now()
	f.last = max(f.last+1, uint64(now.UnixNano()))
	t := caretask.Task{
		Owner: f.self, Caretaker: f.to, Number: f.last, At: now.Unix(), Until: now.Add(24 * time.Hour).Unix(), Keepers: []caretask.Keeper{},
	}
	for i := range list {
		list[i] = append(caretask.Part{f.segment()}, f.raw[1:]...)
		t.Parts = append(t.Parts, list[i].Hash())
		t.Segments += uint64(len(list[i]))
	}
	signed, err := custody.Sign(f.key, t)
	f.check(err)
	ctx, cancel := context.WithTimeout(f.ctx, 5*time.Minute)
	defer cancel()
	_, err = c.Care(ctx, caretaker.VerbTask, signed.Raw)
	f.check(err)
	for i := range list {
		raw, err := caretaker.EncodePart(t.Number, uint16(i), list[i])
		f.check(err)
		if _, err := c.Care(ctx, caretaker.VerbPart, raw); err != nil {
			return taken, err
		}
		taken += int64(len(raw))
	}
	return taken, nil
}

// onDisk is how much of the disk a home takes.
func (r *rig) onDisk(dir string) (n int64) {
	r.Helper()
	r.check(filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		i, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a file of a moment
		}
		if err == nil {
			n += i.Size()
		}
		return err
	}))
	return n
}

// What a member gives a machine to look after counts against what that machine
// offers: it cannot fill the disk with lists, nor with one after the other.
func TestListsDoNotFillTheDisk(t *testing.T) {
	const offer = 20_000_000
	r := newRig(t, 1, "20MB", nil)
	testLists(r, offer, offer)
}

// The same where nothing is offered. It sends a quarter of a gigabyte.
func TestListsWhereNothingIsOffered(t *testing.T) {
	if long() == 1 {
		t.Skip("takes a while: PREEZM_CHAOS=2 runs it")
	}
	testLists(newRig(t, 1, "0", nil), depot.BesideNoOffer, 0)
}

func testLists(r *rig, most, offer int64) {
	r.Helper()
	k := r.Keepers[0]
	before := r.onDisk(k.Dir)
	f := r.newFiller(k)
	const part = 610_000
	parts := int(most/part) + 10
	for range 3 {
		taken, err := f.fill(parts)
		if !errors.Is(err, peers.ErrQuota) {
			r.Fatalf("after %d bytes: %v, want ErrQuota", taken, err)
		}
		if taken > most || taken < most*9/10 {
			r.Errorf("%d bytes of lists were taken, of %d", taken, most)
		}
		// Beside the lists there are the log of the database and its pages.
		if n := r.onDisk(k.Dir) - before; n > most+most/10+8_000_000 {
			r.Errorf("%d bytes more are on the disk, with room for %d", n, most)
		}
	}
	var v node.LimitsView
	r.check(k.Must(r.ctx, &v, "limits"))
	if v.Offer != offer || v.Lists > most || v.Lists < most*9/10 || (v.ListsMost != 0) != (offer == 0) {
		r.Errorf("%+v", v)
	}
	// What is offered is offered once.
	c, err := f.s.Peer(f.to)
	r.check(err)
	b := make([]byte, 4_000_000)
	if err := c.PutShard(r.ctx, peers.ShardID{1}, erasure.ShardRoot(b), b); !errors.Is(err, peers.ErrQuota) {
		r.Errorf("a piece beside the lists: %v, want ErrQuota", err)
	}
	// Neither a restart nor a power cut forgets what there is.
	r.check(k.Kill())
	r.check(k.Start(r.ctx))
	var again node.LimitsView
	r.check(k.Must(r.ctx, &again, "limits"))
	if again.Lists != v.Lists {
		r.Errorf("%d bytes after a restart, %d before", again.Lists, v.Lists)
	}
	// Its user can have it all back.
	r.check(k.Must(r.ctx, nil, "care", "refuse", "filler"))
	r.check(k.Must(r.ctx, &again, "limits"))
	if n := r.onDisk(k.Dir) - before; again.Lists != 0 || n > 4_000_000 {
		r.Errorf("%d bytes are left of what was refused, %d on the disk", again.Lists, n)
	}
	if offer > 0 {
		r.check(c.PutShard(r.ctx, peers.ShardID{1}, erasure.ShardRoot(b), b))
	}
}
