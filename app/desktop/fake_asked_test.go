// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/peers"
)

// fakeAsked is the part of fakeNode about companies' requests and desks.
type fakeAsked struct {
	requests   []node.AskedRequest
	accepted   []node.AcceptOrder
	refused    []node.RefuseOrder
	sent       []node.SentRequest
	ordered    []node.RequestOrder
	answers    []string
	answerLine string   // what comes back of an answer
	receipt    []byte   // of every request
	counters   []string // countersignatures
	members    []node.BrandMember
	shutOut    []string
	invited    []string
}

// request is what a company asks for; the record is made as the node makes it.
func request(id, company string, special bool) node.AskedRequest {
	r := consent.AccessRequest{
		Controller: consent.Controller{LegalName: company, Contact: "privacy@acme.example", Country: "FR"},
		Purposes:   []consent.Purpose{{Text: "settle claim 2231", Necessary: true}, {Text: "improve our models"}},
		Kinds:      []consent.Kind{{Text: "insurance contract"}, {Text: "photos of the damage", Special: special}},
		Access:     consent.Access{Seconds: int64(10 * day / time.Second), MaxOpens: 5}, Basis: consent.ByContract,
		Retention: "5 years after the contract ends", Language: "en", At: noon.Unix(), Expires: noon.Add(12 * day).Unix(),
	}
	displayed := consent.Display(&r)
	record, _ := json.Marshal(map[string]any{"displayed": displayed, "request": map[string]any{
		"dpv:hasDataController": map[string]any{"legal_name": company, "contact": r.Controller.Contact},
		"purposes":              []map[string]any{{"text": r.Purposes[0].Text, "dpv:hasNecessity": true}, {"text": r.Purposes[1].Text}},
		"kinds":                 []map[string]any{{"text": r.Kinds[0].Text}, {"text": r.Kinds[1].Text, "special": special}},
		"access":                map[string]any{"seconds": r.Access.Seconds, "max_opens": r.Access.MaxOpens, "follow": false},
		"retention":             r.Retention,
	}})
	return node.AskedRequest{ID: id, Company: company, Key: "9f3a11c02b7745de8812", State: grants.RequestOpen, Got: noon.Add(-time.Hour), Expires: noon.Add(12 * day), Displayed: displayed, Record: record}
}

func (n *fakeNode) TakeRequest(_ context.Context, text string) (node.AskedRequest, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !strings.HasPrefix(text, consent.RequestPrefix) {
		return node.AskedRequest{}, consent.ErrText
	}
	r := request("r-22222222", "Bank & Co", true)
	n.requests = append(n.requests, r)
	return r, nil
}

func (n *fakeNode) Requests(context.Context) ([]node.AskedRequest, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.requests), n.failed
}

func (n *fakeNode) AcceptRequest(_ context.Context, o node.AcceptOrder) (*node.Accepted, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.accepted = append(n.accepted, o)
	for i := range n.requests {
		if n.requests[i].ID == o.ID {
			n.requests[i].State, n.requests[i].Answer = string(consent.Reduced), consent.ConsentPrefix+"abc"
			return &node.Accepted{Request: n.requests[i], Grant: &node.Granted{ID: "g-77aa01bc", Brand: n.requests[i].Company, Ticket: "preezm-ticket1-good"}}, nil
		}
	}
	return nil, grants.ErrUnknown
}

func (n *fakeNode) RefuseRequest(_ context.Context, o node.RefuseOrder) (node.AskedRequest, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refused = append(n.refused, o)
	for i := range n.requests {
		if n.requests[i].ID == o.ID {
			n.requests[i].State, n.requests[i].Answer = grants.RequestRefused, consent.RefusalPrefix+"abc"
			return n.requests[i], nil
		}
	}
	return node.AskedRequest{}, grants.ErrUnknown
}

func (n *fakeNode) BrandRequest(_ context.Context, o node.RequestOrder) (node.SentRequest, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ordered = append(n.ordered, o)
	s := node.SentRequest{ID: "r-33333333", State: grants.RequestOpen, At: noon, Text: consent.RequestPrefix + "hQEC", Record: request("", "", false).Record}
	n.sent = append(n.sent, s)
	return s, nil
}

func (n *fakeNode) BrandRequests(context.Context) ([]node.SentRequest, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.sent), n.failed
}

func (n *fakeNode) BrandAnswer(_ context.Context, text string) (node.SentRequest, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answers = append(n.answers, text)
	return node.SentRequest{ID: "r-33333333", Countersignature: n.answerLine}, nil
}

func (n *fakeNode) BrandReceipt(context.Context, string) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.receipt, n.failed
}

func (n *fakeNode) RequestReceipt(context.Context, string) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.receipt, n.failed
}

func (n *fakeNode) TakeCountersignature(_ context.Context, text string) (node.AskedRequest, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.counters = append(n.counters, text)
	for i := range n.requests {
		if n.requests[i].Answer != "" {
			n.requests[i].Countersigned = noon
			return n.requests[i], nil
		}
	}
	return node.AskedRequest{}, consent.ErrText
}

func (n *fakeNode) InviteMember(_ context.Context, role string) (node.MemberInvite, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.invited = append(n.invited, role)
	return node.MemberInvite{Code: "preezm-member1-" + strings.Repeat("hQEC", 20), Role: role, Expires: noon.Add(time.Hour)}, nil
}

func (n *fakeNode) JoinBrand(_ context.Context, code string) (node.BrandInfo, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if code != "preezm-member1-good" {
		return node.BrandInfo{}, peers.ErrUnreachable
	}
	n.brand = &node.BrandInfo{Name: "ACME Insurance", Label: "claims desk 3", Key: "9f3a11c02b7745de8812", Until: noon.Add(20 * time.Hour)}
	return *n.brand, nil
}

func (n *fakeNode) BrandMembers(context.Context) ([]node.BrandMember, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.fakeAsked.members), n.failed
}

func (n *fakeNode) RevokeMember(_ context.Context, who string) (node.BrandMember, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.shutOut = append(n.shutOut, who)
	return node.BrandMember{}, nil
}

// wantedFrom is a home whom companies ask.
func wantedFrom() *fakeNode {
	n := lending()
	old := request("r-00000001", "Old Bank", false)
	old.State, old.Answer = grants.RequestRefused, consent.RefusalPrefix+"no"
	n.requests = []node.AskedRequest{request("r-1a2b3c4d", "ACME Insurance", true), old}
	return n
}

// office is a company with desks and requests.
func office() *fakeNode {
	n := company()
	n.brand.Office = true
	record := request("", "", false).Record
	n.sent = []node.SentRequest{
		{ID: "r-5a5a0001", State: grants.RequestOpen, At: noon.Add(-3 * time.Hour), Text: consent.RequestPrefix + "x", Record: record},
		{ID: "r-5a5a0002", State: grants.RequestRefused, At: noon.Add(-9 * day), Reason: "not needed for this contract", Record: record},
		{ID: "r-5a5a0003", State: string(consent.Reduced), At: noon.Add(-12 * day), Record: record},
	}
	n.fakeAsked.members = []node.BrandMember{
		{Device: peers.DeviceID{41}, Label: "claims desk 3", Name: "front-pc", State: node.Certified, Until: noon.Add(20 * time.Hour), LastSeen: noon.Add(-20 * time.Minute)},
		{Device: peers.DeviceID{42}, Label: "expert", Name: "tablet", State: node.MemberEnded, LastSeen: noon.Add(-9 * day)},
		{Device: peers.DeviceID{43}, Label: "intern", Name: "laptop 7", State: node.MemberShutOut},
	}
	return n
}
