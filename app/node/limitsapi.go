// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/depot"
	"github.com/preezm/preezm/peers/said"
)

// LimitsAPI is the part of API about how polite the node is.
type LimitsAPI interface {
	// Limits tells the limits and what follows from them now.
	Limits(ctx context.Context) (LimitsView, error)
	// SetLimits changes them, for what is under way too.
	SetLimits(ctx context.Context, o LimitsOrder) (LimitsView, error)
}

// LimitsView is the limits, and how things stand.
type LimitsView struct {
	Limits
	Offer int64 `json:"offer"` // bytes the circle may store here
	Kept  int64 `json:"kept"`  // of these in use
	// Lists is what the lists take of those that this machine repairs for; they
	// count against the offer, or, where nothing is offered, may take ListsMost.
	Lists     int64 `json:"lists"`
	ListsMost int64 `json:"lists_most,omitempty"`
	// Leftovers are kept for machines that are no longer in the circle, for a
	// while.
	Leftovers []Leftover `json:"leftovers"`
	DownNow   int64      `json:"down_now"` // by the schedule; 0: no limit
	UpNow     int64      `json:"up_now"`
	// RepairDownNow and RepairUpNow are the rates of what nobody waits for, in
	// bytes a second; 0: no limit.
	RepairDownNow int64 `json:"repair_down_now"`
	RepairUpNow   int64 `json:"repair_up_now"`
	// Resting is why the background rests now; empty: it does not.
	Resting said.Note `json:"resting,omitzero"`
	// BatteryKnown and MeteredKnown tell whether this system says.
	BatteryKnown bool `json:"battery_known"`
	MeteredKnown bool `json:"metered_known"`
	BatteryBelow int  `json:"battery_below"` // percent; 0: never
}

// Leftover is what is kept for a machine that is no longer in the circle.
type Leftover struct {
	Device peers.DeviceID `json:"device"`
	Bytes  int64          `json:"bytes"`
	Since  time.Time      `json:"since"`
	// Days are how many more days on which this machine runs it stays.
	Days int `json:"days"`
}

// LimitsOrder is what changes: Limits as a whole, and Offer when it is not 0
// (OfferNothing: none).
type LimitsOrder struct {
	Limits Limits
	Offer  int64
}

// Limits tells the limits and what follows from them now.
func (n *Node) Limits(ctx context.Context) (LimitsView, error) {
	kept, err := n.depot.Total(ctx)
	if err != nil {
		return LimitsView{}, err
	}
	left, err := n.leftovers(ctx)
	if err != nil {
		return LimitsView{}, err
	}
	lists, err := n.careLists(ctx)
	if err != nil {
		return LimitsView{}, err
	}
	now := time.Now()
	x := n.limits
	battery, metered := x.look(ctx, now)
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.limits.rates(now)
	v := LimitsView{
		Limits: x.limits, Leftovers: left, Kept: kept.Used, DownNow: r.Down, UpNow: r.Up, Resting: x.hold,
		BatteryKnown: battery, MeteredKnown: metered, BatteryBelow: x.limits.battery(),
	}
	v.Offer = n.offered()
	for _, size := range lists {
		v.Lists += size
	}
	if v.Offer == 0 {
		v.ListsMost = depot.BesideNoOffer
	}
	bg := x.limits.repairRates()
	v.RepairDownNow, v.RepairUpNow = bg.Down, bg.Up
	return v, nil
}

// leftovers counts what is kept for machines that are no longer in the circle,
// and forgets what was kept long enough.
func (n *Node) leftovers(ctx context.Context) ([]Leftover, error) {
	list, err := n.depot.Orphans(ctx, n.belongs)
	out := []Leftover{}
	for _, o := range list {
		out = append(out, Leftover{o.Owner, o.Usage.Used, o.Since, depot.OrphanDays + 1 - o.Days})
	}
	return out, err
}

// belongs says whether a device, or another of its person, is in the circle now.
func (n *Node) belongs(d peers.DeviceID) bool {
	if d == n.device || n.book.Has(d) {
		return true
	}
	person := n.book.Owner(d)
	same := func(x peers.DeviceID) bool {
		of := n.book.Owner(x)
		return x == person || of == d || of == person
	}
	return same(n.device) || slices.ContainsFunc(n.book.Peers(), func(p circle.Peer) bool { return same(p.Device) })
}

// offered is what the circle may store here, in bytes.
func (n *Node) offered() int64 {
	n.boundMu.Lock()
	defer n.boundMu.Unlock()
	return n.settings.offer()
}

// SetLimits changes the limits, for good and at once.
func (n *Node) SetLimits(ctx context.Context, o LimitsOrder) (LimitsView, error) {
	if err := o.Limits.check(); err != nil {
		return LimitsView{}, err
	}
	if err := n.saveLimits(o); err != nil {
		return LimitsView{}, err
	}
	n.limits.mu.Lock()
	n.limits.limits = o.Limits
	n.limits.mu.Unlock()
	return n.Limits(ctx)
}

func (n *Node) saveLimits(o LimitsOrder) error {
	n.boundMu.Lock()
	defer n.boundMu.Unlock()
	next := n.settings
	next.Limits = &o.Limits
	if o.Offer != 0 {
		next.Offer = o.Offer
	}
	if err := next.check(); err != nil {
		return err
	}
	if err := next.write(n.home); err != nil {
		return err
	}
	n.settings.Limits, n.settings.Offer = next.Limits, next.Offer
	n.depot.SetOffer(next.offer())
	return nil
}

// The calls of LimitsAPI on the local socket.
const (
	pathLimits    = "/v1/limits"
	pathSetLimits = "/v1/limits/set"
)

func (s *localServer) limitsCalls(mux *http.ServeMux) {
	handle(mux, s, pathLimits, call0(s.api.Limits))
	handle(mux, s, pathSetLimits, call1(s.api.SetLimits))
}

func (c *client) Limits(ctx context.Context) (LimitsView, error) {
	return invoke[LimitsView](ctx, c, pathLimits, empty{}, nil)
}

func (c *client) SetLimits(ctx context.Context, r LimitsOrder) (LimitsView, error) {
	return invoke[LimitsView](ctx, c, pathSetLimits, r, nil)
}
