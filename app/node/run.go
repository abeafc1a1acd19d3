// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"time"

	"github.com/preezm/preezm/peers/vault"
)

// reopening is how a node is to come back after it was locked or unlocked: with
// the key of the machine's part, and that of the owner's or not.
type reopening struct{ box, owner *vault.Box }

// reopenError ends a Serve that is to go on otherwise.
type reopenError struct{ how *reopening }

func (reopenError) Error() string { return "the node opens its home anew" }

// again lets Serve end and Run open the home anew. One request is enough.
func (n *Node) again(how *reopening) {
	select {
	case n.reopen <- how:
	default:
	}
}

// Run opens a home and serves it until ctx ends, through every locking and
// unlocking: each time everything is closed, and what holds the owner's keys
// is gone with it. ready is called once, when the node first answers.
func Run(ctx context.Context, home string, o Options, ready func(*Node)) error {
	for {
		n, err := Open(ctx, home, o)
		if err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() { ended <- n.Serve(ctx) }()
		select {
		case err = <-ended:
		case <-n.Ready():
			if ready != nil {
				ready(n)
				ready = nil
			}
			err = <-ended
		}
		err = errors.Join(err, n.Close())
		var again *reopenError
		if !errors.As(err, &again) {
			return err
		}
		// What replaced the settings is in them by now.
		o.Listen, o.Offer, o.Custodian, o.Net = nil, 0, nil, NetOptions{}
		o.LockAfter = nil
		o.reopened = again.how
	}
}

// lockIdleEvery is how often a node looks whether it was idle for long enough.
const lockIdleEvery = time.Second

// lockWhenIdle locks the owner's part when nobody asked for anything for the
// time that was set, until ctx ends.
func (n *Node) lockWhenIdle(ctx context.Context, idle func() time.Duration) {
	tick := time.NewTicker(lockIdleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if after := n.lockAfter(); after > 0 && idle() >= after {
			n.log.Info("locking after a time without use", "after", after)
			n.again(&reopening{box: n.box})
			return
		}
	}
}
