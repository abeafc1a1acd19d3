// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"errors"
	"fmt"
	"testing"

	"crypto/hpke"

	"github.com/preezm/preezm/engine/vectortest"
)

const vectorFile = "testdata/custody.json"

type hexed = vectortest.Hex

// vectors is the form of testdata/custody.json, which docs/formats.md explains.
type vectors struct {
	Chains    []chainVector    `json:"chains"`
	Documents []documentVector `json:"documents"`
	Refuse    []refuseVector   `json:"refuse"`
	Open      []openVector     `json:"open"`
	Decide    []decideVector   `json:"decide"`
	Letters   []letterVector   `json:"letters"`
	Clock     []clockVector    `json:"clock"`
	Hash      hexed            `json:"revocations_hash"` // of {11..11, 22..22}, 32 bytes each
}

type chainVector struct {
	Custody    hexed  `json:"custody"`
	Seat       hexed  `json:"seat"`
	Generation uint32 `json:"generation"`
	Day        uint32 `json:"day"`
	Key        hexed  `json:"key"`
	ExpiryKey  hexed  `json:"expiry_key"`
	GrantID    hexed  `json:"grant_id"`
	Pseudonym  hexed  `json:"pseudonym"` // public keys
	Mailbox    hexed  `json:"mailbox"`
	Grant      hexed  `json:"grant"` // the inputs of a pad
	File       hexed  `json:"file"`
	Version    uint64 `json:"version"`
	Salt       hexed  `json:"salt"`
	Index      int    `json:"index"`
	Pad        hexed  `json:"pad"`
	Commit     hexed  `json:"commit"`
}

type documentVector struct {
	Type   string `json:"type"`
	Raw    hexed  `json:"raw"`
	Signer hexed  `json:"signer"`
	Hash   hexed  `json:"hash"`
}

// refuseVector is bytes that no reader may take for a document of the type.
type refuseVector struct {
	Why  string `json:"why"`
	Type string `json:"type"`
	Raw  hexed  `json:"raw"`
}

type openVector struct {
	Grant     hexed   `json:"grant"`
	Package   hexed   `json:"package"`
	Request   hexed   `json:"request"`
	Ephemeral hexed   `json:"ephemeral"` // private X-Wing keys, 32 bytes each
	KEM       hexed   `json:"kem"`
	Releases  []hexed `json:"releases"`
	Liar      hexed   `json:"liar"` // a release with a wrong pad
	Pads      []hexed `json:"pads"` // by custodian
	Secret    hexed   `json:"secret"`
	Second    hexed   `json:"second_lock"`
	KEK       hexed   `json:"kek"`
	Key       hexed   `json:"key"`
}

type decideVector struct {
	Why        string  `json:"why"`
	Request    hexed   `json:"request,omitempty"` // none: that of open[0]
	Via        hexed   `json:"via"`
	Now        int64   `json:"now"`
	Doubt      string  `json:"doubt,omitempty"`
	Root       hexed   `json:"root"`
	Devices    hexed   `json:"devices,omitempty"` // a device-set
	Generation uint32  `json:"generation"`
	Day        uint32  `json:"day"`
	Chain      hexed   `json:"chain"`
	Revoked    []hexed `json:"revoked,omitempty"`
	StatusAt   int64   `json:"status_at,omitempty"`
	NewestSeq  uint64  `json:"newest_seq,omitempty"`
	NewestHash hexed   `json:"newest_hash,omitempty"`
	Members    hexed   `json:"members,omitempty"` // a list of revoked members that is known
	Answered   bool    `json:"answered,omitempty"`
	Opens      uint32  `json:"opens,omitempty"`
	Reason     Reason  `json:"reason,omitempty"` // none: it releases
	Index      int     `json:"index"`
	Pad        hexed   `json:"pad,omitempty"`
}

// State, over a vector's values.
func (d *decideVector) Clock() Verdict { return Verdict{Now: d.Now, Doubt: d.Doubt} }
func (d *decideVector) RootKey() Key   { return Key(d.Root) }

type decideState struct{ *decideVector }

func (d decideState) Root() Key { return d.RootKey() }
func (d decideState) Devices() *DeviceSet {
	if s, err := Parse[DeviceSet](d.decideVector.Devices); err == nil {
		return &s.Body
	}
	return nil
}
func (d decideState) Chain(g uint32) (Chain, bool) {
	return Chain{d.Generation, d.Day, [32]byte(d.decideVector.Chain)}, g == d.Generation
}
func (d decideState) Revoked(h Hash) bool {
	for _, r := range d.decideVector.Revoked {
		if Hash(r) == h {
			return true
		}
	}
	return false
}
func (d decideState) StatusAt() int64 { return d.decideVector.StatusAt }
func (d decideState) NewestPackage(Hash) (uint64, Hash) {
	if d.NewestSeq == 0 {
		return 0, Hash{}
	}
	return d.NewestSeq, Hash(d.NewestHash)
}
func (d decideState) Members(org Key) *MemberRevocations {
	if s, err := CheckMemberRevocations(d.decideVector.Members, org); err == nil {
		return &s.Body
	}
	return nil
}
func (d decideState) Answered(Hash) bool                { return d.decideVector.Answered }
func (d decideState) Since() int64                      { return 0 }
func (d decideState) Opens(Hash, FileID, uint64) uint32 { return d.decideVector.Opens }

type letterVector struct {
	Raw        hexed  `json:"raw"`
	Day        uint32 `json:"day"` // of the chain
	Chain      hexed  `json:"chain"`
	Opens      bool   `json:"opens"` // to the request of open[0], or not
	Generation uint32 `json:"generation"`
}

type clockVector struct {
	High    int64   `json:"high"`
	Own     int64   `json:"own"`
	Offsets []int64 `json:"offsets"`
	Now     int64   `json:"now,omitempty"` // 0: in doubt
}

// parsers reads each type.
var parsers = map[string]func([]byte) (Hash, Key, error){}

func parser[T Document]() (string, func([]byte) (Hash, Key, error)) {
	var t T
	return t.Type(), func(raw []byte) (Hash, Key, error) {
		s, err := Parse[T](raw)
		if err != nil {
			return Hash{}, Key{}, err
		}
		return s.Hash, s.Signer, nil
	}
}

func init() {
	add := func(name string, f func([]byte) (Hash, Key, error)) { parsers[name] = f }
	add(parser[DeviceCert]())
	add(parser[DeviceSet]())
	add(parser[Appointment]())
	add(parser[Grant]())
	add(parser[KeyPackage]())
	add(parser[Revocation]())
	add(parser[OwnerStatus]())
	add(parser[OpenRequest]())
	add(parser[Release]())
	add(parser[Denial]())
	add(parser[Card]())
	add(parser[MemberRevocations]())
}

func TestVectors(t *testing.T) {
	vectortest.Update(t, vectorFile, makeVectors)
	v := vectortest.Read[vectors](t, vectorFile)
	for i, c := range v.Chains {
		t.Run(fmt.Sprint("chain ", i), func(t *testing.T) { c.check(t) })
	}
	seen := map[string]bool{}
	for _, d := range v.Documents {
		seen[d.Type] = true
		h, s, err := parsers[d.Type](d.Raw)
		if err != nil || h != Hash(d.Hash) || s != Key(d.Signer) {
			t.Errorf("%s: %v", d.Type, err)
		}
	}
	for name := range parsers {
		if !seen[name] {
			t.Errorf("no vector of a %s", name)
		}
	}
	for _, d := range v.Refuse {
		if _, _, err := parsers[d.Type](d.Raw); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %s: %v", d.Type, d.Why, err)
		}
	}
	for i, o := range v.Open {
		t.Run(fmt.Sprint("open ", i), func(t *testing.T) { o.check(t) })
	}
	for _, d := range v.Decide {
		if d.Request == nil {
			d.Request = v.Open[0].Request
		}
		t.Run("decide "+d.Why, func(t *testing.T) { d.check(t) })
	}
	for i, l := range v.Letters {
		letter, err := ReadLetter(l.Raw)
		if err != nil {
			t.Fatal(i, err)
		}
		b, err := letter.Open(Chain{l.Generation, l.Day, [32]byte(l.Chain)})
		if (err == nil) != l.Opens || l.Opens && string(b) != string(v.Open[0].Request) {
			t.Errorf("letter %d: %v", i, err)
		}
	}
	for i, c := range v.Clock {
		verdict, _ := Clock{c.High}.Judge(c.Own, c.Offsets)
		if (verdict.Doubt == "") != (c.Now != 0) || c.Now != 0 && verdict.Now != c.Now {
			t.Errorf("clock %d: %+v", i, verdict)
		}
	}
	if RevocationsHash(twoHashes()) != Hash(v.Hash) {
		t.Error("another hash of revocations")
	}
}

func twoHashes() []Hash {
	var a, b Hash
	for i := range a {
		a[i], b[i] = 0x11, 0x22
	}
	return []Hash{b, a}
}

func (c *chainVector) check(t *testing.T) {
	ch, err := NewChain([32]byte(c.Custody), Seat(c.Seat), c.Generation).At(c.Day)
	if err != nil || ch.Key != [32]byte(c.Key) {
		t.Fatal("key: ", err)
	}
	day, err := ch.expiry(c.Day)
	if err != nil || day != dayKey(c.ExpiryKey) {
		t.Fatal("expiry key: ", err)
	}
	if KeyOf(day.pseudonym([16]byte(c.GrantID))) != Key(c.Pseudonym) {
		t.Fatal("pseudonym")
	}
	box, err := day.mailbox([16]byte(c.GrantID))
	if err != nil || Key(box.PublicKey().Bytes()) != Key(c.Mailbox) {
		t.Fatal("mailbox: ", err)
	}
	pad := day.pad(Hash(c.Grant), FileID(c.File), c.Version, [16]byte(c.Salt))
	if pad != [32]byte(c.Pad) {
		t.Fatal("pad")
	}
	if commitment(c.Index, c.Version, Hash(c.Grant), FileID(c.File), pad) != Hash(c.Commit) {
		t.Fatal("commitment")
	}
}

func (d *decideVector) check(t *testing.T) {
	got, err := Decide(d.Request, [32]byte(d.Via), decideState{d})
	if d.Reason == "" {
		if err != nil || got.Index != d.Index || got.pad != [32]byte(d.Pad) {
			t.Fatal("does not release as it should: ", err)
		}
		return
	}
	var r *Refusal
	if !errors.As(err, &r) || r.Reason != d.Reason {
		t.Fatalf("%v, want %s", err, d.Reason)
	}
}

func (o *openVector) check(t *testing.T) {
	ticket, err := ReadTicket(o.Grant, o.Package)
	if err != nil {
		t.Fatal(err)
	}
	req, _, err := CheckRequest(o.Request, ticket.Grant)
	if err != nil {
		t.Fatal(err)
	}
	eph, err := hpke.MLKEM768X25519().NewPrivateKey(o.Ephemeral)
	if err != nil {
		t.Fatal(err)
	}
	kem, err := hpke.MLKEM768X25519().NewPrivateKey(o.KEM)
	if err != nil {
		t.Fatal(err)
	}
	e := ticket.Package.Body.entry(req.Body.File, req.Body.Version)
	op := &Opening{Request: req, ticket: ticket, entry: e, ephemeral: eph, pads: map[int][32]byte{}, releases: map[int][]byte{}}
	var liar *LiarError
	if err := op.Add(o.Liar); !errors.As(err, &liar) {
		t.Fatal("a wrong pad: ", err)
	}
	shares := map[int][32]byte{}
	for _, r := range o.Releases {
		if err := op.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	for i, pad := range o.Pads {
		if got, ok := op.pads[i]; ok && got != [32]byte(pad) {
			t.Fatal("another pad")
		}
		shares[i] = xor([32]byte(pad), e.Corr[i])
	}
	secret, err := join(op.Need(), shares)
	if err != nil || string(secret) != string(o.Secret) {
		t.Fatal("another secret: ", err)
	}
	key, err := op.Key(kem)
	if err != nil || key != [32]byte(o.Key) {
		t.Fatal("another key: ", err)
	}
	second, err := SecondLock(kem, ticket.Grant, ticket.Package.Body.Enc, e.File, e.Version)
	if err != nil || string(second) != string(o.Second) {
		t.Errorf("the second lock is %x (%v)", second, err)
	}
	wrapped, err := wrap([32]byte(o.KEK), key, ticket.Grant.Hash)
	if err != nil || wrapped != e.Wrapped {
		t.Fatal("another wrapping key: ", err)
	}
}
