// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/sha256"
	"testing"
)

// fixed are 32 bytes that follow from a name, so that the vectors' keys can be
// made again.
func fixed(name string) [32]byte { return sha256.Sum256([]byte("preezm vectors: " + name)) }

func fixedKey(name string) ed25519.PrivateKey {
	seed := fixed(name)
	return ed25519.NewKeyFromSeed(seed[:])
}

const vectorTime = 1_800_000_000

func need[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// rawSigned signs any payload as a type, checked by nobody.
func rawSigned(t *testing.T, key ed25519.PrivateKey, kind string, payload []byte) []byte {
	e := envelope{Type: kind, Payload: payload, Signer: KeyOf(key)}
	copy(e.Sig[:], ed25519.Sign(key, signedBytes(kind, payload)))
	return need[[]byte](t)(Marshal(e))
}

func makeVectors(t *testing.T) *vectors {
	v := &vectors{}
	h := RevocationsHash(twoHashes())
	v.Hash = h[:]
	seats := []Seat{fixed("seat 1"), fixed("seat 2"), fixed("seat 3")}
	secret := fixed("custody")
	for i, day := range []uint32{FirstDay, FirstDay + 1, DayOf(vectorTime), lastDay} {
		v.Chains = append(v.Chains, makeChain(t, secret, seats[i%3], uint32(i), day))
	}

	root, device := fixedKey("root"), fixedKey("owner device")
	cert := func(root, device ed25519.PrivateKey, role Role, label string) []byte {
		return need[*Signed[DeviceCert]](t)(Sign(root, DeviceCert{
			Root: KeyOf(root), Device: KeyOf(device), Role: role, Label: label,
			NotBefore: vectorTime - 86400, NotAfter: vectorTime + 30*86400,
		})).Raw
	}
	owner := Owner{Custody: secret, Device: device, Cert: cert(root, device, OwnerDevice, "laptop")}
	brandRoot, member := fixedKey("brand root"), Member{Device: fixedKey("brand device")}
	member.Cert = cert(brandRoot, member.Device, OrgMember, "claims desk 2")
	kemSeed, seatKEM := fixed("brand kem"), fixed("seat kem")
	kem := need[hpke.PrivateKey](t)(hpke.MLKEM768X25519().NewPrivateKey(kemSeed[:]))
	seatKey := need[hpke.PrivateKey](t)(hpke.MLKEM768X25519().NewPrivateKey(seatKEM[:]))
	gateway := Gateway{Device: fixed("gateway"), Addresses: []string{"192.0.2.1:24930"}}

	g := need[*Signed[Grant]](t)(owner.Grant(vectorTime, Terms{
		Grantee: KeyOf(brandRoot), GranteeKEM: kem.PublicKey().Bytes(), NotBefore: vectorTime,
		NotAfter: vectorTime + 86400, Custodians: seats, MaxOpens: 2, StatusMaxAge: 7 * 86400, Follow: true,
		Purpose: "https://w3id.org/dpv#ServiceProvision", Consent: fixed("consent"),
		Files: []FileID{{1}, {2}}, Gateways: []Gateway{gateway},
	}))
	item := Item{File: FileID{1}, Version: 7, Manifest: fixed("manifest"), Key: fixed("version key")}
	p := need[*Signed[KeyPackage]](t)(owner.Package(g, seats, kem.PublicKey().Bytes(), 1, []Item{item}))
	ticket := need[*Ticket](t)(ReadTicket(g.Raw, p.Raw))
	o := need[*Opening](t)(member.Request(ticket, item.File, vectorTime+60))
	set := need[*Signed[DeviceSet]](t)(Sign(root, DeviceSet{Root: KeyOf(root), Epoch: 1, Devices: []Key{KeyOf(device)}, At: vectorTime}))

	ov := openVector{Grant: g.Raw, Package: p.Raw, Request: o.Request.Raw, Ephemeral: need[[]byte](t)(o.ephemeral.Bytes()), KEM: kemSeed[:], Key: item.Key[:]}
	base := decideVector{
		Request: o.Request.Raw, Via: gateway.Device[:], Now: vectorTime + 60, Root: fixedPub(root), Devices: set.Raw,
		Day: DayOf(vectorTime) - 1, StatusAt: vectorTime, NewestSeq: 1, NewestHash: p.Hash[:],
	}
	shares := map[int][32]byte{}
	ov.Pads = make([]hexed, 3)
	var releases []*Signed[Release]
	for _, seat := range seats {
		c := need[Chain](t)(NewChain(secret, seat, 0).At(base.Day))
		b := base
		b.Chain = c.Key[:]
		d := need[*Decision](t)(Decide(b.Request, gateway.Device, decideState{&b}))
		b.Why, b.Index, b.Pad = "released", d.Index, bytes.Clone(d.pad[:])
		v.Decide = append(v.Decide, b)
		ov.Pads[d.Index] = bytes.Clone(d.pad[:])
		shares[d.Index] = xor(d.pad, o.entry.Corr[d.Index])
		name := d.name
		r := need[*Signed[Release]](t)(d.Release(4, fixed("log head")))
		releases = append(releases, r)
		ov.Liar = lyingRelease(t, name, r, o)
		l := need[[]byte](t)(SealLetter(o.Request.Raw, g, d.Index))
		v.Letters = append(v.Letters, letterVector{Raw: l, Day: base.Day, Chain: c.Key[:], Opens: true})
		later := need[Chain](t)(c.At(ExpiryDay(g.Body.NotAfter) + 1))
		v.Letters = append(v.Letters, letterVector{Raw: l, Day: later.Day, Chain: later.Key[:]})
	}
	v.Letters = append(v.Letters, letterVector{Raw: v.Letters[0].Raw, Day: v.Letters[2].Day, Chain: v.Letters[2].Chain})
	// The liar is the last custodian; the others open without it.
	ov.Releases = []hexed{releases[0].Raw, releases[1].Raw}
	ov.Secret = need[[]byte](t)(join(2, shares))
	ov.Second = need[[]byte](t)(SecondLock(kem, g, p.Body.Enc, o.entry.File, o.entry.Version))
	k := need[[32]byte](t)(kek(ov.Secret, ov.Second, g.Hash, o.entry))
	ov.KEK = k[:]
	v.Open = append(v.Open, ov)
	v.Decide = append(v.Decide, makeRefusals(t, v.Decide[0], g, root)...)
	for i := range v.Decide {
		if bytes.Equal(v.Decide[i].Request, ov.Request) {
			v.Decide[i].Request = nil // said once
		}
	}

	add := func(kind string, raw []byte) {
		h, s, err := parsers[kind](raw)
		if err != nil {
			t.Fatal(kind, err)
		}
		v.Documents = append(v.Documents, documentVector{kind, raw, s[:], h[:]})
	}
	add(DeviceCert{}.Type(), owner.Cert)
	add(DeviceCert{}.Type(), member.Cert)
	add(DeviceSet{}.Type(), set.Raw)
	add(Appointment{}.Type(), need[*Signed[Appointment]](t)(Appoint(root, secret, seats[0], seatKey.PublicKey().Bytes(), 0, vectorTime)).Raw)
	add(Grant{}.Type(), g.Raw)
	add(KeyPackage{}.Type(), p.Raw)
	add(Revocation{}.Type(), need[*Signed[Revocation]](t)(owner.Revoke(g.Hash, vectorTime+90, "moved out")).Raw)
	add(OwnerStatus{}.Type(), need[*Signed[OwnerStatus]](t)(owner.Status(3, vectorTime, []Hash{g.Hash})).Raw)
	add(OpenRequest{}.Type(), o.Request.Raw)
	add(Release{}.Type(), releases[0].Raw)
	add(Denial{}.Type(), need[*Signed[Denial]](t)(Sign(fixedKey("pseudonym"), Denial{o.Request.Hash, 1, Expired, vectorTime + 86400})).Raw)
	add(MemberRevocations{}.Type(), need[*Signed[MemberRevocations]](t)(Sign(brandRoot, MemberRevocations{
		Root: KeyOf(brandRoot), Number: 3, Devices: []Key{KeyOf(fixedKey("former desk"))}, At: vectorTime,
	})).Raw)
	add(Card{}.Type(), need[*Signed[Card]](t)(Sign(brandRoot, Card{KeyOf(brandRoot), "ACME Insurance", kem.PublicKey().Bytes(), vectorTime})).Raw)

	v.Refuse = makeRefused(t, device, owner.Cert, g.Body)
	v.Refuse = append(v.Refuse, makeBadValues(t, device, v.Documents)...)
	v.Clock = []clockVector{
		{vectorTime, vectorTime + 5, []int64{1, -3, 2}, vectorTime + 5},
		{vectorTime, vectorTime, []int64{601}, 0},
		{vectorTime, vectorTime, []int64{31536000, 31536000, 1}, 0},
		{vectorTime, vectorTime, []int64{31536000, -31536000, 1, 2}, vectorTime},
		{vectorTime, vectorTime + 172800, nil, vectorTime + 172800},
		{vectorTime, vectorTime + 172801, nil, 0},
		{vectorTime, vectorTime - 1, nil, vectorTime},
		{vectorTime, vectorTime - 601, []int64{0, 0}, 0},
		{0, vectorTime, nil, 0},
	}
	return v
}

func fixedPub(k ed25519.PrivateKey) hexed {
	p := KeyOf(k)
	return p[:]
}

func makeChain(t *testing.T, secret [32]byte, seat Seat, generation, day uint32) chainVector {
	c := need[Chain](t)(NewChain(secret, seat, generation).At(day))
	e := need[dayKey](t)(c.expiry(day))
	id, salt := [16]byte(append([]byte(nil), seat[:16]...)), [16]byte(append([]byte(nil), secret[:16]...))
	box, err := e.mailbox(id)
	if err != nil {
		t.Fatal(err)
	}
	name, grant, file := KeyOf(e.pseudonym(id)), fixed("grant"), FileID{byte(generation)}
	pad := e.pad(grant, file, uint64(day), salt)
	commit := commitment(int(generation), uint64(day), grant, file, pad)
	return chainVector{
		Custody: secret[:], Seat: seat[:], Generation: generation, Day: day, Key: c.Key[:], ExpiryKey: e[:],
		GrantID: id[:], Pseudonym: name[:], Mailbox: box.PublicKey().Bytes(), Grant: grant[:], File: file[:],
		Version: uint64(day), Salt: salt[:], Index: int(generation), Pad: pad[:], Commit: commit[:],
	}
}

func lyingRelease(t *testing.T, name ed25519.PrivateKey, r *Signed[Release], o *Opening) []byte {
	b := r.Body
	b.Sealed = need[[]byte](t)(sealTo(o.Request.Body.Ephemeral, releaseInfo(b.Request, int(b.Index)), fixed("a lie")))
	return need[*Signed[Release]](t)(Sign(name, b)).Raw
}

func makeRefusals(t *testing.T, good decideVector, g *Signed[Grant], root ed25519.PrivateKey) []decideVector {
	good.Pad, good.Index = nil, 0
	var out []decideVector
	add := func(why string, reason Reason, change func(*decideVector)) {
		d := good
		d.Why, d.Reason = why, reason
		change(&d)
		out = append(out, d)
	}
	add("a trailing byte", Malformed, func(d *decideVector) { d.Request = append(bytes.Clone(d.Request), 0) })
	add("another peer", NotGateway, func(d *decideVector) { d.Via = fixedPub(root) })
	add("another owner", BadGrant, func(d *decideVector) { d.Root = fixedPub(fixedKey("stranger")) })
	add("no device set", BadDevice, func(d *decideVector) { d.Devices = nil })
	add("another generation", NotNamed, func(d *decideVector) { d.Generation = 1 })
	add("another chain", NotNamed, func(d *decideVector) { d.Chain = fixedPub(root) })
	add("a clock in doubt", ClockDoubt, func(d *decideVector) { d.Doubt = "x" })
	brand, member := fixedKey("brand root"), fixedKey("brand device")
	list := func(root ed25519.PrivateKey, number uint64, devices ...Key) []byte {
		return need[*Signed[MemberRevocations]](t)(Sign(root, MemberRevocations{Root: KeyOf(root), Number: number, Devices: devices, At: vectorTime})).Raw
	}
	device := KeyOf(member)
	// again signs the request anew with what it says of its device changed.
	again := func(change func(*OpenRequest)) []byte {
		r := need[*Signed[OpenRequest]](t)(Parse[OpenRequest](good.Request)).Body
		change(&r)
		return need[*Signed[OpenRequest]](t)(Sign(member, r)).Raw
	}
	certified := func(root ed25519.PrivateKey, to Key, role Role) []byte {
		c := need[*Signed[DeviceCert]](t)(Sign(root, DeviceCert{
			Root: KeyOf(root), Device: to, Role: role, Label: "desk", NotBefore: vectorTime, NotAfter: vectorTime + 86400,
		}))
		return again(func(r *OpenRequest) { r.Cert = c.Raw })
	}
	add("a member of another organisation", WrongBrand, func(d *decideVector) { d.Request = certified(fixedKey("stranger"), device, OrgMember) })
	add("another member's certificate", WrongBrand, func(d *decideVector) { d.Request = certified(brand, KeyOf(root), OrgMember) })
	add("a certificate for another role", WrongBrand, func(d *decideVector) { d.Request = certified(brand, device, OwnerDevice) })
	add("another organisation's list of revoked members", WrongBrand, func(d *decideVector) {
		d.Request = again(func(r *OpenRequest) { r.Members = list(root, 1) })
	})
	add("a member on the list that is known", MemberRevoked, func(d *decideVector) { d.Members = list(brand, 1, device) })
	add("a member on the list that it shows", MemberRevoked, func(d *decideVector) {
		d.Request = again(func(r *OpenRequest) { r.Members = list(brand, 1, device) })
	})
	add("a member that shows an older list", MemberRevoked, func(d *decideVector) {
		d.Members = list(brand, 2, device)
		d.Request = again(func(r *OpenRequest) { r.Members = list(brand, 1) })
	})
	add("a certificate that ended", MemberExpired, func(d *decideVector) { d.Now = vectorTime + 30*86400 })
	add("a second before", TooEarly, func(d *decideVector) { d.Now = g.Body.NotBefore - 1 })
	add("at the very second", Expired, func(d *decideVector) { d.Now = g.Body.NotAfter })
	add("withdrawn", Revoked, func(d *decideVector) { d.Revoked = []hexed{g.Hash[:]} })
	add("no heartbeat", OwnerSilent, func(d *decideVector) { d.StatusAt = d.Now - 7*86400 - 1 })
	add("a newer package", Superseded, func(d *decideVector) { d.NewestSeq = 2 })
	add("another package of this number", Superseded, func(d *decideVector) { d.NewestHash = fixedPub(root) })
	add("the same request again", Replay, func(d *decideVector) { d.Answered = true })
	add("used up", UsedUp, func(d *decideVector) { d.Opens = 2 })
	// A custodian whose clock was turned back after the day was erased.
	day := ExpiryDay(g.Body.NotAfter) + 1
	later := need[Chain](t)(Chain{0, good.Day, [32]byte(good.Chain)}.At(day))
	add("erased", Erased, func(d *decideVector) { d.Day, d.Chain = later.Day, later.Key[:] })
	return out
}

func makeRefused(t *testing.T, key ed25519.PrivateKey, cert []byte, g Grant) []refuseVector {
	var out []refuseVector
	kind := DeviceCert{}.Type()
	add := func(why string, raw []byte) { out = append(out, refuseVector{why, kind, raw}) }
	splice := func(b []byte, at, cut int, with ...byte) []byte {
		return append(append(bytes.Clone(b[:at]), with...), b[at+cut:]...)
	}
	// The envelope of a certificate: a4 01 75 .. 02 58/59 .. 03 58 20 .. 04 58 40 ..
	n := len(cert)
	sig := cert[n-67:] // 04 58 40 and the signature
	signer := n - 67 - 35
	add("empty", nil)
	add("a trailing byte", append(bytes.Clone(cert), 0))
	add("the last byte missing", cert[:n-1])
	add("a changed signature", splice(cert, n-1, 1, cert[n-1]^1))
	add("a changed signer", splice(cert, signer+3, 1, cert[signer+3]^1))
	add("a changed payload", splice(cert, signer-1, 1, cert[signer-1]^1))
	add("an unknown field", append(splice(cert, 0, 1, 0xa5), 5, 0))
	add("a field twice", append(splice(cert, 0, 1, 0xa5), sig...))
	add("a missing field", splice(cert[:n-67], 0, 1, 0xa3))
	add("an indefinite length", append(splice(cert, 0, 1, 0xbf), 0xff))
	add("a number longer than needed", splice(cert, 1, 1, 0x18, 0x01))
	add("fields out of order", append(append(splice(cert[:signer], 0, 1, 0xa4), sig...), cert[signer:n-67]...))
	add("a tag", append([]byte{0xc1}, cert...))
	add("a signer of 31 bytes", append(append(bytes.Clone(cert[:signer]), append([]byte{3, 0x58, 31}, make([]byte, 31)...)...), sig...))
	add("a list instead of a map", []byte{0x80})
	add("null", []byte{0xf6})

	// Rightly signed, wrongly encoded payloads.
	e := need[*Signed[DeviceCert]](t)(Parse[DeviceCert](cert))
	payload := need[[]byte](t)(Marshal(e.Body))
	add("a payload with an unknown field", rawSigned(t, key, kind, append(splice(payload, 0, 1, 0xa7), 7, 0)))
	add("a payload with a missing field", rawSigned(t, key, kind, splice(payload[:len(payload)-6], 0, 1, 0xa5)))
	add("a payload with a trailing byte", rawSigned(t, key, kind, append(bytes.Clone(payload), 0)))
	add("a payload with a number longer than needed", rawSigned(t, key, kind, splice(payload, 1, 1, 0x18, 0x01)))
	add("another type, rightly signed", rawSigned(t, key, "preezm/v1/device-set", payload))
	add("a type with a suffix", rawSigned(t, key, kind+"x", payload))
	v1 := need[[]byte](t)(Marshal(g))
	out = append(out, refuseVector{"a grant of the version before", Grant{}.Type(), rawSigned(t, key, "preezm/v1/grant", v1)})
	// The right type outside, another one inside the signature.
	other := envelope{Type: kind, Payload: payload, Signer: KeyOf(key)}
	copy(other.Sig[:], ed25519.Sign(key, signedBytes(Grant{}.Type(), payload)))
	add("signed as another type", need[[]byte](t)(Marshal(other)))

	kind = Grant{}.Type()
	for why, change := range map[string]func(*Grant){
		"k is 0":                     func(g *Grant) { g.K = 0 },
		"k is more than n":           func(g *Grant) { g.K = 4 },
		"custodians out of order":    func(g *Grant) { g.Custodians = []Key{g.Custodians[1], g.Custodians[0], g.Custodians[2]} },
		"a custodian twice":          func(g *Grant) { g.Custodians = []Key{g.Custodians[0], g.Custodians[0], g.Custodians[2]} },
		"fewer mailboxes":            func(g *Grant) { g.Mailboxes = g.Mailboxes[:2] },
		"ends before it begins":      func(g *Grant) { g.NotAfter = g.NotBefore },
		"ends before it is issued":   func(g *Grant) { g.IssuedAt = g.NotAfter },
		"lasts longer than 10 years": func(g *Grant) { g.NotAfter = g.IssuedAt + MaxGrantTime + 1 },
		"a time before 1970":         func(g *Grant) { g.NotBefore = -1 },
		"no file":                    func(g *Grant) { g.Files = nil },
		"a file twice":               func(g *Grant) { g.Files = []FileID{g.Files[0], g.Files[0]} },
		"a purpose of 513 bytes":     func(g *Grant) { g.Purpose = string(bytes.Repeat([]byte("x"), 513)) },
		"no notice":                  func(g *Grant) { g.Notice = "" },
		"a notice of 513 bytes":      func(g *Grant) { g.Notice = string(bytes.Repeat([]byte("x"), 513)) },
		"text that is no UTF-8":      func(g *Grant) { g.Purpose = "\xff" },
	} {
		b := g
		change(&b)
		m := need[codec](t)(modes())
		add(why, rawSigned(t, key, kind, need[[]byte](t)(m.enc.Marshal(b))))
	}
	return out
}
