// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// pack writes a ZIP file that has no freedom left: stored parts one after the
// other, one fixed date, no extra fields, no comments. The standard library's
// writer would do, but its bytes are not promised to stay the same, and a
// bundle has to verify in twenty years.
func pack(list []part) ([]byte, error) {
	const (
		version = 20
		date    = 1<<5 | 1 // 1 January 1980, the earliest
	)
	le := binary.LittleEndian
	size := 22
	for _, f := range list {
		size += 30 + 46 + 2*len(f.name) + len(f.data)
	}
	if size > MaxProof || len(list) > maxParts+1 {
		return nil, fmt.Errorf("the proof has %d bytes in %d parts, too many", size, len(list))
	}
	out, dir := make([]byte, 0, size), []byte(nil)
	for _, f := range list {
		at := len(out)
		common := le.AppendUint16(nil, version)
		common = le.AppendUint16(common, 0) // flags
		common = le.AppendUint16(common, 0) // stored
		common = le.AppendUint16(common, 0) // time
		common = le.AppendUint16(common, date)
		common = le.AppendUint32(common, crc32.ChecksumIEEE(f.data))
		common = le.AppendUint32(common, uint32(len(f.data)))
		common = le.AppendUint32(common, uint32(len(f.data)))
		common = le.AppendUint16(common, uint16(len(f.name)))
		common = le.AppendUint16(common, 0) // extra

		out = le.AppendUint32(out, 0x04034b50)
		out = append(append(append(out, common...), f.name...), f.data...)

		dir = le.AppendUint32(dir, 0x02014b50)
		dir = le.AppendUint16(dir, version)
		dir = append(dir, common...)
		dir = append(dir, make([]byte, 10)...) // comment, disk, attributes
		dir = le.AppendUint32(dir, uint32(at))
		dir = append(dir, f.name...)
	}
	at := len(out)
	out = le.AppendUint32(append(out, dir...), 0x06054b50)
	out = le.AppendUint32(out, 0) // disks
	out = le.AppendUint16(out, uint16(len(list)))
	out = le.AppendUint16(out, uint16(len(list)))
	out = le.AppendUint32(out, uint32(len(dir)))
	out = le.AppendUint32(out, uint32(at))
	return le.AppendUint16(out, 0), nil // comment
}
