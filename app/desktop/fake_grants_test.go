// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/brand"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// fakeGrants is the part of fakeNode about time-limited keys.
type fakeGrants struct {
	custodians []node.Custodian
	granted    []grants.Info
	lines      []grants.Line
	notes      []said.Note
	checked    []grants.Checked
	orders     []node.GrantOrder
	revoked    []node.RevokeOrder
	extended   []node.ExtendOrder
	refreshed  []string
	asked      []string

	brand    *node.BrandInfo
	received []node.Received
	opens    []node.OpenOrder
	open     func(ctx context.Context, o node.OpenOrder, progress func(engine.Progress)) (*node.OpenReport, error)
	viewURL  string
	ended    []string
}

func (n *fakeNode) Custodians(context.Context) ([]node.Custodian, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.custodians, n.failed
}

func (n *fakeNode) WhoIs(context.Context, string) ([]node.KnownCustodian, error) { return nil, nil }

func (n *fakeNode) AddCustodian(_ context.Context, who string) (node.Custodian, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, who)
	c := node.Custodian{Name: who, Appointed: noon}
	n.custodians = append(n.custodians, c)
	return c, nil
}

func (n *fakeNode) Grant(_ context.Context, o node.GrantOrder) (*node.Granted, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.orders = append(n.orders, o)
	return &node.Granted{ID: "g-77aa01bc", Brand: "ACME Insurance", NotAfter: o.Until, Ticket: "preezm-ticket1-" + strings.Repeat("q83vEjRW", 900)}, nil
}

func (n *fakeNode) Grants(context.Context) (*node.GrantList, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &node.GrantList{Grants: slices.Clone(n.granted), Notes: n.notes}, n.failed
}

func (n *fakeNode) Revoke(_ context.Context, o node.RevokeOrder) (*grants.Info, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.revoked = append(n.revoked, o)
	for i := range n.granted {
		if g := &n.granted[i]; g.ID == o.ID {
			g.State, g.Told = grants.Revoked, min(g.Told+1, g.Custodians)
			c := *g
			return &c, nil
		}
	}
	return nil, grants.ErrUnknown
}

func (n *fakeNode) Extend(_ context.Context, o node.ExtendOrder) (*node.Granted, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.extended = append(n.extended, o)
	return &node.Granted{ID: "g-00000002", Brand: "ACME Insurance", Ticket: "preezm-ticket1-longer"}, nil
}

func (n *fakeNode) Refresh(_ context.Context, id string) (*node.Granted, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refreshed = append(n.refreshed, id)
	return &node.Granted{ID: id, Brand: "ACME Insurance", Ticket: "preezm-ticket1-newer"}, nil
}

func (n *fakeNode) Ledger(context.Context) (*node.LedgerView, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &node.LedgerView{Entries: n.lines, Notes: n.notes}, n.failed
}

func (n *fakeNode) VerifyLedger(context.Context) ([]grants.Checked, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.checked, n.failed
}

func (n *fakeNode) Proof(context.Context, string) ([]byte, error) { return []byte("PK bundle"), nil }

func (n *fakeNode) BrandInit(_ context.Context, o node.BrandOptions) (node.BrandInfo, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.brand = &node.BrandInfo{Name: o.Name, Label: o.Label, Key: "9f3a11c02b7745de8812", Card: "preezm-brand1-" + strings.Repeat("hQEC", 60)}
	return *n.brand, nil
}

func (n *fakeNode) Brand(context.Context) (node.BrandInfo, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.failed != nil:
		return node.BrandInfo{}, n.failed
	case n.brand == nil:
		return node.BrandInfo{}, brand.ErrNoBrand
	}
	return *n.brand, nil
}

func (n *fakeNode) Receive(_ context.Context, ticket string) (node.Received, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !strings.HasPrefix(ticket, "preezm-ticket1-good") {
		return node.Received{}, brand.ErrNotOurs
	}
	r := node.Received{ID: "g-5511aa20", Owner: "77de90aa1b2c3d4e", State: grants.Open, NotBefore: noon.Add(-time.Minute), NotAfter: noon.Add(2 * time.Hour),
		Files: []node.ReceivedFile{{Name: "letter.txt", Size: 900}}}
	n.received = append(n.received, r)
	return r, nil
}

func (n *fakeNode) Received(context.Context) ([]node.Received, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.received), n.failed
}

func (n *fakeNode) OpenGrant(ctx context.Context, o node.OpenOrder, progress func(engine.Progress)) (*node.OpenReport, error) {
	n.mu.Lock()
	n.opens = append(n.opens, o)
	open := n.open
	n.mu.Unlock()
	if open != nil {
		return open(ctx, o, progress)
	}
	return &node.OpenReport{Grant: o.Grant, Files: []node.OpenedFile{{Name: "letter.txt"}}}, nil
}

func (n *fakeNode) View(_ context.Context, o node.ViewOrder) (node.View, error) {
	if n.viewURL == "" {
		return node.View{}, errors.New("no view here")
	}
	return node.View{Grant: o.Grant, URL: n.viewURL, Token: "secret"}, nil
}

func (n *fakeNode) EndView(_ context.Context, token string) (node.View, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended = append(n.ended, token)
	return node.View{}, nil
}

// lending is a family that has granted something.
func lending() *fakeNode {
	n := family()
	for i, name := range []string{"Cellar NAS", "Bibliothèque", "Office"} {
		n.custodians = append(n.custodians, node.Custodian{Device: peers.DeviceID{byte(2 + i)}, Name: name, Appointed: noon.Add(-90 * day)})
	}
	opening := func(ago time.Duration, who, file string, custodians int) grants.Opening {
		return grants.Opening{At: noon.Add(-ago), Device: who, Path: file, Custodians: custodians, Enough: custodians >= 2}
	}
	n.granted = []grants.Info{
		{ID: "g-7f3a9b21", Hash: "h1", Brand: "ACME Insurance", BrandKey: "9f3a11c02b7745de8812aa", State: grants.Open, Issued: noon.Add(-5 * day),
			NotBefore: noon.Add(-5 * day), NotAfter: noon.Add(25*day + 3*time.Hour), Purpose: "home insurance, claim 2231", Need: 2, Custodians: 3, Quorum: 2,
			Files: []string{"Insurance contract.pdf", "Photos/Été à la mer.jpg"}, Follow: true, Reported: 3, Ticket: "preezm-ticket1-abc",
			Openings: []grants.Opening{opening(4*day, "claims desk 1", "Insurance contract.pdf", 3), opening(26*time.Hour, "claims desk 2", "Photos/Été à la mer.jpg", 2),
				opening(25*time.Hour, "claims desk 2", "Insurance contract.pdf", 3), opening(95*time.Minute, "expert", "Insurance contract.pdf", 3)}},
		{ID: "g-12c4d0e7", Hash: "h2", Brand: "Notaire Lefèvre & associés", BrandKey: "04bb7e2299", State: grants.Open, Issued: noon.Add(-time.Hour),
			NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(47*time.Minute + 12*time.Second), Need: 2, Custodians: 3, Quorum: 2, MaxOpens: 1,
			Files: []string{"Taxes/2025.pdf"}, Openings: []grants.Opening{}, Reported: 3, Unopened: true, Ticket: "preezm-ticket1-def"},
		{ID: "g-c0ffee01", Hash: "h3", Brand: "Garage du Centre", BrandKey: "e1e2e3e4e5", State: grants.Revoked, Issued: noon.Add(-20 * day),
			NotBefore: noon.Add(-20 * day), NotAfter: noon.Add(10 * day), Need: 2, Custodians: 3, Quorum: 2, Told: 1, Files: []string{"Letter to the landlord.odt"},
			Openings: []grants.Opening{}, Reported: 3, Unopened: true, Refusals: 2},
		{ID: "g-0ld00001", Hash: "h4", Brand: "ACME Insurance", BrandKey: "9f3a11c02b7745de8812aa", State: grants.Ended, Issued: noon.Add(-100 * day),
			NotBefore: noon.Add(-100 * day), NotAfter: noon.Add(-70 * day), Need: 2, Custodians: 3, Quorum: 2, Files: []string{"Taxes/2024.pdf"}, Openings: []grants.Opening{}, Reported: 1},
	}
	line := func(ago time.Duration, custodian string, seq uint64, kind, grant, request, file, detail string) grants.Line {
		return grants.Line{Custodian: custodian, Seq: seq, At: noon.Add(-ago), Kind: kind, Grant: grant, Request: request, Path: file, Detail: detail}
	}
	n.lines = []grants.Line{
		line(26*time.Hour, "Cellar NAS", 4, "release", "g-7f3a9b21", "r1", "Photos/Été à la mer.jpg", "claims desk 2"),
		line(26*time.Hour, "Office", 9, "release", "g-7f3a9b21", "r1", "Photos/Été à la mer.jpg", "claims desk 2"),
		line(12*time.Hour, "Office", 10, "erase", "", "", "", "20525"),
		line(11*time.Hour, "Cellar NAS", 5, "erase", "", "", "", "20525"),
		line(95*time.Minute, "Bibliothèque", 3, "release", "g-7f3a9b21", "r2", "Insurance contract.pdf", "expert"),
		line(95*time.Minute, "Cellar NAS", 6, "release", "g-7f3a9b21", "r2", "Insurance contract.pdf", "expert"),
		line(94*time.Minute, "Office", 11, "release", "g-7f3a9b21", "r2", "Insurance contract.pdf", "expert"),
		line(40*time.Minute, "Office", 12, "refuse", "g-c0ffee01", "r3", "Letter to the landlord.odt", "revoked"),
		line(30*time.Minute, "Cellar NAS", 7, "revoke", "g-c0ffee01", "", "", ""),
		line(10*time.Minute, "Office", 13, "release", "g-12c4d0e7", "r4", "Taxes/2025.pdf", "étude"),
	}
	n.checked = []grants.Checked{{Custodian: "Cellar NAS", Entries: 7, Good: true}, {Custodian: "Bibliothèque", Entries: 3, Good: true}, {Custodian: "Office", Entries: 13, Good: true}}
	return n
}

// company is a home that receives.
func company() *fakeNode {
	n := &fakeNode{}
	n.brand = &node.BrandInfo{Name: "ACME Insurance", Label: "claims desk 2", Key: "9f3a11c02b7745de8812aa", Card: "preezm-brand1-" + strings.Repeat("hQEC", 100)}
	n.received = []node.Received{
		{ID: "g-7f3a9b21", Owner: "77de90aa1b2c3d4e5f60", State: grants.Open, NotBefore: noon.Add(-5 * day), NotAfter: noon.Add(25*day + 3*time.Hour), Purpose: "home insurance, claim 2231",
			Files: []node.ReceivedFile{{Name: "Insurance contract.pdf", Size: 1_240_000}, {Name: "Été à la mer.jpg", Size: 4_100_000}}},
		{ID: "g-44120099", Owner: "0b0c0d0e0f101112", State: grants.Ended, NotBefore: noon.Add(-9 * day), NotAfter: noon.Add(-2 * day), Opens: 1,
			Files: []node.ReceivedFile{{Name: "carte grise.pdf", Size: 310_000}}},
	}
	return n
}
