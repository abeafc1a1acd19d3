// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"errors"
	"fmt"
	"slices"
)

// MaxRequestAge is how long an open-request lives, in seconds: it may wait for
// a sleeping custodian, never past the grant's end.
const MaxRequestAge = 72 * 3600

// State is what a custodian knows when it decides. All of it survives restarts.
// An implementation answers from memory: it is asked while a request waits,
// and must not change during one Decide.
type State interface {
	// Clock is the present verdict on the custodian's clock.
	Clock() Verdict
	// Root is the owner's root key, pinned at the appointment.
	Root() Key
	// Devices is the owner's latest device set, nil when none was received.
	Devices() *DeviceSet
	// Chain is the chain of a generation, if this custodian has one.
	Chain(generation uint32) (Chain, bool)
	// Revoked reports whether a grant was revoked.
	Revoked(grant Hash) bool
	// StatusAt is the time of the owner's newest heartbeat, 0 for none.
	StatusAt() int64
	// NewestPackage is the package with the highest number seen for a grant;
	// 0 when none was.
	NewestPackage(grant Hash) (seq uint64, hash Hash)
	// Answered reports whether this very request was released for already.
	Answered(request Hash) bool
	// Members is the newest list of revoked members seen of an organisation,
	// nil when none was.
	Members(org Key) *MemberRevocations
	// Opens is how many releases were given for a version under a grant.
	Opens(grant Hash, file FileID, version uint64) uint32
	// Since is when this custodian's counts begin; 0: it never lost any.
	Since() int64
}

// Reason says which check refused a request. The strings are on the wire.
type Reason string

// The reasons, in the order of the checks.
const (
	Malformed     Reason = "malformed"      // not a strictly encoded, correctly signed request
	NotGateway    Reason = "not_gateway"    // it came through a device that is no gateway of the grant
	BadGrant      Reason = "bad_grant"      // the grant is not, or not unchanged, by this owner
	BadDevice     Reason = "bad_device"     // the owner's device that signed is not in use any more
	NotNamed      Reason = "not_named"      // this custodian has no part in the grant
	ClockDoubt    Reason = "clock_doubt"    // the custodian does not trust its clock at present
	WrongBrand    Reason = "wrong_brand"    // the device is not certified by the grantee
	MemberExpired Reason = "member_expired" // it was, but its certificate is not valid now
	MemberRevoked Reason = "member_revoked" // it was, but the grantee has shut it out
	TooEarly      Reason = "too_early"      // before the grant begins
	Expired       Reason = "expired"        // at or after the grant's end
	Stale         Reason = "stale"          // the request is too old, or from the future
	Revoked       Reason = "revoked"        // the owner withdrew the grant
	Purpose       Reason = "purpose"        // for another purpose than granted
	OwnerSilent   Reason = "owner_silent"   // no heartbeat of the owner that is young enough
	BadPackage    Reason = "bad_package"    // the package is not of this grant, or lacks the version
	Superseded    Reason = "superseded"     // the owner has issued a newer package
	Replay        Reason = "replay"         // this request was answered before
	UsedUp        Reason = "used_up"        // opened as often as granted
	Erased        Reason = "erased"         // the key of that day does not exist any more
	Busy          Reason = "busy"           // too many requests of this device; never by Decide
	Forgot        Reason = "forgot"         // this custodian lost its records, or has older ones than it had
)

// Subject is what a request was about, as far as the checks got to know it.
type Subject struct {
	Grant   Hash
	Request Hash
	Device  Key // of the brand
	File    FileID
	Version uint64
}

// Refusal is a custodian's no. The detail is for the custodian's own log and
// people; a brand is told the reason.
type Refusal struct {
	Reason  Reason
	Detail  string
	Subject Subject
	At      int64
	Members *Signed[MemberRevocations] // as in Decision

	index int
	name  ed25519.PrivateKey // nil when the grant does not name this custodian
}

func (r *Refusal) Error() string {
	if r.Detail == "" {
		return "refused: " + string(r.Reason)
	}
	return "refused: " + string(r.Reason) + ": " + r.Detail
}

// Decision is a yes that has not been given yet: the caller first makes the log
// entry durable, with the use and the package's number, and then calls Release.
type Decision struct {
	Subject Subject
	Grant   *Signed[Grant]
	Package *Signed[KeyPackage]
	Request *Signed[OpenRequest]
	Label   string // of the brand's device, from its certificate
	Index   int    // of this custodian in the grant, from 0
	At      int64
	// Members is the grantee's list of revoked members, when the request shows
	// a newer one than State knows. The caller keeps it.
	Members *Signed[MemberRevocations]

	name      ed25519.PrivateKey
	pad       [32]byte
	ephemeral hpke.PublicKey
}

// Decide goes through a custodian's checks, in their order, for an open-request
// that came over a connection with the device via. The error is a *Refusal.
//
// docs/formats.md lists the checks. Two are the caller's: rate limits before
// calling, and asking the other custodians for news of revocations. From Decide
// until the use is recorded the caller keeps other requests under the same grant
// waiting: two at once would both see the last opening as free.
func Decide(raw []byte, via [32]byte, s State) (*Decision, error) {
	d := &Decision{}
	v := s.Clock()
	d.At = v.Now
	no := func(r Reason, format string, args ...any) (*Decision, error) {
		return nil, &Refusal{
			Reason: r, Detail: fmt.Sprintf(format, args...), Subject: d.Subject,
			At: d.At, Members: d.Members, index: d.Index, name: d.name,
		}
	}

	// 1, 2: form and signature of the request.
	req, err := Parse[OpenRequest](raw)
	if err != nil {
		return no(Malformed, "%v", err)
	}
	d.Request = req
	d.Subject = Subject{Request: req.Hash, Device: req.Signer, File: req.Body.File, Version: req.Body.Version}

	// 3: the grant is this owner's, by a device that still counts. Only now
	// is its list of gateways worth asking, which ends 2.
	g, err := CheckGrant(req.Body.Grant)
	if err != nil {
		return no(BadGrant, "%v", err)
	}
	if g.Body.Owner != s.Root() {
		return no(BadGrant, "it is another owner's")
	}
	d.Grant, d.Subject.Grant = g, g.Hash
	if !slices.ContainsFunc(g.Body.Gateways, func(w Gateway) bool { return w.Device == via }) {
		return no(NotGateway, "")
	}
	set := s.Devices()
	if !set.Standing(g.Signer, g.Hash) {
		return no(BadDevice, "it signed the grant and was removed")
	}

	// 4: this custodian is named. Once the day's key is erased that cannot be
	// told any more; 12 then refuses, if 6 has not.
	chain, ok := s.Chain(g.Body.Generation)
	if !ok {
		return no(NotNamed, "no chain of generation %d", g.Body.Generation)
	}
	day, dayErr := chain.expiry(ExpiryDay(g.Body.NotAfter))
	if dayErr == nil {
		name := day.pseudonym(g.Body.ID)
		pub := KeyOf(name)
		i, found := slices.BinarySearchFunc(g.Body.Custodians, pub, func(a, b Key) int {
			return bytes.Compare(a[:], b[:])
		})
		if !found {
			return no(NotNamed, "")
		}
		d.Index, d.name = i, name
	}

	// 5: the asking device is the brand's, now. That needs a clock, so its
	// doubt, which is part of 6, comes first.
	if v.Doubt != "" {
		return no(ClockDoubt, "%s", v.Doubt)
	}
	cert, list, why, err := Membership(req.Body.Cert, req.Body.Members, g.Body.Grantee, req.Signer, v.Now, s.Members(g.Body.Grantee))
	d.Members = list
	if err != nil {
		return no(why, "%v", err)
	}
	d.Label = cert.Label

	// 6: time. There is no leeway after the end.
	switch {
	case v.Now < g.Body.NotBefore:
		return no(TooEarly, "")
	case v.Now >= g.Body.NotAfter:
		return no(Expired, "")
	case req.Body.At > v.Now+clockLeeway || req.Body.At < v.Now-MaxRequestAge:
		return no(Stale, "")
	}

	// 7, 8, 9: the owner's will.
	if s.Revoked(g.Hash) {
		return no(Revoked, "")
	}
	if req.Body.Purpose != g.Body.Purpose {
		return no(Purpose, "")
	}
	if a := g.Body.StatusMaxAge; a > 0 && s.StatusAt() < v.Now-a {
		return no(OwnerSilent, "")
	}

	// 10: the package.
	p, err := CheckPackage(req.Body.Package, g)
	if err != nil {
		return no(BadPackage, "%v", err)
	}
	if !set.Standing(p.Signer, p.Hash) {
		return no(BadDevice, "it signed the package and was removed")
	}
	seq, hash := s.NewestPackage(g.Hash)
	if p.Body.Seq < seq || p.Body.Seq == seq && p.Hash != hash {
		return no(Superseded, "")
	}
	e := p.Body.entry(req.Body.File, req.Body.Version)
	if e == nil {
		return no(BadPackage, "it lacks this version")
	}
	d.Package = p

	// 11: use. A repeated request is not a use: whoever carries requests
	// must not be able to use a grant up.
	if s.Answered(req.Hash) {
		return no(Replay, "")
	}
	if g.Body.MaxOpens > 0 && g.Body.IssuedAt < s.Since() {
		return no(Forgot, "the uses before are not known")
	}
	if m := g.Body.MaxOpens; m > 0 && s.Opens(g.Hash, e.File, e.Version) >= m {
		return no(UsedUp, "")
	}

	// 12: the key. 13, the log, is the caller's.
	if dayErr != nil {
		return no(Erased, "%v", dayErr)
	}
	d.pad = day.pad(g.Hash, e.File, e.Version, e.Salt)
	if commitment(d.Index, e.Version, g.Hash, e.File, d.pad) != e.Commit[d.Index] {
		return no(BadPackage, "it was not made for this custodian's secret")
	}
	// An answer that cannot be sealed must not count as one.
	if d.ephemeral, err = hpke.MLKEM768X25519().NewPublicKey(req.Body.Ephemeral); err != nil {
		return no(Malformed, "%v", err)
	}
	return d, nil
}

func releaseInfo(request Hash, index int) []byte {
	return append(append([]byte("preezm/v1/release"), request[:]...), byte(index))
}

// Release gives the answer: the pad, sealed to the request's one-time key, with
// the head of the custodian's log in which this release is entry logSeq. Call it
// only when that entry is durable. It works once.
func (d *Decision) Release(logSeq uint64, logHead Hash) (*Signed[Release], error) {
	if d.name == nil {
		return nil, errors.New("release: given already")
	}
	sealed, err := seal32(d.ephemeral, releaseInfo(d.Request.Hash, d.Index), d.pad)
	if err != nil {
		return nil, err
	}
	r, err := Sign(d.name, Release{
		Request: d.Request.Hash, Index: uint8(d.Index), Sealed: sealed,
		At: d.At, LogSeq: logSeq, LogHead: logHead,
	})
	clear(d.pad[:])
	d.name = nil
	return r, err
}

// Denial is a refusal as the brand gets it. Signed like a Release.
type Denial struct {
	Request Hash   `cbor:"1,keyasint"`
	Index   uint8  `cbor:"2,keyasint"`
	Reason  Reason `cbor:"3,keyasint"`
	At      int64  `cbor:"4,keyasint"`
}

// Type implements Document.
func (Denial) Type() string { return "preezm/v1/denial" }

// Check implements Document.
func (d Denial) Check() error {
	if !goodTime(d.At) {
		return errTime
	}
	if d.Reason == "" || len(d.Reason) > 64 {
		return errLong
	}
	return nil
}

// Deny signs the refusal for the brand. It returns nil when the grant does not
// name this custodian (or its key is erased): then there is no key to sign with.
func (r *Refusal) Deny() (*Signed[Denial], error) {
	if r.name == nil {
		return nil, nil
	}
	return Sign(r.name, Denial{Request: r.Subject.Request, Index: uint8(r.index), Reason: r.Reason, At: r.At})
}
