// SPDX-License-Identifier: MPL-2.0

package chunk

import (
	"sync"

	"github.com/zeebo/blake3"
)

// Namer computes chunk IDs: keyed BLAKE3 of the plaintext under the owner's
// deduplication key. It is safe for concurrent use.
type Namer struct {
	pool *sync.Pool // of *named
}

// named is a BLAKE3 state of 11 KiB with room for its result.
type named struct {
	h   *blake3.Hasher
	sum ID
}

// NewNamer makes a Namer for the owner's deduplication key.
func NewNamer(dedupKey [32]byte) *Namer {
	// The only error of NewKeyed is a key that has not 32 bytes. A clone of
	// the first state is cheaper than keying another and keeps the key in
	// one place.
	keyed, _ := blake3.NewKeyed(dedupKey[:])
	return &Namer{pool: &sync.Pool{New: func() any { return &named{h: keyed.Clone()} }}}
}

// Name computes the ID of a chunk.
func (n *Namer) Name(data []byte) ID {
	w := n.pool.Get().(*named)
	defer n.pool.Put(w)
	w.h.Reset()
	w.h.Write(data)
	w.h.Sum(w.sum[:0])
	return w.sum
}
