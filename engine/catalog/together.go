// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/preezm/preezm/peers"
)

// together is who else has a copy of this catalog that goes its own way.
type together struct {
	self   peers.DeviceID
	others []peers.DeviceID
}

// SetTogether tells the catalog which machine this is and which others of the
// owner's there are. With others a segment that nobody needs here is not let go
// of at once: one of them may need it.
func (c *Catalog) SetTogether(self peers.DeviceID, others []peers.DeviceID) {
	c.together.Store(&together{self, slices.Clone(others)})
}

// spare takes those of the segments in temp.dead off it that another machine
// may need. Their chunks are found no more, so that nothing comes to need them
// here while the others hear of it.
func (c *Catalog) spare(ctx context.Context, tx *sql.Tx) error {
	t := c.together.Load()
	if t == nil || len(t.others) == 0 {
		_, err := tx.ExecContext(ctx, "DELETE FROM dead")
		return err
	}
	for _, q := range []struct {
		sql  string
		args []any
	}{
		{"DELETE FROM dead WHERE segment NOT IN (SELECT id FROM segments) OR segment IN (SELECT segment FROM chunks WHERE refs > 0)", nil},
		{`INSERT OR IGNORE INTO main.dead(segment, number) SELECT id, (SELECT coalesce(max(number), 0) + 1 FROM backups WHERE device = ?) FROM temp.gone`,
			[]any{t.self[:]}},
		{"UPDATE chunks SET cid = randomblob(32) WHERE segment IN (SELECT id FROM temp.gone)", nil},
		// What waits since an earlier time goes with what came now.
		{"INSERT OR IGNORE INTO temp.gone SELECT segment FROM main.dead", nil},
	} {
		if _, err := tx.ExecContext(ctx, q.sql, q.args...); err != nil {
			return err
		}
	}
	for _, d := range t.others {
		_, err := tx.ExecContext(ctx, `DELETE FROM temp.gone WHERE id IN (SELECT segment FROM needed WHERE device = ?1)
			OR NOT EXISTS(SELECT 1 FROM imports, main.dead WHERE imports.device = ?1 AND main.dead.segment = temp.gone.id AND imports.knew >= main.dead.number)`, d[:])
		if err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM main.dead WHERE segment IN (SELECT id FROM temp.gone)")
	return err
}

// Waiting counts the segments that nobody needs here and that wait for the
// owner's other machines.
func (c *Catalog) Waiting(ctx context.Context) (n int64, err error) {
	if err = c.r.QueryRowContext(ctx, "SELECT count(*) FROM dead").Scan(&n); err != nil {
		err = fmt.Errorf("catalog: %w", explain(err))
	}
	return n, err
}

// Awaited is the highest number of this machine's backups that others have to
// know before something is let go of; 0: nothing waits.
func (c *Catalog) Awaited(ctx context.Context) (n uint64, err error) {
	if err = c.r.QueryRowContext(ctx, "SELECT coalesce(max(number), 0) FROM dead").Scan(&n); err != nil {
		err = fmt.Errorf("catalog: %w", explain(err))
	}
	return n, err
}

// Conflict is a version that was put on another machine at the same time as the
// one that is shown.
type Conflict struct {
	Version // the one that is not shown
	Found   int64
}

// Conflicts lists the versions that were put on two machines at once and lie
// beside the shown one, until that is replaced.
func (c *Catalog) Conflicts(ctx context.Context) ([]Conflict, error) {
	return collect(ctx, c.r, func(rows *sql.Rows) (k Conflict, err error) {
		err = k.scan(rows, &k.Found)
		return k, err
	}, `SELECT h.parent, h.name, h.kind, h.size, h.mode, h.mtime, h.target, 0, 0, 0, h.kept, h.torn, h.parts, h.gid, h.num, h.origin, c.found
		FROM conflicts c JOIN history h ON h.gid = c.gid
		JOIN versions v ON v.parent = c.parent AND v.name = c.name WHERE v.kept <= c.found ORDER BY h.parent, h.name`)
}
