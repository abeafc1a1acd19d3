// SPDX-License-Identifier: MPL-2.0

package depot_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/zeebo/blake3"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/depot"
	"github.com/preezm/preezm/peers/depot/storagetest"
)

func block(t testing.TB, size int) *[depot.HeaderSize]byte {
	t.Helper()
	var b [depot.HeaderSize]byte
	if err := storagetest.Header(id(1), laptop, body(1, size)).Encode(&b); err != nil {
		t.Fatal(err)
	}
	return &b
}

// resum writes the right checksum under a changed block.
func resum(b *[depot.HeaderSize]byte) {
	blake3.DeriveKey("preezm/v1/shard-header", b[:4064], b[4064:])
}

func TestHeaderFindsEveryFlippedBit(t *testing.T) {
	b := block(t, 200_000)
	for i := range b {
		b[i] ^= 1 << (i % 8)
		if h, err := depot.DecodeHeader(b); !errors.Is(err, peers.ErrDamaged) {
			t.Fatalf("byte %d flipped: %v, %v", i, h, err)
		}
		b[i] ^= 1 << (i % 8)
	}
}

func TestHeaderContradictions(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*[depot.HeaderSize]byte)
		want  error
	}{
		"newer version":   {func(b *[depot.HeaderSize]byte) { b[8] = 2 }, depot.ErrNewer},
		"version 0":       {func(b *[depot.HeaderSize]byte) { b[8] = 0 }, peers.ErrDamaged},
		"too many leaves": {func(b *[depot.HeaderSize]byte) { binary.LittleEndian.PutUint32(b[12:], 1<<31) }, peers.ErrDamaged},
		"a leaf less":     {func(b *[depot.HeaderSize]byte) { b[12]-- }, peers.ErrDamaged},
		"a leaf more":     {func(b *[depot.HeaderSize]byte) { b[12]++ }, peers.ErrDamaged},
		"other leaf":      {func(b *[depot.HeaderSize]byte) { b[128] ^= 1 }, peers.ErrDamaged},
		"other root":      {func(b *[depot.HeaderSize]byte) { b[80] ^= 1 }, peers.ErrDamaged},
		"other size":      {func(b *[depot.HeaderSize]byte) { b[112] ^= 1 }, peers.ErrDamaged},
		"size 0":          {func(b *[depot.HeaderSize]byte) { binary.LittleEndian.PutUint64(b[112:], 0) }, peers.ErrDamaged},
		"negative size":   {func(b *[depot.HeaderSize]byte) { b[119] = 0x80 }, peers.ErrDamaged},
		"negative time":   {func(b *[depot.HeaderSize]byte) { b[127] = 0x80 }, peers.ErrDamaged},
		"padding":         {func(b *[depot.HeaderSize]byte) { b[4063] = 1 }, peers.ErrDamaged},
	} {
		b := block(t, 200_000)
		c.spoil(b)
		resum(b)
		if h, err := depot.DecodeHeader(b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, h, err, c.want)
		}
	}
}

func FuzzDecodeHeader(f *testing.F) {
	for _, size := range []int{1, 64 << 10, 200_000, peers.MaxShard} {
		f.Add(block(f, size)[:4064])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var b [depot.HeaderSize]byte
		copy(b[:], data)
		if len(data) < len(b) {
			resum(&b) // or the checksum would stop nearly everything
		}
		h, err := depot.DecodeHeader(&b)
		if err != nil {
			if !errors.Is(err, peers.ErrDamaged) && !errors.Is(err, depot.ErrNewer) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		var again [depot.HeaderSize]byte
		if err := h.Encode(&again); err != nil || again != b {
			t.Fatalf("a header with two forms (%v)", err)
		}
	})
}
