// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"net/http"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
)

// CareAPI is the part of API about the circle as a whole: who leaves, what
// each machine is, and whether what it keeps is still right.
type CareAPI interface {
	// PlanRemoval tells what taking a machine out of the circle means. It
	// changes nothing.
	PlanRemoval(ctx context.Context, o RemovalOrder) (*Removal, error)
	// RemoveMember makes anew elsewhere what a machine holds, then tells and
	// forgets it; with Gone it is forgotten at once.
	RemoveMember(ctx context.Context, o RemovalOrder, progress func(engine.Progress)) (*Removal, error)
	// SetRoles changes what a machine is to this home.
	SetRoles(ctx context.Context, o RolesOrder, progress func(engine.Progress)) (Member, error)
	// Audit asks keepers to prove that they hold what they were given.
	Audit(ctx context.Context, o AuditOrder, progress func(engine.Progress)) (*engine.AuditReport, error)
	// Repair makes everything as whole as the circle allows now.
	Repair(ctx context.Context, o RepairOrder, progress func(engine.Progress)) (*RepairReport, error)
}

// carer is what of the engine stands behind CareAPI.
type carer interface {
	entruster
	Noticed(ctx context.Context, list []engine.Notice) error
	Missing(ctx context.Context) (map[peers.DeviceID]bool, error)
	Threatened(ctx context.Context, without peers.DeviceID) ([]engine.Path, error)
	BeginLeave(ctx context.Context, l engine.Leave) error
	EndLeave(ctx context.Context, d peers.DeviceID, gone bool) error
	Emptied(ctx context.Context, d peers.DeviceID) error
	Leaving(ctx context.Context) ([]engine.Leave, error)
	Drain(ctx context.Context, d peers.DeviceID, progress func(engine.Progress)) (*engine.DrainReport, error)
	Repair(ctx context.Context, progress func(engine.Progress)) (*engine.DrainReport, error)
	Grace(ctx context.Context) (time.Duration, error)
	SetGrace(ctx context.Context, d time.Duration) error
	Audit(ctx context.Context, o engine.AuditOptions, progress func(engine.Progress)) (*engine.AuditReport, error)
	AuditDue(ctx context.Context) ([]peers.DeviceID, error)
}

// MemberCare is what is known of a machine beyond its answers.
type MemberCare struct {
	Person    string `json:"person,omitempty"`
	House     string `json:"house,omitempty"`
	Custodian bool   `json:"custodian"`
	Leaving   bool   `json:"leaving,omitempty"`
	// Balance is what both signed of giving and taking.
	Balance Balance `json:"balance"`
}

// RemovalOrder names a machine that is to leave.
type RemovalOrder struct {
	Who  string `json:"who"`  // name or device
	Gone bool   `json:"gone"` // it does not answer any more
}

// Removal is what leaving means, or meant.
type Removal struct {
	Device peers.DeviceID `json:"device"`
	Name   string         `json:"name"`
	Gone   bool           `json:"gone"`
	Pieces int64          `json:"pieces"` // it holds, or held, for this home
	Bytes  int64          `json:"bytes"`
	// Lost are files that cannot be brought back without it.
	Lost      []engine.Path `json:"lost,omitempty"`
	Custodian bool          `json:"custodian"`
	// After it was done:
	Done   bool                `json:"done"`
	Told   bool                `json:"told"`             // it knows
	Drain  *engine.DrainReport `json:"drain,omitempty"`  // nil when gone
	Remade int64               `json:"remade,omitempty"` // pieces still to be made anew in the background
}

// RolesOrder says what of a machine is to change; nil: as it is.
type RolesOrder struct {
	Who       string  `json:"who"`
	Keeper    *bool   `json:"keeper"`
	Custodian *bool   `json:"custodian"`
	Person    *string `json:"person"`
	House     *string `json:"house"`
}

// AuditOrder says whom to ask.
type AuditOrder struct {
	Who    string `json:"who"`    // name or device; empty: every keeper
	Sample int    `json:"sample"` // pieces; 0: as many as by itself
}

// RepairOrder asks for a repair, or changes how long machines are waited for.
type RepairOrder struct {
	// Grace, when positive, is the new time that a machine may be away before
	// what it holds is made anew; nothing else is done then.
	Grace time.Duration `json:"grace_ns"`
}

// RepairReport is the outcome.
type RepairReport struct {
	Grace time.Duration       `json:"grace_ns"`
	Done  *engine.DrainReport `json:"done,omitempty"`
}

const (
	pathPlanRemoval  = "/v1/circle/removal"
	pathRemoveMember = "/v1/circle/remove"
	pathRoles        = "/v1/circle/roles"
	pathRepair       = "/v1/repair"
	pathAudit        = "/v1/audit"
)

func (s *localServer) careCalls(mux *http.ServeMux) {
	handle(mux, s, pathPlanRemoval, call1(s.api.PlanRemoval))
	handle(mux, s, pathRemoveMember, s.api.RemoveMember)
	handle(mux, s, pathRoles, s.api.SetRoles)
	handle(mux, s, pathRepair, s.api.Repair)
	handle(mux, s, pathAudit, s.api.Audit)
}

func (c *client) PlanRemoval(ctx context.Context, o RemovalOrder) (*Removal, error) {
	return invoke[*Removal](ctx, c, pathPlanRemoval, o, nil)
}

func (c *client) RemoveMember(ctx context.Context, o RemovalOrder, progress func(engine.Progress)) (*Removal, error) {
	return invoke[*Removal](ctx, c, pathRemoveMember, o, progress)
}

func (c *client) SetRoles(ctx context.Context, o RolesOrder, progress func(engine.Progress)) (Member, error) {
	return invoke[Member](ctx, c, pathRoles, o, progress)
}

func (c *client) Repair(ctx context.Context, o RepairOrder, progress func(engine.Progress)) (*RepairReport, error) {
	return invoke[*RepairReport](ctx, c, pathRepair, o, progress)
}

func (c *client) Audit(ctx context.Context, o AuditOrder, progress func(engine.Progress)) (*engine.AuditReport, error) {
	return invoke[*engine.AuditReport](ctx, c, pathAudit, o, progress)
}
