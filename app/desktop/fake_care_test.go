// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"slices"
	"time"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/audit"
	"github.com/preezm/preezm/peers"
)

// fakeCare is the part of fakeNode about how it looks after itself.
type fakeCare struct {
	copies  node.BackupState
	off     node.CareState
	given   []node.CareOrder
	taken   int
	refusal []node.CareRefusal
	policy  engine.Retention
	former  engine.PruneReport
	repairs []node.RepairOrder
	repair  func(progress func(engine.Progress)) (*node.RepairReport, error)
	audit   engine.AuditReport
}

func (n *fakeNode) Repair(_ context.Context, o node.RepairOrder, progress func(engine.Progress)) (*node.RepairReport, error) {
	n.mu.Lock()
	n.repairs = append(n.repairs, o)
	if o.Grace > 0 {
		n.status.Outlook.Grace = o.Grace
	}
	repair := n.repair
	n.mu.Unlock()
	switch {
	case o.Grace > 0:
		return &node.RepairReport{Grace: o.Grace}, nil
	case repair != nil:
		return repair(progress)
	}
	return &node.RepairReport{Done: &engine.DrainReport{Pieces: 12, Sent: 4_000_000}}, nil
}

func (n *fakeNode) Audit(_ context.Context, _ node.AuditOrder, progress func(engine.Progress)) (*engine.AuditReport, error) {
	progress(engine.Progress{Stage: engine.StageVerify, Files: 5, TotalFiles: 40})
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.audit
	return &r, nil
}

func (n *fakeNode) Care(context.Context) (*node.CareState, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.off
	return &s, n.failed
}

func (n *fakeNode) GiveCare(_ context.Context, o node.CareOrder, progress func(engine.Progress)) (*node.CareState, error) {
	progress(engine.Progress{Files: 3, TotalFiles: 9})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.given = append(n.given, o)
	for _, m := range n.members {
		if m.Device.String() == o.Who {
			n.off.Given = &node.CareGiven{Device: m.Device, Name: m.Name, Until: noon.AddDate(1, 0, 0), Asked: true, Unaware: []string{"Attic PC"}}
		}
	}
	s := n.off
	return &s, n.failed
}

func (n *fakeNode) TakeCare(context.Context) (*node.CareState, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.taken++
	given := *n.off.Given
	given.Ended, given.Until = true, noon
	n.off.Given = &given
	s := n.off
	return &s, n.failed
}

func (n *fakeNode) RefuseCare(_ context.Context, o node.CareRefusal) (*node.CareState, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refusal = append(n.refusal, o)
	n.off.For = slices.Clone(n.off.For)
	for i := range n.off.For {
		if n.off.For[i].Owner.String() == o.Who {
			n.off.For[i].Refused = o.On
		}
	}
	s := n.off
	return &s, n.failed
}

func (n *fakeNode) BackupState(context.Context) (*node.BackupState, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := n.copies
	return &b, n.failed
}

func (n *fakeNode) Retention(context.Context) (engine.Retention, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.policy, n.failed
}

func (n *fakeNode) SetRetention(_ context.Context, r engine.Retention) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.policy = r
	return nil
}

func (n *fakeNode) Prune(_ context.Context, o node.PruneOrder) (*engine.PruneReport, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.former
	r.Dry = o.Dry
	return &r, nil
}

// tended is a busy home that makes pieces anew, with machines that did well
// and less well in their checks.
func tended() *fakeNode {
	n := busy()
	n.copies = node.BackupState{Number: 41, Made: noon.Add(-25 * time.Minute), Keepers: 4, Of: 5, Pending: true}
	n.off = node.CareState{
		Given: &node.CareGiven{Name: "Cellar NAS", Until: noon.AddDate(1, 0, 0), Asked: true, Work: node.CareWork{Pieces: 214, Last: noon.Add(-26 * time.Hour)}},
		For:   []node.CareFor{{Owner: peers.DeviceID{61}, Name: "Aunt Rose", Until: noon.AddDate(0, 4, 0), Lists: 4_200_000}, {Owner: peers.DeviceID{62}, Name: "Ben", Refused: true}},
	}
	n.policy = engine.Retention{Last: 10, Daily: 14, Weekly: 8, Monthly: 12, TrashDays: 30}
	n.former = engine.PruneReport{Versions: 318, Bytes: 2_700_000_000}
	s := &n.status
	s.MayLose, s.Debt, s.Pending = 1, 96, 3
	s.Health = []engine.HealthCount{{MayLose: 1, Files: 212, Bytes: 840_000_000}, {MayLose: 2, Files: 12_261, Bytes: 52_760_000_000}}
	s.Outlook = engine.Outlook{Grace: 3 * day, Todo: 5230, Waiting: 840, Houses: true, MayLoseHouses: 0, Hours: 19 * 24, YearlyLoss: 0.0000241, Readable: 0.9983}
	conduct := []engine.Conduct{
		{Standing: "well", Likely: 0.97, Hours: 400, Score: 1, Audited: noon.Add(-9 * time.Hour), Proven: 380},
		{Standing: "well", Likely: 1, Hours: 400, Score: 1, Audited: noon.Add(-8 * time.Hour), Proven: 15},
		{Standing: "well", Likely: 0.71, Hours: 400, Score: 0.98, Audited: noon.Add(-10 * time.Hour), Proven: 379, Unproven: 1},
		{Standing: "failing", Likely: 0.88, Hours: 400, Score: 0.6, Audited: noon.Add(-7 * time.Hour), Proven: 341, Unproven: 39},
		{Standing: "missing", Likely: 0.4, Hours: 400, Score: 1, Away: 4 * day},
	}
	for i := range s.Keepers {
		s.Keepers[i].Conduct, s.Keepers[i].Shards, s.Keepers[i].Bytes = conduct[i], int64(9000+310*i), 17_900_000_000
	}
	n.audit = engine.AuditReport{Keepers: []engine.Audited{
		{Name: "Cellar NAS", Result: audit.Result{Asked: 20, Good: 20}},
		{Name: "Office", Result: audit.Result{Asked: 20, Good: 17, Lacking: 3}},
		{Name: "Attic PC", Absent: true},
	}}
	return n
}
