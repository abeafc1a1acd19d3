// SPDX-License-Identifier: MPL-2.0

package chunk

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	chunkers "github.com/PlakarKorp/go-cdc-chunkers"
)

var testKey = [32]byte{0: 0x70, 31: 0x7a}

func splitter(t testing.TB, key [32]byte) *Splitter {
	t.Helper()
	s, err := NewSplitter(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// cuts returns the lengths of the chunks of r, having checked that together
// they are want and that the limits hold.
func cuts(t testing.TB, s *Splitter, r io.Reader, want []byte) []int {
	t.Helper()
	s.Reset(r)
	var lens []int
	for {
		b, err := s.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(b) == 0 || len(b) > Max || len(b) < Min && len(b) != len(want) {
			t.Fatalf("chunk %d has %d bytes, %d to come", len(lens), len(b), len(want))
		}
		if !bytes.Equal(b, want[:len(b)]) {
			t.Fatalf("chunk %d differs from the input", len(lens))
		}
		want = want[len(b):]
		lens = append(lens, len(b))
	}
	if len(want) != 0 {
		t.Fatalf("the last %d bytes are missing", len(want))
	}
	return lens
}

// reference is what the library makes of data.
func reference(t testing.TB, key [32]byte, data []byte) []int {
	t.Helper()
	c, err := chunkers.NewChunker("fastcdc-v1.0.0", bytes.NewReader(data), &chunkers.ChunkerOpts{
		MinSize: Min, NormalSize: Avg, MaxSize: Max, Key: key[:],
	})
	if err != nil {
		t.Fatal(err)
	}
	var lens []int
	for {
		b, err := c.Next()
		if len(b) > 0 {
			lens = append(lens, len(b))
		}
		if err == io.EOF {
			return lens
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestSplitMatchesLibrary(t *testing.T) {
	s := splitter(t, testKey)
	inputs := map[string][]byte{
		"nothing": nil,
		"random":  pseudo(7, 32<<20),
		"prose":   prose(7, 16<<20),
		"zeros":   make([]byte, 9<<20+5),
	}
	for _, n := range []int{
		1, Min - 1, Min, Min + 1, Min + 63, Avg - 1, Avg, Avg + 1, Max - 1, Max, Max + 1,
		Max + readSize, 2*Max + 1,
	} {
		inputs["random"+string(rune('A'+len(inputs)))] = pseudo(uint64(n), n)
	}
	for name, data := range inputs {
		got := cuts(t, s, bytes.NewReader(data), data)
		if want := reference(t, testKey, data); !slices.Equal(got, want) {
			t.Errorf("%s (%d bytes): cuts %v, the library's %v", name, len(data), got, want)
		}
	}
}

func TestSplitSameCutsHoweverRead(t *testing.T) {
	data := pseudo(3, 12<<20+17)
	s := splitter(t, testKey)
	want := cuts(t, s, bytes.NewReader(data), data)
	rnd := rand.New(rand.NewPCG(1, 2))
	for name, r := range map[string]io.Reader{
		"halves":       iotest.HalfReader(bytes.NewReader(data)),
		"data and EOF": iotest.DataErrReader(bytes.NewReader(data)),
		"random": readerFunc(func() func([]byte) (int, error) {
			left := data
			return func(p []byte) (int, error) {
				if len(left) == 0 {
					return 0, io.EOF
				}
				n := copy(p, left[:min(len(left), rnd.IntN(9000))]) // 0 at times
				left = left[n:]
				return n, nil
			}
		}()),
	} {
		if got := cuts(t, s, r, data); !slices.Equal(got, want) {
			t.Errorf("%s: cuts %v, want %v", name, got, want)
		}
	}
	small := data[:Min+9]
	if got := cuts(t, s, iotest.OneByteReader(bytes.NewReader(small)), small); len(got) != 1 {
		t.Errorf("byte by byte: %v", got)
	}
}

func TestSplitAverage(t *testing.T) {
	data := pseudo(11, 48<<20)
	n := len(cuts(t, splitter(t, testKey), bytes.NewReader(data), data))
	if avg := len(data) / n; avg < Avg*3/4 || avg > Avg*3/2 {
		t.Errorf("the average is %d KiB", avg>>10)
	}
}

func TestSplitDependsOnKey(t *testing.T) {
	data := pseudo(5, 24<<20)
	other := testKey
	other[0] ^= 1
	a := cuts(t, splitter(t, testKey), bytes.NewReader(data), data)
	b := cuts(t, splitter(t, other), bytes.NewReader(data), data)
	if slices.Equal(a, b) {
		t.Error("two keys, the same cuts")
	}
}

// The reason for cutting by content: an insertion changes the chunk it falls
// in, and hardly more.
func TestSplitInsertionKeepsNames(t *testing.T) {
	data := pseudo(13, 32<<20)
	name := NewNamer(testKey)
	s := splitter(t, testKey)
	names := func(data []byte) map[ID]int {
		out := make(map[ID]int)
		s.Reset(bytes.NewReader(data))
		for {
			b, err := s.Next()
			if err == io.EOF {
				return out
			}
			if err != nil {
				t.Fatal(err)
			}
			out[name.Name(b)] = len(b)
		}
	}
	before := names(data)
	insert := pseudo(14, len(data)/100)
	after := names(slices.Insert(slices.Clone(data), 10<<20+3, insert...))
	fresh := 0
	for id, n := range after {
		if _, known := before[id]; !known {
			fresh += n
		}
	}
	if limit := len(insert) + 2*Max; fresh > limit {
		t.Errorf("%d of %d bytes are new after an insertion of %d", fresh, len(data), len(insert))
	}
}

func TestSplitErrors(t *testing.T) {
	s := splitter(t, testKey)
	if b, err := s.Next(); err != io.EOF || b != nil {
		t.Errorf("before Reset: %d bytes, %v", len(b), err)
	}
	broken := errors.New("broken disk")
	data := pseudo(1, 5<<20)
	first := reference(t, testKey, data)[0]
	for _, tc := range []struct {
		name string
		r    io.Reader
		want error
	}{
		{"at the end", io.MultiReader(bytes.NewReader(data[:first]), iotest.ErrReader(broken)), broken},
		{"negative count", readerFunc(func([]byte) (int, error) { return -1, nil }), errReadCount},
		{"count too big", readerFunc(func(p []byte) (int, error) { return len(p) + 1, nil }), errReadCount},
		{"never anything", readerFunc(func([]byte) (int, error) { return 0, nil }), io.ErrNoProgress},
	} {
		s.Reset(tc.r)
		for range 2 { // it repeats
			if b, err := s.Next(); !errors.Is(err, tc.want) || b != nil {
				t.Errorf("%s: %d bytes, %v; want %v", tc.name, len(b), err, tc.want)
			}
		}
	}
	// Whole chunks before the error are handed out.
	s.Reset(io.MultiReader(bytes.NewReader(data[:first+100]), iotest.ErrReader(broken)))
	if b, err := s.Next(); err != nil || len(b) != first {
		t.Errorf("first chunk: %d bytes, %v; want %d", len(b), err, first)
	}
	if _, err := s.Next(); !errors.Is(err, broken) {
		t.Errorf("then: %v", err)
	}
	// And the splitter is as good as new.
	cuts(t, s, bytes.NewReader(data), data)
}

func TestSplitReusesItsBuffer(t *testing.T) {
	data := pseudo(1, 6<<20)
	s := splitter(t, testKey)
	r := bytes.NewReader(data)
	allocs := testing.AllocsPerRun(3, func() {
		r.Reset(data)
		s.Reset(r)
		for {
			if _, err := s.Next(); err != nil {
				return
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a file", allocs)
	}
}

// A chunk handed out must not let an append reach the bytes after it.
func TestSplitChunkIsCapped(t *testing.T) {
	data := pseudo(1, 6<<20)
	s := splitter(t, testKey)
	s.Reset(bytes.NewReader(data))
	b, err := s.Next()
	if err != nil || cap(b) != len(b) {
		t.Errorf("length %d, capacity %d, %v", len(b), cap(b), err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func FuzzSplit(f *testing.F) {
	f.Add(uint64(1), uint32(3<<20), uint16(1000), byte(3))
	f.Add(uint64(2), uint32(9<<20), uint16(65535), byte(0))
	f.Fuzz(func(t *testing.T, seed uint64, size uint32, step uint16, zeros byte) {
		data := pseudo(seed, int(size%(12<<20)))
		clear(data[:len(data)*int(zeros)/255]) // runs without a cut
		s := splitter(t, testKey)
		left := data
		r := readerFunc(func(p []byte) (int, error) {
			if len(left) == 0 {
				return 0, io.EOF
			}
			n := copy(p, left[:min(len(left), int(step)+1)])
			left = left[n:]
			return n, nil
		})
		if got, want := cuts(t, s, r, data), reference(t, testKey, data); !slices.Equal(got, want) {
			t.Errorf("cuts %v, the library's %v", got, want)
		}
		pieces(t, s, data, func(b []byte) bool { return len(b)%5 == int(seed%5) })
	})
}
