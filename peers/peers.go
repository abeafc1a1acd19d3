// SPDX-License-Identifier: MPL-2.0

// Package peers holds the words that the engine and other people's machines
// share: who a device is, what a shard is called, what a keeper can be asked
// for, and the errors a caller decides on. It has no sockets and no disk of
// its own; transport, rpc, depot and circle do.
package peers

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/syncthing/syncthing/lib/protocol"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers/said"
)

// MaxShard is the largest shard a keeper takes, in bytes.
const MaxShard = 4 << 20

// DeviceID is the SHA-256 of a device's TLS certificate, as in Syncthing.
type DeviceID [32]byte

// String gives the ID as people compare it: eight groups with check digits.
func (d DeviceID) String() string { return protocol.DeviceID(d).String() }

// Short gives the first group of the ID, for logs and tables; "" for one of zeros,
// which anybody can write into a document.
func (d DeviceID) Short() string {
	s := d.String()
	return s[:min(len(s), 7)]
}

// MarshalText writes the form of String.
func (d DeviceID) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the form of String, strictly.
func (d *DeviceID) UnmarshalText(b []byte) error {
	id, err := ParseDeviceID(string(b))
	if err != nil {
		return err
	}
	*d = id
	return nil
}

// ParseDeviceID reads the 56-character form of a device ID with its check
// digits; dashes and spaces between groups are optional.
func ParseDeviceID(s string) (DeviceID, error) {
	// protocol.DeviceIDFromString takes an empty string and a form without
	// check digits, also filled up with padding, so the length is checked first.
	bare := 0
	for _, c := range s {
		if c != '-' && c != ' ' {
			bare++
		}
	}
	if bare != 56 || strings.Contains(s, "=") {
		return DeviceID{}, fmt.Errorf("device ID %q: want 56 characters, have %d", s, bare)
	}
	id, err := protocol.DeviceIDFromString(s)
	if err != nil {
		return DeviceID{}, fmt.Errorf("device ID %q: %w", s, err)
	}
	return DeviceID(id), nil
}

// Root is the top of a shard's hash tree.
type Root = erasure.Root

// ShardID names a shard on a keeper: 32 random bytes that say nothing about
// what is inside.
type ShardID [32]byte

// String gives the ID in hexadecimal.
func (s ShardID) String() string { return hex.EncodeToString(s[:]) }

// Errors a caller decides on. Wrapped with the keeper's name and what was
// asked.
var (
	// ErrUnreachable: no connection, or it broke before the answer.
	ErrUnreachable = said.Error("unreachable", "cannot be reached")
	// ErrRefused: the other side does not know this device or denies the request.
	ErrRefused = said.Error("refused", "refused the request")
	// ErrNotFound: the keeper does not hold that shard for this owner.
	ErrNotFound = said.Error("shard-not-found", "does not have the shard")
	// ErrQuota: the keeper's promise to this owner is used up.
	ErrQuota = said.Error("quota", "has no more room for you (quota)")
	// ErrDiskFull: the keeper's disk is full, or too near to it.
	ErrDiskFull = said.Error("disk-full", "has a full disk")
	// ErrDamaged: what came is not what was stored.
	ErrDamaged = said.Error("damaged", "gave damaged data")
	// ErrNoCustodian: the other side has no part in the time-limited keys of
	// that owner, or does not take the role.
	ErrNoCustodian = said.Error("no-custodian", "is not a custodian there")
	// ErrUnknown: the other side, of an older version, knows no such request.
	ErrUnknown = said.Error("peer-older", "knows no such request")
	// ErrProtocol: the answer breaks the rules of the protocol.
	ErrProtocol = said.Error("protocol", "gave an answer that breaks the protocol")
)

// Info is what a keeper says of itself to an owner it keeps for. Sizes in bytes.
type Info struct {
	Name     string // the keeper's name for people
	Version  string // program version
	Quota    int64  // what it promises this owner
	Used     int64  // what this owner's shards take
	Free     int64  // what it would still take from this owner now
	Shards   int64  // this owner's shards
	UnixTime int64  // its clock, seconds
}

// Keeper is a device that stores shards for this owner. Every method is safe
// for concurrent use, honours ctx, and returns one of the errors above,
// wrapped, when it fails.
type Keeper interface {
	Device() DeviceID
	Name() string
	// PutShard stores data under id and returns when it is durable there
	// (fsynced). Root is checked by the keeper. Storing the same shard again
	// succeeds without sending it on to the disk.
	PutShard(ctx context.Context, id ShardID, root Root, data []byte) error
	// ReadShard fills dst from the shard's byte off on.
	ReadShard(ctx context.Context, id ShardID, off int64, dst []byte) error
	// StatShards gives each shard's size, or -1 where the keeper lacks it.
	StatShards(ctx context.Context, ids []ShardID) ([]int64, error)
	// DeleteShards forgets the shards; ones it lacks are no error.
	DeleteShards(ctx context.Context, ids []ShardID) error
	// Info asks the keeper about itself.
	Info(ctx context.Context) (Info, error)
}
