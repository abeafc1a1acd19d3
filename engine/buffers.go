// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"math/bits"
	"slices"
	"sync"

	"github.com/preezm/preezm/peers"
)

// bytePool hands out buffers in sizes of powers of two. A sync.Pool would do,
// but keeps one of each size for each processor: with sixteen of them 30 MiB
// more lay about in a put.
type bytePool struct {
	mu   sync.Mutex
	free [32][]*[]byte // by the size's exponent
	held int
}

// mostHeld bounds the buffers that lie in a pool.
const mostHeld = 16

// get gives a buffer of length n. One that is too long is taken before a new
// one is made.
func (p *bytePool) get(n int) *[]byte {
	class := bits.Len(uint(max(n, 512) - 1))
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := class; c < len(p.free); c++ {
		if last := len(p.free[c]) - 1; last >= 0 {
			b := p.free[c][last]
			p.free[c] = p.free[c][:last]
			p.held--
			*b = (*b)[:n]
			return b
		}
	}
	b := make([]byte, n, 1<<class)
	return &b
}

// put takes a buffer back. The caller no longer uses it.
func (p *bytePool) put(b *[]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held < mostHeld {
		class := bits.Len(uint(cap(*b) - 1))
		p.free[class] = append(p.free[class], b)
		p.held++
	}
}

// segmentPool hands out buffers for whole segments, shards and all. While some
// are in use it keeps those that come back, since the next segment follows at
// once and a new buffer beside a forgotten one is 20 MiB more; when all are
// back, the next collections of garbage may take them.
type segmentPool struct {
	mu   sync.Mutex
	out  int
	free [][]byte
	idle sync.Pool // of *[]byte
}

// get gives a buffer for n shards, not cleared. Pages of a fresh one that are
// never touched cost nothing, so a small read does not pay for its size.
func (p *segmentPool) get(n int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out++
	for i := len(p.free) - 1; i >= 0; i-- {
		if b := p.free[i]; cap(b) >= n*peers.MaxShard {
			p.free = slices.Delete(p.free, i, i+1)
			return b[:n*peers.MaxShard]
		}
	}
	for {
		b, ok := p.idle.Get().(*[]byte)
		if !ok {
			return make([]byte, n*peers.MaxShard)
		}
		if cap(*b) >= n*peers.MaxShard {
			return (*b)[:n*peers.MaxShard]
		}
	}
}

// put takes a buffer back. The caller no longer uses it.
func (p *segmentPool) put(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out--
	p.free = append(p.free, b)
	if p.out > 0 && len(p.free) <= mostSegments {
		return
	}
	for _, b := range p.free {
		p.idle.Put(&b)
	}
	p.free = nil
}
