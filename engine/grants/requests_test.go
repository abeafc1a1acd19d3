// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
)

// company asks an owner for things.
type company struct {
	o    *office
	root ed25519.PrivateKey
	dev  ed25519.PrivateKey
	card string
	more []consent.Purpose // that it wants the files for
	id   [16]byte          // of its requests; zero: random ones
}

func newCompany(o *office) *company {
	c := &company{o: o, root: ct.Key(o.T), dev: ct.Key(o.T)}
	var err error
	c.card, err = custody.NewCard(c.root, "ACME", o.brand.PublicKey(), ct.Start)
	o.must(err)
	return c
}

func (c *company) asks(special bool) string {
	c.o.Helper()
	now := c.o.now.Unix()
	cert, err := custody.Sign(c.root, custody.DeviceCert{
		Root: custody.KeyOf(c.root), Device: custody.KeyOf(c.dev), Role: custody.OrgMember, Label: "desk", NotBefore: now, NotAfter: now + 3600,
	})
	c.o.must(err)
	r := consent.AccessRequest{
		ID: [16]byte(append([]byte(nil), ct.Key(c.o.T)[:16]...)), Basis: consent.ByConsent, Retention: "a year",
		Controller: consent.Controller{Root: custody.KeyOf(c.root), LegalName: "ACME SA", Contact: "x@acme.example"},
		Purposes:   append([]consent.Purpose{{Text: "open an account"}, {Text: "send you offers"}}, c.more...),
		Kinds:      []consent.Kind{{Text: "lease", Special: special}}, Access: consent.Access{Seconds: 7200},
		At: now, Expires: now + 3600, Cert: cert.Raw,
	}
	if c.id != [16]byte{} {
		r.ID = c.id
	}
	s, err := custody.Sign(c.dev, r)
	c.o.must(err)
	text, err := consent.Text(c.card, s)
	c.o.must(err)
	return text
}

func (o *office) accepting(a *Asked) Accepting {
	return Accepting{
		ID: RequestID(a.Request.Body.ID), Paths: []string{"papers"}, Via: []string{"Office"},
		Displayed: consent.Display(&a.Request.Body), Program: "test",
	}
}

// TestRequestIsAnsweredOnce: with less than was asked, which the grant names and
// is bound to.
func TestRequestIsAnsweredOnce(t *testing.T) {
	o := newOffice(t)
	o.appoint()
	c := newCompany(o)
	ctx := t.Context()
	a, err := o.TakeRequest(ctx, c.asks(false))
	o.must(err)
	if again, err := o.TakeRequest(ctx, a.text(t, c)); err != nil || again.State != RequestOpen {
		t.Fatalf("taken twice: %+v, %v", again, err)
	}
	in := o.accepting(a)
	in.Displayed += "x"
	if _, _, err := o.Accept(ctx, in); err == nil {
		t.Error("a yes to something else than was shown")
	}
	in = o.accepting(a)
	in.For, in.Without = time.Hour, []int{1}
	got, made, err := o.Accept(ctx, in)
	o.must(err)
	g := &made.Grant.Body
	if got.State != string(consent.Reduced) || g.Consent != got.Consent.Hash || g.Purpose != "open an account" || g.NotAfter != o.now.Unix()+3600 {
		t.Errorf("%s; the grant is %+v", got.State, g)
	}
	if got.Consent.Body.Files[0] != "lease" || got.Record().Grant != made.Grant.Hash.String() {
		t.Errorf("consent %+v", got.Consent.Body)
	}
	if _, _, err := o.Accept(ctx, o.accepting(a)); !errors.Is(err, ErrAnswered) {
		t.Errorf("once more: %v", err)
	}
	if _, err := o.Refuse(ctx, in.ID, ""); !errors.Is(err, ErrAnswered) {
		t.Errorf("refused afterwards: %v", err)
	}
	all, err := o.cat.Grants(ctx)
	if err != nil || len(all) != 1 {
		t.Errorf("%d grants, %v", len(all), err)
	}
}

func (a *Asked) text(t *testing.T, c *company) string {
	t.Helper()
	s, err := consent.Text(c.card, a.Request)
	c.o.must(err)
	return s
}

// TestRequestIsRefused: a no is kept, needs no reason, and stays.
func TestRequestIsRefused(t *testing.T) {
	o := newOffice(t)
	o.appoint()
	a, err := o.TakeRequest(t.Context(), newCompany(o).asks(true))
	o.must(err)
	if _, _, err := o.Accept(t.Context(), o.accepting(a)); !errors.Is(err, ErrSensitive) {
		t.Errorf("sensitive data: %v", err)
	}
	no, err := o.Refuse(t.Context(), RequestID(a.Request.Body.ID), "")
	o.must(err)
	if no.State != RequestRefused || no.Refusal == nil || no.Text() == "" {
		t.Errorf("%+v", no)
	}
	in := o.accepting(a)
	in.Explicit = true
	if _, _, err := o.Accept(t.Context(), in); !errors.Is(err, ErrAnswered) {
		t.Errorf("accepted afterwards: %v", err)
	}
}

// TestRequestExpires: nobody is held to what nobody waits for.
func TestRequestExpires(t *testing.T) {
	o := newOffice(t)
	o.appoint()
	c := newCompany(o)
	text := c.asks(false)
	a, err := o.TakeRequest(t.Context(), text)
	o.must(err)
	o.now = o.now.Add(time.Hour)
	if _, _, err := o.Accept(t.Context(), o.accepting(a)); !errors.Is(err, consent.ErrExpired) {
		t.Errorf("answered: %v", err)
	}
	if _, err := o.TakeRequest(t.Context(), text); !errors.Is(err, consent.ErrExpired) {
		t.Errorf("taken: %v", err)
	}
}

// TestCrashBetweenConsentAndGrant: a grant that was made is found again, and no
// second one is made; without one the answer can be given anew.
func TestCrashBetweenConsentAndGrant(t *testing.T) {
	o := newOffice(t)
	o.appoint()
	c := newCompany(o)
	for _, made := range []bool{false, true} {
		a, err := o.TakeRequest(t.Context(), c.asks(false))
		o.must(err)
		person, err := consent.Pairwise(o.cfg.Secrets.Custody, custody.KeyOf(c.root))
		o.must(err)
		yes, err := consent.Agree(o.owner.Device, o.owner.Cert, custody.KeyOf(person), a.Request, consent.Answer{
			Files: []string{"lease"}, NotBefore: o.now.Unix(), NotAfter: o.now.Unix() + 7200,
		}, o.now.Unix())
		o.must(err)
		o.must(o.cat.AnswerRequest(t.Context(), catalog.Request{Hash: a.Request.Hash, Consent: yes.Raw}))
		if made {
			or := o.order()
			or.Brand, or.Consent = c.card, yes.Hash
			_, err := o.Make(t.Context(), or)
			o.must(err)
		}
		_, _, err = o.Accept(t.Context(), o.accepting(a))
		if made != errors.Is(err, ErrAnswered) || !made && err != nil {
			t.Errorf("with a grant (%v): %v", made, err)
		}
		got, err := o.FindRequest(t.Context(), RequestID(a.Request.Body.ID))
		if err != nil || got.State != string(consent.Given) || got.Grant == nil {
			t.Errorf("with a grant (%v): %+v, %v", made, got, err)
		}
	}
}

// TestManyPurposesFitAGrant: what is too long for it is cut between letters, so
// that the grant can be read again.
func TestManyPurposesFitAGrant(t *testing.T) {
	for shift := range 2 {
		o := newOffice(t)
		o.appoint()
		c := newCompany(o)
		ctx := t.Context()
		for range 4 {
			c.more = append(c.more, consent.Purpose{Text: strings.Repeat("é", 69)})
		}
		c.more[0].Text += strings.Repeat("x", shift)
		a, err := o.TakeRequest(ctx, c.asks(false))
		o.must(err)
		_, made, err := o.Accept(ctx, o.accepting(a))
		o.must(err)
		if p := made.Grant.Body.Purpose; len(p) > 512 || len(p) < 511 {
			t.Errorf("%d bytes of purposes", len(p))
		}
		if _, err := o.List(ctx); err != nil {
			t.Errorf("the grants cannot be read any more: %v", err)
		}
	}
}
