// SPDX-License-Identifier: MPL-2.0

package ticket_test

import (
	"bytes"
	"crypto/hpke"
	"strings"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/engine/vectortest"
	"github.com/preezm/preezm/peers"
)

const vectorFile = "testdata/ticket.json"

type hexed = vectortest.Hex

// vectors is the form of testdata/ticket.json, which docs/formats.md explains.
type vectors struct {
	Ticket    ticketVector     `json:"ticket"`
	Texts     []textVector     `json:"refuse_texts"`
	Documents []documentVector `json:"documents"`
	Refuse    []refuseVector   `json:"refuse"`
}

// ticketVector is a ticket with what its brand and its gateway read in it. KEMs
// are X-Wing private keys of 32 bytes.
type ticketVector struct {
	Text       string   `json:"text"`
	BrandKEM   hexed    `json:"brand_kem"`
	Gateway    hexed    `json:"gateway"`
	GatewayKEM hexed    `json:"gateway_kem"`
	Grant      hexed    `json:"grant"` // hash
	Names      []string `json:"names"`
	Sizes      []int64  `json:"sizes"`
	Key        hexed    `json:"version_key"` // of the first entry
	Manifest   hexed    `json:"manifest"`    // of the first entry, opened
	Plan       hexed    `json:"plan"`        // signed, opened
	// StrangerKEM is another brand's: it opens nothing.
	StrangerKEM hexed `json:"stranger_kem"`
}

type textVector struct {
	Why  string `json:"why"`
	Text string `json:"text"`
}

type documentVector struct {
	Type   string `json:"type"`
	Raw    hexed  `json:"raw"`
	Signer hexed  `json:"signer"`
	Hash   hexed  `json:"hash"`
}

type refuseVector struct {
	Why  string `json:"why"`
	Type string `json:"type"`
	Raw  hexed  `json:"raw"`
}

func parser[T custody.Document](raw []byte) (signer custody.Key, hash custody.Hash, err error) {
	s, err := custody.Parse[T](raw)
	if err != nil {
		return signer, hash, err
	}
	return s.Signer, s.Hash, nil
}

var parsers = map[string]func([]byte) (custody.Key, custody.Hash, error){
	ticket.Intro{}.Type():  parser[ticket.Intro],
	ticket.Permit{}.Type(): parser[ticket.Permit],
	ticket.Pass{}.Type():   parser[ticket.Pass],
	ticket.Plan{}.Type():   parser[ticket.Plan],
	ticket.Names{}.Type():  parser[ticket.Names],
}

func seedOf(t *testing.T, k hpke.PrivateKey) hexed {
	t.Helper()
	b, err := k.Bytes()
	must(t, err)
	return b
}

func signed[T custody.Document](t *testing.T, w *ct.World, body T) *custody.Signed[T] {
	t.Helper()
	s, err := custody.Sign(w.Owner.Device, body)
	must(t, err)
	return s
}

func makeVectors(t *testing.T) *vectors {
	w := ct.New(t, 3)
	k := made(t, w)
	g := k.Grant.Hash
	kem, gateway := ct.NewKEM(t), peers.DeviceID{7}
	plan := signed(t, w, ticket.Plan{
		Grant: g, Gateway: gateway, Owner: peers.DeviceID{9}, Seq: 1, Cert: w.Owner.Cert,
		Contacts: []ticket.Contact{{Device: peers.DeviceID{8}, Addresses: []string{"192.0.2.1:24930"}, Permit: []byte{}, Mailbox: k.Grant.Body.Mailboxes[0]}},
		Segments: []ticket.Segment{{K: 1, ShardLen: 100, DataLen: 100, Shards: []ticket.Place{{ID: peers.ShardID{1}}}}},
		Files:    []ticket.PlanFile{{File: ct.File(1), Version: 1, Spans: []ticket.Span{{Len: 26}}}},
	})
	sealed, err := ticket.SealPlan(plan, kem.PublicKey().Bytes())
	must(t, err)
	k.Plans = [][]byte{sealed}
	text, err := k.Text()
	must(t, err)
	names, err := k.UnsealNames(w.Brand.KEM)
	must(t, err)
	key := ct.Secret(1, 1)
	m, err := ticket.OpenManifest(k.Manifests[0], key, ct.File(1), 1)
	must(t, err)
	manifest, err := custody.Marshal(m)
	must(t, err)
	v := &vectors{Ticket: ticketVector{
		Text: text, BrandKEM: seedOf(t, w.Brand.KEM), Gateway: gateway[:], GatewayKEM: seedOf(t, kem), Grant: g[:],
		Names: []string{"lease.pdf"}, Sizes: []int64{30}, Key: key[:], Manifest: manifest, Plan: plan.Raw, StrangerKEM: seedOf(t, ct.NewKEM(t)),
	}}

	bad := func(why, text string) { v.Texts = append(v.Texts, textVector{why, text}) }
	bad("empty", "")
	bad("the prefix alone", ticket.Prefix)
	bad("another prefix", strings.Replace(text, "ticket1", "ticket2", 1))
	bad("a character less", text[:len(text)-1])
	bad("a changed character", text[:200]+string(text[200]^1)+text[201:])
	other := made(t, w)
	mixed := *k
	mixed.Package = other.Package
	line, err := mixed.Text()
	must(t, err)
	bad("another grant's package", line)
	mixed = *k
	mixed.Manifests = other.Manifests
	line, err = mixed.Text()
	must(t, err)
	bad("another manifest", line)
	mixed = *k
	mixed.Plans = nil
	line, err = mixed.Text()
	must(t, err)
	bad("no plan for the gateway", line)

	intro, err := custody.Sign(w.Root, ticket.Intro{Root: custody.KeyOf(w.Root), Device: peers.DeviceID{9}, At: w.Now})
	must(t, err)
	permit := signed(t, w, ticket.Permit{
		Grant: g, Root: custody.KeyOf(w.Root), Owner: peers.DeviceID{9}, Gateway: gateway, Holder: peers.DeviceID{8},
		IssuedAt: w.Now, NotAfter: w.Now + 3600, Shards: bytes.Repeat([]byte{1}, 64), Cert: w.Owner.Cert,
	})
	list, err := custody.Sign(w.Brand.Root, custody.MemberRevocations{Root: custody.KeyOf(w.Brand.Root), Number: 3, Devices: []custody.Key{{5}}, At: w.Now})
	must(t, err)
	pass, err := custody.Sign(w.Brand.Member.Device, ticket.Pass{
		Grant: k.Grant.Raw, Plan: sealed, Gateway: gateway, Guest: peers.DeviceID{4}, At: w.Now, Cert: w.Brand.Member.Cert, Members: list.Raw,
	})
	must(t, err)
	for _, d := range []struct {
		kind string
		raw  []byte
	}{
		{ticket.Intro{}.Type(), intro.Raw}, {ticket.Permit{}.Type(), permit.Raw}, {ticket.Pass{}.Type(), pass.Raw},
		{ticket.Plan{}.Type(), plan.Raw}, {ticket.Names{}.Type(), names},
	} {
		signer, hash, err := parsers[d.kind](d.raw)
		must(t, err)
		v.Documents = append(v.Documents, documentVector{d.kind, d.raw, signer[:], hash[:]})
		no := func(why string, raw []byte) { v.Refuse = append(v.Refuse, refuseVector{why, d.kind, raw}) }
		no("empty", nil)
		no("a trailing byte", append(bytes.Clone(d.raw), 0))
		no("a byte less", d.raw[:len(d.raw)-1])
		no("a changed signature", flipped(d.raw, len(d.raw)-1))
		no("a changed payload", flipped(d.raw, len(d.raw)-103))
		no("an unknown field", append(append([]byte{d.raw[0] + 1}, d.raw[1:]...), 5, 0))
		no("a grant", k.Grant.Raw)
	}
	return v
}

func flipped(b []byte, at int) []byte {
	out := bytes.Clone(b)
	out[at] ^= 1
	return out
}

func TestVectors(t *testing.T) {
	vectortest.Update(t, vectorFile, makeVectors)
	v := vectortest.Read[vectors](t, vectorFile)
	k := func(seed hexed) hpke.PrivateKey {
		key, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
		must(t, err)
		return key
	}
	x := &v.Ticket
	got, err := ticket.Parse(x.Text)
	must(t, err)
	if !bytes.Equal(got.Grant.Hash[:], x.Grant) {
		t.Errorf("grant %s", got.Grant.Hash)
	}
	if again, err := got.Text(); err != nil || again != x.Text {
		t.Errorf("it is written in another way: %v", err)
	}
	names, err := openNames(got, k(x.BrandKEM))
	must(t, err)
	if names.Names[0] != x.Names[0] || names.Sizes[0] != x.Sizes[0] {
		t.Errorf("names %+v", names)
	}
	e := got.Package.Body.Entries[0]
	m, err := ticket.OpenManifest(got.Manifests[0], [32]byte(x.Key), e.File, e.Version)
	must(t, err)
	if raw, err := custody.Marshal(m); err != nil || !bytes.Equal(raw, x.Manifest) {
		t.Errorf("manifest %x, %v", raw, err)
	}
	plan, err := ticket.OpenPlan(got.Plans[0], k(x.GatewayKEM), got.Grant, peers.DeviceID(x.Gateway))
	must(t, err)
	want, err := custody.Parse[ticket.Plan](x.Plan)
	must(t, err)
	if plan.Body.Grant != want.Body.Grant || len(plan.Body.Files) != len(want.Body.Files) {
		t.Errorf("plan %+v", plan)
	}
	// To anybody else it is of no use.
	for name, seed := range map[string]hexed{"another brand": x.StrangerKEM, "the gateway": x.GatewayKEM} {
		if _, err := openNames(got, k(seed)); err == nil {
			t.Errorf("%s reads the names", name)
		}
		if _, err := custody.SecondLock(k(seed), got.Grant, got.Package.Body.Enc, e.File, e.Version); err == nil {
			t.Errorf("%s has the second lock", name)
		}
	}
	if _, err := ticket.OpenPlan(got.Plans[0], k(x.BrandKEM), got.Grant, peers.DeviceID(x.Gateway)); err == nil {
		t.Error("the brand reads the plan")
	}
	for _, bad := range v.Texts {
		if _, err := ticket.Parse(bad.Text); err == nil {
			t.Errorf("taken: %s", bad.Why)
		}
	}
	for _, d := range v.Documents {
		signer, hash, err := parsers[d.Type](d.Raw)
		if err != nil || !bytes.Equal(signer[:], d.Signer) || !bytes.Equal(hash[:], d.Hash) {
			t.Errorf("%s: %v", d.Type, err)
		}
	}
	for _, d := range v.Refuse {
		if _, _, err := parsers[d.Type](d.Raw); err == nil {
			t.Errorf("%s is taken: %s", d.Type, d.Why)
		}
	}
}
