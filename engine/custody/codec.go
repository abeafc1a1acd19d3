// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/fxamacker/cbor/v2"

	"github.com/preezm/preezm/peers/said"
)

// MaxDocument is the size limit of every document, in bytes, as it travels.
const MaxDocument = 1 << 20

// ErrMalformed: foreign bytes are not a document of the expected type, or not
// in its one encoding, or their signature is wrong.
var ErrMalformed = said.Error("document", "malformed document")

// malformed wraps a reason so that callers can test for ErrMalformed.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
}

type codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

// modes is built once and never changes. An error means that the options
// contradict each other, which any test would show.
var modes = sync.OnceValues(func() (codec, error) {
	opts := cbor.CoreDetEncOptions()
	opts.IndefLength = cbor.IndefLengthForbidden
	opts.TagsMd = cbor.TagsForbidden
	opts.NilContainers = cbor.NilContainerAsEmpty
	enc, err := opts.EncMode()
	if err != nil {
		return codec{}, fmt.Errorf("CBOR encoder: %w", err)
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   6,
		MaxArrayElements:  4096,
		MaxMapPairs:       32,
		UTF8:              cbor.UTF8RejectInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode()
	if err != nil {
		return codec{}, fmt.Errorf("CBOR decoder: %w", err)
	}
	return codec{enc, dec}, nil
})

// Marshal writes v, a struct with integer keys, in its one encoding:
// deterministic CBOR (RFC 8949, section 4.2.1), every field present.
func Marshal(v any) ([]byte, error) {
	m, err := modes()
	if err != nil {
		return nil, err
	}
	b, err := m.enc.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write document: %w", err)
	}
	if len(b) > MaxDocument {
		return nil, fmt.Errorf("write document: %d bytes are more than %d", len(b), MaxDocument)
	}
	return b, nil
}

// Unmarshal reads b into v, a pointer to a zero struct. Whatever Marshal would
// not have written is ErrMalformed: unknown, repeated or missing fields, tags,
// indefinite or overlong lengths, trailing bytes, byte strings of another
// length than the field's.
func Unmarshal(b []byte, v any) error {
	if len(b) > MaxDocument {
		return malformed("%d bytes are more than %d", len(b), MaxDocument)
	}
	m, err := modes()
	if err != nil {
		return err
	}
	if err := m.dec.Unmarshal(b, v); err != nil {
		return malformed("%w", err)
	}
	again, err := m.enc.Marshal(v)
	if err != nil {
		return malformed("%w", err)
	}
	// Only this comparison finds a missing field or a short array: the
	// decoder takes both for zeros.
	if !bytes.Equal(again, b) {
		return malformed("not the deterministic encoding")
	}
	return nil
}
