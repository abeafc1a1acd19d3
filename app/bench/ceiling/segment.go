// SPDX-License-Identifier: MPL-2.0

package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"io/fs"
	"path/filepath"
	"sync"
)

const (
	frame    = 64 << 10 // plain bytes of an AES-GCM frame
	frameTag = 16
)

// manifest is all a get needs.
type manifest struct {
	Key       []byte
	Size      int64
	Segment   int64
	ShardSize []int
	IDs       [][][]byte // by segment and shard
}

// segment is one unit of erasure coding on its way.
type segment struct {
	index  int
	plain  int    // bytes
	buf    []byte // backs the shards
	shards [][]byte
	ids    [][]byte
	wait   sync.WaitGroup // for the peers
}

// job is one shard of a segment.
type job struct {
	s     *segment
	shard int
}

func newAEAD(key []byte) cipher.AEAD {
	b, err := aes.NewCipher(key)
	check(err)
	a, err := cipher.NewGCM(b)
	check(err)
	return a
}

func nonce(seg, i int) []byte {
	n := binary.BigEndian.AppendUint32(make([]byte, 0, 12), uint32(seg))
	return binary.BigEndian.AppendUint64(n, uint64(i))
}

func sealedSize(plain int) int { return plain + (plain+frame-1)/frame*frameTag }

func shardSize(plain, k int) int { return ((sealedSize(plain)+k-1)/k + 63) &^ 63 }

// piece is a part of a file.
type piece struct {
	path string
	off  int64
	n    int
}

// plan fills segments from a file, or from all files of a folder one after
// the other.
func plan(root string, size int) (segments [][]piece, total int64) {
	room := 0
	check(filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		total += fi.Size()
		for off := int64(0); off < fi.Size(); {
			if room == 0 {
				segments, room = append(segments, nil), size
			}
			n := int(min(fi.Size()-off, int64(room)))
			last := len(segments) - 1
			segments[last] = append(segments[last], piece{p, off, n})
			off, room = off+int64(n), room-n
		}
		return nil
	}))
	return segments, total
}
