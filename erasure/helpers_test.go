// SPDX-License-Identifier: MPL-2.0

package erasure

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
