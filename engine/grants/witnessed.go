// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"context"
	"fmt"
	"slices"

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
	seen := map[custody.Key][]heardHead{}
	for _, raw := range heads {
		h, err := custody.Parse[ledger.Head](raw)
		if err != nil || h.Body.Owner != d.Root() {
			continue // the one that passed it on made it up: it proves nothing
		}
		seen[h.Signer] = append(seen[h.Signer], heardHead{ledger.Witness{Seq: h.Body.Seq, Head: h.Body.Head}, h.Body.At})
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
		told := seen[c.LogKey]
		if err == nil && ledger.Begins(records) {
			// What it told of the log that it lost says nothing of this one.
			first, perr := custody.Reread[ledger.Entry](entries[0])
			if perr != nil {
				return nil, nil, perr
			}
			told = slices.DeleteFunc(slices.Clone(told), func(w heardHead) bool { return w.at <= first.Body.At })
		}
		var witnesses []ledger.Witness
		gap := false
		for _, w := range told {
			witnesses = append(witnesses, w.Witness)
			gap = gap || w.Seq > uint64(len(entries))
		}
		if err == nil {
			_, err = ledger.Verify(d.Root(), c.LogKey, records, witnesses...)
		}
		if err != nil {
			wrong[c.Device] = fmt.Errorf("the log of %s: %w", c.Name, err)
		}
		if gap {
			gaps = append(gaps, c.Device)
		}
	}
	return wrong, gaps, nil
}

// heardHead is a head that somebody was told, and when.
type heardHead struct {
	ledger.Witness
	at int64
}
