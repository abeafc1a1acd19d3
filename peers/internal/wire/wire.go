// SPDX-License-Identifier: MPL-2.0

// Package wire reads and writes the small messages that cross the border of a
// machine: deterministic CBOR (RFC 8949, section 4.2.1), one encoding for one
// value. Decoding is strict: unknown or repeated fields, tags, indefinite
// lengths, deep nesting, trailing bytes and any encoding other than the one
// Marshal would have written are refused, so a message that was signed,
// hashed or logged has no second spelling.
package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"
)

// ErrMessage says that foreign bytes are not a message of the expected kind.
var ErrMessage = errors.New("malformed message")

// MaxElements bounds every array of a message.
const MaxElements = 4096

// A Codec holds the two CBOR modes; the zero value is not usable.
type Codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

// New makes a Codec. It fails only when the options contradict each other,
// which the tests rule out.
func New() (*Codec, error) {
	opts := cbor.CoreDetEncOptions()
	opts.IndefLength = cbor.IndefLengthForbidden
	opts.TagsMd = cbor.TagsForbidden
	opts.NilContainers = cbor.NilContainerAsEmpty
	enc, err := opts.EncMode()
	if err != nil {
		return nil, fmt.Errorf("CBOR encoder: %w", err)
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   4,
		MaxArrayElements:  MaxElements,
		MaxMapPairs:       16,
		UTF8:              cbor.UTF8RejectInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode()
	if err != nil {
		return nil, fmt.Errorf("CBOR decoder: %w", err)
	}
	return &Codec{enc: enc, dec: dec}, nil
}

// Marshal writes v in its one encoding.
func (c *Codec) Marshal(v any) ([]byte, error) {
	b, err := c.enc.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write message: %w", err)
	}
	return b, nil
}

// Unmarshal reads b into v, a pointer to a zero value, and returns ErrMessage
// for everything Marshal would not have written.
func (c *Codec) Unmarshal(b []byte, v any) error {
	if err := c.dec.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	again, err := c.enc.Marshal(v)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if !bytes.Equal(again, b) {
		return fmt.Errorf("%w: not the deterministic encoding", ErrMessage)
	}
	return nil
}

// Read takes one message of at most limit bytes from r, to its end.
func (c *Codec) Read(r io.Reader, limit int64, v any) error {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	if int64(len(b)) > limit {
		return fmt.Errorf("%w: longer than %d bytes", ErrMessage, limit)
	}
	return c.Unmarshal(b, v)
}
