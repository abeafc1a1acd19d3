// SPDX-License-Identifier: MPL-2.0

package caring

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/repair"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretaker"
	"github.com/preezm/preezm/peers/caretask"
)

// believed is a segment as far as this machine knows without asking.
func believed(s *caretask.Segment, ks []*keeper, made map[peers.ShardID]caretaker.Made) *repair.Segment {
	out := segment(s)
	for i := range s.Pieces {
		p := &s.Pieces[i]
		m, moved := made[p.ID]
		switch {
		case moved && m.Lost:
			out.Pieces[i] = repair.Piece{At: -1, State: repair.Lost}
		case moved:
			out.Pieces[i] = repair.Piece{At: place(ks, m.Keeper), State: repair.There}
		case int(p.Keeper) < len(ks):
			out.Pieces[i] = repair.Piece{At: int(p.Keeper), State: repair.There}
		default:
			out.Pieces[i] = repair.Piece{At: -1, State: repair.Owed}
		}
	}
	return out
}

// segment is a segment without the places of its pieces.
func segment(s *caretask.Segment) *repair.Segment {
	id := s.Pieces[0].ID
	return &repair.Segment{
		Geometry: erasure.Geometry{K: int(s.K), N: len(s.Pieces)}, Size: int64(s.Size), Turn: uint64(id[0]),
		Pieces: make([]repair.Piece, len(s.Pieces)),
	}
}

func place(ks []*keeper, d peers.DeviceID) int {
	for i, k := range ks {
		if k.device == d {
			return i
		}
	}
	return -1
}

// site is where a piece is, and under which name.
type site struct {
	at int
	id peers.ShardID
}

// mend makes anew what is missing of one segment. It first asks all keepers what
// they hold of it, so it begins from what is so, whatever was noted.
func (w *Worker) mend(ctx context.Context, j caretaker.Job, x *watch, ks []*keeper, t todo) (pieces int, err error) {
	p, segs, err := w.Service.Part(ctx, j, t.part)
	if err != nil || segs == nil {
		return 0, err
	}
	seg := segs[t.at]
	proof, err := custody.Marshal(j.Body.Prove(t.part, p, t.at))
	if err != nil {
		return 0, err
	}
	held := w.show(ctx, ks, proof, len(seg.Pieces))
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	ms := machines(j, ks)
	x.doubt(seg, ks, held, ms)
	sites, now, liars, err := w.found(ctx, j, ks, seg, held)
	if err != nil {
		return 0, err
	}
	for at := range ms {
		ms[at].Takes = ms[at].Takes && !liars[at]
	}
	plan := repair.Decide(now, ms, policy)
	moves := allowed(plan.Moves, held)
	if len(moves) == 0 {
		return 0, nil
	}
	bufs := w.columns(len(seg.Pieces), int(seg.Size))
	have, err := w.gather(ctx, j, ks, seg, sites, bufs)
	if h := (*hopeless)(nil); errors.As(err, &h) {
		h.segment = caretask.SegmentHash(p[t.at])
	}
	if err != nil {
		return 0, err
	}
	codec, err := erasure.New(now.Geometry)
	if err != nil {
		return 0, err
	}
	shards, required := make([][]byte, len(bufs)), make([]bool, len(bufs))
	for i := range bufs {
		if shards[i] = bufs[i]; !have[i] {
			shards[i] = bufs[i][:0]
		}
	}
	for _, m := range moves {
		required[m.Piece] = !have[m.Piece]
	}
	if err := codec.Reconstruct(shards, required); err != nil {
		return 0, err
	}
	var errs []error
	for _, m := range moves {
		if err := w.put(ctx, j, ks[m.To], seg, m.Piece, shards[m.Piece]); err != nil {
			errs = append(errs, err)
			continue
		}
		pieces++
	}
	return pieces, errors.Join(errs...)
}

// put stores a piece at a keeper and notes it.
func (w *Worker) put(ctx context.Context, j caretaker.Job, k *keeper, seg *caretask.Segment, i int, data []byte) error {
	p := &seg.Pieces[i]
	if erasure.ShardRoot(data) != p.Root {
		return fmt.Errorf("%w: a piece was rebuilt wrong", peers.ErrDamaged)
	}
	if err := w.Pace(ctx, k.device, 0, len(data)); err != nil {
		return err
	}
	if err := k.PutCared(ctx, caretask.Moved(p.ID, k.device), p.Root, data); err != nil {
		if errors.Is(err, peers.ErrQuota) || errors.Is(err, peers.ErrDiskFull) {
			k.free = 0
		}
		return err
	}
	k.free -= int64(len(data))
	return w.note(ctx, j, caretaker.Made{Piece: p.ID, Keeper: k.device, Size: int64(len(data)), At: w.Now().Unix()})
}

// show shows a segment to all keepers that are there, and gives what each holds
// of it; nil of those that do not answer.
func (w *Worker) show(ctx context.Context, ks []*keeper, proof []byte, n int) [][]uint8 {
	out := make([][]uint8, len(ks))
	var all sync.WaitGroup
	for i, k := range ks {
		if !k.online {
			continue
		}
		all.Go(func() { out[i] = w.showOne(ctx, k, proof, n) })
	}
	all.Wait()
	return out
}

// showOne shows a segment to one keeper.
func (w *Worker) showOne(ctx context.Context, k *keeper, proof []byte, n int) []uint8 {
	one, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	raw, err := k.Care(one, caretaker.VerbPermit, proof)
	var h caretaker.Held
	if err == nil {
		err = custody.Unmarshal(raw, &h)
	}
	if err == nil && len(h.Pieces) != n {
		err = peers.ErrProtocol
	}
	if err != nil {
		w.Logger.Info("a keeper was shown a segment", "keeper", k.device.Short(), "err", err)
		return nil
	}
	return h.Pieces
}

// found puts together where each piece is, and notes what differs from the task.
// A piece that was lost once, or is where nobody brought it, is there when it can
// be read; who only says so gets nothing of the segment, as it would refuse the
// piece that it claims to have.
func (w *Worker) found(ctx context.Context, j caretaker.Job, ks []*keeper, seg *caretask.Segment, held [][]uint8) (sites [][]site, now *repair.Segment, liars map[int]bool, err error) {
	made, err := w.made(ctx, j.Body.Owner)
	if err != nil {
		return nil, nil, nil, err
	}
	sites, liars = make([][]site, len(seg.Pieces)), map[int]bool{}
	now = believed(seg, ks, made)
	for i := range seg.Pieces {
		p := &seg.Pieces[i]
		for x, h := range held {
			switch {
			case h == nil:
			case h[i] == caretaker.HasIt:
				sites[i] = append(sites[i], site{x, p.ID})
			case h[i] == caretaker.HasMoved:
				sites[i] = append(sites[i], site{x, caretask.Moved(p.ID, ks[x].device)})
			}
		}
		was := now.Pieces[i]
		// None is asked at night for what it was never given, so it is asked now.
		odd := func(s site) bool { return s.id == p.ID && s.at != int(p.Keeper) && !slicesHas(sites[i], was.At) }
		if doubted := slices.DeleteFunc(slices.Clone(sites[i]), func(s site) bool { return !made[p.ID].Lost && !odd(s) }); len(doubted) > 0 {
			good, err := w.proven(ctx, ks, seg, i, doubted)
			if err != nil {
				return nil, nil, nil, err
			}
			for _, s := range doubted {
				liars[s.at] = liars[s.at] || !slicesHas(good, s.at)
			}
			sites[i] = slices.DeleteFunc(sites[i], func(s site) bool { return slicesHas(doubted, s.at) && !slicesHas(good, s.at) })
			if made[p.ID].Lost && len(sites[i]) > 0 {
				if err = w.unnote(ctx, j.Body.Owner, p.ID); err != nil {
					return nil, nil, nil, err
				}
			}
		}
		switch {
		case len(sites[i]) > 0:
			if was.State == repair.There && slicesHas(sites[i], was.At) {
				continue
			}
			now.Pieces[i] = repair.Piece{At: sites[i][0].at, State: repair.There}
			if sites[i][0].id != p.ID {
				err = w.note(ctx, j, caretaker.Made{Piece: p.ID, Keeper: ks[sites[i][0].at].device, Size: int64(seg.Size), At: w.Now().Unix()})
			}
		case was.At >= 0 && held[was.At] != nil:
			// It answers, and says that it lacks it.
			now.Pieces[i] = repair.Piece{At: -1, State: repair.Lost}
			err = w.note(ctx, j, caretaker.Made{Piece: p.ID, Lost: true, At: w.Now().Unix()})
		}
		if err != nil {
			return nil, nil, nil, err
		}
	}
	return sites, now, liars, nil
}

// proven gives the places of a piece where it can be read as it was made.
func (w *Worker) proven(ctx context.Context, ks []*keeper, seg *caretask.Segment, i int, claimed []site) (out []site, err error) {
	buf := w.columns(len(seg.Pieces), int(seg.Size))[i]
	for _, s := range claimed {
		if err := w.Pace(ctx, ks[s.at].device, int(seg.Size), 0); err != nil {
			return nil, err
		}
		if err := ks[s.at].ReadCared(ctx, s.id, buf); err == nil && erasure.ShardRoot(buf) == seg.Pieces[i].Root {
			out = append(out, s)
		}
	}
	return out, ctx.Err()
}

func slicesHas(sites []site, at int) bool {
	for _, s := range sites {
		if s.at == at {
			return true
		}
	}
	return false
}

// allowed leaves out moves that keepers refuse: each takes one piece more of a
// segment.
func allowed(moves []repair.Move, held [][]uint8) []repair.Move {
	full := make([]bool, len(held))
	for x, h := range held {
		full[x] = h == nil
		for _, what := range h {
			full[x] = full[x] || what == caretaker.HasMoved
		}
	}
	var out []repair.Move
	for _, m := range moves {
		if !full[m.To] {
			out = append(out, m)
			full[m.To] = true
		}
	}
	return out
}

// gather reads pieces until k are there that fit their roots.
func (w *Worker) gather(ctx context.Context, j caretaker.Job, ks []*keeper, seg *caretask.Segment, sites [][]site, bufs [][]byte) ([]bool, error) {
	have := make([]bool, len(bufs))
	good := 0
	for next := 0; next < len(bufs) && good < int(seg.K); {
		// As many at once as are still needed.
		var some []int
		for ; next < len(bufs) && len(some) < int(seg.K)-good; next++ {
			if len(sites[next]) > 0 {
				some = append(some, next)
			}
		}
		for _, i := range some {
			if err := w.Pace(ctx, ks[sites[i][0].at].device, int(seg.Size), 0); err != nil {
				return nil, err
			}
		}
		var all sync.WaitGroup
		for _, i := range some {
			all.Go(func() { have[i] = w.read(ctx, j, ks, seg, i, sites[i], bufs[i]) })
		}
		all.Wait()
		for _, i := range some {
			if have[i] {
				good++
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	if good < int(seg.K) {
		return nil, &hopeless{have: good, need: int(seg.K)}
	}
	return have, nil
}

// hopeless: fewer pieces of a segment are left than bring it back.
type hopeless struct {
	segment    custody.Hash
	have, need int
}

func (h *hopeless) Error() string {
	return fmt.Sprintf("%d of the %d pieces of a segment that are needed can be read now", h.have, h.need)
}

// read reads a piece from where it is, and notes that it is lost when what comes
// does not fit.
func (w *Worker) read(ctx context.Context, j caretaker.Job, ks []*keeper, seg *caretask.Segment, i int, sites []site, buf []byte) bool {
	lost := false
	for _, s := range sites {
		err := ks[s.at].ReadCared(ctx, s.id, buf)
		if err == nil && erasure.ShardRoot(buf) == seg.Pieces[i].Root {
			return true
		}
		lost = lost || err == nil || errors.Is(err, peers.ErrNotFound) || errors.Is(err, peers.ErrDamaged)
		w.Logger.Info("a piece of an owner's was not read", "keeper", ks[s.at].device.Short(), "err", err)
	}
	if lost && ctx.Err() == nil {
		if err := w.note(ctx, j, caretaker.Made{Piece: seg.Pieces[i].ID, Lost: true, At: w.Now().Unix()}); err != nil {
			w.Logger.Warn("note a lost piece", "err", err)
		}
	}
	return false
}

// columns gives a buffer for each piece, the same ones each time.
func (w *Worker) columns(n, size int) [][]byte {
	for len(w.buffers) < n {
		w.buffers = append(w.buffers, nil)
	}
	out := make([][]byte, n)
	for i := range n {
		if cap(w.buffers[i]) < size {
			w.buffers[i] = make([]byte, size)
		}
		out[i] = w.buffers[i][:size]
	}
	return out
}
