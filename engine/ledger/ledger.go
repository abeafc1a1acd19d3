// SPDX-License-Identifier: MPL-2.0

// Package ledger is the record of who was given what, and when: one hash chain
// for each custodian and owner. A custodian appends before it answers; every
// release carries the head that includes it, so the brand, the owner and the
// other custodians hold heads that a rewritten log cannot match. It needs
// witnesses, not consensus: the custodians are known persons.
//
// The package is pure. [Log] makes entries, [Verify] checks a chain and names
// the first bad entry, [Refusals] keeps floods of refusals short, and a proof
// bundle ([WriteProof], [VerifyProof]) shows one grant's history to somebody
// who has nothing else. docs/formats.md describes all of it.
package ledger

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers/said"
)

// Kind says what an entry records.
type Kind string

// The kinds of entry.
const (
	Release Kind = "release"
	Refuse  Kind = "refuse"
	Revoke  Kind = "revoke"
	Erase   Kind = "erase" // the chain moved on; Detail is the first day still kept
	Begin   Kind = "begin" // the first entry of a log in the place of one that was lost
)

// maxDetail bounds an entry's text, in bytes.
const maxDetail = 512

// Entry is one line of a log. Signed with the custodian's own key, not with one
// the owner can derive: an owner cannot write a custodian's log.
type Entry struct {
	Seq     uint64         `cbor:"1,keyasint"` // from 1 on
	Prev    custody.Hash   `cbor:"2,keyasint"` // the head before this entry
	At      int64          `cbor:"3,keyasint"` // Unix seconds
	Kind    Kind           `cbor:"4,keyasint"`
	Grant   custody.Hash   `cbor:"5,keyasint"`
	Request custody.Hash   `cbor:"6,keyasint"`
	Device  custody.Key    `cbor:"7,keyasint"` // of the brand
	File    custody.FileID `cbor:"8,keyasint"`
	Version uint64         `cbor:"9,keyasint"`
	Detail  string         `cbor:"10,keyasint"`
}

// Type implements custody.Document.
func (Entry) Type() string { return "preezm/v1/log-entry" }

// Check implements custody.Document.
func (e Entry) Check() error {
	switch e.Kind {
	case Release, Refuse, Revoke, Erase, Begin:
	default:
		return errors.New("unknown kind")
	}
	if e.Kind == Begin && e.Seq > 1 {
		return errors.New("a beginning in the middle")
	}
	if e.Seq == 0 || e.At < 0 || len(e.Detail) > maxDetail {
		return errors.New("a field out of its range")
	}
	return nil
}

// Head is a custodian's statement of where its log stands. Signed with its key.
type Head struct {
	Owner custody.Key  `cbor:"1,keyasint"`
	Seq   uint64       `cbor:"2,keyasint"`
	Head  custody.Hash `cbor:"3,keyasint"`
	At    int64        `cbor:"4,keyasint"`
}

// Type implements custody.Document.
func (Head) Type() string { return "preezm/v1/log-head" }

// Check implements custody.Document.
func (h Head) Check() error {
	if h.At < 0 {
		return errors.New("a time before 1970")
	}
	return nil
}

// Log is the end of a chain: all a custodian needs to go on writing.
type Log struct {
	Owner     custody.Key
	Custodian custody.Key
	Seq       uint64
	Head      custody.Hash
}

// New begins the chain of a custodian for an owner. Its first head depends on
// both, so that no entry can be moved to another chain.
func New(owner, custodian custody.Key) Log {
	h := sha256.New()
	h.Write([]byte("preezm/v1/ledger/genesis"))
	h.Write(owner[:])
	h.Write(custodian[:])
	return Log{Owner: owner, Custodian: custodian, Head: custody.Hash(h.Sum(nil))}
}

// link is the next head. It takes the entry's hash, not the entry, so that a
// proof can leave out what entries about others say.
func link(head, entry custody.Hash) custody.Hash {
	h := sha256.New()
	h.Write([]byte("preezm/v1/ledger/link"))
	h.Write(head[:])
	h.Write(entry[:])
	return custody.Hash(h.Sum(nil))
}

// Append signs e as the next entry and returns the log with it. The caller
// makes the entry durable before it uses the new log or tells its head.
func (l Log) Append(key ed25519.PrivateKey, e Entry) (Log, *custody.Signed[Entry], error) {
	if custody.KeyOf(key) != l.Custodian {
		return l, nil, errors.New("append: not this log's key")
	}
	e.Seq, e.Prev = l.Seq+1, l.Head
	s, err := custody.Sign(key, e)
	if err != nil {
		return l, nil, err
	}
	l.Seq, l.Head = e.Seq, link(l.Head, s.Hash)
	return l, s, nil
}

// Sign states the log's head at a time.
func (l Log) Sign(key ed25519.PrivateKey, at int64) (*custody.Signed[Head], error) {
	return custody.Sign(key, Head{Owner: l.Owner, Seq: l.Seq, Head: l.Head, At: at})
}

// Released is the entry for a decision.
func Released(d *custody.Decision) Entry {
	e := about(d.Subject)
	e.At, e.Kind, e.Detail = d.At, Release, d.Label
	return e
}

func about(s custody.Subject) Entry {
	return Entry{Grant: s.Grant, Request: s.Request, Device: s.Device, File: s.File, Version: s.Version}
}

// Record is an entry as others get it: whole, or only its hash where it is
// none of their business.
type Record struct {
	Entry []byte       `cbor:"1,keyasint"` // the signed document; empty when left out
	Hash  custody.Hash `cbor:"2,keyasint"` // of the document
}

// Witness is a head that somebody was told: in a release, a gossiped head or an
// earlier copy of the log.
type Witness struct {
	Seq  uint64
	Head custody.Hash
}

// BadEntry is the first entry of a log that cannot be right. When a witness
// disagrees, or entries before it were left out, anything from First to Last
// may be what was changed.
type BadEntry struct {
	First, Last uint64
	Why         string
}

func (e *BadEntry) Error() string { return e.Said().Text }

// Said gives the sentence its code.
func (e *BadEntry) Said() said.Note {
	first, last := strconv.FormatUint(e.First, 10), strconv.FormatUint(e.Last, 10)
	if e.First == e.Last {
		return said.As("bad-entry", "entry {number}: {reason}", "number", first, "reason", e.Why)
	}
	return said.As("bad-entries", "entries {number} to {end}: {reason}", "number", first, "end", last, "reason", e.Why)
}

func bad(seq uint64, format string, args ...any) error {
	return &BadEntry{seq, seq, fmt.Sprintf(format, args...)}
}

// Verify checks a whole chain from its beginning, and against all heads that
// were witnessed, and returns its end. The error is a *BadEntry.
func Verify(owner, custodian custody.Key, records []Record, witnesses ...Witness) (Log, error) {
	return VerifyFrom(New(owner, custodian), records, witnesses...)
}

// VerifyFrom is Verify for the records behind the end l of a part that was
// verified before. Witnesses of that part are passed over.
func VerifyFrom(l Log, records []Record, witnesses ...Witness) (Log, error) {
	seen := make(map[uint64][]custody.Hash, len(witnesses))
	for _, w := range witnesses {
		seen[w.Seq] = append(seen[w.Seq], w.Head)
	}
	good := l.Seq  // the last entry that a witness confirmed
	whole := l.Seq // the last entry that was there whole
	for _, r := range records {
		seq := l.Seq + 1
		e, err := check(l, r)
		switch {
		case errors.Is(err, errFollow):
			// It may as well be the hash of one that was left out.
			return l, &BadEntry{max(good, whole) + 1, seq, err.Error()}
		case err != nil:
			return l, bad(seq, "%v", err)
		case e != nil:
			whole = seq
		}
		l.Seq, l.Head = seq, link(l.Head, r.Hash)
		for _, h := range seen[seq] {
			if h != l.Head {
				return l, &BadEntry{good + 1, seq, "differs from what the custodian told before"}
			}
			good = seq
		}
	}
	for _, w := range witnesses {
		if w.Seq > l.Seq {
			return l, &BadEntry{l.Seq + 1, w.Seq, "missing, though the custodian told of them before"}
		}
	}
	return l, nil
}

var errFollow = errors.New("does not follow the one before it")

// check reads a record that must come next after l; nil when it is left out.
func check(l Log, r Record) (*Entry, error) {
	if len(r.Entry) == 0 {
		return nil, nil
	}
	s, err := custody.Parse[Entry](r.Entry)
	switch {
	case err != nil:
		return nil, err
	case s.Hash != r.Hash:
		return nil, errors.New("is listed under another hash")
	case s.Signer != l.Custodian:
		return nil, errors.New("is signed by somebody else")
	case s.Body.Seq != l.Seq+1:
		return nil, fmt.Errorf("has the number %d", s.Body.Seq)
	case s.Body.Prev != l.Head:
		return nil, errFollow
	}
	return &s.Body, nil
}

// NewRecord is the record of a signed entry.
func NewRecord(s *custody.Signed[Entry]) Record { return Record{Entry: s.Raw, Hash: s.Hash} }

// Begins says whether records are those of a log in the place of a lost one.
func Begins(records []Record) bool {
	if len(records) == 0 {
		return false
	}
	s, err := custody.Parse[Entry](records[0].Entry)
	return err == nil && s.Body.Kind == Begin
}

// Redact leaves out every entry about another grant, but that a log begins anew.
func Redact(records []Record, grant custody.Hash) []Record {
	out := make([]Record, len(records))
	for i, r := range records {
		out[i].Hash = r.Hash
		if s, err := custody.Parse[Entry](r.Entry); err == nil && (s.Body.Grant == grant || s.Body.Kind == Begin) {
			out[i].Entry = r.Entry
		}
	}
	return out
}
