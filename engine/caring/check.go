// SPDX-License-Identifier: MPL-2.0

package caring

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	mrand "math/rand/v2"
	"time"

	"github.com/zeebo/blake3"

	"github.com/preezm/preezm/engine/audit"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/repair"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretaker"
	"github.com/preezm/preezm/peers/caretask"
)

// Auditee is a Keeper that can be asked to prove what it holds; rpc.Client is
// one. Only pieces of segments that it was shown are asked for.
type Auditee interface {
	AuditCared(ctx context.Context, nonce peers.Nonce, ids []peers.ShardID, sizes []int64, spots int) ([]peers.Proof, error)
}

// checkBytes is about what is sent to and fro for a check of one keeper: some
// segments with the hashes of their parts, and the proofs.
const checkBytes = 250 << 10

// failing tells whether a keeper failed too many checks lately.
func failing(a caretaker.Audit, now time.Time) bool {
	return a.BadAt > 0 && a.Score < audit.Bad && now.Sub(time.Unix(a.BadAt, 0)) < audit.Forgive
}

// minute draws when in the night a keeper is checked, as engine does.
func (w *Worker) minute(owner, d peers.DeviceID, now time.Time) float64 {
	h := blake3.New()
	for _, b := range [][]byte{w.secret[:], owner[:], d[:], []byte(now.Format(time.DateOnly))} {
		h.Write(b)
	}
	return float64(binary.LittleEndian.Uint32(h.Sum(nil))) / (1 << 32)
}

// check asks those keepers whose turn it is to prove a sample of what they hold,
// as their owner does every night while it is there. One that was never checked
// is asked at once.
func (w *Worker) check(ctx context.Context, j caretaker.Job, x *watch, ks []*keeper) error {
	asked := false
	for at, k := range ks {
		now := w.Now()
		before, known := x.audits[k.device]
		if !known {
			before.Score = 1
		}
		if _, ok := k.Keeper.(Auditee); !ok || !k.online || !audit.Due(now, time.Unix(before.At, 0), w.minute(j.Body.Owner, k.device, now)) {
			continue
		}
		if err := w.Pace(ctx, k.device, checkBytes, 0); err != nil {
			return err
		}
		r, ok, err := w.checkOne(ctx, j, x, ks, at)
		if err != nil {
			return err
		}
		if !ok {
			continue // it did not answer, which proves nothing
		}
		after := caretaker.Audit{At: now.Unix(), Score: audit.Score(before.Score, &r), BadAt: before.BadAt, InARow: before.InARow}
		if r.Bad() {
			after.BadAt = now.Unix()
			after.InARow++
			x.settled = ""
			w.Logger.Warn("a check of an owner's pieces found something", "owner", j.Body.Owner.Short(), "keeper", k.device.Short(), "text", audit.Words(&r, after.Score, int(before.InARow)))
		} else if r.Asked > 0 {
			after.InARow = 0
		}
		x.audits[k.device], asked = after, true
		if failing(after, now) {
			k.standing = repair.Failing
		}
	}
	if !asked {
		return nil
	}
	return w.Service.SaveAudits(ctx, j.Body.Owner, x.audits)
}

// spot is a piece of the sample.
type spot struct {
	seg   *caretask.Segment
	piece int
	proof []byte        // shows its segment
	id    peers.ShardID // its name at the keeper
}

// checkOne checks one keeper; not ok: it did not answer.
func (w *Worker) checkOne(ctx context.Context, j caretaker.Job, x *watch, ks []*keeper, at int) (r audit.Result, ok bool, err error) {
	k := ks[at]
	sample, err := w.sample(ctx, j, ks, at)
	if err != nil {
		return r, false, err
	}
	var ask []spot
	for _, s := range sample {
		held := w.showOne(ctx, k, s.proof, len(s.seg.Pieces))
		if ctx.Err() != nil {
			return r, false, ctx.Err()
		}
		if held == nil {
			return r, false, nil
		}
		switch id := s.seg.Pieces[s.piece].ID; held[s.piece] {
		case caretaker.HasIt:
			s.id = id
		case caretaker.HasMoved:
			s.id = caretask.Moved(id, k.device)
		default:
			r.Asked++
			r.Lacking++
			if err := w.lost(ctx, j, &s); err != nil {
				return r, false, err
			}
			continue
		}
		ask = append(ask, s)
	}
	if len(ask) == 0 {
		return r, true, nil
	}
	return w.judge(ctx, j, x, k, ask, r)
}

// judge has a keeper prove pieces that it says it holds.
func (w *Worker) judge(ctx context.Context, j caretaker.Job, x *watch, k *keeper, ask []spot, r audit.Result) (audit.Result, bool, error) {
	var nonce peers.Nonce
	rand.Read(nonce[:])
	ids, sizes := make([]peers.ShardID, len(ask)), make([]int64, len(ask))
	for i := range ask {
		ids[i], sizes[i] = ask[i].id, int64(ask[i].seg.Size)
	}
	one, cancel := context.WithTimeout(ctx, audit.Patience)
	defer cancel()
	proofs, err := k.Keeper.(Auditee).AuditCared(one, nonce, ids, sizes, audit.Spots)
	switch {
	case ctx.Err() != nil:
		return r, false, ctx.Err()
	case errors.Is(err, peers.ErrUnknown):
		return r, true, nil // of a version that knows of no such checks: tomorrow again
	case errors.Is(err, peers.ErrProtocol), errors.Is(err, peers.ErrDamaged), err == nil && len(proofs) != len(ask):
		proofs = make([]peers.Proof, len(ask)) // which prove nothing of what was asked for
	case err != nil:
		w.Logger.Info("a keeper was asked to prove pieces", "keeper", k.device.Short(), "err", err)
		return r, false, nil
	}
	for i := range ask {
		s := &ask[i]
		p := &s.seg.Pieces[s.piece]
		r.Asked++
		switch {
		case proofs[i].Finding == peers.Lacking:
			r.Lacking++
		case proofs[i].Finding == peers.Broken:
			r.Broken++
		case proofs[i].Check(nonce, ids[i], sizes[i], p.Root, audit.Spots):
			r.Good++
			delete(x.doubted, p.ID)
			continue
		default:
			r.False++
			x.doubted[p.ID] = k.device
		}
		if err := w.lost(ctx, j, s); err != nil {
			return r, false, err
		}
	}
	return r, true, nil
}

func (w *Worker) lost(ctx context.Context, j caretaker.Job, s *spot) error {
	return w.note(ctx, j, caretaker.Made{Piece: s.seg.Pieces[s.piece].ID, Lost: true, At: w.Now().Unix()})
}

// sample draws pieces that a keeper should hold: from as many parts as there are
// pieces to draw, or from all, so that few are read.
func (w *Worker) sample(ctx context.Context, j caretaker.Job, ks []*keeper, at int) (out []spot, err error) {
	made, err := w.made(ctx, j.Body.Owner)
	if err != nil || len(j.Body.Parts) == 0 {
		return nil, err
	}
	parts := mrand.Perm(len(j.Body.Parts))
	parts = parts[:min(len(parts), audit.Sample)]
	each := (audit.Sample + len(parts) - 1) / len(parts)
	for _, part := range parts {
		p, segs, err := w.Service.Part(ctx, j, part)
		if err != nil {
			return nil, err
		}
		left := each
		for _, n := range mrand.Perm(len(segs)) {
			if left == 0 || len(out) == audit.Sample {
				break
			}
			here := holds(segs[n], ks, made, at)
			if len(here) == 0 {
				continue
			}
			proof, err := custody.Marshal(j.Body.Prove(part, p, n))
			if err != nil {
				return nil, err
			}
			out = append(out, spot{piece: here[mrand.IntN(len(here))], seg: segs[n], proof: proof})
			left--
		}
	}
	return out, nil
}

// holds gives the pieces of a segment that a keeper should hold.
func holds(s *caretask.Segment, ks []*keeper, made map[peers.ShardID]caretaker.Made, at int) (out []int) {
	for i, p := range believed(s, ks, made).Pieces {
		if p.At == at && p.State == repair.There {
			out = append(out, i)
		}
	}
	return out
}

// doubt passes over what keepers say of pieces that they did not prove, and has
// them given none of that segment.
func (x *watch) doubt(seg *caretask.Segment, ks []*keeper, held [][]uint8, ms []repair.Machine) {
	for i := range seg.Pieces {
		d, ok := x.doubted[seg.Pieces[i].ID]
		at := place(ks, d)
		if !ok || at < 0 || held[at] == nil {
			continue
		}
		held[at][i], ms[at].Takes = caretaker.Lacks, false
	}
}
