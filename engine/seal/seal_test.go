// SPDX-License-Identifier: MPL-2.0

package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// pseudo makes n bytes that are the same in every run.
func pseudo(seed uint64, n int) []byte {
	var s [32]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	b := make([]byte, n)
	rand.NewChaCha8(s).Read(b)
	return b
}

var lengths = []int{
	0, 1, 15, 16, 17, 1000, FrameSize - 1, FrameSize, FrameSize + 1, 2*FrameSize - 1, 2 * FrameSize,
	2*FrameSize + 1, 5*FrameSize + 777,
}

func TestRoundTrip(t *testing.T) {
	for _, n := range lengths {
		key, ad, plain := NewKey(), pseudo(1, n%50), pseudo(2, n)
		prefix := []byte("prefix")
		sealed := Seal(slices.Clone(prefix), key, ad, plain)
		if !bytes.HasPrefix(sealed, prefix) {
			t.Fatalf("%d bytes: Seal lost the prefix", n)
		}
		sealed = sealed[len(prefix):]
		if len(sealed) != SealedLen(n) {
			t.Errorf("%d bytes: sealed %d, SealedLen says %d", n, len(sealed), SealedLen(n))
		}
		if got, err := PlainLen(len(sealed)); err != nil || got != n {
			t.Errorf("%d bytes: PlainLen gives %d, %v", n, got, err)
		}
		got, err := Open(slices.Clone(prefix), key, ad, sealed)
		if err != nil || !bytes.Equal(got, append(prefix, plain...)) {
			t.Errorf("%d bytes: came back wrong (%v)", n, err)
		}
	}
}

func TestLengths(t *testing.T) {
	if n := SealedLen(0); n != Tag {
		t.Errorf("SealedLen(0) = %d", n)
	}
	// Every sealed length either has no plain length or exactly one.
	for sealed := -1; sealed < 3*sealedFrame+40; sealed++ {
		plain, err := PlainLen(sealed)
		if err != nil {
			if !errors.Is(err, ErrLength) {
				t.Fatalf("PlainLen(%d): %v", sealed, err)
			}
			continue
		}
		if SealedLen(plain) != sealed {
			t.Fatalf("PlainLen(%d) = %d, which seals to %d", sealed, plain, SealedLen(plain))
		}
	}
	for plain := range 2*FrameSize + 40 {
		if got, err := PlainLen(SealedLen(plain)); err != nil || got != plain {
			t.Fatalf("%d: back as %d, %v", plain, got, err)
		}
	}
	if _, err := PlainLen(sealedFrame + Tag); !errors.Is(err, ErrLength) {
		t.Errorf("an empty last frame after a full one: %v", err)
	}
	if _, err := PlainLen(math.MaxInt); err != nil && !errors.Is(err, ErrLength) {
		t.Errorf("the longest: %v", err)
	}
}

func TestOpenRange(t *testing.T) {
	for _, n := range lengths {
		key, ad, plain := NewKey(), []byte("ad"), pseudo(3, n)
		sealed := Seal(nil, key, ad, plain)
		frames := Frames(n)
		for first := range frames {
			for last := first; last < frames; last++ {
				run := sealed[first*sealedFrame : min((last+1)*sealedFrame, len(sealed))]
				got, err := OpenRange([]byte("x"), key, ad, n, first, run)
				want := plain[first*FrameSize : min((last+1)*FrameSize, n)]
				if err != nil || !bytes.Equal(got[1:], want) {
					t.Errorf("%d bytes, frames %d to %d: %v", n, first, last, err)
				}
				bad := []struct {
					name         string
					plain, first int
					run          []byte
				}{
					{"the frame before", n, first - 1, run},
					{"the frame after", n, first + 1, run},
					{"a byte less", n, first, run[:len(run)-1]},
					{"nothing", n, first, nil},
					{"a negative length", -1, first, run},
					{"a length that overflows", math.MaxInt, first, run[:len(run)-1]},
					{"a frame that overflows", n, math.MaxInt, run},
				}
				if last == frames-1 {
					bad = append(bad, struct {
						name         string
						plain, first int
						run          []byte
					}{"a longer message", n + FrameSize, first, run})
				}
				for _, b := range bad {
					if got, err := OpenRange([]byte("x"), key, ad, b.plain, b.first, b.run); !errors.Is(err, ErrAuthentic) || string(got) != "x" {
						t.Errorf("%d bytes, frames %d to %d, %s: %d bytes, %v", n, first, last, b.name, len(got), err)
					}
				}
			}
		}
	}
}

// Every bit counts: of the message, the key and the associated data.
func TestOpenRefusesEveryFlippedBit(t *testing.T) {
	key, ad, plain := NewKey(), []byte("chunk"), pseudo(5, 40)
	sealed := Seal(nil, key, ad, plain)
	try := func(what string, i int, key Key, ad, sealed []byte) {
		t.Helper()
		if got, err := Open([]byte("x"), key, ad, sealed); !errors.Is(err, ErrAuthentic) || string(got) != "x" {
			t.Errorf("%s, bit %d: %d bytes, %v", what, i, len(got), err)
		}
	}
	for i := range len(sealed) * 8 {
		bad := bytes.Clone(sealed)
		bad[i/8] ^= 1 << (i % 8)
		try("message", i, key, ad, bad)
	}
	for i := range KeySize * 8 {
		bad := key
		bad[i/8] ^= 1 << (i % 8)
		try("key", i, bad, ad, sealed)
		if Commit(key) == Commit(bad) {
			t.Errorf("the commitment matches with key bit %d flipped", i)
		}
	}
	for i := range len(ad) * 8 {
		bad := bytes.Clone(ad)
		bad[i/8] ^= 1 << (i % 8)
		try("associated data", i, key, bad, sealed)
	}
	try("no associated data", 0, key, nil, sealed)
	for i := range sealed {
		try("truncated", i, key, ad, sealed[:i])
	}
	try("extended", 0, key, ad, append(bytes.Clone(sealed), 0))
}

// Nothing of a message that fails at its end is left where a careless caller
// could find it, and nothing beside it is touched.
func TestOpenWipesOnFailure(t *testing.T) {
	key, plain := NewKey(), bytes.Repeat([]byte{0xaa}, 3*FrameSize)
	sealed := Seal(nil, key, nil, plain)
	sealed[len(sealed)-1] ^= 1
	buf := bytes.Repeat([]byte{0x55}, len(plain)+200)
	dst := buf[:100]
	out, err := Open(dst, key, nil, sealed)
	if !errors.Is(err, ErrAuthentic) || len(out) != len(dst) || &out[0] != &dst[0] {
		t.Fatalf("%d bytes, %v", len(out), err)
	}
	if bytes.IndexByte(buf, 0xaa) >= 0 {
		t.Error("plaintext is left behind")
	}
	for _, edge := range [][]byte{buf[:100], buf[100+len(plain):]} {
		if !bytes.Equal(edge, bytes.Repeat([]byte{0x55}, 100)) {
			t.Error("bytes beside the message changed")
		}
	}
}

func TestAppendsInPlace(t *testing.T) {
	key, plain := NewKey(), pseudo(6, 2*FrameSize)
	dst := make([]byte, 0, SealedLen(len(plain)))
	sealed := Seal(dst, key, nil, plain)
	if &sealed[0] != &dst[:1][0] {
		t.Error("Seal left the buffer it was given")
	}
	dst = make([]byte, 0, len(plain))
	opened, err := Open(dst, key, nil, sealed)
	if err != nil || &opened[0] != &dst[:1][0] {
		t.Errorf("Open left the buffer it was given (%v)", err)
	}
}

func TestDerivationIsHKDF(t *testing.T) {
	key := NewKey()
	for label, got := range map[string][32]byte{
		labelKey:    expand(&key, labelKey),
		labelCommit: Commit(key),
	} {
		want, err := hkdf.Expand(sha256.New, key[:], label, 32)
		if err != nil || !bytes.Equal(got[:], want) {
			t.Errorf("%s: %x, want %x (%v)", label, got, want, err)
		}
	}
}

func TestKeysDiffer(t *testing.T) {
	a, b := NewKey(), NewKey()
	if a == b || a == (Key{}) {
		t.Error("keys are not random")
	}
	if Commit(a) == Commit(b) || Commit(a) == (Commitment{}) {
		t.Error("commitments do not tell keys apart")
	}
}

func TestKeyDoesNotPrint(t *testing.T) {
	key := Key(bytes.Repeat([]byte{0xab}, KeySize))
	holder := struct {
		K  Key
		Ks []Key
		P  *Key
	}{key, []Key{key}, &key}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b"} {
		fmt.Fprintf(&out, verb+verb+verb, key, &key, holder)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("log", "key", key)
	slog.New(slog.NewTextHandler(&out, nil)).Info("log", "key", key, "holder", holder)
	for _, secret := range []string{"abab", "ABAB", "171", "0xab", "10101011", "q6ur"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q is in the output:\n%s", secret, out.String())
		}
	}
	if _, err := json.Marshal(key); err == nil {
		t.Error("a key became JSON")
	}
}

func TestConcurrently(t *testing.T) {
	var wg sync.WaitGroup
	key, plain := NewKey(), pseudo(7, 3*FrameSize+1)
	want := Seal(nil, key, nil, plain)
	for range 6 {
		wg.Go(func() {
			for range 10 {
				if !bytes.Equal(Seal(nil, key, nil, plain), want) {
					t.Error("sealed differently")
				}
				if got, err := Open(nil, key, nil, want); err != nil || !bytes.Equal(got, plain) {
					t.Errorf("opened wrong: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzOpen(f *testing.F) {
	key := Key{1}
	f.Add([]byte("ad"), Seal(nil, key, []byte("ad"), []byte("plain")))
	f.Add([]byte{}, Seal(nil, key, nil, nil))
	f.Fuzz(func(t *testing.T, ad, sealed []byte) {
		out, err := Open([]byte("x"), key, ad, sealed)
		if err != nil {
			if !errors.Is(err, ErrAuthentic) || string(out) != "x" {
				t.Fatalf("%d bytes, %v", len(out), err)
			}
			return
		}
		// Who does not know the key can only give back what was sealed.
		if again := Seal(nil, key, ad, out[1:]); !bytes.Equal(again, sealed) {
			t.Fatal("two sealed forms of one message")
		}
	})
}

// Of a true message some bytes are taken, one of them perhaps changed: just
// whole frames, unchanged and in their place, may open.
func FuzzOpenRange(f *testing.F) {
	key := Key{1}
	plain := pseudo(1, 3*FrameSize+9)
	sealed := Seal(nil, key, nil, plain)
	const sf = sealedFrame
	f.Add(len(plain), 0, 0, len(sealed), -1)
	f.Add(len(plain), 1, sf, 3*sf, -1)
	f.Add(len(plain), 3, 3*sf, len(sealed), -1)
	f.Add(len(plain), 2, 2*sf, 3*sf, 2*sf+5)
	f.Add(2*FrameSize, 1, sf, 2*sf, -1)
	f.Add(math.MaxInt, math.MaxInt, 0, 1, -1)
	f.Fuzz(func(t *testing.T, plainLen, first, from, to, flip int) {
		if from < 0 || to < from || to > len(sealed) {
			return
		}
		run := bytes.Clone(sealed[from:to])
		changed := flip >= from && flip < to
		if changed {
			run[flip-from] ^= 1
		}
		out, err := OpenRange([]byte("x"), key, nil, plainLen, first, run)
		if err != nil {
			if !errors.Is(err, ErrAuthentic) || string(out) != "x" {
				t.Fatalf("%d bytes, %v", len(out), err)
			}
			whole := first >= 0 && from == first*sf && to > from && (to%sf == 0 || to == len(sealed))
			if whole && !changed && plainLen == len(plain) {
				t.Fatal("a true run does not open")
			}
			return
		}
		// The length of the whole is only proven by the last frame.
		if changed || from != first*sf || to == len(sealed) && plainLen != len(plain) {
			t.Fatalf("opened [%d, %d) as frames %d on of %d bytes", from, to, first, plainLen)
		}
		if want := plain[first*FrameSize:][:len(out)-1]; !bytes.Equal(out[1:], want) {
			t.Fatal("wrong bytes")
		}
	})
}
