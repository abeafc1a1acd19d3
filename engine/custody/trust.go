// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"errors"
	"slices"
)

// Certified checks that a certificate lets signer act for root in a role at a
// time, and returns it.
func Certified(raw []byte, root, signer Key, role Role, at int64) (*DeviceCert, error) {
	c, err := Parse[DeviceCert](raw)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Signer != c.Body.Root || c.Body.Root != root:
		return nil, errors.New("the certificate is not by the expected root")
	case c.Body.Device != signer:
		return nil, errors.New("the certificate is another device's")
	case c.Body.Role != role:
		return nil, errors.New("the certificate is for another role")
	case at < c.Body.NotBefore || at >= c.Body.NotAfter:
		return nil, ErrCertTime
	}
	return &c.Body, nil
}

// Standing reports whether a document signed by device counts: the device is
// in the set, or the set keeps this document.
func (s *DeviceSet) Standing(device Key, doc Hash) bool {
	return s != nil && (slices.Contains(s.Devices, device) || slices.Contains(s.Kept, doc))
}

// CheckDeviceSet reads a device set of root that is newer than epoch.
func CheckDeviceSet(raw []byte, root Key, epoch uint64) (*Signed[DeviceSet], error) {
	s, err := Parse[DeviceSet](raw)
	if err != nil {
		return nil, err
	}
	if s.Signer != root || s.Body.Root != root {
		return nil, malformed("a device set of somebody else")
	}
	if s.Body.Epoch <= epoch {
		return nil, malformed("an old device set: %d, known is %d", s.Body.Epoch, epoch)
	}
	return s, nil
}

// CheckRevocation reads a revocation by a device that root certified. It counts
// even when the device was removed since: a wrong revocation costs a new grant,
// a missed one a secret.
func CheckRevocation(raw []byte, root Key) (*Signed[Revocation], error) {
	r, err := Parse[Revocation](raw)
	if err != nil {
		return nil, err
	}
	if _, err := Certified(r.Body.Cert, root, r.Signer, OwnerDevice, r.Body.At); err != nil {
		return nil, malformed("revocation: %w", err)
	}
	return r, nil
}

// CheckStatus reads a heartbeat by a device in the owner's set, newer than seq
// and not from the future.
func CheckStatus(raw []byte, root Key, set *DeviceSet, seq uint64, now int64) (*Signed[OwnerStatus], error) {
	s, err := Parse[OwnerStatus](raw)
	if err != nil {
		return nil, err
	}
	if _, err := Certified(s.Body.Cert, root, s.Signer, OwnerDevice, s.Body.At); err != nil {
		return nil, malformed("owner status: %w", err)
	}
	switch {
	case s.Body.Owner != root || !set.Standing(s.Signer, s.Hash):
		return nil, malformed("an owner status by a device that is not the owner's")
	case s.Body.Seq <= seq:
		return nil, malformed("an old owner status")
	case s.Body.At > now+clockLeeway:
		return nil, malformed("an owner status from the future")
	}
	return s, nil
}

// CheckGrant reads a grant and checks that its device was certified by its
// owner when it was issued. Whether that device still counts is a matter of
// the owner's device set, which only custodians know.
func CheckGrant(raw []byte) (*Signed[Grant], error) {
	g, err := Parse[Grant](raw)
	if err != nil {
		return nil, err
	}
	if _, err := Certified(g.Body.Cert, g.Body.Owner, g.Signer, OwnerDevice, g.Body.IssuedAt); err != nil {
		return nil, malformed("grant: %w", err)
	}
	return g, nil
}

// CheckPackage reads a key package for g by a device its owner certified.
func CheckPackage(raw []byte, g *Signed[Grant]) (*Signed[KeyPackage], error) {
	if len(raw) > MaxPackage {
		return nil, malformed("a package of %d bytes", len(raw))
	}
	p, err := Parse[KeyPackage](raw)
	if err != nil {
		return nil, err
	}
	c, err := Parse[DeviceCert](p.Body.Cert)
	if err != nil {
		return nil, err
	}
	// A package has no date of its own: the certificate must have been valid
	// at some time of the grant.
	at := max(g.Body.IssuedAt, c.Body.NotBefore)
	if _, err := Certified(p.Body.Cert, g.Body.Owner, p.Signer, OwnerDevice, at); err != nil || at >= g.Body.NotAfter {
		return nil, malformed("package: not by a device of the owner")
	}
	if p.Body.Grant != g.Hash || !p.Body.fits(&g.Body) {
		return nil, malformed("package of another grant")
	}
	if !g.Body.Follow && p.Body.Seq != 1 {
		return nil, malformed("a later package of a pinned grant")
	}
	return p, nil
}

// CheckRequest reads a request for g by a device that the grantee had certified
// when the request was made, and returns that device's label. It is for records;
// a custodian decides with Decide, by its own clock.
func CheckRequest(raw []byte, g *Signed[Grant]) (*Signed[OpenRequest], string, error) {
	r, err := Parse[OpenRequest](raw)
	if err != nil {
		return nil, "", err
	}
	c, err := Certified(r.Body.Cert, g.Body.Grantee, r.Signer, OrgMember, r.Body.At)
	if err != nil {
		return nil, "", malformed("request: %w", err)
	}
	inside, err := Parse[Grant](r.Body.Grant)
	if err != nil {
		return nil, "", err
	}
	if inside.Hash != g.Hash {
		return nil, "", malformed("a request under another grant")
	}
	return r, c.Label, nil
}

// CheckRelease reads a release by one of the grant's custodians.
func CheckRelease(raw []byte, g *Signed[Grant]) (*Signed[Release], error) {
	r, err := Parse[Release](raw)
	if err != nil {
		return nil, err
	}
	if i := int(r.Body.Index); i >= len(g.Body.Custodians) || g.Body.Custodians[i] != r.Signer {
		return nil, malformed("a release by somebody else")
	}
	return r, nil
}

// CheckUpdate reads a grant with a package that an owner pushes or another
// custodian passes on, so that older packages are refused before the brand ever
// shows the new one. The caller notes its number if it is higher than what
// State.NewestPackage tells.
func CheckUpdate(grant, pkg []byte, s State) (*Ticket, error) {
	t, err := ReadTicket(grant, pkg)
	if err != nil {
		return nil, err
	}
	set := s.Devices()
	if t.Grant.Body.Owner != s.Root() || !set.Standing(t.Grant.Signer, t.Grant.Hash) || !set.Standing(t.Package.Signer, t.Package.Hash) {
		return nil, malformed("a package that is not by a device of the owner")
	}
	return t, nil
}
