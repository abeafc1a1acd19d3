// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Limits of a grant. They keep a ticket of one request under MaxDocument and a
// custodian's work small.
const (
	MaxCustodians = 16
	MaxFiles      = 1024             // of a grant
	MaxGateways   = 8                // of a grant
	MaxGrantTime  = 10 * 366 * 86400 // seconds from issue to end
	// MaxPackage leaves room for the grant and the certificates in a request.
	MaxPackage = MaxDocument - 128<<10

	maxText = 512  // bytes of a label, purpose, reason or address
	MaxKept = 4096 // documents that a device set keeps
	maxCert = 2048

	encSize = 1120 // an X-Wing encapsulation
	kemSize = 1216 // an X-Wing public key
	tagSize = 16
)

// Role says what a certified device may sign for its root.
type Role string

// The roles of device certificates.
const (
	OwnerDevice Role = "owner-device" // grants, packages, revocations, status
	OrgMember   Role = "org-member"   // open-requests of an organisation
)

// DeviceCert: Root lets Device sign for it. Signed by Root. Times are Unix
// seconds; the certificate is valid in [NotBefore, NotAfter).
type DeviceCert struct {
	Root      Key    `cbor:"1,keyasint"`
	Device    Key    `cbor:"2,keyasint"`
	Role      Role   `cbor:"3,keyasint"`
	Label     string `cbor:"4,keyasint"` // what people read, e.g. "claims desk 2"
	NotBefore int64  `cbor:"5,keyasint"`
	NotAfter  int64  `cbor:"6,keyasint"`
}

// DeviceSet is the owner's present list of devices. Signed by the root. Kept
// are the hashes of grants and packages signed by removed devices that stay
// good; everything else those signed is refused, so a thief cannot date a
// grant back.
type DeviceSet struct {
	Root    Key    `cbor:"1,keyasint"`
	Epoch   uint64 `cbor:"2,keyasint"`
	Devices []Key  `cbor:"3,keyasint"`
	Kept    []Hash `cbor:"4,keyasint"`
	At      int64  `cbor:"5,keyasint"`
}

// Appointment hands a custodian its chain. Signed by the root; Sealed is HPKE
// to the custodian.
type Appointment struct {
	Owner      Key      `cbor:"1,keyasint"`
	Custodian  Seat     `cbor:"2,keyasint"`
	Generation uint32   `cbor:"3,keyasint"`
	Epoch      uint32   `cbor:"4,keyasint"` // the day of the sealed chain key
	Sealed     []byte   `cbor:"5,keyasint"`
	Roles      []string `cbor:"6,keyasint"`
	At         int64    `cbor:"7,keyasint"`
}

// Gateway is a keeper that is willing to be seen by a brand.
type Gateway struct {
	Device    [32]byte `cbor:"1,keyasint"` // its device ID
	Addresses []string `cbor:"2,keyasint"`
}

// Grant lets Grantee open Files in [NotBefore, NotAfter), to the second.
// Signed by an owner device, whose certificate it carries. Custodians are known
// by a key each that means nothing outside this grant, in ascending order.
type Grant struct {
	ID           [16]byte  `cbor:"1,keyasint"`
	Owner        Key       `cbor:"2,keyasint"`
	Grantee      Key       `cbor:"3,keyasint"`
	GranteeKEM   Hash      `cbor:"4,keyasint"` // SHA-256 of the brand's X-Wing public key
	IssuedAt     int64     `cbor:"5,keyasint"`
	NotBefore    int64     `cbor:"6,keyasint"`
	NotAfter     int64     `cbor:"7,keyasint"`
	K            uint8     `cbor:"8,keyasint"`
	Custodians   []Key     `cbor:"9,keyasint"`
	Generation   uint32    `cbor:"10,keyasint"`
	MaxOpens     uint32    `cbor:"11,keyasint"` // of each version; 0: no limit
	StatusMaxAge int64     `cbor:"12,keyasint"` // seconds; 0: no heartbeat asked for
	Follow       bool      `cbor:"13,keyasint"` // later packages may replace versions
	Purpose      string    `cbor:"14,keyasint"`
	Consent      Hash      `cbor:"15,keyasint"`
	Files        []FileID  `cbor:"16,keyasint"` // ascending
	Cert         []byte    `cbor:"17,keyasint"` // of the signing device
	Gateways     []Gateway `cbor:"18,keyasint"`
	Mailboxes    []Key     `cbor:"19,keyasint"` // X25519, one for each custodian
	Notice       string    `cbor:"20,keyasint"` // what the grant does not prevent; see Notice
}

// Notice is what every grant says of itself, in English and in French: a part
// of what its owner signs and its brand receives.
const Notice = NoticeEN + "\n" + NoticeFR

// The notice by language.
const (
	NoticeEN = "After this date the company can no longer open it here. If the company opened it before, it may have kept a copy: whoever opened a document may have copied it. Each opening is shown to the owner."
	NoticeFR = "Après cette date, l'organisme ne pourra plus l'ouvrir ici. Si l'organisme l'a déjà ouvert, il a pu en garder une copie : qui a ouvert un document a pu le copier. Chaque ouverture est montrée au propriétaire."
)

// Entry holds what one version needs beside the pads.
type Entry struct {
	File     FileID     `cbor:"1,keyasint"`
	Version  uint64     `cbor:"2,keyasint"`
	Manifest Hash       `cbor:"3,keyasint"`
	Corr     [][32]byte `cbor:"4,keyasint"` // share XOR pad, by custodian
	Commit   []Hash     `cbor:"5,keyasint"` // to each pad
	Wrapped  [48]byte   `cbor:"6,keyasint"`
	Salt     [16]byte   `cbor:"7,keyasint"`
}

// KeyPackage carries the locked keys of a grant's versions. Signed by an owner
// device. The newest one (highest Seq, from 1 on) says what may be opened.
type KeyPackage struct {
	Grant   Hash    `cbor:"1,keyasint"`
	Seq     uint64  `cbor:"2,keyasint"`
	Enc     []byte  `cbor:"3,keyasint"`
	Entries []Entry `cbor:"4,keyasint"` // ascending by file, one version each
	Cert    []byte  `cbor:"5,keyasint"`
}

// Revocation ends a grant at once and for ever. Signed by an owner device.
type Revocation struct {
	Grant  Hash   `cbor:"1,keyasint"`
	At     int64  `cbor:"2,keyasint"`
	Reason string `cbor:"3,keyasint"`
	Cert   []byte `cbor:"4,keyasint"`
}

// OwnerStatus is the owner's heartbeat, with the hash of all revocations.
// Signed by an owner device.
type OwnerStatus struct {
	Owner Key    `cbor:"1,keyasint"`
	Seq   uint64 `cbor:"2,keyasint"`
	At    int64  `cbor:"3,keyasint"`
	Revs  Hash   `cbor:"4,keyasint"`
	Cert  []byte `cbor:"5,keyasint"`
}

// OpenRequest asks for one version. Signed by a device of the grantee. Ephemeral
// is an X-Wing public key made for this request alone.
type OpenRequest struct {
	Grant     []byte   `cbor:"1,keyasint"`
	Package   []byte   `cbor:"2,keyasint"`
	File      FileID   `cbor:"3,keyasint"`
	Version   uint64   `cbor:"4,keyasint"`
	ID        [16]byte `cbor:"5,keyasint"`
	Ephemeral []byte   `cbor:"6,keyasint"`
	At        int64    `cbor:"7,keyasint"`
	Purpose   string   `cbor:"8,keyasint"`
	Cert      []byte   `cbor:"9,keyasint"`
	Members   []byte   `cbor:"10,keyasint"` // the grantee's list of revoked members; empty: it has none
}

// Release is a custodian's yes, and the receipt of it. Signed with the
// custodian's key in the grant. LogHead is the custodian's log with this
// release in it.
type Release struct {
	Request Hash   `cbor:"1,keyasint"`
	Index   uint8  `cbor:"2,keyasint"` // position in Grant.Custodians, from 0
	Sealed  []byte `cbor:"3,keyasint"`
	At      int64  `cbor:"4,keyasint"`
	LogSeq  uint64 `cbor:"5,keyasint"`
	LogHead Hash   `cbor:"6,keyasint"`
}

// The type strings. They are inside every signature and never change.
func (DeviceCert) Type() string  { return "preezm/v1/device-cert" }
func (DeviceSet) Type() string   { return "preezm/v1/device-set" }
func (Appointment) Type() string { return "preezm/v1/appointment" }
func (Grant) Type() string       { return "preezm/v2/grant" }
func (KeyPackage) Type() string  { return "preezm/v1/key-package" }
func (Revocation) Type() string  { return "preezm/v1/revocation" }
func (OwnerStatus) Type() string { return "preezm/v1/owner-status" }
func (OpenRequest) Type() string { return "preezm/v2/open-request" }
func (Release) Type() string     { return "preezm/v1/release" }

var (
	errTime  = errors.New("times out of order")
	errLong  = errors.New("a field is too long")
	errCount = errors.New("too few or too many parts")
	errOrder = errors.New("a list is not in ascending order")
)

// maxTime is the last second of the year 9999: sums of two times stay far from
// overflowing.
const maxTime = 253402300799

func goodTime(ts ...int64) bool {
	return !slices.ContainsFunc(ts, func(t int64) bool { return t < 0 || t > maxTime })
}

func goodText(ss ...string) bool {
	return !slices.ContainsFunc(ss, func(s string) bool { return len(s) > maxText })
}

// ascending reports whether the keys rise strictly, so that none repeats.
func ascending[T any](list []T, key func(T) []byte) bool {
	for i := 1; i < len(list); i++ {
		if bytes.Compare(key(list[i-1]), key(list[i])) >= 0 {
			return false
		}
	}
	return true
}

// Check implements Document.
func (c DeviceCert) Check() error {
	switch {
	case c.Role != OwnerDevice && c.Role != OrgMember:
		return errors.New("unknown role")
	case !goodText(c.Label):
		return errLong
	case !goodTime(c.NotBefore, c.NotAfter) || c.NotBefore >= c.NotAfter:
		return errTime
	}
	return nil
}

// Check implements Document.
func (s DeviceSet) Check() error {
	switch {
	case len(s.Devices) > 256 || len(s.Kept) > MaxKept:
		return errCount
	case !goodTime(s.At):
		return errTime
	}
	return nil
}

// Check implements Document.
func (a Appointment) Check() error {
	switch {
	case len(a.Sealed) != encSize+32+tagSize:
		return errors.New("the sealed chain has another length")
	case len(a.Roles) == 0 || len(a.Roles) > 8:
		return errCount
	case !goodText(a.Roles...):
		return errLong
	case !goodTime(a.At):
		return errTime
	case a.Epoch < FirstDay || a.Epoch > lastDay:
		return errDay
	}
	return nil
}

// Check implements Document.
func (g Grant) Check() error {
	n := len(g.Custodians)
	switch {
	case !goodTime(g.IssuedAt, g.NotBefore, g.NotAfter, g.StatusMaxAge):
		return errTime
	case g.NotBefore >= g.NotAfter || g.IssuedAt >= g.NotAfter || g.NotAfter-g.IssuedAt > MaxGrantTime:
		return errTime
	case n > MaxCustodians || g.K < 1 || int(g.K) > n:
		return fmt.Errorf("%d of %d custodians cannot decide", g.K, n)
	case len(g.Mailboxes) != n || len(g.Files) == 0 || len(g.Files) > MaxFiles || len(g.Gateways) > MaxGateways:
		return errCount
	case len(g.Cert) > maxCert || !goodText(g.Purpose, g.Notice):
		return errLong
	case g.Notice == "":
		return errors.New("it does not say what it cannot prevent")
	case !ascending(g.Custodians, func(k Key) []byte { return k[:] }),
		!ascending(g.Files, func(f FileID) []byte { return f[:] }):
		return errOrder
	}
	for _, gw := range g.Gateways {
		if len(gw.Addresses) > 16 || !goodText(gw.Addresses...) {
			return errLong
		}
	}
	return nil
}

// Check implements Document. That the entries fit a grant, fits says.
func (p KeyPackage) Check() error {
	switch {
	case p.Seq == 0 || len(p.Entries) == 0 || len(p.Entries) > MaxFiles:
		return errCount
	case len(p.Enc) != encSize:
		return errors.New("the encapsulation has another length")
	case len(p.Cert) > maxCert:
		return errLong
	case !ascending(p.Entries, func(e Entry) []byte { return e.File[:] }):
		return errOrder
	}
	for i := range p.Entries {
		if n := len(p.Entries[i].Corr); n == 0 || n > MaxCustodians || len(p.Entries[i].Commit) != n {
			return errCount
		}
	}
	return nil
}

// fits reports whether each entry is of a granted file and made for all of the
// grant's custodians.
func (p *KeyPackage) fits(g *Grant) bool {
	for i := range p.Entries {
		if len(p.Entries[i].Corr) != len(g.Custodians) {
			return false
		}
		if _, ok := slices.BinarySearchFunc(g.Files, p.Entries[i].File, compareFiles); !ok {
			return false
		}
	}
	return true
}

// entry finds a version's entry, or nil.
func (p *KeyPackage) entry(f FileID, version uint64) *Entry {
	i, ok := slices.BinarySearchFunc(p.Entries, f, func(e Entry, f FileID) int {
		return compareFiles(e.File, f)
	})
	if !ok || p.Entries[i].Version != version {
		return nil
	}
	return &p.Entries[i]
}

func compareFiles(a, b FileID) int { return bytes.Compare(a[:], b[:]) }

// Check implements Document.
func (r Revocation) Check() error {
	if !goodTime(r.At) {
		return errTime
	}
	if len(r.Cert) > maxCert || !goodText(r.Reason) {
		return errLong
	}
	return nil
}

// Check implements Document.
func (s OwnerStatus) Check() error {
	if !goodTime(s.At) {
		return errTime
	}
	if len(s.Cert) > maxCert {
		return errLong
	}
	return nil
}

// Check implements Document.
func (r OpenRequest) Check() error {
	switch {
	case !goodTime(r.At):
		return errTime
	case len(r.Ephemeral) != kemSize:
		return errors.New("the ephemeral key has another length")
	case len(r.Cert) > maxCert || len(r.Members) > maxMemberList || !goodText(r.Purpose):
		return errLong
	}
	return nil
}

// Check implements Document.
func (r Release) Check() error {
	switch {
	case !goodTime(r.At):
		return errTime
	case r.Index >= MaxCustodians || len(r.Sealed) != encSize+32+tagSize:
		return errCount
	}
	return nil
}
