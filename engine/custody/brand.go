// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ReadTicket checks a grant and a package that arrived apart.
func ReadTicket(grant, pkg []byte) (*Ticket, error) {
	g, err := CheckGrant(grant)
	if err != nil {
		return nil, err
	}
	p, err := CheckPackage(pkg, g)
	if err != nil {
		return nil, err
	}
	return &Ticket{g, p}, nil
}

// Member is a device of a brand that asks. Secret.
type Member struct {
	Device ed25519.PrivateKey
	Cert   []byte // the organisation's certificate for it
	// Revoked is the organisation's list of revoked members; empty: none.
	Revoked []byte
}

// Opening is one request of a brand and the answers to it.
type Opening struct {
	Request *Signed[OpenRequest]

	ticket    *Ticket
	entry     *Entry
	ephemeral hpke.PrivateKey
	pads      map[int][32]byte
	releases  map[int][]byte
}

// Request asks for one file of a ticket, in the version that its package lists.
func (m *Member) Request(t *Ticket, file FileID, now int64) (*Opening, error) {
	var e *Entry
	for i := range t.Package.Body.Entries {
		if t.Package.Body.Entries[i].File == file {
			e = &t.Package.Body.Entries[i]
		}
	}
	if e == nil {
		return nil, errors.New("the ticket does not list that file")
	}
	eph, err := NewKEM()
	if err != nil {
		return nil, err
	}
	r := OpenRequest{
		Grant: t.Grant.Raw, Package: t.Package.Raw, File: file, Version: e.Version,
		Ephemeral: eph.PublicKey().Bytes(), At: now, Purpose: t.Grant.Body.Purpose, Cert: m.Cert, Members: m.Revoked,
	}
	rand.Read(r.ID[:])
	s, err := Sign(m.Device, r)
	if err != nil {
		return nil, err
	}
	return &Opening{Request: s, ticket: t, entry: e, ephemeral: eph, pads: map[int][32]byte{}, releases: map[int][]byte{}}, nil
}

// LiarError names a custodian whose pad is not the one the owner committed it
// to, under its signature: it lies, or its secret is damaged.
type LiarError struct {
	Index int // in the grant, from 0
	Name  Key
}

func (e *LiarError) Error() string {
	return fmt.Sprintf("custodian %d of the grant gave a wrong share", e.Index+1)
}

// Add takes in a release. A second one of the same custodian is ignored. A
// wrong pad is a *LiarError; anything that is not a release by a custodian of
// the grant for this request, ErrMalformed. Neither spoils the opening.
func (o *Opening) Add(raw []byte) error {
	r, err := CheckRelease(raw, o.ticket.Grant)
	if err != nil {
		return err
	}
	if r.Body.Request != o.Request.Hash {
		return malformed("a release of another request")
	}
	i := int(r.Body.Index)
	if _, ok := o.pads[i]; ok {
		return nil
	}
	pad, err := openWith(o.ephemeral, releaseInfo(r.Body.Request, i), r.Body.Sealed)
	if err != nil {
		return &LiarError{i, r.Signer}
	}
	got := commitment(i, o.entry.Version, o.ticket.Grant.Hash, o.entry.File, pad)
	if subtle.ConstantTimeCompare(got[:], o.entry.Commit[i][:]) != 1 {
		return &LiarError{i, r.Signer}
	}
	o.pads[i], o.releases[i] = pad, raw
	return nil
}

// Denied reads a custodian's signed refusal of this request.
func (o *Opening) Denied(raw []byte) (index int, why Reason, err error) {
	d, err := Parse[Denial](raw)
	if err != nil {
		return 0, "", err
	}
	g := &o.ticket.Grant.Body
	i := int(d.Body.Index)
	if d.Body.Request != o.Request.Hash || i >= len(g.Custodians) || g.Custodians[i] != d.Signer {
		return 0, "", malformed("a refusal of another request or by somebody else")
	}
	return i, d.Body.Reason, nil
}

// Have and Need are how many custodians agreed and how many must.
func (o *Opening) Have() int { return len(o.pads) }

// Need is how many custodians must agree.
func (o *Opening) Need() int { return int(o.ticket.Grant.Body.K) }

// SecondLock is the part of a version's key that the grantee's own X-Wing key
// gives, from the encapsulation in a package of the grant. Alone it opens
// nothing, and it is of use for that version alone.
func SecondLock(kem hpke.PrivateKey, g *Signed[Grant], enc []byte, f FileID, version uint64) ([]byte, error) {
	if sha256.Sum256(kem.PublicKey().Bytes()) != g.Body.GranteeKEM {
		return nil, errors.New("the grant is for another key")
	}
	info := append([]byte("preezm/v1/package"), g.Hash[:]...)
	rcpt, err := hpke.NewRecipient(enc, kem, hpke.HKDFSHA256(), hpke.ExportOnly(), info)
	if err != nil {
		return nil, errDamaged
	}
	return export(rcpt, f, version)
}

// Key gives the version's key, with the brand's own X-Wing key, once enough
// custodians agreed. A brand keeps it in memory only.
func (o *Opening) Key(kem hpke.PrivateKey) ([32]byte, error) {
	second, err := SecondLock(kem, o.ticket.Grant, o.ticket.Package.Body.Enc, o.entry.File, o.entry.Version)
	if err != nil {
		return [32]byte{}, err
	}
	defer clear(second)
	return o.Unlock(second)
}

// Unlock gives the version's key from the second lock, which it does not
// check: a wrong one leads to no key.
func (o *Opening) Unlock(second []byte) ([32]byte, error) {
	var zero [32]byte
	if o.Have() < o.Need() {
		return zero, fmt.Errorf("%d of %d custodians agreed", o.Have(), o.Need())
	}
	g := o.ticket.Grant
	shares := make(map[int][32]byte, len(o.pads))
	for i, pad := range o.pads {
		shares[i] = xor(o.entry.Corr[i], pad)
	}
	secret, err := join(int(g.Body.K), shares)
	if err != nil {
		return zero, err
	}
	k, err := kek(secret, second, g.Hash, o.entry)
	clear(secret)
	clear(shares)
	if err != nil {
		return zero, err
	}
	defer clear(k[:])
	return unwrap(k, o.entry.Wrapped, g.Hash)
}

// Forget clears what custodians released and the request's one-time key. The
// opening gives nothing after it.
func (o *Opening) Forget() {
	clear(o.pads)
	clear(o.releases)
	if o.ephemeral != nil {
		if seed, err := o.ephemeral.Bytes(); err == nil {
			clear(seed)
		}
		o.ephemeral = nil
	}
}

// kept is an opening as a brand writes it down.
type kept struct {
	Request   []byte   `cbor:"1,keyasint"`
	Ephemeral []byte   `cbor:"2,keyasint"`
	Releases  [][]byte `cbor:"3,keyasint"`
}

// Keep writes an opening down, so that the very same request can be repeated
// and does not count again. It holds the request's one-time key: secret.
func (o *Opening) Keep() ([]byte, error) {
	if o.ephemeral == nil {
		return nil, errors.New("keep a request: it was forgotten")
	}
	seed, err := o.ephemeral.Bytes()
	if err != nil {
		return nil, fmt.Errorf("keep a request: %w", err)
	}
	// The key may go on using these bytes: they are not cleared here.
	k := kept{Request: o.Request.Raw, Ephemeral: seed, Releases: [][]byte{}}
	for _, i := range slices.Sorted(maps.Keys(o.releases)) {
		k.Releases = append(k.Releases, o.releases[i])
	}
	return Marshal(k)
}

// Resume goes on with what Keep wrote. The request must be for what the ticket
// lists now, and by this device; else it is of no use any more.
func (m *Member) Resume(t *Ticket, raw []byte) (*Opening, error) {
	var k kept
	if err := Unmarshal(raw, &k); err != nil {
		return nil, err
	}
	r, err := Parse[OpenRequest](k.Request)
	if err != nil {
		return nil, err
	}
	e := t.Package.Body.entry(r.Body.File, r.Body.Version)
	if e == nil || r.Signer != KeyOf(m.Device) || !bytes.Equal(r.Body.Grant, t.Grant.Raw) || !bytes.Equal(r.Body.Package, t.Package.Raw) {
		return nil, malformed("a request for something else")
	}
	eph, err := openKEM(k.Ephemeral)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(eph.PublicKey().Bytes(), r.Body.Ephemeral) {
		return nil, malformed("a request with another one-time key")
	}
	o := &Opening{Request: r, ticket: t, entry: e, ephemeral: eph, pads: map[int][32]byte{}, releases: map[int][]byte{}}
	for _, rel := range k.Releases {
		if err := o.Add(rel); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// From reports whether a custodian, by its place in the grant, has agreed.
func (o *Opening) From(i int) bool {
	_, ok := o.pads[i]
	return ok
}

// Grant is the hash of the grant that the request is under.
func (o *Opening) Grant() Hash { return o.ticket.Grant.Hash }

// Entry is the package's entry that is being opened, with the manifest's hash.
func (o *Opening) Entry() Entry { return *o.entry }
