// SPDX-License-Identifier: MPL-2.0

package consent_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/vectortest"
)

const receiptFile = "testdata/receipt.json"

// receiptVectors is the form of testdata/receipt.json: whole receipts as they are
// written.
type receiptVectors struct {
	Request  hexed  `json:"request"`
	Consent  hexed  `json:"consent"`
	Refusal  hexed  `json:"refusal"`
	Grant    hexed  `json:"grant"` // hash
	Counter  hexed  `json:"countersignature"`
	Given    string `json:"given"`     // by the person alone
	Joint    string `json:"joint"`     // countersigned
	Taken    string `json:"withdrawn"` // countersigned, and taken back
	Refused  string `json:"refused"`   // a refusal, countersigned
	Refuse   []bad  `json:"refuse"`    // receipts
	Counters []bad  `json:"refuse_c"`  // countersignatures of the consent
}

// answered is a request and everything that can be signed about it.
type answered struct {
	w                   *ct.World
	r                   *custody.Signed[consent.AccessRequest]
	yes                 *custody.Signed[consent.Consent]
	no                  *custody.Signed[consent.Refusal]
	counterYes, counter *custody.Signed[consent.Countersignature]
	revoked             *custody.Signed[custody.Revocation]
	displayed           string
}

func newAnswered(t *testing.T) *answered {
	w := ct.New(t, 1)
	a := &answered{w: w, r: sign(t, w, asked(w))}
	a.displayed = consent.Display(&a.r.Body)
	person, err := consent.Pairwise([32]byte{7}, custody.KeyOf(w.Brand.Root))
	must(t, err)
	decided := answer(w, &a.r.Body)
	decided.Without = []int{1}
	a.yes, err = consent.Agree(w.Owner.Device, w.Owner.Cert, custody.KeyOf(person), a.r, decided, w.Now)
	must(t, err)
	a.no, err = consent.Decline(person, a.r, "no, thank you", w.Now)
	must(t, err)
	grant := custody.Hash{1, 2, 3}
	m := w.Brand.Member
	a.counterYes, err = consent.Countersign(m.Device, m.Cert, a.r.Hash, a.yes.Hash, grant, w.Now+60)
	must(t, err)
	a.counter, err = consent.Countersign(m.Device, m.Cert, a.r.Hash, a.no.Hash, custody.Hash{}, w.Now+60)
	must(t, err)
	a.revoked, err = w.Owner.Revoke(grant, w.Now+3600, "moved")
	must(t, err)
	return a
}

func (a *answered) joint() *consent.Receipt {
	return &consent.Receipt{Request: a.r, Consent: a.yes, Countersigned: a.counterYes, Displayed: a.displayed}
}

func written(t *testing.T, r *consent.Receipt) string {
	t.Helper()
	b, err := r.JSON()
	must(t, err)
	return string(b)
}

func makeReceipts(t *testing.T) *receiptVectors {
	a := newAnswered(t)
	given, joint, taken := a.joint(), a.joint(), a.joint()
	given.Countersigned = nil
	taken.Revocation = a.revoked
	v := &receiptVectors{
		Request: a.r.Raw, Consent: a.yes.Raw, Refusal: a.no.Raw, Grant: a.counterYes.Body.Grant[:], Counter: a.counterYes.Raw,
		Given: written(t, given), Joint: written(t, joint), Taken: written(t, taken),
		Refused: written(t, &consent.Receipt{Request: a.r, Refusal: a.no, Countersigned: a.counter}),
	}
	for why, change := range map[string][2]string{
		"another purpose":        {"open an account", "sell your data"},
		"a refused purpose":      {"dpv:ConsentRefused", "dpv:ConsentGiven"},
		"another file":           {`"lease.pdf"`, `"passport.pdf"`},
		"a member twice":         {`"preezm:countersigned": true,`, `"preezm:countersigned": false, "preezm:countersigned": true,`},
		"a member more":          {`"preezm:countersigned": true,`, `"preezm:countersigned": true, "preezm:note": "x",`},
		"a longer time":          {`"preezm:notAfter": "20`, `"preezm:notAfter": "21`},
		"another text was shown": {"You may refuse", "You must not refuse"},
		"a signature less":       {`"preezm:countersignature":`, `"preezm:countersignatures":`},
	} {
		if !strings.Contains(v.Joint, change[0]) {
			t.Fatalf("%s: the receipt does not say %s", why, change[0])
		}
		v.Refuse = append(v.Refuse, bad{Why: why, Text: strings.Replace(v.Joint, change[0], change[1], 1)})
	}
	v.Refuse = append(v.Refuse, bad{Why: "empty", Text: "{}"}, bad{Why: "no text", Text: ""},
		bad{Why: "two receipts", Text: v.Joint + v.Joint})
	w := a.w
	flipped := bytes.Clone(a.counterYes.Raw)
	flipped[len(flipped)-1] ^= 1
	stranger, err := consent.Countersign(ct.Key(t), w.Brand.Member.Cert, a.r.Hash, a.yes.Hash, custody.Hash{1}, w.Now)
	must(t, err)
	late, err := consent.Countersign(w.Brand.Member.Device, w.Brand.Member.Cert, a.r.Hash, a.yes.Hash, custody.Hash{1}, w.Now+100*ct.Day)
	must(t, err)
	for why, raw := range map[string][]byte{
		"a changed signature": flipped, "of the refusal": a.counter.Raw, "by a device without a certificate": stranger.Raw,
		"after the certificate's end": late.Raw, "a consent": a.yes.Raw,
	} {
		v.Counters = append(v.Counters, bad{Why: why, Raw: raw})
	}
	return v
}

func TestReceiptVectors(t *testing.T) {
	vectortest.Update(t, receiptFile, makeReceipts)
	v := vectortest.Read[receiptVectors](t, receiptFile)
	for what, text := range map[string]string{"given": v.Given, "joint": v.Joint, "withdrawn": v.Taken, "refused": v.Refused} {
		r, err := consent.ReadReceipt([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if !bytes.Equal(r.Request.Raw, v.Request) || (r.Consent != nil && !bytes.Equal(r.Consent.Raw, v.Consent)) ||
			(r.Refusal != nil && !bytes.Equal(r.Refusal.Raw, v.Refusal)) || (what == "given") != (r.Countersigned == nil) {
			t.Errorf("%s: other documents", what)
		}
		if written(t, r) != text {
			t.Errorf("%s is written in another way now", what)
		}
		// White space is free.
		var tight bytes.Buffer
		must(t, json.Compact(&tight, []byte(text)))
		if _, err := consent.ReadReceipt(tight.Bytes()); err != nil {
			t.Errorf("%s, compacted: %v", what, err)
		}
	}
	for _, x := range v.Refuse {
		if _, err := consent.ReadReceipt([]byte(x.Text)); !errors.Is(err, consent.ErrReceipt) {
			t.Errorf("%s: %v", x.Why, err)
		}
	}
	r, err := consent.CheckRequest(v.Request)
	must(t, err)
	yes, err := custody.Parse[consent.Consent](v.Consent)
	must(t, err)
	c, err := consent.CheckCountersignature(v.Counter, r, yes.Hash, true)
	must(t, err)
	if !bytes.Equal(c.Body.Grant[:], v.Grant) {
		t.Errorf("it names the grant %s", c.Body.Grant)
	}
	for _, x := range v.Counters {
		if _, err := consent.CheckCountersignature(x.Raw, r, yes.Hash, true); err == nil {
			t.Errorf("taken: %s", x.Why)
		}
	}
}

// TestReceiptsThatCannotBe: of no answer, or with another grant's withdrawal.
func TestReceiptsThatCannotBe(t *testing.T) {
	a := newAnswered(t)
	both, none, other, alone := a.joint(), a.joint(), a.joint(), a.joint()
	both.Refusal = a.no
	none.Consent = nil
	r, err := a.w.Owner.Revoke(custody.Hash{9}, a.w.Now, "")
	must(t, err)
	other.Revocation = r
	alone.Revocation, alone.Countersigned = a.revoked, nil
	for what, r := range map[string]*consent.Receipt{"two answers": both, "no answer": none, "another grant's withdrawal": other, "a withdrawal of no grant": alone} {
		if _, err := r.JSON(); err == nil {
			t.Errorf("a receipt with %s was written", what)
		}
	}
	// Words that were not shown do not get into it.
	shown := a.joint()
	shown.Displayed = "You gave everything."
	if text := written(t, shown); strings.Contains(text, "everything") {
		t.Error("it says what was not shown")
	}
}

func FuzzReadReceipt(f *testing.F) {
	v := vectortest.Read[receiptVectors](f, receiptFile)
	f.Add([]byte(v.Joint))
	f.Add([]byte(v.Refused))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if r, err := consent.ReadReceipt(raw); err == nil {
			if _, err := r.JSON(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
