// SPDX-License-Identifier: MPL-2.0

package chunk

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/PlakarKorp/go-cdc-chunkers/chunkers/fastcdc"
	"github.com/zeebo/blake3"
)

// A cut is made where the rolling hash has zeros under a mask. Up to Avg the
// mask has 22 bits, a cut every 4 MiB; from there on 18 bits, one every
// 256 KiB. So lengths crowd around Avg ("normalized chunking", level 2). The
// bits are spread from the top of the word down because the top bits depend on
// the most bytes, 64 of them.
const (
	maskShort uint64 = 0xaaaa_aaaa_aaa0_0000 // bits 63, 61, ... 21
	maskLong  uint64 = 0x9249_2492_4924_9000 // bits 63, 60, ... 12

	maskShortFine uint64 = 0xaaaa_aaaa_a000_0000 // 18 bits: 63, 61, ... 29
	maskLongFine  uint64 = 0x9249_2492_4900_0000 // 14 bits: 63, 60, ... 24
)

// readSize is how much is read at a time: what was just read is still in the
// processor's cache when it is scanned.
const readSize = 256 << 10

var errReadCount = errors.New("chunk: the reader returned an impossible count")

// Splitter cuts streams into chunks with FastCDC (Xia et al., "FastCDC: a Fast
// and Efficient Content-Defined Chunking Approach for Data Deduplication",
// USENIX ATC 2016) whose Gear table is derived from a secret. The cuts are those
// of "fastcdc-v1.0.0" in github.com/PlakarKorp/go-cdc-chunkers under the same
// key. A Splitter owns a buffer of a little more than Max and is meant to be
// used for many files, by one goroutine.
type Splitter struct {
	gear  *[256]uint64
	size  sizes
	src   io.Reader
	buf   []byte
	end   int   // buf[:end] is read and not yet handed out, but for
	given int   // buf[:given], the chunk handed out last
	err   error // of src, sticky until Reset
}

// NewSplitter makes a Splitter for the owner's chunker key; Reset gives it
// something to read.
func NewSplitter(key [32]byte) (*Splitter, error) {
	return newSplitter(key, sizes{Min, Avg, Max, maskShort, maskLong})
}

// NewFineSplitter makes a Splitter whose chunks are a sixteenth in size: for
// data that changes in many small places.
func NewFineSplitter(key [32]byte) (*Splitter, error) {
	return newSplitter(key, sizes{Min / 16, Avg / 16, Avg / 4, maskShortFine, maskLongFine})
}

// sizes are the limits of chunks, and the masks that meet them.
type sizes struct {
	min, avg, max int
	short, long   uint64
}

func newSplitter(key [32]byte, size sizes) (*Splitter, error) {
	gear, err := gearTable(key)
	if err != nil {
		return nil, err
	}
	return &Splitter{gear: gear, size: size, buf: make([]byte, size.max+readSize), err: io.EOF}, nil
}

// gearTable derives the 256 words of the rolling hash: 2,048 bytes of keyed
// BLAKE3 over the library's public table, all little-endian.
func gearTable(key [32]byte) (*[256]uint64, error) {
	h, err := blake3.NewKeyed(key[:])
	if err != nil {
		return nil, err
	}
	var b [256 * 8]byte
	for i, word := range fastcdc.G {
		binary.LittleEndian.PutUint64(b[8*i:], word)
	}
	h.Write(b[:])
	if _, err := io.ReadFull(h.Digest(), b[:]); err != nil {
		return nil, err
	}
	gear := new([256]uint64)
	for i := range gear {
		gear[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return gear, nil
}

// Reset starts a new stream. What Next returned before is no longer valid.
func (s *Splitter) Reset(r io.Reader) {
	s.src, s.end, s.given, s.err = r, 0, 0, nil
}

// Next returns the next chunk, never an empty one. It is valid until the next
// call of Next or Reset. After the last chunk comes io.EOF. An error of the
// reader comes as it is, in place of the bytes that were not yet a whole
// chunk. Either repeats until Reset.
func (s *Splitter) Next() ([]byte, error) {
	// Little is left over, as a rule less than readSize, so moving it to the
	// front is cheap and keeps the memory in use small and warm.
	s.end = copy(s.buf, s.buf[s.given:s.end])
	s.given = 0
	if n := s.cut(0); n > 0 {
		return s.give(n), nil
	}
	s.end = 0
	return nil, s.err
}

// cut gives where the chunk that begins at from ends in buf, and reads what it
// needs for that. It returns 0 when nothing is left or the reader failed, and
// for a chunk that may end behind buf, which one that begins at 0 never does.
func (s *Splitter) cut(from int) int {
	var hash uint64
	normal, most := from+s.size.avg, from+s.size.max
	for at := from + s.size.min; ; s.fill() {
		if at < s.end {
			limit := min(s.end, most)
			cut := -1
			if at < normal {
				cut, hash = scan(s.gear, s.buf[at:min(limit, normal)], hash, s.size.short)
				if cut < 0 {
					at = min(limit, normal)
				}
			}
			if cut < 0 && at < limit {
				cut, hash = scan(s.gear, s.buf[at:limit], hash, s.size.long)
			}
			if cut >= 0 {
				return at + cut
			}
			if at = limit; at == most {
				return most
			}
		}
		switch {
		case s.err == nil && s.end < len(s.buf):
		case s.err == io.EOF && s.end > from:
			return s.end
		default:
			return 0
		}
	}
}

// Sooner looks for a place inside the chunk that Next gave last from which on
// the cuts meet chunks that are there already. It gives the bytes before that
// place in place of the chunk, and the next chunk begins there; nil when there
// is no such place, or when the chunk after this one is there as it is.
//
// After an insertion the cuts need some chunks to fall where they did before:
// each depends on where the last one was. Where they did can be seen from the
// hash, which depends on 64 bytes only.
//
// there says whether a chunk is. It is asked for few of them, and what it is
// given is valid until it returns.
func (s *Splitter) Sooner(there func([]byte) bool) []byte {
	begins := func(at int) bool {
		n := s.cut(at)
		return n > 0 && there(s.buf[at:n:n])
	}
	if s.given == 0 || begins(s.given) {
		return nil
	}
	var hash uint64
	for at, b := range s.buf[:s.given] {
		hash = hash<<1 + s.gear[b]
		if (hash&s.size.long == 0 || hash&s.size.short == 0) && at > 0 && begins(at) {
			return s.give(at)
		}
	}
	return nil
}

func (s *Splitter) give(n int) []byte {
	s.given = n
	return s.buf[:n:n]
}

// scan looks for the first byte after which the hash has zeros under the
// mask: the chunk ends before that byte. It returns -1 when there is none.
func scan(gear *[256]uint64, data []byte, hash, mask uint64) (cut int, _ uint64) {
	for i, b := range data {
		hash = hash<<1 + gear[b]
		if hash&mask == 0 {
			return i, hash
		}
	}
	return -1, hash
}

// fill reads some more, or sets err.
func (s *Splitter) fill() {
	room := s.buf[s.end:min(s.end+readSize, len(s.buf))]
	// A reader may return nothing and no error; one that goes on doing so is
	// broken, as in bufio.
	for range 100 {
		n, err := s.src.Read(room)
		if n < 0 || n > len(room) {
			s.err = errReadCount
			return
		}
		s.end += n
		if err != nil {
			s.err = err
			return
		}
		if n > 0 {
			return
		}
	}
	s.err = io.ErrNoProgress
}
