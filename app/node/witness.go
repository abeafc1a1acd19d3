// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"

	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers/witness"
)

// openWitness opens the machine's own keys and, for a node that is going to
// serve, its custodian. It does so with the role turned off too: what was taken
// on is still to be forgotten day by day. One whose files are damaged does not
// keep the home shut: storing, getting and repairing need nothing of it.
func (n *Node) openWitness(ctx context.Context, o Options) error {
	var err error
	if n.keys, err = identity.OpenDevice(n.box, n.home); err != nil {
		return err
	}
	if n.role == RoleCommand {
		return nil
	}
	n.witness, err = witness.Open(ctx, n.home, witness.Options{
		Device: n.device, Sign: n.keys.Sign, KEM: n.keys.KEM, Box: n.box, Person: n.book.Person, Now: o.Clock, Logger: n.log,
	})
	if err != nil && ctx.Err() == nil {
		n.witness = nil
		n.log.Error("what this device keeps as a custodian cannot be opened: it serves, but is no custodian", "err", err)
		return nil
	}
	return err
}
