// SPDX-License-Identifier: MPL-2.0

package ticket

import (
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

const (
	// Prefix begins the text of every ticket.
	Prefix = "preezm-ticket1-"
	// MaxText bounds a ticket's text, in bytes.
	MaxText = 32 << 20
)

// ErrTicket: a text is no ticket, or was damaged on its way.
var ErrTicket = said.Error("ticket", "is not a Preezm ticket, or was damaged")

// Ticket is all that a brand gets: grant and package, the sealed manifests in
// the order of the package's entries, and for each gateway of the grant, in
// order, its sealed plan.
type Ticket struct {
	*custody.Ticket
	Manifests [][]byte
	Plans     [][]byte
	Names     []byte // sealed to the brand; see SealNames
}

type text struct {
	Grant     []byte   `cbor:"1,keyasint"`
	Package   []byte   `cbor:"2,keyasint"`
	Manifests [][]byte `cbor:"3,keyasint"`
	Plans     [][]byte `cbor:"4,keyasint"`
	Names     []byte   `cbor:"5,keyasint"`
	Check     [4]byte  `cbor:"6,keyasint"`
}

// digest finds damage of mail programs; signatures and seals find forgery.
func (t text) digest() (sum [4]byte) {
	h := sha256.New()
	for _, l := range [][][]byte{{t.Grant, t.Package, t.Names}, t.Manifests, t.Plans} {
		for _, b := range l {
			s := sha256.Sum256(b)
			h.Write(s[:])
		}
	}
	copy(sum[:], h.Sum(nil))
	return sum
}

// Text writes the ticket as one line.
func (t *Ticket) Text() (string, error) {
	w := text{Grant: t.Grant.Raw, Package: t.Package.Raw, Manifests: t.Manifests, Plans: t.Plans, Names: t.Names}
	w.Check = w.digest()
	b, err := cbor.Marshal(w)
	if err != nil {
		return "", fmt.Errorf("write a ticket: %w", err)
	}
	line := Prefix + base64.RawURLEncoding.EncodeToString(b)
	if len(line) > MaxText {
		return "", fmt.Errorf("the ticket has %d bytes, more than %d: grant fewer files at once", len(line), MaxText)
	}
	return line, nil
}

// Parse reads what Text wrote, ignoring white space, and checks that its
// parts belong together.
func Parse(line string) (*Ticket, error) {
	if len(line) > MaxText+MaxText/16 {
		return nil, fmt.Errorf("this text of %d bytes %w", len(line), ErrTicket)
	}
	body, ok := strings.CutPrefix(strings.Join(strings.Fields(line), ""), Prefix)
	if !ok {
		return nil, fmt.Errorf("this text %w: it does not begin with %s", ErrTicket, Prefix)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return nil, fmt.Errorf("this text %w", ErrTicket)
	}
	dec, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, MaxNestedLevels: 4, MaxArrayElements: maxList, MaxMapPairs: 16,
	}.DecMode()
	if err != nil {
		return nil, fmt.Errorf("CBOR decoder: %w", err)
	}
	var w text
	if err := dec.Unmarshal(b, &w); err != nil || w.Check != w.digest() {
		return nil, fmt.Errorf("this text %w", ErrTicket)
	}
	t, err := custody.ReadTicket(w.Grant, w.Package)
	if err != nil {
		return nil, err
	}
	if len(w.Manifests) != len(t.Package.Body.Entries) || len(w.Plans) != len(t.Grant.Body.Gateways) {
		return nil, fmt.Errorf("this text %w: parts are missing", ErrTicket)
	}
	for i, e := range t.Package.Body.Entries {
		if sha256.Sum256(w.Manifests[i]) != e.Manifest {
			return nil, fmt.Errorf("this text %w: a manifest is another one", ErrTicket)
		}
	}
	return &Ticket{Ticket: t, Manifests: w.Manifests, Plans: w.Plans, Names: w.Names}, nil
}

// ShortID is how people write a grant: the first bytes of its ID.
func ShortID(id [16]byte) string { return fmt.Sprintf("g-%x", id[:4]) }

func planInfo(grant custody.Hash, gateway peers.DeviceID) []byte {
	b := append([]byte("preezm/v1/serving-plan"), grant[:]...)
	return append(b, gateway[:]...)
}

// SealPlan seals a signed plan to the gateway's X-Wing key.
func SealPlan(p *custody.Signed[Plan], kem []byte) ([]byte, error) {
	if len(p.Raw) > maxPlan {
		return nil, fmt.Errorf("the files of this grant lie in too many places (%d bytes of plan, at most %d): grant fewer or smaller files at once", len(p.Raw), maxPlan)
	}
	pk, err := hpke.MLKEM768X25519().NewPublicKey(kem)
	if err != nil {
		return nil, fmt.Errorf("the gateway's key: %w", err)
	}
	b, err := hpke.Seal(pk, hpke.HKDFSHA256(), hpke.AES256GCM(), planInfo(p.Body.Grant, p.Body.Gateway), p.Raw)
	if err != nil {
		return nil, fmt.Errorf("seal a plan: %w", err)
	}
	return b, nil
}

// OpenPlan opens the plan that a device of the grant's owner sealed to gateway. It
// need not be the one that signed the grant, which may be gone by now. Whether it
// still is the owner's is for those to say who know the owner's device set.
func OpenPlan(sealed []byte, kem hpke.PrivateKey, g *custody.Signed[custody.Grant], gateway peers.DeviceID) (*custody.Signed[Plan], error) {
	raw, err := hpke.Open(kem, hpke.HKDFSHA256(), hpke.AES256GCM(), planInfo(g.Hash, gateway), sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: the plan is not for this gateway", custody.ErrMalformed)
	}
	p, err := custody.Parse[Plan](raw)
	if err != nil {
		return nil, err
	}
	if p.Body.Grant != g.Hash || p.Body.Gateway != gateway {
		return nil, fmt.Errorf("%w: the plan is of another grant or for another gateway", custody.ErrMalformed)
	}
	c, err := custody.Parse[custody.DeviceCert](p.Body.Cert)
	if err != nil {
		return nil, err
	}
	// Like a package it has no date: some time of the grant will do.
	at := max(g.Body.IssuedAt, c.Body.NotBefore)
	if _, err := custody.Certified(p.Body.Cert, g.Body.Owner, p.Signer, custody.OwnerDevice, at); err != nil || at >= g.Body.NotAfter {
		return nil, fmt.Errorf("%w: the plan is not by a device of the grant's owner", custody.ErrMalformed)
	}
	return p, nil
}

// Names tells a brand, before it opens anything, which files a grant is about.
// Signed by the owner's device, in the order of the package's entries.
type Names struct {
	Grant custody.Hash `cbor:"1,keyasint"`
	Names []string     `cbor:"2,keyasint"`
	Sizes []int64      `cbor:"3,keyasint"`
}

// Type implements custody.Document.
func (Names) Type() string { return "preezm/v1/granted-names" }

// Check implements custody.Document.
func (n Names) Check() error {
	if len(n.Names) > custody.MaxFiles || len(n.Sizes) != len(n.Names) {
		return errCount
	}
	for _, s := range n.Names {
		if s == "" || len(s) > maxName {
			return errField
		}
	}
	return nil
}

func namesInfo(grant custody.Hash) []byte {
	return append([]byte("preezm/v1/granted-names"), grant[:]...)
}

// SealNames seals signed names to the brand's X-Wing key.
func SealNames(n *custody.Signed[Names], kem []byte) ([]byte, error) {
	pk, err := hpke.MLKEM768X25519().NewPublicKey(kem)
	if err != nil {
		return nil, fmt.Errorf("the brand's key: %w", err)
	}
	b, err := hpke.Seal(pk, hpke.HKDFSHA256(), hpke.AES256GCM(), namesInfo(n.Body.Grant), n.Raw)
	if err != nil {
		return nil, fmt.Errorf("seal names: %w", err)
	}
	return b, nil
}

// UnsealNames opens the names with the brand's key, for ReadNames: a brand may
// have machines that lack this key.
func (t *Ticket) UnsealNames(kem hpke.PrivateKey) ([]byte, error) {
	raw, err := hpke.Open(kem, hpke.HKDFSHA256(), hpke.AES256GCM(), namesInfo(t.Grant.Hash), t.Names)
	if err != nil {
		return nil, fmt.Errorf("%w: the ticket is for another brand", custody.ErrMalformed)
	}
	return raw, nil
}

// ReadNames checks that signed names are those of this ticket.
func (t *Ticket) ReadNames(raw []byte) (*Names, error) {
	n, err := custody.Parse[Names](raw)
	if err != nil {
		return nil, err
	}
	if n.Signer != t.Grant.Signer || n.Body.Grant != t.Grant.Hash || len(n.Body.Names) != len(t.Package.Body.Entries) {
		return nil, fmt.Errorf("%w: names of another grant", custody.ErrMalformed)
	}
	return &n.Body, nil
}
