// SPDX-License-Identifier: MPL-2.0

package ticket_test

import (
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
)

// made is a ticket with one file.
func made(t *testing.T, w *ct.World) *ticket.Ticket {
	t.Helper()
	m := &ticket.Manifest{Name: "lease.pdf", Size: 30, Pieces: []ticket.Piece{{Plain: 10, Key: [32]byte{1}}, {Hole: 20}}}
	key := ct.Secret(1, 1)
	sealed, err := ticket.SealManifest(m, key, ct.File(1), 1)
	must(t, err)
	terms := w.Terms(3600, 1)
	terms.Gateways[0].Device = peers.DeviceID{7}
	g, err := w.Owner.Grant(w.Now, terms)
	must(t, err)
	c := w.Package(g, 1, custody.Item{File: ct.File(1), Version: 1, Manifest: sha256.Sum256(sealed), Key: key})
	names, err := custody.Sign(w.Owner.Device, ticket.Names{Grant: g.Hash, Names: []string{"lease.pdf"}, Sizes: []int64{30}})
	must(t, err)
	out := &ticket.Ticket{Ticket: c, Manifests: [][]byte{sealed}, Plans: [][]byte{{1, 2, 3}}}
	out.Names, err = ticket.SealNames(names, w.Brand.KEM.PublicKey().Bytes())
	must(t, err)
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openNames gives a brand the names of a ticket's files.
func openNames(tk *ticket.Ticket, kem hpke.PrivateKey) (*ticket.Names, error) {
	raw, err := tk.UnsealNames(kem)
	if err != nil {
		return nil, err
	}
	return tk.ReadNames(raw)
}

func TestTicketComesBackFromText(t *testing.T) {
	w := ct.New(t, 3)
	text, err := made(t, w).Text()
	must(t, err)
	// Mail programs break lines.
	got, err := ticket.Parse(text[:100] + "\r\n  " + text[100:] + "\n")
	must(t, err)
	names, err := openNames(got, w.Brand.KEM)
	must(t, err)
	if len(names.Names) != 1 || names.Names[0] != "lease.pdf" || names.Sizes[0] != 30 {
		t.Fatalf("names %+v", names)
	}
	if _, err := openNames(got, w.NewBrand().KEM); !errors.Is(err, custody.ErrMalformed) {
		t.Fatalf("another brand reads the names: %v", err)
	}
	m, err := ticket.OpenManifest(got.Manifests[0], ct.Secret(1, 1), ct.File(1), 1)
	must(t, err)
	if m.Name != "lease.pdf" || len(m.Pieces) != 2 {
		t.Fatalf("manifest %+v", m)
	}
	for _, c := range []struct {
		file    byte
		version uint64
	}{{1, 2}, {2, 1}} {
		if _, err := ticket.OpenManifest(got.Manifests[0], ct.Secret(1, 1), ct.File(c.file), c.version); err == nil {
			t.Errorf("the manifest passes for file %d version %d", c.file, c.version)
		}
	}
}

func TestDamagedTextIsRefused(t *testing.T) {
	text, err := made(t, ct.New(t, 3)).Text()
	must(t, err)
	for i := 0; i < len(text); i += 97 {
		c := byte('A')
		if text[i] == c {
			c = 'B'
		}
		if _, err := ticket.Parse(text[:i] + string(c) + text[i+1:]); err == nil {
			t.Fatalf("a ticket with another character %d is taken", i)
		}
	}
	for _, s := range []string{"", "preezm-ticket1-", text[:len(text)-8], strings.Repeat("x", 100)} {
		if _, err := ticket.Parse(s); !errors.Is(err, ticket.ErrTicket) {
			t.Errorf("%.20q: %v, want ErrTicket", s, err)
		}
	}
}

func TestManifestMustAddUp(t *testing.T) {
	for name, m := range map[string]*ticket.Manifest{
		"no name":        {Size: 1, Pieces: []ticket.Piece{{Plain: 1}}},
		"short":          {Name: "x", Size: 2, Pieces: []ticket.Piece{{Plain: 1}}},
		"neither":        {Name: "x", Pieces: []ticket.Piece{{}}},
		"both":           {Name: "x", Size: 2, Pieces: []ticket.Piece{{Plain: 1, Hole: 1}}},
		"negative":       {Name: "x", Size: 1, Pieces: []ticket.Piece{{Hole: -1}, {Hole: 2}}},
		"negative chunk": {Name: "x", Size: 1, Pieces: []ticket.Piece{{Plain: -1}, {Plain: 2}}},
		"huge chunk":     {Name: "x", Size: 1 << 30, Pieces: []ticket.Piece{{Plain: 1 << 30}}},
	} {
		if _, err := ticket.SealManifest(m, [32]byte{1}, ct.File(1), 1); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
}

func TestPlanIsForOneGatewayAndOneGrant(t *testing.T) {
	w := ct.New(t, 3)
	g, other := made(t, w).Grant, made(t, w).Grant
	kem := ct.NewKEM(t)
	gateway := peers.DeviceID{7}
	seal := func(p ticket.Plan) []byte {
		t.Helper()
		s, err := custody.Sign(w.Owner.Device, p)
		must(t, err)
		b, err := ticket.SealPlan(s, kem.PublicKey().Bytes())
		must(t, err)
		return b
	}
	good := seal(ticket.Plan{Grant: g.Hash, Gateway: gateway, Owner: peers.DeviceID{9}, Seq: 1, Cert: w.Owner.Cert})
	p, err := ticket.OpenPlan(good, kem, g, gateway)
	must(t, err)
	if p.Body.Owner != (peers.DeviceID{9}) {
		t.Fatalf("plan %+v", p)
	}
	if _, err := ticket.OpenPlan(good, kem, other, gateway); err == nil {
		t.Error("the plan passes for another grant")
	}
	if _, err := ticket.OpenPlan(good, kem, g, peers.DeviceID{8}); err == nil {
		t.Error("the plan passes for another gateway")
	}
	if _, err := ticket.OpenPlan(good, ct.NewKEM(t), g, gateway); err == nil {
		t.Error("another key opens the plan")
	}
	sealBy := func(key ed25519.PrivateKey, cert []byte) []byte {
		t.Helper()
		s, err := custody.Sign(key, ticket.Plan{Grant: g.Hash, Gateway: gateway, Seq: 2, Cert: cert})
		must(t, err)
		b, err := ticket.SealPlan(s, kem.PublicKey().Bytes())
		must(t, err)
		return b
	}
	phone, cert := w.Device("phone")
	if p, err = ticket.OpenPlan(sealBy(phone, cert), kem, g, gateway); err != nil || p.Body.Seq != 2 {
		t.Errorf("a plan by another device of the owner: %v", err)
	}
	for what, bad := range map[string][]byte{
		"by somebody else":             sealBy(ct.Key(t), w.Owner.Cert),
		"with somebody else's root":    sealBy(phone, w.Certify(ct.Key(t), custody.KeyOf(phone), custody.OwnerDevice, "phone", 3600)),
		"by a brand's device":          sealBy(w.Brand.Member.Device, w.Brand.Member.Cert),
		"without a certificate at all": sealBy(phone, nil),
	} {
		if _, err := ticket.OpenPlan(bad, kem, g, gateway); err == nil {
			t.Errorf("a plan %s is taken", what)
		}
	}
}

func TestPlanStaysInItsBounds(t *testing.T) {
	seg := ticket.Segment{K: 1, ShardLen: 100, DataLen: 100, Shards: []ticket.Place{{}}}
	file := func(s ticket.Span) []ticket.PlanFile { return []ticket.PlanFile{{Spans: []ticket.Span{s}}} }
	good := ticket.Plan{Seq: 1, Contacts: make([]ticket.Contact, 1), Segments: []ticket.Segment{seg}, Files: file(ticket.Span{Len: 50})}
	must(t, good.Check())
	for name, change := range map[string]func(*ticket.Plan){
		"no number":           func(p *ticket.Plan) { p.Seq = 0 },
		"no such segment":     func(p *ticket.Plan) { p.Files = file(ticket.Span{Segment: 1, Len: 50}) },
		"negative segment":    func(p *ticket.Plan) { p.Files = file(ticket.Span{Segment: -1, Len: 50}) },
		"beyond the end":      func(p *ticket.Plan) { p.Files = file(ticket.Span{Off: 60, Len: 50}) },
		"before the start":    func(p *ticket.Plan) { p.Files = file(ticket.Span{Off: -1, Len: 50}) },
		"shorter than a seal": func(p *ticket.Plan) { p.Files = file(ticket.Span{Len: 3}) },
		"no such contact":     func(p *ticket.Plan) { p.Contacts = nil },
		"k of none":           func(p *ticket.Plan) { p.Segments = []ticket.Segment{{K: 1, ShardLen: 1}} },
	} {
		p := good
		change(&p)
		if p.Check() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("preezm-ticket1-oWEB")
	f.Fuzz(func(t *testing.T, s string) {
		if tk, err := ticket.Parse(s); err == nil {
			if _, err := tk.Text(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
