// SPDX-License-Identifier: MPL-2.0

// Package depot is what this machine keeps for other people: their shards, as
// files that name their owner, inside the room the person offered.
//
// A shard is one file, a header block of 4 KiB and the body (docs/formats.md,
// "Shard file on a keeper"). The files are the truth. The SQLite index beside
// them answers "who has what, and how much" without touching the files; it may
// lag behind them or be lost, and Open brings it back in line. What Put has
// acknowledged is on the disk: a kill or a power cut at any moment leaves a
// shard whole or absent, never half.
//
// Every owner is a stranger to every other: a shard is read, measured and
// deleted by the device that stored it and nobody else. What comes in is
// checked against the root its owner named before it becomes visible.
//
// Where the bytes lie is behind Storage; Disk is the local folder, and package
// storagetest holds any other implementation to the same rules.
package depot
