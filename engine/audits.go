// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/preezm/preezm/engine/audit"
	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/peers"
)

// AuditOptions says whom to ask; nobody means every keeper.
type AuditOptions struct {
	Keepers []peers.DeviceID
	Sample  int // pieces of each; 0: as many as by itself
}

// Audited is what became of one keeper.
type Audited struct {
	Device peers.DeviceID `json:"device"`
	Name   string         `json:"name"`
	audit.Result
	Score   float64       `json:"score"`
	Text    string        `json:"text"`
	Failing bool          `json:"failing"`          // what it holds is made anew elsewhere
	Absent  bool          `json:"absent,omitempty"` // it did not answer, which proves nothing
	Bytes   int64         `json:"bytes"`            // that the pieces take
	Took    time.Duration `json:"took_ns"`
}

// AuditReport is the outcome of Audit.
type AuditReport struct {
	Keepers []Audited     `json:"keepers"`
	Elapsed time.Duration `json:"elapsed_ns"`
}

// Audit asks keepers to prove that they hold a random sample of what they were
// given. What they do not prove is made anew, by Maintain.
func (e *Engine) Audit(ctx context.Context, o AuditOptions, progress func(Progress)) (*AuditReport, error) {
	m := newMeter(StageVerify, progress)
	defer m.close()
	r := &AuditReport{Keepers: []Audited{}}
	chosen := map[peers.DeviceID]bool{}
	for _, d := range o.Keepers {
		chosen[d] = true
	}
	if o.Sample <= 0 {
		o.Sample = audit.Sample
	}
	for _, k := range e.keepers() {
		if len(chosen) > 0 && !chosen[k.Device()] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return r, context.Cause(ctx)
		}
		m.working(k.Name())
		a, err := e.auditOne(ctx, k, o.Sample, m)
		if err != nil {
			return r, err
		}
		r.Keepers = append(r.Keepers, a)
	}
	r.Elapsed = m.elapsed()
	return r, nil
}

func (e *Engine) auditOne(ctx context.Context, k peers.Keeper, sample int, m *meter) (Audited, error) {
	a := Audited{Device: k.Device(), Name: k.Name(), Score: 1}
	var before catalog.Audit
	err := e.withCare(ctx, func(c *care) error {
		var ok bool
		if before, ok = c.audits[k.Device()]; !ok {
			before.Score = 1
		}
		return nil
	})
	if err != nil {
		return a, err
	}
	a.Score = before.Score
	refs, err := e.cat.Sample(ctx, k.Device(), sample)
	if err != nil {
		return a, err
	}
	m.totalFiles.Add(int64(len(refs)))
	started := time.Now()
	var lacking []catalog.ShardRef
	for len(refs) > 0 {
		part := refs[:min(len(refs), peers.MaxAudited)]
		refs = refs[len(part):]
		lacks, err := e.auditPart(ctx, k, part, &a)
		if err != nil {
			return a, err
		}
		lacking = append(lacking, lacks...)
		if a.Absent {
			a.Took = time.Since(started)
			return a, e.judgeLacking(ctx, lacking, &a)
		}
		m.files.Add(int64(len(part)))
	}
	if err := e.judgeLacking(ctx, lacking, &a); err != nil || a.Absent {
		return a, err
	}
	a.Took = time.Since(started)
	now := e.now().Unix()
	after := catalog.Audit{
		At: now, Asked: before.Asked + int64(a.Asked), Good: before.Good + int64(a.Good),
		Score: audit.Score(before.Score, &a.Result), BadAt: before.BadAt, InARow: before.InARow,
	}
	if a.Bad() {
		after.BadAt = now
		after.InARow++
	} else if a.Asked > 0 {
		after.InARow = 0
	}
	a.Score, a.Text = after.Score, audit.Words(&a.Result, after.Score, int(before.InARow))
	a.Failing = after.Score < audit.Bad
	return a, e.withCare(ctx, func(c *care) error {
		if err := e.cat.SetAudit(context.WithoutCancel(ctx), k.Device(), after); err != nil {
			return err
		}
		c.audits[k.Device()] = after
		return nil
	})
}

// judgeLacking marks the pieces that a keeper said it lacks, but for those that
// another machine of this person has moved. As long as that cannot be known the
// check proves nothing.
func (e *Engine) judgeLacking(ctx context.Context, lacking []catalog.ShardRef, a *Audited) error {
	if len(lacking) == 0 {
		return nil
	}
	if !e.current(ctx) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		a.Absent, a.Text = true, "lacks pieces, which another machine of yours may have moved: it is not known yet"
		return nil
	}
	for i := range lacking {
		ref := &lacking[i]
		sh, err := e.placed(ctx, suspect{ref.Segment, ref.Index, ref.ID})
		if err != nil {
			return err
		}
		if sh == nil {
			a.Asked--
			a.Lacking--
			continue
		}
		if err := e.lost(ctx, ref); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) lost(ctx context.Context, ref *catalog.ShardRef) error {
	lost := ref.Shard
	lost.State = catalog.Lost
	return e.cat.SetShard(context.WithoutCancel(ctx), ref.Segment, ref.Index, ref.ID, lost)
}

// auditPart asks for one message's worth of pieces, and gives those that the
// keeper said it lacks.
func (e *Engine) auditPart(ctx context.Context, k peers.Keeper, refs []catalog.ShardRef, a *Audited) (lacking []catalog.ShardRef, err error) {
	auditee, ok := k.(peers.Auditee)
	if !ok {
		a.Absent, a.Text = true, "cannot be checked"
		return nil, nil
	}
	var nonce peers.Nonce
	rand.Read(nonce[:])
	ids, sizes := make([]peers.ShardID, len(refs)), make([]int64, len(refs))
	for i := range refs {
		ids[i], sizes[i] = refs[i].ID, int64(refs[i].Size)
		a.Bytes += sizes[i]
	}
	one, cancel := context.WithTimeout(ctx, audit.Patience)
	defer cancel()
	proofs, err := auditee.AuditShards(one, nonce, ids, sizes, audit.Spots)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, peers.ErrUnknown):
		a.Absent, a.Text = true, "runs a version that cannot be checked"
		return nil, nil
	case err != nil && !lie(err):
		a.Absent, a.Text = true, reason(err).Error()
		return nil, nil
	case err != nil:
		// An answer of the wrong form proves nothing of what was asked for.
		a.Asked += len(refs)
		a.False += len(refs)
		e.scores.fail(k.Device(), true)
		return nil, nil
	}
	for i := range refs {
		ref := &refs[i]
		a.Asked++
		switch {
		case proofs[i].Finding == peers.Lacking:
			a.Lacking++
			lacking = append(lacking, *ref)
			continue
		case proofs[i].Finding == peers.Broken:
			a.Broken++
		case proofs[i].Check(nonce, ref.ID, int64(ref.Size), ref.Root, audit.Spots):
			a.Good++
			continue
		default:
			a.False++
			e.scores.fail(k.Device(), true)
		}
		if err := e.lost(ctx, ref); err != nil {
			return nil, err
		}
	}
	return lacking, nil
}

// AuditDue gives the keepers that should be asked now by themselves: at night,
// once a day, each at a minute of its own.
func (e *Engine) AuditDue(ctx context.Context) (out []peers.DeviceID, err error) {
	now := e.now()
	err = e.withCare(ctx, func(c *care) error {
		for _, k := range e.keepers() {
			d := k.Device()
			if !c.online[d] || now.Sub(c.noticed[d]) > noticeAge {
				continue
			}
			last := time.Unix(c.audits[d].At, 0)
			if c.audits[d].At == 0 {
				// A new keeper is not asked in its first hour: it is busy.
				if h := c.history[d]; h == nil || h.Known() < 2 {
					continue
				}
			}
			if audit.Due(now, last, e.minute(d, now)) {
				out = append(out, d)
			}
		}
		return nil
	})
	return out, err
}

// minute draws when in the night of a day a keeper is asked: the same each
// time it is looked, and known to nobody else.
func (e *Engine) minute(d peers.DeviceID, now time.Time) float64 {
	key := fmt.Sprintf("audit %s %s", d, now.Format(time.DateOnly))
	name := e.namer.Name([]byte(key))
	return float64(binary.LittleEndian.Uint32(name[:])) / (1 << 32)
}
