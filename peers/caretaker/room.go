// SPDX-License-Identifier: MPL-2.0

package caretaker

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"time"

	"github.com/preezm/preezm/peers"
)

// What a caretaker keeps of an owner's pieces takes room of this machine, which
// the owner alone would decide on. So it counts as what the owner stores here
// does: against the same quota and the same offer (see depot.Take).

const (
	// block is what a list is rounded up to, as it takes whole pages.
	block = 4096
	// noteCost is what a note of a piece takes, with its place in the table.
	noteCost = 256
	// overdue is how long lists stay after the end of their task: a clock may
	// have been wrong.
	overdue = 30 * 24 * time.Hour
)

func partCost(size int) int64 { return int64(size+block-1) / block * block }

// takes sums up what lies here for an owner.
func (s *store) takes(ctx context.Context, owner peers.DeviceID) (n int64, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT (SELECT coalesce(sum((length(body) + ?1 - 1) / ?1 * ?1), 0) FROM part WHERE owner = ?2)
		+ ?3 * (SELECT count(*) FROM made WHERE owner = ?2)`, block, owner[:], noteCost).Scan(&n)
	if err != nil {
		err = fmt.Errorf("%s: %w", File, err)
	}
	return n, err
}

// drop forgets all that lies here for an owner but its task.
func drop(ctx context.Context, tx *sql.Tx, owner peers.DeviceID) error {
	for _, table := range []string{"part", "made", "seen", "audit"} {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE owner = ?", owner[:]); err != nil {
			return err
		}
	}
	return nil
}

// recount tells the depot what lies here for an owner now. s.lists is held.
func (s *Service) recount(ctx context.Context, owner peers.DeviceID) error {
	ctx = context.WithoutCancel(ctx)
	n, err := s.store.takes(ctx, owner)
	if err != nil {
		return err
	}
	if n < s.counted[owner] {
		if err := s.store.shrink(ctx); err != nil {
			return err
		}
	}
	s.o.Depot.Hold(owner, n-s.counted[owner])
	if s.counted[owner] = n; n == 0 {
		delete(s.counted, owner)
	}
	return nil
}

// grow has f store n bytes more for an owner, where there is room. s.lists is
// held.
func (s *Service) grow(ctx context.Context, owner peers.DeviceID, n int64, f func() error) error {
	if err := s.o.Depot.Take(ctx, owner, n); err != nil {
		return err
	}
	if err := f(); err != nil {
		s.o.Depot.Hold(owner, -n)
		return err
	}
	s.counted[owner] += n
	return nil
}

// Takes tells how many bytes lie here for each owner's device.
func (s *Service) Takes() map[peers.DeviceID]int64 {
	s.lists.Lock()
	defer s.lists.Unlock()
	return maps.Clone(s.counted)
}

// Sweep forgets what lies here for owners who left the circle, and for tasks
// that ended long ago.
func (s *Service) Sweep(ctx context.Context) error {
	s.lists.Lock()
	defer s.lists.Unlock()
	now := s.o.Now()
	for owner := range maps.Clone(s.counted) {
		t := s.known(owner)
		if t != nil && s.o.Sign(owner) != nil && now.Before(time.Unix(t.Body.Until, 0).Add(overdue)) {
			continue
		}
		if err := s.store.write(ctx, func(tx *sql.Tx) error { return drop(ctx, tx, owner) }); err != nil {
			return err
		}
		if err := s.recount(ctx, owner); err != nil {
			return err
		}
	}
	return nil
}
