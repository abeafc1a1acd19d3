// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/preezm/preezm/engine/brand"
	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/grants"
)

// ConsentAPI is the part of API about asking for files, and answering: a
// company's side and a person's.
type ConsentAPI interface {
	// BrandRequest makes a request to send to a person.
	BrandRequest(ctx context.Context, o RequestOrder) (SentRequest, error)
	// BrandRequests lists the requests of this machine.
	BrandRequests(ctx context.Context) ([]SentRequest, error)
	// BrandAnswer keeps a person's answer.
	BrandAnswer(ctx context.Context, text string) (SentRequest, error)

	// BrandReceipt writes the record of a request and its answer.
	BrandReceipt(ctx context.Context, id string) ([]byte, error)

	// TakeRequest keeps what a company sent, and promises nothing.
	TakeRequest(ctx context.Context, text string) (AskedRequest, error)
	// Requests lists what companies asked for.
	Requests(ctx context.Context) ([]AskedRequest, error)
	// AcceptRequest says yes, or to less, and makes the grant.
	AcceptRequest(ctx context.Context, o AcceptOrder) (*Accepted, error)
	// RefuseRequest says no.
	RefuseRequest(ctx context.Context, o RefuseOrder) (AskedRequest, error)
	// TakeCountersignature keeps a company's word that it holds an answer.
	TakeCountersignature(ctx context.Context, text string) (AskedRequest, error)
	// RequestReceipt writes the record of a request and its answer.
	RequestReceipt(ctx context.Context, id string) ([]byte, error)
}

// RequestOrder is what a company wants to ask.
type RequestOrder struct {
	Request consent.AccessRequest `json:"request"`
	Life    time.Duration         `json:"life"` // for an answer
}

// SentRequest is a request of this company.
type SentRequest struct {
	ID      string          `json:"id"`
	State   string          `json:"state"`             // open, expired, refused, given, reduced, unreadable
	Problem string          `json:"problem,omitempty"` // of an unreadable one, which has nothing else
	At      time.Time       `json:"at"`
	Expires time.Time       `json:"expires"`
	Text    string          `json:"text"` // to send
	Reason  string          `json:"reason,omitempty"`
	Record  json.RawMessage `json:"record"`
	// Countersignature is the line to send back once there is an answer.
	Countersignature string `json:"countersignature,omitempty"`
}

// AskedRequest is what a company asked for.
type AskedRequest struct {
	ID        string          `json:"id"`
	Company   string          `json:"company"` // by its card
	Key       string          `json:"key"`
	State     string          `json:"state"`
	Problem   string          `json:"problem,omitempty"` // of an unreadable one, which has nothing else
	Got       time.Time       `json:"got"`
	Expires   time.Time       `json:"expires"`
	Displayed string          `json:"displayed"` // what a person reads before they answer
	Answer    string          `json:"answer,omitempty"`
	Grant     string          `json:"grant,omitempty"` // hash
	Record    json.RawMessage `json:"record"`
	// Countersigned is when the company signed that it holds the answer; zero: it
	// has not, as far as this machine knows.
	Countersigned time.Time `json:"countersigned,omitzero"`
}

// AcceptOrder is a yes.
type AcceptOrder struct {
	ID        string        `json:"id"`
	Names     []string      `json:"names"`
	Without   []int         `json:"without"` // purposes, from 0
	For       time.Duration `json:"for"`     // 0: as asked
	Opens     uint32        `json:"opens"`   // 0: as asked
	Via       []string      `json:"via"`
	Displayed string        `json:"displayed"` // what was shown: AskedRequest's
	Explicit  bool          `json:"explicit"`  // yes to sensitive data
}

// Accepted is a consent and the grant that followed.
type Accepted struct {
	Request AskedRequest `json:"request"`
	Grant   *Granted     `json:"grant"`
}

// RefuseOrder is a no.
type RefuseOrder struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// BrandRequest makes a request.
func (n *Node) BrandRequest(ctx context.Context, o RequestOrder) (SentRequest, error) {
	b, err := n.openBrand()
	if err != nil {
		return SentRequest{}, err
	}
	defer b.Close()
	s, err := b.Request(ctx, o.Request, int64(o.Life/time.Second))
	if err != nil {
		return SentRequest{}, err
	}
	return n.sentRequest(s)
}

// BrandRequests lists the requests of this machine.
func (n *Node) BrandRequests(context.Context) ([]SentRequest, error) {
	b, err := n.openBrand()
	if err != nil {
		return nil, err
	}
	defer b.Close()
	all, bad, err := b.Requests()
	if err != nil {
		return nil, err
	}
	out := []SentRequest{}
	for _, why := range bad {
		out = append(out, SentRequest{State: grants.RequestUnreadable, Problem: why.Error()})
	}
	for _, s := range all {
		r, err := n.sentRequest(s)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// BrandAnswer keeps a person's answer.
func (n *Node) BrandAnswer(ctx context.Context, text string) (SentRequest, error) {
	b, err := n.openBrand()
	if err != nil {
		return SentRequest{}, err
	}
	defer b.Close()
	s, err := b.Answered(ctx, text)
	if err != nil {
		return SentRequest{}, err
	}
	return n.sentRequest(s)
}

func (n *Node) sentRequest(s *brand.Sent) (SentRequest, error) {
	r := &s.Request.Body
	out := SentRequest{ID: grants.RequestID(r.ID), State: grants.RequestOpen, At: time.Unix(r.At, 0), Expires: time.Unix(r.Expires, 0), Text: s.Text}
	switch {
	case s.Consent != nil:
		out.State = string(s.Consent.Body.Decision)
	case s.Refusal != nil:
		out.State, out.Reason = grants.RequestRefused, s.Refusal.Body.Reason
	case n.now().Unix() >= r.Expires:
		out.State = grants.RequestExpired
	}
	if s.Countersigned != nil {
		out.Countersignature = consent.AnswerText(consent.CountersignPrefix, s.Countersigned.Raw)
	}
	var err error
	out.Record, err = json.Marshal(consent.NewExport(s.Request, s.Consent, s.Refusal))
	return out, err
}

// BrandReceipt writes the record of a request and its answer.
func (n *Node) BrandReceipt(_ context.Context, id string) ([]byte, error) {
	b, err := n.openBrand()
	if err != nil {
		return nil, err
	}
	defer b.Close()
	all, _, err := b.Requests()
	if err != nil {
		return nil, err
	}
	want := strings.TrimPrefix(strings.ToLower(id), "r-")
	var found []*brand.Sent
	for _, s := range all {
		if len(want) >= 4 && strings.HasPrefix(fmt.Sprintf("%x", s.Request.Body.ID), want) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("the request %q %w: 'preezm brand requests' shows what was asked for", id, grants.ErrUnknown)
	case 1:
		return found[0].Receipt()
	}
	return nil, fmt.Errorf("several requests begin with %q: give more of it", id)
}

// TakeCountersignature keeps a company's word that it holds an answer.
func (n *Node) TakeCountersignature(ctx context.Context, text string) (AskedRequest, error) {
	a, err := n.desk.TakeCountersignature(ctx, text)
	if err != nil {
		return AskedRequest{}, err
	}
	return askedRequest(a)
}

// RequestReceipt writes the record of a request and its answer.
func (n *Node) RequestReceipt(ctx context.Context, id string) ([]byte, error) {
	return n.desk.Receipt(ctx, id)
}

// TakeRequest keeps what a company sent.
func (n *Node) TakeRequest(ctx context.Context, text string) (AskedRequest, error) {
	a, err := n.desk.TakeRequest(ctx, text)
	if err != nil {
		return AskedRequest{}, err
	}
	return askedRequest(a)
}

// Requests lists what companies asked for.
func (n *Node) Requests(ctx context.Context) ([]AskedRequest, error) {
	all, err := n.desk.Requests(ctx)
	if err != nil {
		return nil, err
	}
	out := []AskedRequest{}
	for _, a := range all {
		r, err := askedRequest(a)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// AcceptRequest says yes, or to less, and makes the grant.
func (n *Node) AcceptRequest(ctx context.Context, o AcceptOrder) (*Accepted, error) {
	a, made, err := n.desk.Accept(ctx, grants.Accepting{
		ID: o.ID, Paths: o.Names, Without: o.Without, For: o.For, Opens: o.Opens, Via: o.Via, Displayed: o.Displayed, Explicit: o.Explicit, Program: "preezm " + n.version,
	})
	if err != nil {
		return nil, err
	}
	r, err := askedRequest(a)
	return &Accepted{r, granted(made)}, err
}

// RefuseRequest says no.
func (n *Node) RefuseRequest(ctx context.Context, o RefuseOrder) (AskedRequest, error) {
	a, err := n.desk.Refuse(ctx, o.ID, o.Reason)
	if err != nil {
		return AskedRequest{}, err
	}
	return askedRequest(a)
}

func askedRequest(a *grants.Asked) (AskedRequest, error) {
	if a.Problem != nil {
		return AskedRequest{ID: a.Name, State: a.State, Got: a.Got, Problem: a.Problem.Error()}, nil
	}
	r := &a.Request.Body
	record := a.Record()
	out := AskedRequest{
		ID: a.Name, Company: a.Card.Body.Name, Key: a.Card.Body.Root.String(), State: a.State, Got: a.Got,
		Expires: time.Unix(r.Expires, 0), Displayed: consent.Display(r), Answer: a.Text(), Grant: record.Grant,
	}
	if a.Countersigned != nil {
		out.Countersigned = time.Unix(a.Countersigned.Body.At, 0)
	}
	var err error
	out.Record, err = json.Marshal(record)
	return out, err
}
