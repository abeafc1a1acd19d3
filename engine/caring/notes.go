// SPDX-License-Identifier: MPL-2.0

package caring

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretaker"
)

// mostUnnoted bounds what is remembered of one owner for which there is no room.
const mostUnnoted = 10_000

// unnoted are notes for which there was no room, by owner. What a check found lost
// is nowhere else, and without them what was made would be looked for again and
// again.
type unnoted struct {
	mu sync.Mutex
	of map[peers.DeviceID]map[peers.ShardID]caretaker.Made
}

// note writes down where a piece is. Without room for that it is remembered as long
// as this process runs.
func (w *Worker) note(ctx context.Context, j caretaker.Job, m caretaker.Made) error {
	err := w.Service.Note(ctx, j.Body.Owner, m)
	full := errors.Is(err, peers.ErrQuota) || errors.Is(err, peers.ErrDiskFull)
	if err != nil && !full {
		return err
	}
	w.unnoted.mu.Lock()
	defer w.unnoted.mu.Unlock()
	of := w.unnoted.of[j.Body.Owner]
	if !full {
		delete(of, m.Piece)
		return nil
	}
	w.Logger.Info("no room for a note of a piece of an owner's", "owner", j.Body.Owner.Short(), "err", err)
	if of == nil {
		of = map[peers.ShardID]caretaker.Made{}
		w.unnoted.of[j.Body.Owner] = of
	}
	if _, ok := of[m.Piece]; ok || len(of) < mostUnnoted {
		of[m.Piece] = m
	}
	return nil
}

// made gives what was noted of an owner's pieces, or is remembered without.
func (w *Worker) made(ctx context.Context, owner peers.DeviceID) (map[peers.ShardID]caretaker.Made, error) {
	out, err := w.Service.Made(ctx, owner)
	if err != nil {
		return nil, err
	}
	w.unnoted.mu.Lock()
	defer w.unnoted.mu.Unlock()
	maps.Copy(out, w.unnoted.of[owner])
	return out, nil
}

// unnote drops what was noted of a piece.
func (w *Worker) unnote(ctx context.Context, owner peers.DeviceID, piece peers.ShardID) error {
	w.unnoted.mu.Lock()
	delete(w.unnoted.of[owner], piece)
	w.unnoted.mu.Unlock()
	return w.Service.Unnote(ctx, owner, piece)
}

// noteLate writes down what there was no room for, as far as there is now.
func (w *Worker) noteLate(ctx context.Context, owner peers.DeviceID) error {
	w.unnoted.mu.Lock()
	defer w.unnoted.mu.Unlock()
	for piece, m := range w.unnoted.of[owner] {
		err := w.Service.Note(ctx, owner, m)
		if errors.Is(err, peers.ErrQuota) || errors.Is(err, peers.ErrDiskFull) {
			return nil
		}
		if err != nil {
			return err
		}
		delete(w.unnoted.of[owner], piece)
	}
	return nil
}
