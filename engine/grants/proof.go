// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"context"
	"errors"
	"fmt"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers"
)

// Evidence is a released request with its receipt, as signed.
type Evidence struct {
	Request []byte
	Release []byte
}

// Seats are a grant's hash and custodians.
func (d *Desk) Seats(ctx context.Context, id string) (custody.Hash, []peers.DeviceID, error) {
	row, _, err := d.find(ctx, id)
	if err != nil {
		return custody.Hash{}, nil, err
	}
	return row.Hash, row.Seats, nil
}

// Proof puts together what proves the history of one grant, out of the logs
// as they were received and the evidence that custodians gave before these were
// read: a receipt tells of an entry. Custodians that never reported are left
// out; the reader sees of how many there are logs.
func (d *Desk) Proof(ctx context.Context, id string, evidence []Evidence) ([]byte, error) {
	row, g, err := d.find(ctx, id)
	if err != nil {
		return nil, err
	}
	b := &ledger.Bundle{Grant: row.Doc}
	if b.Packages, err = d.cat.Packages(ctx, row.Hash); err != nil {
		return nil, err
	}
	if len(row.Revocation) > 0 {
		b.Revocations = [][]byte{row.Revocation}
	}
	cs, err := d.cat.Custodians(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range cs {
		entries, head, err := d.cat.Log(ctx, c.Device)
		if err != nil {
			return nil, err
		}
		if head == nil {
			continue
		}
		records, err := recordsOf(entries)
		if err != nil {
			return nil, fmt.Errorf("the log of %s: %w", c.Name, err)
		}
		b.Logs = append(b.Logs, ledger.Extract{Head: head, Records: ledger.Redact(records, g.Hash)})
	}
	if len(b.Logs) == 0 {
		return nil, errors.New("no custodian has reported yet: there is nothing to prove with")
	}
	seen := map[custody.Hash]bool{}
	for _, e := range evidence {
		r, _, err := custody.CheckRequest(e.Request, g)
		if err != nil {
			return nil, fmt.Errorf("what a custodian keeps of a request is not in order: %w", err)
		}
		if !seen[r.Hash] {
			seen[r.Hash] = true
			b.Requests = append(b.Requests, e.Request)
		}
		b.Releases = append(b.Releases, e.Release)
	}
	return ledger.WriteProof(b, &d.owner, d.cfg.Now().Unix())
}
