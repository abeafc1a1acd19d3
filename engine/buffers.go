// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"math/bits"
	"sync"

	"github.com/preezm/preezm/peers"
)

// bytePool hands out buffers in sizes of powers of two.
type bytePool struct{ classes [32]sync.Pool }

// get gives a buffer of length n.
func (p *bytePool) get(n int) *[]byte {
	class := bits.Len(uint(max(n, 512) - 1))
	if b, ok := p.classes[class].Get().(*[]byte); ok {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n, 1<<class)
	return &b
}

// put takes a buffer back. The caller no longer uses it.
func (p *bytePool) put(b *[]byte) {
	p.classes[bits.Len(uint(cap(*b)-1))].Put(b)
}

// segmentPool hands out buffers for whole segments, shards and all, and keeps
// a few for the next put or get while the program is busy.
type segmentPool struct{ sync.Pool }

// get gives a buffer for n shards, not cleared. Pages of a fresh one that are
// never touched cost nothing, so a small read does not pay for its size.
func (p *segmentPool) get(n int) []byte {
	if b, ok := p.Get().(*[]byte); ok && cap(*b) >= n*peers.MaxShard {
		return (*b)[:n*peers.MaxShard]
	}
	return make([]byte, n*peers.MaxShard)
}

// put takes a buffer back. The caller no longer uses it.
func (p *segmentPool) put(b []byte) { p.Put(&b) }
