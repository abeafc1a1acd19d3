// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"context"
	"time"

	"github.com/preezm/preezm/engine/custody"
)

const (
	saidStatus = "status"
	// beatMost and beatLeast bound how often the owner gives a sign of life.
	beatMost, beatLeast = 10 * time.Second, time.Hour
	// MinStatusAge is the shortest silence that can close a grant: less could
	// not be kept up.
	MinStatusAge = time.Minute
)

// StatusErrand is the owner's newest sign of life, with the custodians that have
// not acknowledged it. It is made anew when it is due: four times in the shortest
// silence that a grant allows, once an hour otherwise. It tells which grants are
// withdrawn, by a hash.
func (d *Desk) StatusErrand(ctx context.Context) (*Statement, error) {
	d.setMu.Lock()
	defer d.setMu.Unlock()
	all, err := d.cat.Grants(ctx)
	if err != nil {
		return nil, err
	}
	every := beatLeast
	var revoked []custody.Hash
	now := d.cfg.Now()
	for i := range all {
		if len(all[i].Revocation) > 0 {
			revoked = append(revoked, all[i].Hash)
			continue
		}
		g, err := custody.CheckGrant(all[i].Doc)
		if err != nil {
			continue // List names it
		}
		if a := g.Body.StatusMaxAge; a > 0 && now.Unix() < g.Body.NotAfter {
			every = min(every, max(time.Duration(a)*time.Second/4, beatMost))
		}
	}
	seq, raw, err := d.cat.Said(ctx, saidStatus)
	if err != nil {
		return nil, err
	}
	if last, err := custody.Parse[custody.OwnerStatus](raw); err != nil || d.due(last, now, every) || last.Body.Revs != custody.RevocationsHash(revoked) {
		s, err := d.owner.Status(max(seq+1, uint64(max(now.Unix(), 0))), now.Unix(), revoked)
		if err != nil {
			return nil, err
		}
		if err := d.cat.Say(ctx, saidStatus, s.Body.Seq, s.Raw); err != nil {
			return nil, err
		}
		seq, raw = s.Body.Seq, s.Raw
	}
	return d.statement(ctx, saidStatus, seq, raw)
}

// due says whether a sign of life has to be followed by another. One from the
// future, after a clock was set back, would never be.
func (d *Desk) due(last *custody.Signed[custody.OwnerStatus], now time.Time, every time.Duration) bool {
	age := now.Sub(time.Unix(last.Body.At, 0))
	return age < 0 || age >= every || last.Signer != custody.KeyOf(d.cfg.Sign)
}

// Revocations are the newest withdrawals, for a custodian whose own differ.
func (d *Desk) Revocations(ctx context.Context) (list [][]byte, hash custody.Hash, err error) {
	all, err := d.cat.Grants(ctx)
	if err != nil {
		return nil, hash, err
	}
	var revoked []custody.Hash
	for i := range all {
		if len(all[i].Revocation) == 0 {
			continue
		}
		revoked = append(revoked, all[i].Hash)
		if !d.ended(&all[i]) && len(list) < maxRevocations {
			list = append(list, all[i].Revocation)
		}
	}
	return list, custody.RevocationsHash(revoked), nil
}

// maxRevocations keeps them one message.
const maxRevocations = 500
