// SPDX-License-Identifier: MPL-2.0

package peers

import "io"

// Shard is a shard a keeper holds, open for reading.
type Shard interface {
	io.ReaderAt
	io.Closer
	// Size is the shard's length in bytes.
	Size() int64
}

// Usage is what one owner's shards, or everybody's, take on a keeper. Sizes
// in bytes.
type Usage struct {
	Quota  int64 // what is promised
	Used   int64 // what the shards take
	Free   int64 // what would still be taken now
	Shards int64 // how many shards
}
