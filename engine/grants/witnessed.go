// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"context"
	"fmt"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers"
)

// CheckHeads holds what custodians heard of each other's logs against the logs
// as they were received, and gives what is wrong by the custodian's device. A
// head beyond what was received is a gap: that log is to be read again, and when
// the head is still beyond it then, the custodian keeps entries back.
func (d *Desk) CheckHeads(ctx context.Context, heads [][]byte) (wrong map[peers.DeviceID]error, gaps []peers.DeviceID, err error) {
	cs, err := d.cat.Custodians(ctx)
	if err != nil {
		return nil, nil, err
	}
	seen := map[custody.Key][]ledger.Witness{}
	for _, raw := range heads {
		h, err := custody.Parse[ledger.Head](raw)
		if err != nil || h.Body.Owner != d.Root() {
			continue // the one that passed it on made it up: it proves nothing
		}
		seen[h.Signer] = append(seen[h.Signer], ledger.Witness{Seq: h.Body.Seq, Head: h.Body.Head})
	}
	wrong = map[peers.DeviceID]error{}
	for _, c := range cs {
		if len(seen[c.LogKey]) == 0 {
			continue
		}
		entries, _, err := d.cat.Log(ctx, c.Device)
		if err != nil {
			return nil, nil, err
		}
		records, err := recordsOf(entries)
		if err == nil {
			_, err = ledger.Verify(d.Root(), c.LogKey, records, seen[c.LogKey]...)
		}
		if err != nil {
			wrong[c.Device] = fmt.Errorf("the log of %s: %w", c.Name, err)
		}
		for _, w := range seen[c.LogKey] {
			if w.Seq > uint64(len(entries)) {
				gaps = append(gaps, c.Device)
				break
			}
		}
	}
	return wrong, gaps, nil
}
