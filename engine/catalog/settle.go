// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"fmt"
)

// Settle makes versions of a path the present ones, of it or of other paths,
// as new versions even where they are present already, and notes no longer
// that the path was put on two machines at once. The new versions tell the
// other machines that somebody has chosen.
func (c *Catalog) Settle(ctx context.Context, path string, versions []*Version) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		u := newUpserter(ctx, tx, c.now)
		defer u.close()
		u.anew = true
		for _, v := range versions {
			if err := u.upsert(v); err != nil {
				return fmt.Errorf("%q: %w", v.Path, err)
			}
		}
		parent, name := SplitPath(path)
		_, err := tx.ExecContext(ctx, "DELETE FROM conflicts WHERE parent = ? AND name = ?", []byte(parent), []byte(name))
		return err
	})
}
