// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"testing"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/rpc"
)

// slowNet has machines that answer, and others that are waited for as long as
// there is time.
type slowNet struct {
	network
	reach []rpc.Reach
}

func (s *slowNet) Probe(ctx context.Context) []rpc.Reach {
	<-ctx.Done()
	return s.reach
}

// A machine that says nothing does not make up for those that answer.
func TestMostAnswerBesideOneThatIsSilent(t *testing.T) {
	n, err := Open(testContext(t), testHome(t, "laptop"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	s := &slowNet{network: n.net}
	for i := range 3 {
		d := peers.DeviceID{byte(i + 1)}
		if err := n.book.Put(circle.Peer{Device: d, Name: "keeper", Keeper: true}); err != nil {
			t.Fatal(err)
		}
		s.reach = append(s.reach, rpc.Reach{Device: d, Online: i > 0})
	}
	n.net = s
	if !n.MostAnswer(testContext(t)) {
		t.Error("two of three answer, and that is not most")
	}
	s.reach[1].Online = false
	if n.MostAnswer(testContext(t)) {
		t.Error("one of three answers, and that is most")
	}
}
