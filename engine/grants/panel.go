// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"context"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/witness"
)

// Panel names the custodians to each other, so that they gossip about
// withdrawals and their logs and compare their clocks, also while this person
// is away. It tells each where the others are. One that was removed is not in
// it: its word and its clock count no more.
func (d *Desk) Panel(ctx context.Context) (members []witness.Member, err error) {
	cs, err := d.deciding(ctx)
	if err != nil {
		return nil, err
	}
	at := map[peers.DeviceID][]string{}
	for _, m := range d.cfg.Members() {
		at[m.Device] = m.Addresses
	}
	for _, c := range cs {
		if c.LogKey != [32]byte{} {
			members = append(members, witness.Member{Device: c.Device, LogKey: c.LogKey, Addresses: at[c.Device]})
		}
	}
	return members, nil
}

// SignPanel makes the document of a panel, which replaces those before it: the
// time numbers it.
func (d *Desk) SignPanel(members []witness.Member) ([]byte, error) {
	now := d.cfg.Now()
	return witness.NewPanel(d.root, uint64(now.UnixNano()), members, now.Unix())
}
