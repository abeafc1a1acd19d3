// SPDX-License-Identifier: MPL-2.0

// Package erasure turns k equal pieces of a segment into n shards, any k of
// which bring the segment back, and gives every shard a hash tree so that a
// keeper, a reader and an auditor can tell a true shard from a false one, or
// one 64 KiB leaf of it.
//
// The code is systematic: the first k shards are the segment itself, cut in k
// contiguous parts, so a range of a healthy segment is read from one keeper.
// Reconstruction does not detect wrong input. A shard must be compared with
// its Root (or the ranges used with their leaves) before it is handed to
// Reconstruct.
//
// The package is pure: no network, no disk, no goroutines. docs/formats.md
// describes the code and the tree for other implementations.
package erasure

import "errors"

var (
	// ErrGeometry: the numbers of shards are out of range.
	ErrGeometry = errors.New("erasure: need 1 <= k <= n <= 256")
	// ErrNoKeepers: there is nobody to give a shard to.
	ErrNoKeepers = errors.New("no keepers in the circle")
	// ErrTooFewShards: fewer than k shards are there, so the others cannot be
	// computed.
	ErrTooFewShards = errors.New("erasure: too few shards")
	// ErrShards: the set of shards handed in has the wrong form: not n of
	// them, of different lengths, or all empty.
	ErrShards = errors.New("erasure: malformed set of shards")
)
