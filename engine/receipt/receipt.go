// SPDX-License-Identifier: MPL-2.0

// Package receipt is what two machines sign together about what one keeps for
// the other: numbered, each with the sum of all before, so that the newest
// tells everything and both see the same. It computes and keeps nothing.
package receipt

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/bits"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// Errors a caller decides on.
var (
	// ErrFormat: the bytes are no receipt, or are signed by somebody else.
	ErrFormat = said.Error("balance-format", "not a storage receipt")
	// ErrDiffers: the other side sees it differently.
	ErrDiffers = said.Error("balance-differs", "does not agree about what is stored")
	// ErrBehind: the other side has a later receipt.
	ErrBehind = said.Error("balance-behind", "has a later receipt")
)

const (
	hour = 3600
	// maxTotal bounds the sum, in byte-hours: a petabyte for five centuries.
	maxTotal = 1 << 62
	// skew is how far the clocks of a pair may be apart, in seconds.
	skew = 600
	// slack is how many bytes the two may see differently beside 1 %: pieces
	// on their way, and deletions that the keeper has not been told of.
	slack = 64 << 20
)

// Statement is what both sign.
type Statement struct {
	Giver [32]byte `cbor:"1,keyasint"` // device that keeps
	Taker [32]byte `cbor:"2,keyasint"` // device it keeps for
	Seq   uint64   `cbor:"3,keyasint"` // from 1
	From  int64    `cbor:"4,keyasint"` // Unix seconds; of the one before
	To    int64    `cbor:"5,keyasint"`
	Bytes uint64   `cbor:"6,keyasint"` // stored at To
	Total uint64   `cbor:"7,keyasint"` // byte-hours, of all receipts up to this
}

// Type implements custody.Document.
func (Statement) Type() string { return "preezm/v1/storage-receipt" }

// Check implements custody.Document.
func (s Statement) Check() error {
	switch {
	case s.Seq == 0, s.From < 0, s.To < s.From, s.To > 253402300799:
		return errors.New("numbers or times of a receipt")
	case s.Bytes > 1<<60 || s.Total > maxTotal:
		return errors.New("sums of a receipt")
	case s.Giver == s.Taker:
		return errors.New("a receipt to oneself")
	}
	return nil
}

// GBDays is a sum as people read it: gigabytes (10^9) times days.
func (s *Statement) GBDays() float64 { return float64(s.Total) / 1e9 / 24 }

// Next is the receipt that follows last, which is nil for the first, when
// bytes are stored at now. Between two receipts the mean of both counts; after
// an empty one not more than an hour of it, since nobody looked in between.
func Next(last *Statement, giver, taker peers.DeviceID, bytes uint64, now int64) (Statement, error) {
	s := Statement{Giver: giver, Taker: taker, Seq: 1, From: now, To: now, Bytes: bytes}
	if last == nil {
		return s, s.Check()
	}
	if now < last.To {
		return s, fmt.Errorf("%w: the clock is behind the last receipt", ErrDiffers)
	}
	s.Seq, s.From = last.Seq+1, last.To
	secs := uint64(now - last.To)
	if last.Bytes == 0 {
		secs = min(secs, hour)
	}
	mean := last.Bytes/2 + bytes/2 + last.Bytes%2&(bytes%2)
	hi, lo := bits.Mul64(mean, secs)
	if hi >= hour {
		return s, errors.New("the sum of a receipt is too large")
	}
	more, _ := bits.Div64(hi, lo, hour)
	if more > maxTotal || last.Total > maxTotal-more {
		return s, errors.New("the sum of a receipt is too large")
	}
	s.Total = last.Total + more
	return s, s.Check()
}

// Agree tells whether a statement is what this side would sign: that which
// follows its last one, at about its time, with about its bytes.
func Agree(s, last *Statement, mine uint64, now int64) error {
	if last != nil && s.Seq <= last.Seq {
		return ErrBehind
	}
	if s.To < now-skew || s.To > now+skew {
		return fmt.Errorf("%w: the clocks are too far apart", ErrDiffers)
	}
	want, err := Next(last, s.Giver, s.Taker, s.Bytes, s.To)
	if err != nil {
		return err
	}
	if *s != want {
		return fmt.Errorf("%w: it does not follow the last receipt", ErrDiffers)
	}
	if d := max(s.Bytes, mine) - min(s.Bytes, mine); d > slack+max(s.Bytes, mine)/100 {
		return fmt.Errorf("%w: %d bytes there, %d bytes here", ErrDiffers, s.Bytes, mine)
	}
	return nil
}

// Pair is a statement that both signed.
type Pair struct {
	Statement
	Raw []byte
}

// pairMsg holds the two signed documents as they were made.
type pairMsg struct {
	Taker []byte `cbor:"1,keyasint"`
	Giver []byte `cbor:"2,keyasint"`
}

// Sign signs a statement for one side.
func Sign(key ed25519.PrivateKey, s Statement) ([]byte, error) {
	d, err := custody.Sign(key, s)
	if err != nil {
		return nil, err
	}
	return d.Raw, nil
}

// Read reads what one side signed, with the given key.
func Read(raw []byte, key []byte) (*Statement, error) {
	d, err := custody.Parse[Statement](raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if !bytes.Equal(d.Signer[:], key) {
		return nil, fmt.Errorf("%w: signed by another key", ErrFormat)
	}
	return &d.Body, nil
}

// Join puts both signatures together.
func Join(taker, giver []byte) ([]byte, error) {
	return custody.Marshal(pairMsg{taker, giver})
}

// ReadPair reads a receipt and checks both signatures, and that they are of
// one statement.
func ReadPair(raw, taker, giver []byte) (*Pair, error) {
	var m pairMsg
	if err := custody.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	a, err := Read(m.Taker, taker)
	if err != nil {
		return nil, err
	}
	b, err := Read(m.Giver, giver)
	if err != nil {
		return nil, err
	}
	if *a != *b {
		return nil, fmt.Errorf("%w: the two signed different things", ErrFormat)
	}
	return &Pair{*a, raw}, nil
}
