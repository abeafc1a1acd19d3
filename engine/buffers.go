// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"math/bits"
	"sync"
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
