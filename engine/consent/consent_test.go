// SPDX-License-Identifier: MPL-2.0

package consent_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/vectortest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// asked is a request as a company makes it.
func asked(w *ct.World) consent.AccessRequest {
	return consent.AccessRequest{
		ID: [16]byte{1}, Basis: consent.ByConsent, Retention: "5 years after the contract", Language: "en",
		Controller: consent.Controller{Root: custody.KeyOf(w.Brand.Root), LegalName: "ACME Insurance SA", Contact: "privacy@acme.example"},
		Purposes:   []consent.Purpose{{Text: "open an account", Necessary: true}, {Text: "send you offers"}},
		Kinds:      []consent.Kind{{Text: "proof of address"}},
		Access:     consent.Access{Seconds: 30 * ct.Day, MaxOpens: 3},
		Recipients: []consent.Recipient{{Name: "Print Co", Country: "FR", Why: "prints letters"}},
		At:         w.Now, Expires: w.Now + 10*ct.Day, Cert: w.Brand.Member.Cert,
	}
}

func sign(t testing.TB, w *ct.World, r consent.AccessRequest) *custody.Signed[consent.AccessRequest] {
	t.Helper()
	s, err := custody.Sign(w.Brand.Member.Device, r)
	must(t, err)
	return s
}

func card(t testing.TB, w *ct.World) string {
	t.Helper()
	text, err := custody.NewCard(w.Brand.Root, "ACME", w.Brand.KEM.PublicKey(), w.Now)
	must(t, err)
	return text
}

// TestRequestsMustSayEnough: the acceptance test of what cannot be sent.
func TestRequestsMustSayEnough(t *testing.T) {
	w := ct.New(t, 1)
	must(t, asked(w).Check())
	for name, change := range map[string]func(*consent.AccessRequest){
		"no legal name":         func(r *consent.AccessRequest) { r.Controller.LegalName = " " },
		"no contact":            func(r *consent.AccessRequest) { r.Controller.Contact = "" },
		"no legal basis":        func(r *consent.AccessRequest) { r.Basis = "" },
		"another basis":         func(r *consent.AccessRequest) { r.Basis = "because" },
		"no retention":          func(r *consent.AccessRequest) { r.Retention = "" },
		"no purpose":            func(r *consent.AccessRequest) { r.Purposes = nil },
		"an empty purpose":      func(r *consent.AccessRequest) { r.Purposes[0].Text = " " },
		"a purpose of a page":   func(r *consent.AccessRequest) { r.Purposes[0].Text = strings.Repeat("x", 141) },
		"nothing wanted":        func(r *consent.AccessRequest) { r.Kinds = nil },
		"an obligation, no law": func(r *consent.AccessRequest) { r.Basis = consent.ByObligation },
		"an interest, not said": func(r *consent.AccessRequest) { r.Basis = consent.ByInterest },
		"for ever":              func(r *consent.AccessRequest) { r.Access.Seconds = custody.MaxGrantTime + 1 },
		"for no time":           func(r *consent.AccessRequest) { r.Access.Seconds = 0 },
		"stands for 31 days":    func(r *consent.AccessRequest) { r.Expires = r.At + consent.MaxLife + 1 },
		"a recipient, no why":   func(r *consent.AccessRequest) { r.Recipients[0].Why = "" },
		"17 purposes":           func(r *consent.AccessRequest) { r.Purposes = make([]consent.Purpose, 17) },
		"a long text":           func(r *consent.AccessRequest) { r.IfRefused = strings.Repeat("x", 513) },
	} {
		r := asked(w)
		change(&r)
		if _, err := custody.Sign(w.Brand.Member.Device, r); err == nil {
			t.Errorf("%s: made", name)
		}
	}
}

func TestRequestsAreTheCompanys(t *testing.T) {
	w := ct.New(t, 1)
	text, err := consent.Text(card(t, w), sign(t, w, asked(w)))
	must(t, err)
	a, err := consent.Parse(text[:60] + " \r\n" + text[60:])
	must(t, err)
	if a.Card.Body.Name != "ACME" || a.Request.Body.Purposes[1].Text != "send you offers" {
		t.Errorf("%+v", a.Request.Body)
	}
	other := w.NewBrand()
	forged := asked(w)
	forged.Controller.Root = custody.KeyOf(other.Root)
	late := asked(w)
	late.At, late.Expires = w.Now+31*ct.Day, w.Now+32*ct.Day
	borrowed, err := custody.Sign(ct.Key(t), asked(w))
	must(t, err)
	for name, r := range map[string]*custody.Signed[consent.AccessRequest]{
		"in another's name":          sign(t, w, forged),
		"with a certificate's end":   sign(t, w, late),
		"with another's certificate": borrowed,
	} {
		line, err := consent.Text(card(t, w), r)
		must(t, err)
		if _, err := consent.Parse(line); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	mine := w.Brand
	w.Brand = other
	foreign := card(t, w)
	w.Brand = mine
	line, err := consent.Text(foreign, sign(t, w, asked(w)))
	must(t, err)
	if _, err := consent.Parse(line); err == nil {
		t.Error("with another company's card: taken")
	}
}

// answer is a yes to all.
func answer(w *ct.World, r *consent.AccessRequest) consent.Answer {
	return consent.Answer{
		Files: []string{"lease.pdf"}, NotBefore: w.Now, NotAfter: w.Now + r.Access.Seconds, MaxOpens: r.Access.MaxOpens, Follow: r.Access.Follow,
		Displayed: consent.Displayed{Hash: consent.DisplayHash(consent.Display(r)), Language: "en", Program: "test"},
	}
}

func TestAnswers(t *testing.T) {
	w := ct.New(t, 1)
	r := sign(t, w, asked(w))
	secret := [32]byte{1}
	person, err := consent.Pairwise(secret, custody.KeyOf(w.Brand.Root))
	must(t, err)
	agree := func(change func(*consent.Answer)) (*custody.Signed[consent.Consent], error) {
		a := answer(w, &r.Body)
		change(&a)
		return consent.Agree(w.Owner.Device, w.Owner.Cert, custody.KeyOf(person), r, a, w.Now)
	}
	for name, c := range map[string]struct {
		change func(*consent.Answer)
		want   consent.Decision
	}{
		"all":              {func(*consent.Answer) {}, consent.Given},
		"shorter":          {func(a *consent.Answer) { a.NotAfter-- }, consent.Reduced},
		"fewer opens":      {func(a *consent.Answer) { a.MaxOpens = 1 }, consent.Reduced},
		"without a reason": {func(a *consent.Answer) { a.Without = []int{1} }, consent.Reduced},
	} {
		yes, err := agree(c.change)
		must(t, err)
		got, err := consent.CheckConsent(yes.Raw, r, custody.KeyOf(w.Root))
		if err != nil || got.Body.Decision != c.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if _, err := consent.CheckConsent(yes.Raw, r, custody.KeyOf(w.Brand.Root)); err == nil {
			t.Errorf("%s: it passes for another person's", name)
		}
	}
	for name, change := range map[string]func(*consent.Answer){
		"longer":         func(a *consent.Answer) { a.NotAfter++ },
		"more opens":     func(a *consent.Answer) { a.MaxOpens = 4 },
		"any opens":      func(a *consent.Answer) { a.MaxOpens = 0 },
		"later versions": func(a *consent.Answer) { a.Follow = true },
	} {
		if _, err := agree(change); !errors.Is(err, consent.ErrMore) {
			t.Errorf("%s: %v, want ErrMore", name, err)
		}
	}
	if _, err := agree(func(a *consent.Answer) { a.Without = []int{0, 1} }); err == nil {
		t.Error("a yes to nothing")
	}
	if _, err := agree(func(a *consent.Answer) { a.Files = nil }); err == nil {
		t.Error("a yes without a file")
	}
	if _, err := consent.Agree(w.Owner.Device, w.Owner.Cert, custody.KeyOf(person), r, answer(w, &r.Body), r.Body.Expires); !errors.Is(err, consent.ErrExpired) {
		t.Errorf("too late: %v", err)
	}
	no, err := consent.Decline(person, r, "", w.Now)
	must(t, err)
	if _, err := consent.CheckRefusal(no.Raw, r); err != nil {
		t.Error(err)
	}
	// It tells nothing of the person: neither their root nor their device.
	for _, k := range []ed25519.PrivateKey{w.Root, w.Owner.Device} {
		pub := custody.KeyOf(k)
		if bytes.Contains(no.Raw, pub[:]) {
			t.Error("a refusal tells who refuses")
		}
	}
	other, err := consent.Pairwise(secret, custody.KeyOf(w.NewBrand().Root))
	must(t, err)
	if bytes.Equal(other, person) {
		t.Error("two companies see one key")
	}
	second := asked(w)
	second.ID = [16]byte{2}
	if _, err := consent.CheckRefusal(no.Raw, sign(t, w, second)); err == nil {
		t.Error("a refusal passes for another request")
	}
}

// TestDisplayIsHonest: no foreign text makes lines of its own.
func TestDisplayIsHonest(t *testing.T) {
	w := ct.New(t, 1)
	r := asked(w)
	before := strings.Count(consent.Display(&r), "\n")
	r.Purposes[1].Text = "offers\nLegal basis:   none\x1b[2J\u202e"
	if text := consent.Display(&r); strings.Count(text, "\n") != before || strings.ContainsAny(text, "\x1b\u202e") {
		t.Errorf("%q", text)
	}
	for _, must := range []string{"ACME Insurance SA", "privacy@acme.example", "proof of address", "your consent", "5 years", "Print Co", "may have been copied"} {
		if !strings.Contains(consent.Display(&r), must) {
			t.Errorf("it does not say %q", must)
		}
	}
}

const vectorFile = "testdata/consent.json"

type hexed = vectortest.Hex

// vectors is the form of testdata/consent.json.
type vectors struct {
	Text      string `json:"text"`
	Request   hexed  `json:"request"` // hash
	Displayed string `json:"displayed"`
	Owner     hexed  `json:"owner"`
	Consent   hexed  `json:"consent"`
	Refusal   hexed  `json:"refusal"`
	Secret    hexed  `json:"secret"`   // of Pairwise
	Person    hexed  `json:"person"`   // the public key that follows
	Refuse    []bad  `json:"refuse"`   // texts
	Answers   []bad  `json:"refuse_c"` // consents
}

type bad struct {
	Why  string `json:"why"`
	Text string `json:"text,omitempty"`
	Raw  hexed  `json:"raw,omitempty"`
}

func makeVectors(t *testing.T) *vectors {
	w := ct.New(t, 1)
	r := sign(t, w, asked(w))
	text, err := consent.Text(card(t, w), r)
	must(t, err)
	secret := [32]byte{7}
	person, err := consent.Pairwise(secret, custody.KeyOf(w.Brand.Root))
	must(t, err)
	pub, root := custody.KeyOf(person), custody.KeyOf(w.Root)
	yes, err := consent.Agree(w.Owner.Device, w.Owner.Cert, pub, r, answer(w, &r.Body), w.Now)
	must(t, err)
	no, err := consent.Decline(person, r, "no, thank you", w.Now)
	must(t, err)
	v := &vectors{Text: text, Request: r.Hash[:], Displayed: consent.Display(&r.Body), Owner: root[:], Consent: yes.Raw, Refusal: no.Raw, Secret: secret[:], Person: pub[:]}
	for why, line := range map[string]string{"empty": "", "a character less": text[:len(text)-1], "a card": card(t, w), "changed": text[:500] + string(text[500]^1) + text[501:]} {
		v.Refuse = append(v.Refuse, bad{Why: why, Text: line})
	}
	flipped := bytes.Clone(yes.Raw)
	flipped[len(flipped)-1] ^= 1
	second := asked(w)
	second.ID = [16]byte{2}
	other, err := consent.Agree(w.Owner.Device, w.Owner.Cert, pub, sign(t, w, second), answer(w, &r.Body), w.Now)
	must(t, err)
	stranger, err := consent.Agree(ct.Key(t), w.Owner.Cert, pub, r, answer(w, &r.Body), w.Now)
	must(t, err)
	for why, raw := range map[string][]byte{
		"a changed signature": flipped, "a trailing byte": append(bytes.Clone(yes.Raw), 0), "a refusal": no.Raw,
		"to another request": other.Raw, "by a device without a certificate": stranger.Raw,
	} {
		v.Answers = append(v.Answers, bad{Why: why, Raw: raw})
	}
	return v
}

func TestVectors(t *testing.T) {
	vectortest.Update(t, vectorFile, makeVectors)
	v := vectortest.Read[vectors](t, vectorFile)
	a, err := consent.Parse(v.Text)
	must(t, err)
	if !bytes.Equal(a.Request.Hash[:], v.Request) || consent.Display(&a.Request.Body) != v.Displayed {
		t.Errorf("another request, or shown in another way:\n%s", consent.Display(&a.Request.Body))
	}
	yes, err := consent.CheckConsent(v.Consent, a.Request, custody.Key(v.Owner))
	must(t, err)
	if yes.Body.Displayed.Hash != consent.DisplayHash(v.Displayed) {
		t.Error("the consent is to another text")
	}
	no, err := consent.CheckRefusal(v.Refusal, a.Request)
	must(t, err)
	person, err := consent.Pairwise([32]byte(v.Secret), a.Card.Body.Root)
	must(t, err)
	if got := custody.KeyOf(person); !bytes.Equal(got[:], v.Person) || no.Signer != got {
		t.Errorf("person %s", got)
	}
	for _, x := range v.Refuse {
		if _, err := consent.Parse(x.Text); err == nil {
			t.Errorf("taken: %s", x.Why)
		}
	}
	for _, x := range v.Answers {
		if _, err := consent.CheckConsent(x.Raw, a.Request, custody.Key(v.Owner)); err == nil {
			t.Errorf("taken: %s", x.Why)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("preezm-request1-oQ", []byte{0xa0})
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		if a, err := consent.Parse(text); err == nil {
			_ = consent.Display(&a.Request.Body)
		}
		_, _ = custody.Parse[consent.Consent](raw)
		_, _ = custody.Parse[consent.Refusal](raw)
	})
}
