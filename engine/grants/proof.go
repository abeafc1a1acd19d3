// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"context"
	"fmt"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// Evidence is a released request with its receipt, as signed.
type Evidence struct {
	Request []byte // custody.SlimRequest
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
	add := func(entries [][]byte, head []byte) error {
		if head == nil {
			return nil
		}
		records, err := recordsOf(entries)
		if err == nil {
			b.Logs = append(b.Logs, ledger.Extract{Head: head, Records: ledger.Redact(records, g.Hash)})
		}
		return err
	}
	for _, c := range cs {
		entries, head, err := d.cat.Log(ctx, c.Device)
		if err == nil {
			err = add(entries, head)
		}
		if err != nil {
			return nil, fmt.Errorf("the log of %s: %w", c.Name, err)
		}
	}
	lost, err := d.cat.LostLogs(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range lost {
		// One of which a part was received has no head that it goes up to.
		if h, err := custody.Reread[ledger.Head](l.Head); err == nil && h.Body.Seq == uint64(len(l.Entries)) {
			if err := add(l.Entries, l.Head); err != nil {
				return nil, fmt.Errorf("a log that was lost: %w", err)
			}
		}
	}
	if len(b.Logs) == 0 {
		return nil, said.Error("no-proof", "no custodian has reported yet: there is nothing to prove with")
	}
	if err := d.evidence(b, g, evidence); err != nil {
		return nil, err
	}
	return ledger.WriteProof(b, &d.owner, d.cfg.Now().Unix())
}

// evidence puts what custodians kept into a bundle. What is not in order is left
// out, so that one of them cannot spoil the proof; the entry in its log that it
// should have been for is found out by whoever reads that.
func (d *Desk) evidence(b *ledger.Bundle, g *custody.Signed[custody.Grant], evidence []Evidence) error {
	packages := map[custody.Hash][]byte{}
	for _, raw := range b.Packages {
		p, err := custody.CheckPackage(raw, g)
		if err != nil {
			return fmt.Errorf("a package is damaged in the catalog: %w", err)
		}
		packages[p.Hash] = raw
	}
	requests, releases := map[custody.Hash]bool{}, map[custody.Hash]bool{}
	for _, e := range evidence {
		s, err := custody.ReadSlim(e.Request)
		if err != nil {
			continue
		}
		whole, err := s.Whole(g.Raw, packages[s.Package])
		if err != nil {
			continue
		}
		q, _, err := custody.CheckRequest(whole, g)
		if err != nil {
			continue
		}
		if !requests[q.Hash] {
			requests[q.Hash] = true
			b.Requests = append(b.Requests, whole)
		}
		r, err := custody.CheckRelease(e.Release, g)
		if err == nil && r.Body.Request == q.Hash && !releases[r.Hash] {
			releases[r.Hash] = true
			b.Releases = append(b.Releases, e.Release)
		}
	}
	return nil
}
