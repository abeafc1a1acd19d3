// SPDX-License-Identifier: MPL-2.0

package caretask

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

const (
	// MaxSegments bounds the segments of a part. It is small, so that a change
	// of a segment sends little anew, and so that the hashes of a part's other
	// segments, which prove one of them, stay a thousandth of what is repaired.
	MaxSegments = 128
	// MaxPieces bounds the pieces of a segment.
	MaxPieces = 64
	// Nowhere is the keeper of a piece that none of those named has.
	Nowhere = 255
)

// Piece is one piece of a segment.
type Piece struct {
	Keeper uint8         `cbor:"1,keyasint"` // place in the task's list, or Nowhere
	ID     peers.ShardID `cbor:"2,keyasint"`
	Root   peers.Root    `cbor:"3,keyasint"`
}

// Segment is K of its pieces from any of which the others follow.
type Segment struct {
	K      uint8   `cbor:"1,keyasint"`
	Size   uint32  `cbor:"2,keyasint"` // of a piece, in bytes
	Pieces []Piece `cbor:"3,keyasint"`
}

func (s *Segment) check() error {
	if len(s.Pieces) == 0 || len(s.Pieces) > MaxPieces || s.K == 0 || int(s.K) > len(s.Pieces) {
		return fmt.Errorf("a segment of %d of %d pieces", s.K, len(s.Pieces))
	}
	if s.Size == 0 || s.Size > peers.MaxShard {
		return fmt.Errorf("a piece of %d bytes", s.Size)
	}
	for _, p := range s.Pieces {
		if p.Keeper >= MaxKeepers && p.Keeper != Nowhere {
			return errors.New("a piece at no keeper")
		}
	}
	return nil
}

// Encode writes a segment.
func (s *Segment) Encode() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return custody.Marshal(s)
}

// DecodeSegment reads a segment; custody.ErrMalformed.
func DecodeSegment(raw []byte) (*Segment, error) {
	s := new(Segment)
	if err := custody.Unmarshal(raw, s); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", custody.ErrMalformed, err)
	}
	return s, nil
}

// Part is some segments as they travel and are kept: each encoded by itself,
// since keepers are shown single ones.
type Part [][]byte

const (
	segmentContext = "preezm/v1/care-segment"
	partContext    = "preezm/v1/care-part"
)

// SegmentHash is the hash of one encoded segment.
func SegmentHash(raw []byte) custody.Hash {
	return sha256.Sum256(append(append([]byte(segmentContext), 0), raw...))
}

// HashOf is the hash of a part of which the segments have these hashes.
func HashOf(hashes []custody.Hash) custody.Hash {
	b := append([]byte(partContext), 0, byte(len(hashes)>>8), byte(len(hashes)))
	for i := range hashes {
		b = append(b, hashes[i][:]...)
	}
	return sha256.Sum256(b)
}

// Hashes gives the hash of each segment.
func (p Part) Hashes() []custody.Hash {
	out := make([]custody.Hash, len(p))
	for i, raw := range p {
		out[i] = SegmentHash(raw)
	}
	return out
}

// Hash is the hash of the part.
func (p Part) Hash() custody.Hash { return HashOf(p.Hashes()) }

type partMsg struct {
	Segments [][]byte `cbor:"1,keyasint"`
}

// Encode writes a part.
func (p Part) Encode() ([]byte, error) {
	if len(p) > MaxSegments {
		return nil, fmt.Errorf("a part of %d segments", len(p))
	}
	return custody.Marshal(partMsg{p})
}

// DecodePart reads a part and every segment in it; custody.ErrMalformed.
func DecodePart(raw []byte) (Part, []*Segment, error) {
	var m partMsg
	if err := custody.Unmarshal(raw, &m); err != nil {
		return nil, nil, err
	}
	if len(m.Segments) > MaxSegments {
		return nil, nil, fmt.Errorf("%w: a part of %d segments", custody.ErrMalformed, len(m.Segments))
	}
	out := make([]*Segment, len(m.Segments))
	for i, b := range m.Segments {
		var err error
		if out[i], err = DecodeSegment(b); err != nil {
			return nil, nil, err
		}
	}
	return m.Segments, out, nil
}

// Proof shows that a segment is in a part of a task.
type Proof struct {
	Owner  peers.DeviceID `cbor:"1,keyasint"` // whose task
	Number uint64         `cbor:"2,keyasint"`
	Part   uint16         `cbor:"3,keyasint"`
	At     uint8          `cbor:"4,keyasint"` // place in the part
	Hashes []custody.Hash `cbor:"5,keyasint"` // of all segments of the part
	Raw    []byte         `cbor:"6,keyasint"` // the segment
}

// Prove shows the segment at a place of a part of a task.
func (t *Task) Prove(part int, p Part, at int) *Proof {
	return &Proof{Owner: t.Owner, Number: t.Number, Part: uint16(part), At: uint8(at), Hashes: p.Hashes(), Raw: p[at]}
}

// DecodeProof reads a proof, which Segment then checks; custody.ErrMalformed.
func DecodeProof(raw []byte) (*Proof, error) {
	p := new(Proof)
	if err := custody.Unmarshal(raw, p); err != nil {
		return nil, err
	}
	if len(p.Hashes) > MaxSegments || int(p.At) >= len(p.Hashes) {
		return nil, fmt.Errorf("%w: no place in a part", custody.ErrMalformed)
	}
	return p, nil
}

// Segment gives the segment that a proof shows to be in the task;
// custody.ErrMalformed when it does not.
func (t *Task) Segment(p *Proof) (*Segment, error) {
	if p.Owner != t.Owner || p.Number != t.Number || int(p.Part) >= len(t.Parts) || int(p.At) >= len(p.Hashes) {
		return nil, fmt.Errorf("%w: a proof for another task", custody.ErrMalformed)
	}
	if SegmentHash(p.Raw) != p.Hashes[p.At] || HashOf(p.Hashes) != t.Parts[p.Part] {
		return nil, fmt.Errorf("%w: the segment is not in the task", custody.ErrMalformed)
	}
	return DecodeSegment(p.Raw)
}
