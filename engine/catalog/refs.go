// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// refCounter keeps, inside one transaction, how many times versions name each
// chunk, and notes the segments in which a chunk fell to zero.
type refCounter struct {
	ctx             context.Context
	tx              *sql.Tx
	inc, dec, maybe *sql.Stmt
	// coming are chunks that this transaction has yet to write, with the count
	// that each is written with.
	coming map[int64]int64
}

func newRefCounter(ctx context.Context, tx *sql.Tx) *refCounter {
	return &refCounter{ctx: ctx, tx: tx}
}

func (r *refCounter) close() {
	for _, s := range []*sql.Stmt{r.inc, r.dec, r.maybe} {
		if s != nil {
			s.Close()
		}
	}
}

func (r *refCounter) prepare(s **sql.Stmt, query string) (err error) {
	if *s == nil {
		*s, err = r.tx.PrepareContext(r.ctx, query)
	}
	return err
}

func (r *refCounter) add(parts []Part) error {
	if err := r.prepare(&r.inc, "UPDATE chunks SET refs = refs + 1 WHERE id = ?"); err != nil {
		return err
	}
	for _, p := range parts {
		if p.Chunk == 0 {
			continue
		}
		if n, ok := r.coming[p.Chunk]; ok {
			r.coming[p.Chunk] = n + 1
			continue
		}
		res, err := r.inc.ExecContext(r.ctx, p.Chunk)
		if err != nil {
			return err
		}
		// A version must never name a chunk that is not there.
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(fmt.Errorf("chunk %d is not in the catalog", p.Chunk), err)
		}
	}
	return nil
}

func (r *refCounter) drop(parts []Part) error {
	err := errors.Join(
		r.prepare(&r.dec, "UPDATE chunks SET refs = refs - 1 WHERE id = ? RETURNING refs, segment"),
		r.prepare(&r.maybe, "INSERT OR IGNORE INTO candidates(segment) VALUES(?)"))
	if err != nil {
		return err
	}
	for _, p := range parts {
		if p.Chunk == 0 {
			continue
		}
		var refs, segment int64
		err := r.dec.QueryRowContext(r.ctx, p.Chunk).Scan(&refs, &segment)
		if errors.Is(err, sql.ErrNoRows) {
			continue // damage must not stand in the way of a removal
		} else if err != nil {
			return err
		}
		if refs == 0 {
			if _, err := r.maybe.ExecContext(r.ctx, segment); err != nil {
				return err
			}
		}
	}
	return nil
}
