// SPDX-License-Identifier: MPL-2.0

// Package receipt is what a machine that keeps and the person it keeps for sign
// together: numbered, each with the sum of all before, so that the newest tells
// everything and both see the same. The person signs with the root, so each of
// their machines goes on where another ended. It computes and keeps nothing.
package receipt

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/bits"
	"time"

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

// Skew is how far the clocks of a pair may be apart.
const Skew = 10 * time.Minute

const (
	hour = 3600
	// maxTotal bounds the sum, in byte-hours: a petabyte for five centuries.
	maxTotal = 1 << 62
	// slack is how many bytes the two may see differently beside 1 %: pieces
	// on their way, and deletions that the keeper has not been told of.
	slack = 64 << 20
)

// Statement is what both sign.
type Statement struct {
	Giver [32]byte    `cbor:"1,keyasint"` // device that keeps
	Taker custody.Key `cbor:"2,keyasint"` // root of the person it keeps for
	Seq   uint64      `cbor:"3,keyasint"` // from 1
	From  int64       `cbor:"4,keyasint"` // Unix seconds; of the one before
	To    int64       `cbor:"5,keyasint"`
	Bytes uint64      `cbor:"6,keyasint"` // stored at To, by all machines of the taker
	Total uint64      `cbor:"7,keyasint"` // byte-hours, of all receipts up to this
}

// Type implements custody.Document.
func (Statement) Type() string { return "preezm/v2/storage-receipt" }

// Check implements custody.Document.
func (s Statement) Check() error {
	switch {
	case s.Seq == 0, s.Seq > 1<<62, s.From < 0, s.To < s.From, s.To > 253402300799:
		return errors.New("numbers or times of a receipt")
	case s.Bytes > 1<<60 || s.Total > maxTotal:
		return errors.New("sums of a receipt")
	}
	return nil
}

// GBDays is a sum as people read it: gigabytes (10^9) times days.
func (s *Statement) GBDays() float64 { return float64(s.Total) / 1e9 / 24 }

// Next is the receipt that follows last, which is nil for the first, when
// bytes are stored at now. Between two receipts the mean of both counts; after
// an empty one not more than an hour of it, since nobody looked in between.
func Next(last *Statement, giver peers.DeviceID, taker custody.Key, bytes uint64, now int64) (Statement, error) {
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
	if s.To < now-int64(Skew/time.Second) || s.To > now+int64(Skew/time.Second) {
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

// Newer says whether a pair goes on from a and not from b, which may be nil. Of
// one row that is the later. A row parts when a side was put back from an older
// copy: then the longer goes on, of equal ones the one that counts more, so that
// both sides and all machines of a person choose the same. Either counts each
// hour once.
func Newer(a, b *Pair) bool {
	return b == nil || cmp.Or(
		cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Total, b.Total), cmp.Compare(a.To, b.To), bytes.Compare(a.Raw, b.Raw)) > 0
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

// Read reads what a taker signed: the person that it names.
func Read(raw []byte) (*Statement, error) {
	d, err := custody.Parse[Statement](raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if d.Signer != d.Body.Taker {
		return nil, fmt.Errorf("%w: signed by another person", ErrFormat)
	}
	return &d.Body, nil
}

// Join puts both signatures together.
func Join(taker, giver []byte) ([]byte, error) {
	return custody.Marshal(pairMsg{taker, giver})
}

// ReadPair reads a receipt and checks both signatures, the giver's by the
// signing key of that device, and that they are of one statement.
func ReadPair(raw, giver []byte) (*Pair, error) {
	var m pairMsg
	if err := custody.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	s, err := Read(m.Taker)
	if err != nil {
		return nil, err
	}
	g, err := custody.Parse[Statement](m.Giver)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if !bytes.Equal(g.Signer[:], giver) {
		return nil, fmt.Errorf("%w: signed by another machine", ErrFormat)
	}
	if *s != g.Body {
		return nil, fmt.Errorf("%w: the two signed different things", ErrFormat)
	}
	return &Pair{*s, raw}, nil
}

// Reread is ReadPair for a receipt that was checked when it was kept, and for a
// look at what a receipt is about before its keys are known: it checks no
// signature.
func Reread(raw []byte) (*Pair, error) {
	var m pairMsg
	if err := custody.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	d, err := custody.Reread[Statement](m.Taker)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return &Pair{d.Body, raw}, nil
}
