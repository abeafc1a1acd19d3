// SPDX-License-Identifier: MPL-2.0

package ticket

import (
	"errors"
	"fmt"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/seal"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

// Limits.
const (
	// maxPlan leaves a plan, sealed, room in a pass beside the grant.
	maxPlan   = custody.MaxDocument - 192<<10
	maxList   = 4096 // pieces of a file, segments of a plan
	maxHolder = 256
	maxName   = 4096
	maxChunk  = 8 << 20 // bytes of one sealed chunk
)

var (
	errCount = errors.New("too few or too many parts")
	errField = errors.New("a field is out of its range")
)

// Intro tells a device of the circle which person it deals with. Signed by
// the root.
type Intro struct {
	Root   custody.Key    `cbor:"1,keyasint"`
	Device peers.DeviceID `cbor:"2,keyasint"` // of the owner, as peers know it
	At     int64          `cbor:"3,keyasint"`
}

// Type implements custody.Document.
func (Intro) Type() string { return "preezm/v1/owner-intro" }

// Check implements custody.Document.
func (i Intro) Check() error {
	if i.At < 0 {
		return errField
	}
	return nil
}

// Permit lets a gateway act towards another device of the owner's circle: read
// the listed shards, and deliver letters. Signed by an owner device. It says
// nothing about what is in the shards.
type Permit struct {
	Grant    custody.Hash   `cbor:"1,keyasint"`
	Root     custody.Key    `cbor:"2,keyasint"`
	Owner    peers.DeviceID `cbor:"3,keyasint"` // who stored the shards
	Gateway  peers.DeviceID `cbor:"4,keyasint"`
	Holder   peers.DeviceID `cbor:"5,keyasint"` // whom it is shown to
	IssuedAt int64          `cbor:"6,keyasint"`
	NotAfter int64          `cbor:"7,keyasint"`
	Shards   []byte         `cbor:"8,keyasint"` // IDs of 32 bytes, ascending
	Cert     []byte         `cbor:"9,keyasint"`
}

// Type implements custody.Document.
func (Permit) Type() string { return "preezm/v1/read-permit" }

// Check implements custody.Document.
func (p Permit) Check() error {
	if p.IssuedAt < 0 || p.NotAfter <= p.IssuedAt || len(p.Shards)%32 != 0 {
		return errField
	}
	return nil
}

// Contact is a device that the gateway has to find.
type Contact struct {
	Device    peers.DeviceID `cbor:"1,keyasint"`
	Addresses []string       `cbor:"2,keyasint"`
	Permit    []byte         `cbor:"3,keyasint"`
	Mailbox   custody.Key    `cbor:"4,keyasint"` // of a custodian; zero: it is none in this grant
}

// Place is where one shard lies.
type Place struct {
	Contact uint64        `cbor:"1,keyasint"` // in Plan.Contacts
	ID      peers.ShardID `cbor:"2,keyasint"`
	Root    peers.Root    `cbor:"3,keyasint"`
}

// Segment is one segment of which the grant covers something.
type Segment struct {
	K        int     `cbor:"1,keyasint"`
	ShardLen int     `cbor:"2,keyasint"`
	DataLen  int     `cbor:"3,keyasint"`
	Shards   []Place `cbor:"4,keyasint"`
}

// Span is a sealed chunk in a segment.
type Span struct {
	Segment int `cbor:"1,keyasint"` // in Plan.Segments
	Off     int `cbor:"2,keyasint"`
	Len     int `cbor:"3,keyasint"`
}

// PlanFile lists the chunks of one granted version in order, without holes.
type PlanFile struct {
	File    custody.FileID `cbor:"1,keyasint"`
	Version uint64         `cbor:"2,keyasint"`
	Spans   []Span         `cbor:"3,keyasint"`
}

// Plan tells one gateway how to serve one grant. Signed by an owner device and
// sealed to the gateway. The owner makes a new one, with a higher number, when
// shards or machines moved: a gateway goes by the highest it has seen.
type Plan struct {
	Grant    custody.Hash   `cbor:"1,keyasint"`
	Gateway  peers.DeviceID `cbor:"2,keyasint"`
	Owner    peers.DeviceID `cbor:"3,keyasint"`
	Contacts []Contact      `cbor:"4,keyasint"`
	Segments []Segment      `cbor:"5,keyasint"`
	Files    []PlanFile     `cbor:"6,keyasint"`
	Seq      uint64         `cbor:"7,keyasint"` // from 1
	Cert     []byte         `cbor:"8,keyasint"` // of the signing device
}

// Type implements custody.Document.
func (Plan) Type() string { return "preezm/v1/serving-plan" }

// Check implements custody.Document.
func (p Plan) Check() error {
	if p.Seq == 0 {
		return errField
	}
	if len(p.Contacts) > maxHolder || len(p.Segments) > maxList || len(p.Files) > custody.MaxFiles {
		return errCount
	}
	for _, s := range p.Segments {
		n := len(s.Shards)
		if s.K < 1 || n < s.K || n > erasure.MaxShards || s.ShardLen < 1 || s.ShardLen > peers.MaxShard ||
			s.DataLen < 0 || s.DataLen > s.K*s.ShardLen {
			return errField
		}
		for _, sh := range s.Shards {
			if sh.Contact >= uint64(len(p.Contacts)) {
				return errField
			}
		}
	}
	for _, f := range p.Files {
		if len(f.Spans) > maxList {
			return errCount
		}
		for _, sp := range f.Spans {
			if sp.Segment < 0 || sp.Segment >= len(p.Segments) || sp.Len < seal.Tag || sp.Len > maxChunk ||
				sp.Off < 0 || sp.Off > p.Segments[sp.Segment].DataLen-sp.Len {
				return errField
			}
		}
	}
	return nil
}

// Pass is what a brand's device shows a gateway when it comes. Signed by the
// device whose certificate it carries; it names both ends of the connection,
// so that nobody else can use it.
type Pass struct {
	Grant   []byte         `cbor:"1,keyasint"` // signed
	Plan    []byte         `cbor:"2,keyasint"` // sealed to the gateway
	Gateway peers.DeviceID `cbor:"3,keyasint"`
	Guest   peers.DeviceID `cbor:"4,keyasint"`
	At      int64          `cbor:"5,keyasint"`
	Cert    []byte         `cbor:"6,keyasint"`
	Members []byte         `cbor:"7,keyasint"` // the brand's list of revoked members; empty: it has none
}

// Type implements custody.Document.
func (Pass) Type() string { return "preezm/v2/guest-pass" }

// Check implements custody.Document.
func (p Pass) Check() error {
	if p.At < 0 {
		return errField
	}
	return nil
}

// Piece is a part of a file: a sealed chunk, or zero bytes stored nowhere.
type Piece struct {
	Hole  int64    `cbor:"1,keyasint"` // bytes; the other fields are zero then
	Name  [32]byte `cbor:"2,keyasint"` // part of what the seal covers
	Key   [32]byte `cbor:"3,keyasint"`
	Plain int      `cbor:"4,keyasint"` // bytes
	Zstd  bool     `cbor:"5,keyasint"`
}

// Manifest is what a granted version consists of.
type Manifest struct {
	Name    string  `cbor:"1,keyasint"` // of the file, without folders
	Size    int64   `cbor:"2,keyasint"`
	ModTime int64   `cbor:"3,keyasint"` // nanoseconds since 1970
	Pieces  []Piece `cbor:"4,keyasint"`
}

func (m *Manifest) check() error {
	if len(m.Pieces) > maxList || m.Name == "" || len(m.Name) > maxName || m.Size < 0 {
		return errField
	}
	var size int64
	for _, p := range m.Pieces {
		switch {
		case p.Hole < 0 || p.Plain < 0 || (p.Hole > 0) == (p.Plain > 0) || p.Hole > m.Size || p.Plain > maxChunk:
			return errField
		}
		size += p.Hole + int64(p.Plain)
	}
	if size != m.Size {
		return fmt.Errorf("the pieces have %d bytes, the file %d", size, m.Size)
	}
	return nil
}

// Forget clears the keys.
func (m *Manifest) Forget() { clear(m.Pieces) }

func manifestAD(f custody.FileID, version uint64) []byte {
	return fmt.Appendf(nil, "preezm/v1/manifest/%s/%d", f, version)
}

// SealManifest seals m under a version's key, which seals nothing else.
func SealManifest(m *Manifest, key [32]byte, f custody.FileID, version uint64) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%q cannot be granted: %w", m.Name, err)
	}
	b, err := custody.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%q is too large to be granted: %w", m.Name, err)
	}
	return seal.Seal(nil, key, manifestAD(f, version), b), nil
}

// OpenManifest opens what SealManifest made.
func OpenManifest(sealed []byte, key [32]byte, f custody.FileID, version uint64) (*Manifest, error) {
	b, err := seal.Open(nil, key, manifestAD(f, version), sealed)
	if err != nil {
		return nil, fmt.Errorf("open the manifest: %w", err)
	}
	var m Manifest
	if err := custody.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", custody.ErrMalformed, err)
	}
	return &m, nil
}
