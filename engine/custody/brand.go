// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
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
}

// Opening is one request of a brand and the answers to it.
type Opening struct {
	Request *Signed[OpenRequest]

	ticket    *Ticket
	entry     *Entry
	ephemeral hpke.PrivateKey
	pads      map[int][32]byte
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
		Ephemeral: eph.PublicKey().Bytes(), At: now, Purpose: t.Grant.Body.Purpose, Cert: m.Cert,
	}
	rand.Read(r.ID[:])
	s, err := Sign(m.Device, r)
	if err != nil {
		return nil, err
	}
	return &Opening{Request: s, ticket: t, entry: e, ephemeral: eph, pads: map[int][32]byte{}}, nil
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
	o.pads[i] = pad
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

// Key gives the version's key, with the brand's own X-Wing key, once enough
// custodians agreed. A brand keeps it in memory only.
func (o *Opening) Key(kem hpke.PrivateKey) ([32]byte, error) {
	var zero [32]byte
	if o.Have() < o.Need() {
		return zero, fmt.Errorf("%d of %d custodians agreed", o.Have(), o.Need())
	}
	g := o.ticket.Grant
	if sha256.Sum256(kem.PublicKey().Bytes()) != g.Body.GranteeKEM {
		return zero, errors.New("the grant is for another key")
	}
	shares := make(map[int][32]byte, len(o.pads))
	for i, pad := range o.pads {
		shares[i] = xor(o.entry.Corr[i], pad)
	}
	secret, err := join(int(g.Body.K), shares)
	if err != nil {
		return zero, err
	}
	info := append([]byte("preezm/v1/package"), g.Hash[:]...)
	rcpt, err := hpke.NewRecipient(o.ticket.Package.Body.Enc, kem, hpke.HKDFSHA256(), hpke.ExportOnly(), info)
	if err != nil {
		return zero, errDamaged
	}
	k, err := kek(secret, rcpt, g.Hash, o.entry)
	clear(secret)
	if err != nil {
		return zero, err
	}
	return unwrap(k, o.entry.Wrapped, g.Hash)
}

// Entry is the package's entry that is being opened, with the manifest's hash.
func (o *Opening) Entry() Entry { return *o.entry }
