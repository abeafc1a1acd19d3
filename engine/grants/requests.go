// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers/said"
)

// ErrAnswered: a request has its answer.
var ErrAnswered = said.Error("answered", "was answered already")

// ErrSensitive: what is asked for needs a yes of its own.
var ErrSensitive = said.Error("sensitive", "the request is for sensitive data (Article 9), which needs an explicit yes")

// The states of a request.
const (
	RequestOpen    = "open"
	RequestExpired = "expired"
	RequestRefused = "refused"
	// RequestUnreadable: it is damaged in the catalog.
	RequestUnreadable = "unreadable"
)

// Asked is what a company asked for, with what became of it.
type Asked struct {
	*consent.Asked
	// Name is how people write it, which no other has: RequestID, or the hash
	// where two IDs begin alike, as companies choose them.
	Name    string
	Hash    custody.Hash
	Problem error // why an unreadable one cannot be read: the rest is empty then
	Got     time.Time
	State   string // open, expired, refused, given, reduced, unreadable
	Consent *custody.Signed[consent.Consent]
	Refusal *custody.Signed[consent.Refusal]
	Grant   []byte // hash of the grant that followed, or nil
	// Countersigned is the company's word that it holds the answer, or nil.
	Countersigned *custody.Signed[consent.Countersignature]
}

// Text writes the answer as one line; empty when there is none.
func (a *Asked) Text() string {
	switch {
	case a.Consent != nil:
		return consent.AnswerText(consent.ConsentPrefix, a.Consent.Raw)
	case a.Refusal != nil:
		return consent.AnswerText(consent.RefusalPrefix, a.Refusal.Raw)
	}
	return ""
}

// Record is the request and its answer for other programs.
func (a *Asked) Record() *consent.Export {
	out := consent.NewExport(a.Request, a.Consent, a.Refusal)
	if a.Grant != nil {
		out.Grant = fmt.Sprintf("%x", a.Grant)
	}
	return out
}

// RequestID is how people write a request: the first bytes of its ID.
func RequestID(id [16]byte) string { return fmt.Sprintf("r-%x", id[:4]) }

// TakeRequest keeps a request. It promises nothing to anybody.
func (d *Desk) TakeRequest(ctx context.Context, text string) (*Asked, error) {
	a, err := consent.Parse(text)
	if err != nil {
		return nil, err
	}
	now := d.cfg.Now()
	if now.Unix() >= a.Request.Body.Expires {
		return nil, consent.ErrExpired
	}
	row := catalog.Request{Hash: a.Request.Hash, Doc: strings.Join(strings.Fields(text), ""), Got: now.Unix()}
	if err := d.cat.AddRequest(ctx, row); err != nil {
		return nil, err
	}
	return d.request(ctx, a.Request.Hash)
}

// request gives the request with a hash. It is what a request is found by once
// it is known: an ID is the company's choice.
func (d *Desk) request(ctx context.Context, hash custody.Hash) (*Asked, error) {
	all, err := d.Requests(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(a *Asked) bool { return a.Hash == hash })
	if i < 0 {
		return nil, fmt.Errorf("the request %s %w", hash, ErrUnknown)
	}
	return all[i], all[i].Problem
}

// Requests lists what companies asked for. One that is damaged has only a name
// and its problem.
func (d *Desk) Requests(ctx context.Context) ([]*Asked, error) {
	rows, err := d.cat.Requests(ctx)
	if err != nil {
		return nil, err
	}
	out := []*Asked{}
	alike := map[string]int{}
	for i := range rows {
		hash := custody.Hash(rows[i].Hash)
		a, err := d.asked(&rows[i])
		if err != nil {
			a = &Asked{State: RequestUnreadable, Got: time.Unix(rows[i].Got, 0), Problem: fmt.Errorf("the request %s is damaged in the catalog: %w", hash, err)}
		} else {
			a.Name = RequestID(a.Request.Body.ID)
			alike[a.Name]++
		}
		a.Hash = hash
		out = append(out, a)
	}
	for _, a := range out {
		if a.Name == "" || alike[a.Name] > 1 {
			a.Name = fmt.Sprintf("r-%x", a.Hash[:16])
		}
	}
	return out, nil
}

func (d *Desk) asked(row *catalog.Request) (*Asked, error) {
	in, err := consent.Parse(row.Doc)
	if err != nil {
		return nil, err
	}
	a := &Asked{Asked: in, Got: time.Unix(row.Got, 0), State: RequestOpen, Grant: row.Grant}
	if row.Consent != nil {
		if a.Consent, err = consent.CheckConsent(row.Consent, in.Request, d.Root()); err != nil {
			return nil, err
		}
	}
	if row.Refusal != nil {
		if a.Refusal, err = consent.CheckRefusal(row.Refusal, in.Request); err != nil {
			return nil, err
		}
	}
	if row.Countersigned != nil {
		// One of an answer that another machine of this person gave counts for
		// nothing here.
		_ = a.countersigned(row.Countersigned)
	}
	switch {
	// First: of two machines that answered apart, one granted it.
	case a.Consent != nil && a.Grant != nil:
		a.State = string(a.Consent.Body.Decision)
	case a.Refusal != nil:
		a.State = RequestRefused
	case d.cfg.Now().Unix() >= in.Request.Body.Expires:
		a.State = RequestExpired
	}
	return a, nil
}

// FindRequest gives a request by its name, or the beginning of its ID.
func (d *Desk) FindRequest(ctx context.Context, id string) (*Asked, error) {
	all, err := d.Requests(ctx)
	if err != nil {
		return nil, err
	}
	want := strings.TrimPrefix(strings.ToLower(id), "r-")
	var found []*Asked
	for _, a := range all {
		if a.Name == "r-"+want {
			return a, a.Problem
		}
		if len(want) >= 4 && a.Problem == nil && strings.HasPrefix(fmt.Sprintf("%x", a.Request.Body.ID), want) {
			found = append(found, a)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("the request %q %w: 'preezm requests' shows what companies asked for", id, ErrUnknown)
	case 1:
		return found[0], nil
	}
	var names []string
	for _, a := range found {
		names = append(names, a.Name)
	}
	return nil, fmt.Errorf("several requests begin with %q: name one of %s", id, strings.Join(names, ", "))
}

// open gives a request that may still be answered.
func (d *Desk) open(ctx context.Context, id string) (*Asked, error) {
	a, err := d.FindRequest(ctx, id)
	if err != nil {
		return nil, err
	}
	if a.Consent != nil && a.Grant == nil {
		// A grant may name the consent though nobody wrote that down: a crash.
		if err := d.settle(ctx, a); err != nil {
			return nil, err
		}
	}
	switch a.State {
	case RequestOpen:
		return a, nil
	case RequestExpired:
		return nil, consent.ErrExpired
	}
	return nil, fmt.Errorf("the request %s %w (%s)", a.Name, ErrAnswered, a.State)
}

// settle looks for the grant that a consent led to, and notes it.
func (d *Desk) settle(ctx context.Context, a *Asked) error {
	all, err := d.cat.Grants(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		g, err := custody.CheckGrant(all[i].Doc)
		if err != nil || g.Body.Consent != a.Consent.Hash {
			continue
		}
		a.Grant, a.State = all[i].Hash[:], string(a.Consent.Body.Decision)
		return d.cat.AnswerRequest(ctx, catalog.Request{Hash: a.Request.Hash, Consent: a.Consent.Raw, Grant: a.Grant})
	}
	return nil
}

// Accepting is a yes to a request.
type Accepting struct {
	ID      string
	Paths   []string
	Without []int         // purposes that are refused, from 0
	For     time.Duration // 0: as asked
	Opens   uint32        // 0: as asked
	Via     []string
	// Explicit: the person said yes to sensitive data by a step of its own
	// (Article 9), where the request wants such.
	Explicit  bool
	Program   string // that displayed it, with its version
	Displayed string // what it displayed; must be consent.Display's text
}

// Accept says yes to a request, or to less than it asks, and makes the grant that
// follows. The consent is written down before the grant names it.
func (d *Desk) Accept(ctx context.Context, o Accepting) (*Asked, *Made, error) {
	a, err := d.open(ctx, o.ID)
	if err != nil {
		return nil, nil, err
	}
	want := &a.Request.Body
	if !o.Explicit && slices.ContainsFunc(want.Kinds, func(k consent.Kind) bool { return k.Special }) {
		return nil, nil, ErrSensitive
	}
	now := d.cfg.Now()
	last := want.Access.Seconds
	if o.For > 0 {
		last = int64(o.For / time.Second)
	}
	answer := consent.Answer{
		Without: o.Without, NotBefore: now.Unix(), NotAfter: now.Unix() + last, MaxOpens: want.Access.MaxOpens, Follow: want.Access.Follow,
		Displayed: consent.Displayed{Hash: consent.DisplayHash(o.Displayed), Language: "en", Program: o.Program},
	}
	if o.Displayed != consent.Display(want) {
		return nil, nil, said.Error("request-not-shown", "the request was not shown as it is")
	}
	if o.Opens > 0 {
		answer.MaxOpens = o.Opens
	}
	files, err := d.files(ctx, o.Paths)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range files {
		answer.Files = append(answer.Files, path.Base(f.Path))
	}
	person, err := consent.Pairwise(d.cfg.Secrets.Custody, want.Controller.Root)
	if err != nil {
		return nil, nil, err
	}
	yes, err := consent.Agree(d.owner.Device, d.owner.Cert, custody.KeyOf(person), a.Request, answer, now.Unix())
	if err != nil {
		return nil, nil, err
	}
	row := catalog.Request{Hash: a.Request.Hash, Consent: yes.Raw}
	if err := d.cat.AnswerRequest(ctx, row); err != nil {
		return nil, nil, err
	}
	made, err := d.Make(ctx, Order{
		Brand: a.CardRaw, Paths: o.Paths, NotBefore: time.Unix(answer.NotBefore, 0), NotAfter: time.Unix(answer.NotAfter, 0),
		Purpose: purposes(want, yes.Body.Purposes), Opens: answer.MaxOpens, Follow: answer.Follow, Via: o.Via, Consent: yes.Hash,
	})
	if err != nil {
		return nil, nil, err
	}
	row.Grant = made.Grant.Hash[:]
	if err := d.cat.AnswerRequest(ctx, row); err != nil {
		return nil, nil, err
	}
	a, err = d.request(ctx, a.Request.Hash)
	return a, made, err
}

// purposes is what a grant is bound to: those that were given.
func purposes(r *consent.AccessRequest, decided []consent.Decision) string {
	var out []string
	for i, p := range r.Purposes {
		if decided[i] == consent.Given {
			out = append(out, p.Text)
		}
	}
	text := strings.Join(out, "; ")
	return strings.ToValidUTF8(text[:min(len(text), 512)], "")
}

// Refuse says no to a request.
func (d *Desk) Refuse(ctx context.Context, id, reason string) (*Asked, error) {
	a, err := d.open(ctx, id)
	if err != nil {
		return nil, err
	}
	person, err := consent.Pairwise(d.cfg.Secrets.Custody, a.Request.Body.Controller.Root)
	if err != nil {
		return nil, err
	}
	no, err := consent.Decline(person, a.Request, reason, d.cfg.Now().Unix())
	if err != nil {
		return nil, err
	}
	if err := d.cat.AnswerRequest(ctx, catalog.Request{Hash: a.Request.Hash, Refusal: no.Raw}); err != nil {
		return nil, err
	}
	return d.request(ctx, a.Request.Hash)
}
