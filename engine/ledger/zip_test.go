// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"
)

// TestManyNamesForTheSameBytes: a file of a megabyte whose thousands of parts are
// all the same place in it does not become gigabytes in memory.
func TestManyNamesForTheSameBytes(t *testing.T) {
	const names = maxParts
	whole, err := pack([]part{{"a", bytes.Repeat([]byte{7}, 1<<20)}})
	if err != nil {
		t.Fatal(err)
	}
	// One name is 47 bytes of the directory, before an end of 22 bytes.
	body, entry := whole[:len(whole)-22-47], whole[len(whole)-22-47:len(whole)-22]
	le := binary.LittleEndian
	bomb := append(bytes.Clone(body), bytes.Repeat(entry, names)...)
	bomb = append(le.AppendUint32(bomb, 0x06054b50), 0, 0, 0, 0)
	bomb = le.AppendUint16(le.AppendUint16(bomb, names), names)
	bomb = le.AppendUint32(le.AppendUint32(bomb, names*47), uint32(len(body)))
	bomb = append(bomb, 0, 0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = VerifyProof(bomb)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, ErrProof) {
		t.Errorf("taken: %v", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
		t.Errorf("it took %d MiB", used>>20)
	}
}
