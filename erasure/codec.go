// SPDX-License-Identifier: MPL-2.0

package erasure

import (
	"errors"
	"fmt"

	"github.com/klauspost/reedsolomon"
)

// MaxShards is the largest N: the code works over a field of 256 elements.
const MaxShards = 256

// Geometry says how many shards there are and how many are needed.
type Geometry struct {
	K int // shards needed; the segment is cut into this many
	N int // shards in all
}

// String gives the form "3-of-5".
func (g Geometry) String() string { return fmt.Sprintf("%d-of-%d", g.K, g.N) }

// Validate returns ErrGeometry, wrapped, unless 1 <= K <= N <= 256.
func (g Geometry) Validate() error {
	if g.K < 1 || g.N < g.K || g.N > MaxShards {
		return fmt.Errorf("%w, not %s", ErrGeometry, g)
	}
	return nil
}

// ForCircle chooses the geometry for a number of keepers, one shard each. From
// three keepers on about 40 % of the machines may be lost at less than twice
// the bytes (two thirds at three); with ten and more the widths stay at ten so
// that a segment does not wait for the slowest machine of a large circle. It
// returns ErrNoKeepers when keepers < 1.
func ForCircle(keepers int) (Geometry, error) {
	if keepers < 1 {
		return Geometry{}, ErrNoKeepers
	}
	// Index: keepers. One keeper holds a copy, two hold one each.
	byKeepers := [...]Geometry{
		1: {1, 1}, 2: {1, 2}, 3: {2, 3}, 4: {2, 4}, 5: {3, 5},
		6: {4, 6}, 7: {5, 7}, 8: {5, 8}, 9: {5, 9}, 10: {6, 10},
	}
	return byKeepers[min(keepers, len(byKeepers)-1)], nil
}

// Codec is a systematic Reed-Solomon code of one geometry. It is safe for
// concurrent use and does its work on the caller's goroutine: callers keep
// the cores busy with one segment each, which measures faster than one segment
// on all cores.
type Codec struct {
	g  Geometry
	rs reedsolomon.Encoder // nil when N == K: there is nothing to compute
}

// New makes a Codec. It returns ErrGeometry, wrapped, for impossible numbers.
// The inverted matrices of losses met are kept in the Codec, so it is worth
// keeping one per geometry.
func New(g Geometry) (*Codec, error) {
	if err := g.Validate(); err != nil {
		return nil, err
	}
	c := &Codec{g: g}
	if g.N == g.K {
		return c, nil
	}
	rs, err := reedsolomon.New(g.K, g.N-g.K, reedsolomon.WithMaxGoroutines(1))
	if err != nil {
		return nil, fmt.Errorf("erasure: %s: %w", g, err)
	}
	c.rs = rs
	return c, nil
}

// Geometry tells what the Codec was made for.
func (c *Codec) Geometry() Geometry { return c.g }

// Encode computes shards K to N-1 from the first K. All N must be there and
// have one length, which is not 0; else it returns ErrShards, wrapped.
func (c *Codec) Encode(shards [][]byte) error {
	size, present, err := c.look(shards)
	if err != nil {
		return err
	}
	if present != len(shards) {
		return fmt.Errorf("%w: an empty shard among ones of %d bytes", ErrShards, size)
	}
	if c.rs == nil {
		return nil
	}
	return wrap(c.rs.Encode(shards))
}

// ReconstructData computes the missing ones of the first K shards. A shard is
// missing when its length is 0; its capacity is used if big enough. At least K
// shards must be there (ErrTooFewShards) and have one length (ErrShards).
// Missing parity shards stay missing.
func (c *Codec) ReconstructData(shards [][]byte) error {
	if err := c.enough(shards); err != nil || c.rs == nil {
		return err
	}
	return wrap(c.rs.ReconstructData(shards))
}

// Reconstruct computes those missing shards, data or parity, for which
// required is true. required has length N; for the rest see ReconstructData.
// Shards that are there are left alone even if required.
func (c *Codec) Reconstruct(shards [][]byte, required []bool) error {
	if len(required) != c.g.N {
		return fmt.Errorf("%w: %d marks for %d shards", ErrShards, len(required), c.g.N)
	}
	if err := c.enough(shards); err != nil || c.rs == nil {
		return err
	}
	return wrap(c.rs.ReconstructSome(shards, required))
}

// look checks the form of a set and counts the shards that are there.
func (c *Codec) look(shards [][]byte) (size, present int, err error) {
	if len(shards) != c.g.N {
		return 0, 0, fmt.Errorf("%w: %d shards for %s", ErrShards, len(shards), c.g)
	}
	for i, s := range shards {
		switch {
		case len(s) == 0:
			continue
		case size == 0:
			size = len(s)
		case len(s) != size:
			return 0, 0, fmt.Errorf("%w: shard %d has %d bytes, others %d", ErrShards, i, len(s), size)
		}
		present++
	}
	if present == 0 {
		return 0, 0, fmt.Errorf("%w: all are empty", ErrShards)
	}
	return size, present, nil
}

func (c *Codec) enough(shards [][]byte) error {
	_, present, err := c.look(shards)
	if err != nil {
		return err
	}
	if present < c.g.K {
		return fmt.Errorf("%w: %d of the %d needed", ErrTooFewShards, present, c.g.K)
	}
	return nil
}

// wrap keeps the library's sentinels from becoming part of this package's API.
func wrap(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, reedsolomon.ErrTooFewShards):
		return ErrTooFewShards
	}
	return fmt.Errorf("%w: %v", ErrShards, err)
}
