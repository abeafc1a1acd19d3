// SPDX-License-Identifier: MPL-2.0

package depot

import (
	"context"
	"errors"
	"fmt"

	"github.com/preezm/preezm/peers"
)

// reconcilePage is how many rows are read and changed at a time: memory stays
// flat however many shards there are.
const reconcilePage = 512

// reconcile brings the index in line with the storage. Both are in order of
// ID, so it is one merge. A header is read only where the row is missing or
// the entry changed since, which makes a start cheap and a rebuild complete.
func (d *Depot) reconcile(ctx context.Context) error {
	m := &merge{d: d}
	if err := m.next(ctx); err != nil {
		return err
	}
	if err := d.storage.Walk(ctx, func(e Entry) error { return m.meet(ctx, e) }); err != nil {
		return fmt.Errorf("look through the shards: %w", err)
	}
	for m.row != nil {
		if err := m.drop(ctx); err != nil {
			return err
		}
	}
	if err := m.flush(ctx); err != nil {
		return err
	}
	if m.added+m.dropped+m.setAside > 0 {
		d.log.Info("depot: index brought in line with the shards",
			"added", m.added, "dropped", m.dropped, "damaged", m.setAside)
	}
	return nil
}

// merge walks rows and entries side by side.
type merge struct {
	d    *Depot
	row  *row // the first row not dealt with, nil after the last
	page []row
	last []byte // ID of the last row read

	add                      []row
	remove                   []peers.ShardID
	added, dropped, setAside int
}

// next moves to the next row.
func (m *merge) next(ctx context.Context) (err error) {
	if len(m.page) == 0 {
		if m.page, err = m.d.index.after(ctx, m.last, reconcilePage); err != nil {
			return err
		}
		if len(m.page) == 0 {
			m.row = nil
			return nil
		}
		m.last = m.page[len(m.page)-1].id[:]
	}
	m.row, m.page = &m.page[0], m.page[1:]
	return nil
}

// drop forgets the current row: it has no shard.
func (m *merge) drop(ctx context.Context) error {
	m.remove = append(m.remove, m.row.id)
	m.dropped++
	if err := m.next(ctx); err != nil {
		return err
	}
	return m.flushIfFull(ctx)
}

// meet deals with one stored shard.
func (m *merge) meet(ctx context.Context, e Entry) error {
	for m.row != nil && compareIDs(m.row.id, e.ID) < 0 {
		if err := m.drop(ctx); err != nil {
			return err
		}
	}
	known := m.row != nil && m.row.id == e.ID
	if known && m.row.stamp == e.Stamp && m.row.size == e.Size {
		return m.next(ctx)
	}
	o, err := m.d.storage.Open(ctx, e.ID)
	switch {
	case err == nil:
		m.add = append(m.add, rowOf(o.Header(), o.Stamp()))
		if !known {
			m.added++
		}
		if err := o.Close(); err != nil {
			return err
		}
	case errors.Is(err, peers.ErrDamaged):
		m.d.log.Warn("depot: damaged shard set aside", "shard", e.ID, "err", err)
		m.setAside++
		if err := m.d.storage.SetAside(ctx, e.ID); err != nil {
			// Still no reason to keep the sound ones from their owners.
			m.d.log.Warn("depot: damaged shard stays in its place", "shard", e.ID, "err", err)
		}
		if known {
			return m.drop(ctx)
		}
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		// A newer version's, or not readable for now: not ours to touch. A
		// row it has already stays, so that its owner is not told it is gone.
		m.d.log.Warn("depot: shard left alone", "shard", e.ID, "err", err)
	}
	if known {
		if err := m.next(ctx); err != nil {
			return err
		}
	}
	return m.flushIfFull(ctx)
}

func (m *merge) flushIfFull(ctx context.Context) error {
	if len(m.add)+len(m.remove) < reconcilePage {
		return nil
	}
	return m.flush(ctx)
}

func (m *merge) flush(ctx context.Context) error {
	err := m.d.index.change(ctx, m.add, m.remove)
	m.add, m.remove = m.add[:0], m.remove[:0]
	return err
}
