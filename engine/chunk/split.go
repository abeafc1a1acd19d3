// SPDX-License-Identifier: MPL-2.0

package chunk

import (
	"errors"
	"fmt"
	"io"
	"slices"

	chunkers "github.com/PlakarKorp/go-cdc-chunkers"
	// Registers the algorithm below.
	_ "github.com/PlakarKorp/go-cdc-chunkers/chunkers/fastcdc"
)

// algorithm is FastCDC with masks that follow from Avg. The library's "kfastcdc" has
// the masks of an 8 KiB average whatever is asked for; keyed it is either way
// once it is given a key.
const algorithm = "fastcdc-v1.0.0"

// Splitter cuts streams into chunks with FastCDC (Xia et al., "FastCDC: a Fast
// and Efficient Content-Defined Chunking Approach for Data Deduplication",
// USENIX ATC 2016) whose Gear table is derived from a secret. It owns a buffer
// of 2 Max and is meant to be used for many files, by one goroutine.
type Splitter struct {
	c   *chunkers.Chunker
	err error // sticky, until Reset
}

// NewSplitter makes a Splitter for the owner's chunker key. Reset gives it
// something to read.
func NewSplitter(key [32]byte) (*Splitter, error) {
	c, err := chunkers.NewChunkerBuffer(algorithm, eof{}, &chunkers.ChunkerOpts{
		MinSize: Min, NormalSize: Avg, MaxSize: Max, Key: slices.Clone(key[:]),
	}, make([]byte, 2*Max))
	if err != nil {
		return nil, fmt.Errorf("chunk: setting up the splitter: %w", err)
	}
	return &Splitter{c: c}, nil
}

// Reset starts a new stream. What Next returned before is no longer valid.
func (s *Splitter) Reset(r io.Reader) {
	s.c.Reset(r)
	s.err = nil
}

// Next returns the next chunk, never an empty one. It is valid until the next
// call of Next or Reset. After the last chunk comes io.EOF; an error of the
// reader comes as it is and instead of the bytes before it, and repeats.
func (s *Splitter) Next() ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	b, err := s.c.Next()
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
		return nil, err
	}
	if len(b) == 0 {
		s.err = io.EOF
		return nil, io.EOF
	}
	return b, nil
}

// eof is what a new Splitter reads.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }
