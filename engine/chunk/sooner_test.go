// SPDX-License-Identifier: MPL-2.0

package chunk

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

// pieces cuts data, meeting chunks that are there, and checks that they are
// data together.
func pieces(t testing.TB, s *Splitter, data []byte, there func([]byte) bool) [][]byte {
	t.Helper()
	s.Reset(iotest.HalfReader(bytes.NewReader(data)))
	var out [][]byte
	for {
		b, err := s.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if there != nil && !there(b) {
			if short := s.Sooner(there); short != nil {
				if len(short) == 0 || len(short) >= len(b) || cap(short) != len(short) {
					t.Fatalf("%d bytes (capacity %d) instead of %d", len(short), cap(short), len(b))
				}
				b = short
			}
		}
		out = append(out, bytes.Clone(b))
	}
	if !bytes.Equal(bytes.Join(out, nil), data) {
		t.Fatal("the pieces are not the data")
	}
	return out
}

// What is new after a change is what was changed, and the chunks in which it
// begins and ends.
func TestSoonerMeetsTheCutsBefore(t *testing.T) {
	data := pseudo(13, 24<<20)
	s := splitter(t, testKey)
	name := NewNamer(testKey)
	before, ends := map[ID]bool{}, []int{0}
	for _, b := range pieces(t, s, data, nil) {
		before[name.Name(b)] = true
		ends = append(ends, ends[len(ends)-1]+len(b))
	}
	there := func(b []byte) bool { return before[name.Name(b)] }
	// around is the length of the chunks that the bytes from one place to
	// another touch.
	around := func(from, to int) int {
		lo, hi := 0, len(data)
		for _, e := range ends {
			if e <= from {
				lo = e
			}
			if e >= to {
				hi = min(hi, e)
			}
		}
		return hi - lo
	}
	for i, tc := range []struct{ at, remove, insert int }{
		{10<<20 + 3, 0, 300_000}, {7<<20 + 99, 0, 1}, {12<<20 + 5, 0, 6 << 20}, {3 << 20, 100_000, 0},
		{5<<20 + 7, 5 << 20, 3}, {9 << 20, 4096, 4096}, {100, 0, 1000}, {len(data) - 900_000, 0, 2 << 20},
	} {
		now := slices.Concat(data[:tc.at], pseudo(uint64(20+i), tc.insert), data[tc.at+tc.remove:])
		fresh := 0
		for _, b := range pieces(t, s, now, there) {
			if !there(b) {
				fresh += len(b)
			}
		}
		if limit := tc.insert - tc.remove + around(tc.at, tc.at+max(tc.remove, 1)); fresh > limit {
			t.Errorf("%+v: %d bytes are new, not %d at most", tc, fresh, limit)
		}
	}
}

// Where nothing is met, the cuts are those that Next makes alone.
func TestSoonerWithoutOthers(t *testing.T) {
	data := pseudo(1, 9<<20)
	s := splitter(t, testKey)
	asked := 0
	got := pieces(t, s, data, func(b []byte) bool { asked++; return false })
	want := pieces(t, s, data, nil)
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%d pieces instead of %d", len(got), len(want))
	}
	if asked > 20*len(want) {
		t.Errorf("asked %d times for %d chunks", asked, len(want))
	}
	if b := splitter(t, testKey).Sooner(func([]byte) bool { return true }); b != nil {
		t.Errorf("%d bytes before Next", len(b))
	}
}

// What the reader had to say is said after Sooner has read ahead.
func TestSoonerKeepsTheError(t *testing.T) {
	data := pseudo(1, 3<<20)
	s := splitter(t, testKey)
	s.Reset(io.MultiReader(bytes.NewReader(data), iotest.ErrReader(io.ErrClosedPipe)))
	for n := 0; ; n++ {
		_, err := s.Next()
		if err == io.ErrClosedPipe {
			return
		}
		if err != nil || n > 10 {
			t.Fatalf("chunk %d: %v", n, err)
		}
		s.Sooner(func([]byte) bool { return false })
	}
}
