// SPDX-License-Identifier: MPL-2.0

package rpc

import "sync"

// pieceSize is how much of a shard is in memory at once while it is sent:
// what the connection moves in one go.
const pieceSize = 256 << 10

// bufferPool lends out blocks of pieceSize.
type bufferPool struct{ free sync.Pool }

func (p *bufferPool) get() *[]byte {
	if b, ok := p.free.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, pieceSize)
	return &b
}

func (p *bufferPool) put(b *[]byte) { p.free.Put(b) }
