// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"testing"
)

// bend copies a body, changes it, and signs it without looking at it.
func bend[T Document](t *testing.T, key ed25519.PrivateKey, why string, body T, change func(*T)) refuseVector {
	change(&body)
	m := need[codec](t)(modes())
	return refuseVector{why, body.Type(), rawSigned(t, key, body.Type(), need[[]byte](t)(m.enc.Marshal(body)))}
}

// makeBadValues are rightly encoded and signed documents with values that no
// honest writer produces.
func makeBadValues(t *testing.T, key ed25519.PrivateKey, docs []documentVector) []refuseVector {
	find := func(kind string) []byte {
		i := slices.IndexFunc(docs, func(d documentVector) bool { return d.Type == kind })
		return docs[i].Raw
	}
	long := string(bytes.Repeat([]byte("x"), maxText+1))
	cert := need[*Signed[DeviceCert]](t)(Parse[DeviceCert](find(DeviceCert{}.Type()))).Body
	set := need[*Signed[DeviceSet]](t)(Parse[DeviceSet](find(DeviceSet{}.Type()))).Body
	app := need[*Signed[Appointment]](t)(Parse[Appointment](find(Appointment{}.Type()))).Body
	pkg := need[*Signed[KeyPackage]](t)(Parse[KeyPackage](find(KeyPackage{}.Type()))).Body
	rev := need[*Signed[Revocation]](t)(Parse[Revocation](find(Revocation{}.Type()))).Body
	st := need[*Signed[OwnerStatus]](t)(Parse[OwnerStatus](find(OwnerStatus{}.Type()))).Body
	req := need[*Signed[OpenRequest]](t)(Parse[OpenRequest](find(OpenRequest{}.Type()))).Body
	rel := need[*Signed[Release]](t)(Parse[Release](find(Release{}.Type()))).Body
	den := need[*Signed[Denial]](t)(Parse[Denial](find(Denial{}.Type()))).Body
	card := need[*Signed[Card]](t)(Parse[Card](find(Card{}.Type()))).Body
	list := need[*Signed[MemberRevocations]](t)(Parse[MemberRevocations](find(MemberRevocations{}.Type()))).Body
	entries := func(change func([]Entry) []Entry) func(*KeyPackage) {
		return func(p *KeyPackage) { p.Entries = change(slices.Clone(p.Entries)) }
	}
	return []refuseVector{
		bend(t, key, "an unknown role", cert, func(c *DeviceCert) { c.Role = "root" }),
		bend(t, key, "never valid", cert, func(c *DeviceCert) { c.NotAfter = c.NotBefore }),
		bend(t, key, "a label of 513 bytes", cert, func(c *DeviceCert) { c.Label = long }),
		bend(t, key, "257 devices", set, func(s *DeviceSet) { s.Devices = make([]Key, 257) }),
		bend(t, key, "a time before 1970", set, func(s *DeviceSet) { s.At = -1 }),
		bend(t, key, "a sealed chain of 31 bytes", app, func(a *Appointment) { a.Sealed = a.Sealed[1:] }),
		bend(t, key, "no role", app, func(a *Appointment) { a.Roles = nil }),
		bend(t, key, "a role of 513 bytes", app, func(a *Appointment) { a.Roles = []string{long} }),
		bend(t, key, "a day before the first", app, func(a *Appointment) { a.Epoch = FirstDay - 1 }),
		bend(t, key, "a day after the last", app, func(a *Appointment) { a.Epoch = lastDay + 1 }),
		bend(t, key, "a time after 9999", app, func(a *Appointment) { a.At = maxTime + 1 }),
		bend(t, key, "number 0", pkg, func(p *KeyPackage) { p.Seq = 0 }),
		bend(t, key, "no entry", pkg, func(p *KeyPackage) { p.Entries = nil }),
		bend(t, key, "a short encapsulation", pkg, func(p *KeyPackage) { p.Enc = p.Enc[1:] }),
		bend(t, key, "a certificate of 2,049 bytes", pkg, func(p *KeyPackage) { p.Cert = make([]byte, maxCert+1) }),
		bend(t, key, "a file twice", pkg, entries(func(e []Entry) []Entry { return append(e, e[0]) })),
		bend(t, key, "fewer commitments than shares", pkg, entries(func(e []Entry) []Entry {
			e[0].Commit = e[0].Commit[:2]
			return e
		})),
		bend(t, key, "17 shares", pkg, entries(func(e []Entry) []Entry {
			e[0].Corr, e[0].Commit = make([][32]byte, 17), make([]Hash, 17)
			return e
		})),
		bend(t, key, "a reason of 513 bytes", rev, func(r *Revocation) { r.Reason = long }),
		bend(t, key, "a time before 1970", rev, func(r *Revocation) { r.At = -1 }),
		bend(t, key, "a time before 1970", st, func(s *OwnerStatus) { s.At = -1 }),
		bend(t, key, "a certificate of 2,049 bytes", st, func(s *OwnerStatus) { s.Cert = make([]byte, maxCert+1) }),
		bend(t, key, "a short ephemeral key", req, func(r *OpenRequest) { r.Ephemeral = r.Ephemeral[1:] }),
		bend(t, key, "a purpose of 513 bytes", req, func(r *OpenRequest) { r.Purpose = long }),
		bend(t, key, "a time before 1970", req, func(r *OpenRequest) { r.At = -1 }),
		bend(t, key, "custodian 17", rel, func(r *Release) { r.Index = MaxCustodians }),
		bend(t, key, "a sealed pad of 31 bytes", rel, func(r *Release) { r.Sealed = r.Sealed[1:] }),
		bend(t, key, "a time before 1970", rel, func(r *Release) { r.At = -1 }),
		bend(t, key, "no reason", den, func(d *Denial) { d.Reason = "" }),
		bend(t, key, "a time before 1970", den, func(d *Denial) { d.At = -1 }),
		bend(t, key, "number 0", list, func(m *MemberRevocations) { m.Number = 0 }),
		bend(t, key, "257 devices", list, func(m *MemberRevocations) { m.Devices = many(MaxRevokedMembers + 1) }),
		bend(t, key, "a device twice", list, func(m *MemberRevocations) { m.Devices = []Key{m.Devices[0], m.Devices[0]} }),
		bend(t, key, "a time before 1970", list, func(m *MemberRevocations) { m.At = -1 }),
		bend(t, key, "a list of revoked members of 16,385 bytes", req, func(r *OpenRequest) { r.Members = make([]byte, maxMemberList+1) }),
		bend(t, key, "no name", card, func(c *Card) { c.Name = "" }),
		bend(t, key, "a short X-Wing key", card, func(c *Card) { c.KEM = c.KEM[1:] }),
	}
}

// many are n keys in ascending order.
func many(n int) []Key {
	out := make([]Key, n)
	for i := range out {
		out[i][0], out[i][1] = byte(i>>8), byte(i)
	}
	return out
}
