// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"testing"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/transport"
)

// reported is a network of which only the report is asked.
type reported struct {
	network
	report rpc.Report
}

func (r reported) Report() rpc.Report { return r.report }

func TestRepairPace(t *testing.T) {
	far, lan := peers.DeviceID{1}, peers.DeviceID{2}
	n := &Node{limits: newLimiter(nil, nil), net: reported{report: rpc.Report{Peers: []rpc.PeerReport{
		{Device: far, Online: true, Route: transport.Direct}, {Device: lan, Online: true, Route: transport.LAN},
	}}}}
	n.limits.limits = Limits{RepairDown: NoLimit, RepairUp: transport.MinRate}
	goes := func(d peers.DeviceID, down, up int) bool {
		// Far less than any waiting would take, and far more than none does.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		return n.paceRepair(ctx, d, down, up) == nil
	}
	if !goes(far, 0, paceBurst) {
		t.Error("the first piece waits")
	}
	// The next would take two minutes at this rate, and is given up at once.
	if goes(far, 0, paceBurst) {
		t.Error("nothing holds it back")
	}
	if !goes(far, 10*paceBurst, 0) || !goes(lan, 0, 10*paceBurst) || !goes(peers.DeviceID{}, 0, paceBurst) {
		t.Error("what has no limit waits")
	}
	n.limits.limits.LAN = true
	if goes(lan, 0, 2*paceBurst) {
		t.Error("limits do not hold in the local network though they should")
	}
	if r := (&Limits{}).repairRates(); r.Down != DefaultRepairDown || r.Up != DefaultRepairUp {
		t.Errorf("%+v", r)
	}
}
