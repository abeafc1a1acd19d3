// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// Owner is what an owner's device needs to make grants. Secret.
type Owner struct {
	Custody [32]byte           // leads to every custodian's chain
	Device  ed25519.PrivateKey // this device's signing key
	Cert    []byte             // the root's certificate for it
}

// Terms are what an owner decides about a grant. Times are Unix seconds.
type Terms struct {
	Grantee      Key
	GranteeKEM   []byte // the brand's X-Wing public key
	NotBefore    int64
	NotAfter     int64
	K            int // custodians that must agree; 0: a majority
	Custodians   []Seat
	Generation   uint32
	MaxOpens     uint32
	StatusMaxAge int64
	Follow       bool
	Purpose      string
	Consent      Hash
	Files        []FileID
	Gateways     []Gateway
}

// Item is a version to be granted: Key opens it, Manifest is the hash by which
// the brand will know it.
type Item struct {
	File     FileID
	Version  uint64
	Manifest Hash
	Key      [32]byte
}

// Majority is the usual k for n custodians. Beyond half, the same opening
// cannot be had twice from two groups, so that "once" is once.
func Majority(n int) int { return n/2 + 1 }

// holder is a custodian's part in one grant as the owner derives it.
type holder struct {
	day  dayKey
	name Key
	box  Key
}

// holders derives the custodians' keys in a grant and sorts by name, so that
// a custodian's position says nothing about which one it is.
func (o *Owner) holders(id [16]byte, notAfter int64, generation uint32, seats []Seat) ([]holder, error) {
	hs := make([]holder, len(seats))
	for i, seat := range seats {
		e, err := NewChain(o.Custody, seat, generation).expiry(ExpiryDay(notAfter))
		if err != nil {
			return nil, err
		}
		box, err := e.mailbox(id)
		if err != nil {
			return nil, err
		}
		hs[i] = holder{day: e, name: KeyOf(e.pseudonym(id))}
		copy(hs[i].box[:], box.PublicKey().Bytes())
	}
	slices.SortFunc(hs, func(a, b holder) int { return bytes.Compare(a.name[:], b.name[:]) })
	return hs, nil
}

// Grant makes and signs a grant. No custodian need be reachable, now or later.
func (o *Owner) Grant(now int64, t Terms) (*Signed[Grant], error) {
	cert, err := Parse[DeviceCert](o.Cert)
	if err != nil {
		return nil, fmt.Errorf("this device's certificate: %w", err)
	}
	g := Grant{
		Owner: cert.Body.Root, Grantee: t.Grantee, GranteeKEM: sha256.Sum256(t.GranteeKEM),
		IssuedAt: now, NotBefore: t.NotBefore, NotAfter: t.NotAfter, K: uint8(t.K),
		Generation: t.Generation, MaxOpens: t.MaxOpens, StatusMaxAge: t.StatusMaxAge,
		Follow: t.Follow, Purpose: t.Purpose, Consent: t.Consent,
		Files: slices.Clone(t.Files), Cert: o.Cert, Gateways: t.Gateways, Notice: Notice,
	}
	if _, err := hpke.MLKEM768X25519().NewPublicKey(t.GranteeKEM); err != nil {
		return nil, malformed("the brand's key: %w", err)
	}
	if n := len(t.Custodians); n == 0 || n > MaxCustodians || t.K < 0 || t.K > n {
		return nil, fmt.Errorf("%d of %d custodians cannot decide", t.K, n)
	}
	if t.K == 0 {
		g.K = uint8(Majority(len(t.Custodians)))
	}
	slices.SortFunc(g.Files, compareFiles)
	g.Files = slices.Compact(g.Files)
	rand.Read(g.ID[:])
	hs, err := o.holders(g.ID, g.NotAfter, g.Generation, t.Custodians)
	if err != nil {
		return nil, err
	}
	for _, h := range hs {
		g.Custodians = append(g.Custodians, h.name)
		g.Mailboxes = append(g.Mailboxes, h.box)
	}
	return Sign(o.Device, g)
}

// Package locks the items for a grant's brand and custodians. Every call draws
// all its secrets anew, also for a version that an earlier package listed. A
// grant that does not follow has one package, with sequence number 1.
func (o *Owner) Package(g *Signed[Grant], seats []Seat, granteeKEM []byte, seq uint64, items []Item) (*Signed[KeyPackage], error) {
	if seq == 0 || (!g.Body.Follow && seq != 1) {
		return nil, errors.New("this grant is pinned to its first package")
	}
	if sha256.Sum256(granteeKEM) != g.Body.GranteeKEM {
		return nil, errors.New("that is not the key of the grant's brand")
	}
	pk, err := hpke.MLKEM768X25519().NewPublicKey(granteeKEM)
	if err != nil {
		return nil, malformed("the brand's key: %w", err)
	}
	hs, err := o.holders(g.Body.ID, g.Body.NotAfter, g.Body.Generation, seats)
	if err != nil {
		return nil, err
	}
	if !slices.EqualFunc(hs, g.Body.Custodians, func(h holder, k Key) bool { return h.name == k }) {
		return nil, errors.New("those are not the grant's custodians")
	}
	info := append([]byte("preezm/v1/package"), g.Hash[:]...)
	enc, sender, err := hpke.NewSender(pk, hpke.HKDFSHA256(), hpke.ExportOnly(), info)
	if err != nil {
		return nil, fmt.Errorf("start a package: %w", err)
	}
	p := KeyPackage{Grant: g.Hash, Seq: seq, Enc: enc, Cert: o.Cert, Entries: make([]Entry, len(items))}
	for i, it := range items {
		if p.Entries[i], err = lock(g, hs, sender, it); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(p.Entries, func(a, b Entry) int { return compareFiles(a.File, b.File) })
	if !p.fits(&g.Body) {
		return nil, errors.New("a file is not part of the grant")
	}
	s, err := Sign(o.Device, p)
	if err != nil {
		return nil, err
	}
	if len(s.Raw) > MaxPackage {
		return nil, fmt.Errorf("the package has %d bytes, more than %d: grant fewer files at once", len(s.Raw), MaxPackage)
	}
	return s, nil
}

func lock(g *Signed[Grant], hs []holder, hp exporter, it Item) (Entry, error) {
	e := Entry{File: it.File, Version: it.Version, Manifest: it.Manifest}
	rand.Read(e.Salt[:])
	secret, shares, err := split(int(g.Body.K), len(hs))
	if err != nil {
		return e, err
	}
	for i, h := range hs {
		pad := h.day.pad(g.Hash, e.File, e.Version, e.Salt)
		e.Corr = append(e.Corr, xor(shares[i], pad))
		e.Commit = append(e.Commit, commitment(i, e.Version, g.Hash, e.File, pad))
	}
	second, err := export(hp, e.File, e.Version)
	if err != nil {
		return e, err
	}
	key, err := kek(secret, second, g.Hash, &e)
	if err != nil {
		return e, err
	}
	e.Wrapped, err = wrap(key, it.Key, g.Hash)
	clear(secret)
	clear(second)
	clear(shares)
	return e, err
}

// Extend makes a new grant on the terms of an old one, under the same consent,
// that ends at notAfter. It needs a package of its own; the old grant stays as
// it is. The seats may be others: so a grant is carried over to a new circle
// or a new generation.
func (o *Owner) Extend(now int64, g *Signed[Grant], granteeKEM []byte, seats []Seat, generation uint32, notAfter int64) (*Signed[Grant], error) {
	b := &g.Body
	k := int(b.K)
	if len(seats) != len(b.Custodians) {
		k = 0
	}
	if sha256.Sum256(granteeKEM) != b.GranteeKEM {
		return nil, errors.New("that is not the key of the grant's brand")
	}
	return o.Grant(now, Terms{
		Grantee: b.Grantee, GranteeKEM: granteeKEM, NotBefore: b.NotBefore, NotAfter: notAfter,
		K: k, Custodians: seats, Generation: generation, MaxOpens: b.MaxOpens,
		StatusMaxAge: b.StatusMaxAge, Follow: b.Follow, Purpose: b.Purpose,
		Consent: b.Consent, Files: b.Files, Gateways: b.Gateways,
	})
}

// Revoke ends a grant. It is certain once all but k-1 custodians know.
func (o *Owner) Revoke(grant Hash, now int64, reason string) (*Signed[Revocation], error) {
	return Sign(o.Device, Revocation{Grant: grant, At: now, Reason: reason, Cert: o.Cert})
}

// RevocationQuorum is how many custodians must know a revocation before no k
// others are left to open: n-k+1.
func RevocationQuorum(g *Grant) int { return len(g.Custodians) - int(g.K) + 1 }

// Status makes a heartbeat that carries the state of all revocations.
func (o *Owner) Status(seq uint64, now int64, revoked []Hash) (*Signed[OwnerStatus], error) {
	cert, err := Parse[DeviceCert](o.Cert)
	if err != nil {
		return nil, fmt.Errorf("this device's certificate: %w", err)
	}
	return Sign(o.Device, OwnerStatus{Owner: cert.Body.Root, Seq: seq, At: now, Revs: RevocationsHash(revoked), Cert: o.Cert})
}

// RevocationsHash is the hash of a set of revoked grants, whatever the order
// in which they were heard.
func RevocationsHash(grants []Hash) Hash {
	s := slices.Clone(grants)
	slices.SortFunc(s, func(a, b Hash) int { return bytes.Compare(a[:], b[:]) })
	h := sha256.New()
	h.Write([]byte("preezm/v1/revocations"))
	for _, g := range slices.Compact(s) {
		h.Write(g[:])
	}
	return Hash(h.Sum(nil))
}
