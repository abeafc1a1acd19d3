// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"bytes"
	"errors"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/vectortest"
	"github.com/preezm/preezm/peers"
)

const vectorFile = "testdata/member.json"

type hexed = vectortest.Hex

// vectors is the form of testdata/member.json, which docs/formats.md explains:
// how a machine becomes a member, and what is refused on the way.
type vectors struct {
	Code struct {
		Text      string   `json:"text"`
		Org       hexed    `json:"org"`
		Name      string   `json:"name"`
		Role      string   `json:"role"`
		Office    hexed    `json:"office"`
		Addresses []string `json:"addresses"`
		Token     hexed    `json:"token"`
		Expires   int64    `json:"expires"`
	} `json:"code"`
	RefuseCodes []struct {
		Why  string `json:"why"`
		Text string `json:"text"`
	} `json:"refuse_codes"`
	Request struct {
		Raw    hexed `json:"raw"`
		Signer hexed `json:"signer"`
	} `json:"request"`
	RefuseRequests []struct {
		Why string `json:"why"`
		Raw hexed  `json:"raw"`
	} `json:"refuse_requests"`
	// Cert is the member's; At is within its time, After the first second after.
	Cert  hexed `json:"cert"`
	At    int64 `json:"at"`
	After int64 `json:"after"`
	// List is a list of revoked members with that member on it.
	List hexed `json:"list"`
}

func makeVectors(t *testing.T) *vectors {
	f := newFirm(t, 1)
	text, _, err := f.b.Invite(f.reg, "claims desk 2", []string{"192.0.2.9:24930"})
	f.must(err)
	in, err := parseCode(text)
	f.must(err)
	var v vectors
	v.Code.Text, v.Code.Org, v.Code.Name, v.Code.Role = text, in.Org[:], in.Name, in.Role
	v.Code.Office, v.Code.Addresses, v.Code.Token, v.Code.Expires = in.Office[:], in.Addresses, in.Token[:], in.Expires
	for _, bad := range [][2]string{
		{"empty", ""}, {"another prefix", "preezm-brand1-" + text[len(codePrefix):]}, {"a character less", text[:len(text)-1]},
		{"a changed character", text[:40] + string(text[40]^1) + text[41:]},
	} {
		v.RefuseCodes = append(v.RefuseCodes, struct {
			Why  string `json:"why"`
			Text string `json:"text"`
		}{bad[0], bad[1]})
	}
	key := ct.Key(t)
	q, err := custody.Sign(key, MemberRequest{Org: in.Org, Office: in.Office, Device: peers.DeviceID{2}, Token: in.Token, Name: "desk pc", At: f.w.Now})
	f.must(err)
	v.Request.Raw, v.Request.Signer = q.Raw, q.Signer[:]
	changed := bytes.Clone(q.Raw)
	changed[len(changed)-1] ^= 1
	c, err := f.b.certify(q.Signer, in.Role)
	f.must(err)
	for why, raw := range map[string][]byte{"empty": {}, "a changed signature": changed, "a trailing byte": append(bytes.Clone(q.Raw), 0), "a certificate": c.Raw} {
		v.RefuseRequests = append(v.RefuseRequests, struct {
			Why string `json:"why"`
			Raw hexed  `json:"raw"`
		}{why, raw})
	}
	v.Cert, v.At, v.After = c.Raw, f.w.Now, c.Body.NotAfter
	l, err := custody.Sign(f.b.root, custody.MemberRevocations{Root: f.b.org, Number: 1, Devices: []custody.Key{q.Signer}, At: f.w.Now})
	f.must(err)
	v.List = l.Raw
	return &v
}

func TestVectors(t *testing.T) {
	vectortest.Update(t, vectorFile, makeVectors)
	v := vectortest.Read[vectors](t, vectorFile)
	in, err := parseCode(v.Code.Text)
	if err != nil || !bytes.Equal(in.Org[:], v.Code.Org) || in.Name != v.Code.Name || in.Role != v.Code.Role || !bytes.Equal(in.Office[:], v.Code.Office) ||
		in.Addresses[0] != v.Code.Addresses[0] || !bytes.Equal(in.Token[:], v.Code.Token) || in.Expires != v.Code.Expires {
		t.Fatalf("code %+v, %v", in, err)
	}
	if again, err := in.code(); err != nil || again != v.Code.Text {
		t.Errorf("it is written in another way: %v", err)
	}
	for _, bad := range v.RefuseCodes {
		if _, err := parseCode(bad.Text); !errors.Is(err, ErrCode) {
			t.Errorf("%s: %v", bad.Why, err)
		}
	}
	q, err := custody.Parse[MemberRequest](v.Request.Raw)
	if err != nil || !bytes.Equal(q.Signer[:], v.Request.Signer) || q.Body.Token != in.Token {
		t.Fatalf("request %+v, %v", q, err)
	}
	for _, bad := range v.RefuseRequests {
		if _, err := custody.Parse[MemberRequest](bad.Raw); err == nil {
			t.Errorf("taken: %s", bad.Why)
		}
	}
	for name, c := range map[string]struct {
		org    custody.Key
		device custody.Key
		list   []byte
		at     int64
		want   custody.Reason
	}{
		"a member":             {in.Org, q.Signer, nil, v.At, ""},
		"at the end":           {in.Org, q.Signer, nil, v.After, custody.MemberExpired},
		"of another":           {custody.Key{1}, q.Signer, nil, v.At, custody.WrongBrand},
		"another's":            {in.Org, custody.Key{1}, nil, v.At, custody.WrongBrand},
		"revoked":              {in.Org, q.Signer, v.List, v.At, custody.MemberRevoked},
		"with no list":         {in.Org, q.Signer, v.Cert, v.At, custody.WrongBrand},
		"revoked, and expired": {in.Org, q.Signer, v.List, v.After, custody.MemberExpired},
	} {
		if _, _, why, err := custody.Membership(v.Cert, c.list, c.org, c.device, c.at, nil); why != c.want || (err == nil) != (why == "") {
			t.Errorf("%s: %q, %v", name, why, err)
		}
	}
}

// TestTicketIsOfNoUseToOthers: another company, a member of another one, and
// who has the ticket's text and a member's certificate of the right company but
// not its device.
func TestTicketIsOfNoUseToOthers(t *testing.T) {
	f, another := newFirm(t, 3), newFirm(t, 3)
	text := f.grant(0, 1, 1)
	mine := f.member(2, "desk")
	theirs := another.member(2, "desk")
	for name, b := range map[string]*Brand{"another company": another.b, "a member of another": theirs.open()} {
		if _, err := b.Receive(t.Context(), text); !errors.Is(err, ErrNotOurs) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, err := mine.open().Receive(t.Context(), text)
	f.must(err)
	cert, err := mine.open().cert()
	f.must(err)
	stranger := custody.Member{Device: theirs.sign, Cert: cert.Raw}
	o, err := stranger.Request(r.Ticket.Ticket, ct.File(1), f.w.Now)
	f.must(err)
	var no *custody.Refusal
	if _, err := f.w.Custodians[0].Answer(o.Request.Raw, r.Ticket.Grant.Body.Gateways[0].Device); !errors.As(err, &no) || no.Reason != custody.WrongBrand {
		t.Errorf("with a borrowed certificate: %v", err)
	}
	// All custodians' shares, by a member that cheats, open nothing without the office.
	o, err = mine.open().asRequest(t, r)
	f.must(err)
	for _, c := range f.w.Custodians {
		raw, err := c.Answer(o.Request.Raw, r.Ticket.Grant.Body.Gateways[0].Device)
		f.must(err)
		f.must(o.Add(raw))
	}
	if _, err := o.Unlock(make([]byte, 32)); err == nil {
		t.Error("the first lock alone opens")
	}
}

func (b *Brand) asRequest(t *testing.T, r *Received) (*custody.Opening, error) {
	t.Helper()
	m, err := b.asking(t.Context())
	if err != nil {
		return nil, err
	}
	return m.Request(r.Ticket.Ticket, ct.File(1), b.now().Unix())
}
