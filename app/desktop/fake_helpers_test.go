// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"slices"
	"time"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/helper"
	"github.com/preezm/preezm/peers/said"
)

// fakeHelpers is the part of fakeNode about helpers.
type fakeHelpers struct {
	helperSet node.HelperSet
	added     []node.HelperOrder
	dropped   []node.HelperOrder
	asks      []node.HelperRequest
	approved  []node.ApproveOrder
	vetoed    []string
}

func (n *fakeNode) Helpers(context.Context) (node.HelperSet, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.helperSet, n.failed
}

func (n *fakeNode) AddHelpers(_ context.Context, o node.HelperOrder) (node.HelperSet, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.added = append(n.added, o)
	n.helperSet.Helpers = slices.DeleteFunc(slices.Clone(n.helperSet.Helpers), func(h node.Helper) bool { return h.Left })
	n.helperSet.Outdated = false
	for _, who := range o.Names {
		for _, m := range n.members {
			if m.Device.String() == who {
				n.helperSet.Helpers = append(n.helperSet.Helpers, node.Helper{Name: m.Name, Device: m.Device})
			}
		}
	}
	n.helperSet.K, n.helperSet.Delay = len(n.helperSet.Helpers)/2+1, o.Delay
	return n.helperSet, nil
}

func (n *fakeNode) RemoveHelpers(_ context.Context, o node.HelperOrder) (node.HelperSet, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dropped = append(n.dropped, o)
	n.helperSet.Helpers = slices.DeleteFunc(slices.Clone(n.helperSet.Helpers), func(h node.Helper) bool { return o.All || slices.Contains(o.Names, h.Device.String()) })
	return n.helperSet, nil
}

func (n *fakeNode) HelperRequests(context.Context) ([]node.HelperRequest, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.asks), n.failed
}

func (n *fakeNode) ApproveRequest(_ context.Context, o node.ApproveOrder) (node.HelperRequest, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.approved = append(n.approved, o)
	if o.Words != [2]string{"river", "cloud"} {
		return node.HelperRequest{}, helper.ErrWrongWords
	}
	for i := range n.asks {
		if n.asks[i].ID == o.ID {
			n.asks[i].State, n.asks[i].Until = "agreed", noon.Add(3*day)
		}
	}
	return node.HelperRequest{}, nil
}

func (n *fakeNode) VetoRequest(_ context.Context, id string) (node.HelperRequest, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.vetoed = append(n.vetoed, id)
	for i := range n.asks {
		if n.asks[i].ID == id {
			n.asks[i].State = "vetoed"
		}
	}
	return node.HelperRequest{}, nil
}

func (h *fakeHost) ByHelpers(_ context.Context, s Setup, owner string, invites []string, show Showing, _ func(engine.Progress)) (*node.Help, error) {
	h.setups = append(h.setups, s)
	h.owner, h.invites = owner, append(h.invites, invites...)
	for range invites {
		show("Cellar NAS", map[string][]string{"en": {"apple", "river", "stone", "cloud"}, "fr": {"pomme", "fleuve", "pierre", "nuage"}})
	}
	help := h.help
	return &help, nil
}

// helped is a home with helpers, who helps somebody that asks.
func helped() *fakeNode {
	n := several()
	n.helperSet = node.HelperSet{Number: 1, K: 2, Delay: 3 * day, Made: noon.Add(-9 * day), Helpers: []node.Helper{
		{Name: "Hallway PC", Device: peers.DeviceID{6}, Kept: noon.Add(-3 * time.Hour)},
		{Name: "Cellar NAS", Device: peers.DeviceID{2}, Kept: noon.Add(-2 * day)},
		{Name: "Attic PC", Device: peers.DeviceID{5}, Problem: said.By(peers.ErrUnreachable)},
	}, Helped: []node.Helped{{Owner: "Aunt Rose", Since: noon.Add(-70 * day)}}}
	n.asks = []node.HelperRequest{
		{ID: "1a2b3c4d", Owner: "Aunt Rose", Newcomer: "new tablet", Here: true, State: "asked", At: noon.Add(-20 * time.Minute), Places: [2]int{2, 4}},
		{ID: "9f8e7d6c", Owner: "Ben", Newcomer: "desktop", State: "vetoed", By: "Office", At: noon.Add(-30 * day)},
	}
	return n
}

// halfway is how far a recovery by helpers is on its first day.
func halfway() node.Help {
	words := map[string][]string{"en": {"apple", "river", "stone", "cloud"}, "fr": {"pomme", "fleuve", "pierre", "nuage"}}
	return node.Help{Owner: "study laptop", Need: 2, Of: 3, Agreed: 1, Helpers: []node.Asked{
		{Name: "Hallway PC", State: "agreed", Until: noon.Add(3 * day)},
		{Name: "Cellar NAS", State: "asked", ID: "1a2b3c4d", Words: words},
		{Name: "Attic PC", Why: said.By(peers.ErrUnreachable)},
	}}
}
