// SPDX-License-Identifier: MPL-2.0

package chunk

import (
	"encoding/binary"
	"math/rand/v2"
)

// pseudo makes n bytes that are the same in every run.
func pseudo(seed uint64, n int) []byte {
	var s [32]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	b := make([]byte, n)
	rand.NewChaCha8(s).Read(b)
	return b
}

// prose makes n bytes that compress about as well as text does: words of a small
// vocabulary, the frequent ones short.
func prose(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	words := make([][]byte, 4000)
	for i := range words {
		w := make([]byte, 2+i%9)
		for j := range w {
			w[j] = byte('a' + r.IntN(26))
		}
		words[i] = append(w, ' ')
	}
	z := rand.NewZipf(r, 1.2, 4, uint64(len(words)-1))
	b := make([]byte, 0, n+16)
	for len(b) < n {
		b = append(b, words[z.Uint64()]...)
	}
	return b[:n]
}

// compress is Compress by whatever Compressor there is.
func compress(dst, src []byte) ([]byte, bool) {
	c := NewCompressor()
	defer c.Done()
	return c.Compress(dst, src)
}
