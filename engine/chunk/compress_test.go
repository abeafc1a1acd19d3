// SPDX-License-Identifier: MPL-2.0

package chunk

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestCompressRoundTrip(t *testing.T) {
	for _, n := range []int{compressMin, 600, 10 << 10, probeSize, probeSize + 1, 200_000, 1 << 20, Max} {
		plain := prose(uint64(n), n)
		prefix := []byte("prefix")
		packed, ok := compress(slices.Clone(prefix), plain)
		if !ok {
			t.Errorf("%d bytes of prose: not compressed", n)
			continue
		}
		if !bytes.HasPrefix(packed, prefix) {
			t.Errorf("%d bytes: the prefix is gone", n)
		}
		packed = packed[len(prefix):]
		if len(packed) >= n {
			t.Errorf("%d bytes became %d", n, len(packed))
		}
		got, err := Decompress(slices.Clone(prefix), packed, n)
		if err != nil || !bytes.Equal(got, append(prefix, plain...)) {
			t.Errorf("%d bytes: came back wrong (%d bytes, %v)", n, len(got), err)
		}
		for _, wrong := range []int{-1, 0, 1, n - 1, n + 1, 2 * n, Max + 1} {
			got, err := Decompress(prefix, packed, wrong)
			if !errors.Is(err, ErrCorrupt) || !bytes.Equal(got, prefix) {
				t.Errorf("%d bytes taken for %d: %d bytes, %v", n, wrong, len(got), err)
			}
		}
	}
}

func TestCompressDeclines(t *testing.T) {
	half := append(prose(1, 32<<10), pseudo(1, 1<<20)...) // compressible only at first
	mostly := append(pseudo(1, 90<<10), prose(1, 1<<20)...)
	slight := pseudo(1, 32<<10) // 5 % of zeros
	clear(slight[:len(slight)/20])
	for name, src := range map[string][]byte{
		"nothing":         nil,
		"too short":       make([]byte, compressMin-1),
		"too long":        make([]byte, Max+1),
		"random":          pseudo(1, 1<<20),
		"random, short":   pseudo(1, 5000),
		"head only":       half,
		"not the head":    mostly,
		"less than 10 %":  slight,
		"random, a probe": pseudo(1, probeSize),
	} {
		dst := []byte("as it came")
		out, ok := compress(dst, src)
		if ok || string(out) != "as it came" {
			t.Errorf("%s: %v, %d bytes", name, ok, len(out))
		}
	}
}

func TestCompressProbeDoesNotGrowDst(t *testing.T) {
	src := pseudo(1, 1<<20)
	if out, _ := compress(nil, src); cap(out) != 0 {
		t.Errorf("%d bytes for nothing", cap(out))
	}
}

func TestShrunk(t *testing.T) {
	for _, tc := range []struct {
		from, to, percent int
		want              bool
	}{
		{1000, 900, 10, false}, {1000, 899, 10, true}, {1000, 970, 3, false}, {1000, 969, 3, true},
		{Max, Max, 3, false}, {Max, 0, 10, true},
	} {
		if got := shrunk(tc.from, tc.to, tc.percent); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

func TestDecompressHostile(t *testing.T) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	plain := prose(1, 4096)
	good := enc.EncodeAll(plain, nil)
	bomb := enc.EncodeAll(make([]byte, 64<<20), nil)
	var stream bytes.Buffer // without the content size
	w, err := zstd.NewWriter(&stream, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(plain)
	w.Flush()
	w.Close()
	wide := bytes.Clone(bomb)
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 0}

	for name, src := range map[string][]byte{
		"nothing":      nil,
		"garbage":      pseudo(1, 500),
		"truncated":    good[:len(good)-1],
		"header only":  good[:8],
		"trailing":     append(bytes.Clone(good), 0),
		"two frames":   append(bytes.Clone(good), good...),
		"skippable":    skippable,
		"skip, frame":  append(bytes.Clone(skippable), good...),
		"unknown size": stream.Bytes(),
		"bomb":         bomb,
		"bomb behind":  append(bytes.Clone(good), wide...),
	} {
		got, err := Decompress([]byte("x"), src, len(plain))
		if !errors.Is(err, ErrCorrupt) || string(got) != "x" {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	// A frame that says it is short and is not: the content size, two bytes
	// from 256 to 65791, is at offset 5 of a single segment.
	lying := enc.EncodeAll(make([]byte, 60_000), nil)
	h := zstd.Header{}
	if err := h.Decode(lying); err != nil || !h.SingleSegment || h.FrameContentSize != 60_000 {
		t.Fatalf("header %+v, %v", h, err)
	}
	lying[5], lying[6] = 0, 0 // 256
	if got, err := Decompress(nil, lying, 256); !errors.Is(err, ErrCorrupt) {
		t.Errorf("lying frame: %d bytes, %v", len(got), err)
	}
}

func TestCompressConcurrently(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			plain := prose(uint64(i), 150_000+i)
			for range 5 {
				packed, ok := compress(nil, plain)
				if !ok {
					t.Error("not compressed")
					return
				}
				got, err := Decompress(nil, packed, len(plain))
				if err != nil || !bytes.Equal(got, plain) {
					t.Errorf("came back wrong: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func FuzzDecompress(f *testing.F) {
	for i, n := range []int{600, 5000, 140_000} {
		packed, ok := compress(nil, prose(uint64(i), n))
		if !ok {
			f.Fatal("not compressed")
		}
		f.Add(packed, n)
	}
	f.Add([]byte(nil), 0)
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0}, 0)
	f.Fuzz(func(t *testing.T, src []byte, plainLen int) {
		prefix := []byte("prefix")
		out, err := Decompress(slices.Clone(prefix), src, plainLen)
		if !bytes.HasPrefix(out, prefix) {
			t.Fatalf("the prefix became %q", fmt.Sprintf("%.20q", out))
		}
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || len(out) != len(prefix) {
				t.Fatalf("%d bytes, %v", len(out), err)
			}
			return
		}
		if len(out) != len(prefix)+plainLen {
			t.Fatalf("%d bytes, not %d", len(out)-len(prefix), plainLen)
		}
	})
}

func FuzzCompress(f *testing.F) {
	f.Add(prose(1, 5000))
	f.Add(make([]byte, 100_000))
	f.Fuzz(func(t *testing.T, plain []byte) {
		packed, ok := compress(nil, plain)
		if !ok {
			return
		}
		got, err := Decompress(nil, packed, len(plain))
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes came back wrong: %v", len(plain), err)
		}
	})
}
