// SPDX-License-Identifier: MPL-2.0

// Package node runs one home folder: it owns the lock, the engine for the
// person's own files, the depot for other people's shards, the circle and the
// network service, and it lets commands and windows on the same machine reach
// them over a local socket.
//
// A home has at most one [Node] at a time, guarded by a file lock; everything
// that writes a home goes through it. [Connect] is what a command wants: the
// running node when there is one, else a node of its own for as long as the
// command lasts. Both are an [API].
package node
