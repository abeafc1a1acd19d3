// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// The table versions holds what is present, one row a path, and nothing else,
// so that looking a path up costs what it did before there was a history.
// What was replaced or removed lies in the table history, with its hold on its
// chunks: moving a row there changes no count.
const historySchema = `
ALTER TABLE versions ADD COLUMN gid BLOB NOT NULL DEFAULT x'';     -- random, the same in every copy of the catalog
ALTER TABLE versions ADD COLUMN num INTEGER NOT NULL DEFAULT 1;    -- counts the versions of a path
ALTER TABLE versions ADD COLUMN origin BLOB NOT NULL DEFAULT x'';  -- the device it was put from
UPDATE versions SET gid = randomblob(16);

CREATE TABLE history(
  parent  BLOB NOT NULL,
  name    BLOB NOT NULL,
  num     INTEGER NOT NULL,
  gid     BLOB NOT NULL UNIQUE,
  origin  BLOB NOT NULL,
  kind    INTEGER NOT NULL,
  size    INTEGER NOT NULL,
  mode    INTEGER NOT NULL,
  mtime   INTEGER NOT NULL,
  target  BLOB NOT NULL,
  kept    INTEGER NOT NULL,
  torn    INTEGER NOT NULL,
  parts   BLOB NOT NULL,
  until   INTEGER NOT NULL,  -- nanoseconds since 1970: replaced or removed then
  removal BLOB NOT NULL,     -- the id of the removal that ended it; empty: another version did
  PRIMARY KEY(parent, name, num)
) WITHOUT ROWID;
CREATE INDEX history_removal ON history(removal) WHERE length(removal) > 0;

-- Removals that can be taken back. A row goes when it was, or when its time is
-- over; what it removed is an ordinary former version in the first case and
-- gone in the second.
CREATE TABLE trash(
  id      BLOB PRIMARY KEY,  -- 16 random bytes
  path    BLOB NOT NULL,
  kind    INTEGER NOT NULL,
  files   INTEGER NOT NULL,
  bytes   INTEGER NOT NULL,
  removed INTEGER NOT NULL,  -- nanoseconds since 1970
  origin  BLOB NOT NULL
) WITHOUT ROWID;

-- How long former versions and removed files stay; see retention.go.
CREATE TABLE retention(
  name    TEXT PRIMARY KEY,
  value   INTEGER NOT NULL
) WITHOUT ROWID;

-- When each chore was last done on this machine.
CREATE TABLE chores(
  name    TEXT PRIMARY KEY,
  done    INTEGER NOT NULL   -- nanoseconds since 1970
) WITHOUT ROWID;
`

// formerColumns are versionColumns of a row of the history.
const formerColumns = "parent, name, kind, size, mode, mtime, target, 0, 0, 0, kept, torn, parts, gid, num, origin"

// scanFormer reads formerColumns, until and removal.
func scanFormer(rows *sql.Rows) (Version, error) {
	var v Version
	var removal []byte
	err := v.scan(rows, &v.Until, &removal)
	v.Removed = len(removal) > 0
	return v, err
}

// History gives all versions of a path that are still kept, the present one
// among them, oldest first.
func (c *Catalog) History(ctx context.Context, path string) ([]Version, error) {
	parent, name := SplitPath(path)
	at := []any{[]byte(parent), []byte(name), []byte(parent), []byte(name)}
	vs, err := collect(ctx, c.r, scanFormer, "SELECT "+formerColumns+", until, removal FROM history WHERE parent = ? AND name = ? UNION ALL "+
		"SELECT "+versionColumns+", 0, x'' FROM versions WHERE parent = ? AND name = ? ORDER BY num", at...)
	if err == nil && len(vs) == 0 {
		err = ErrNotFound
	}
	return vs, err
}

// Numbered gives one version of a path by its number.
func (c *Catalog) Numbered(ctx context.Context, path string, number int64) (Version, error) {
	vs, err := c.History(ctx, path)
	if err != nil {
		return Version{}, err
	}
	for _, v := range vs {
		if v.Number == number {
			return v, nil
		}
	}
	return Version{}, fmt.Errorf("version %d %w; there are versions %d to %d", number, ErrNotFound, vs[0].Number, vs[len(vs)-1].Number)
}

// Removed is what a removal took.
type Removed struct {
	ID                    [16]byte // in the trash; zero: not there
	Files, Folders, Bytes int64
}

// subtree is the condition for a path and all below it.
func subtree(path string) (string, []any) {
	parent, name := SplitPath(path)
	under, args := below(path)
	return "((parent = ? AND name = ?) OR (" + under + "))", append([]any{[]byte(parent), []byte(name)}, args...)
}

// Trash moves the paths and all below them to the trash, each as one removal,
// in one transaction, or nothing when one of them is not kept.
func (c *Catalog) Trash(ctx context.Context, paths []string, origin peers.DeviceID) ([]Removed, error) {
	var out []Removed
	err := c.write(ctx, func(tx *sql.Tx) error {
		for _, p := range paths {
			r, kind, err := count(ctx, tx, p)
			if err != nil {
				return err
			}
			rand.Read(r.ID[:])
			where, args := subtree(p)
			// Later than all it removes, and than the last prune, however the
			// clock was set: it would be over by the next one.
			var now int64
			err = tx.QueryRowContext(ctx, "SELECT max(max(kept), (SELECT coalesce(max(done), 0) FROM chores WHERE name = 'prune')) FROM versions WHERE "+where, args...).Scan(&now)
			if err != nil {
				return err
			}
			now = max(now+1, c.now().UnixNano())
			if _, err := tx.ExecContext(ctx, "INSERT INTO trash(id, path, kind, files, bytes, removed, origin) VALUES(?,?,?,?,?,?,?)",
				r.ID[:], []byte(p), kind, r.Files, r.Bytes, now, origin[:]); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, toHistory+where, append([]any{now, r.ID[:]}, args...)...); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM versions WHERE "+where, args...); err != nil {
				return err
			}
			out = append(out, r)
		}
		return nil
	})
	return out, err
}

// count adds up a path that is present and all below it.
func count(ctx context.Context, tx *sql.Tx, path string) (r Removed, kind Kind, err error) {
	parent, name := SplitPath(path)
	err = tx.QueryRowContext(ctx, "SELECT kind FROM versions WHERE parent = ? AND name = ?", []byte(parent), []byte(name)).Scan(&kind)
	if errors.Is(err, sql.ErrNoRows) {
		return r, 0, fmt.Errorf("%q %w", path, ErrNotFound)
	} else if err != nil {
		return r, 0, err
	}
	where, args := subtree(path)
	err = tx.QueryRowContext(ctx, `SELECT coalesce(sum(kind = 1), 0), coalesce(sum(kind = 2), 0),
		coalesce(sum(size * (kind = 1)), 0) FROM versions WHERE `+where, args...).Scan(&r.Files, &r.Folders, &r.Bytes)
	return r, kind, err
}

// Forget lets go of the paths, all below them and all their versions for good,
// in one transaction, or of nothing when one of them is not known. Segments
// that nobody needs any more become candidates for Collect.
func (c *Catalog) Forget(ctx context.Context, paths []string) (Removed, error) {
	var out Removed
	err := c.write(ctx, func(tx *sql.Tx) error {
		refs := newRefCounter(ctx, tx)
		defer refs.close()
		for _, p := range paths {
			r, _, err := count(ctx, tx, p)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			where, args := subtree(p)
			was, derr := dropRows(ctx, tx, refs, "history", where, args...)
			if derr != nil {
				return derr
			}
			if err != nil && was == 0 {
				return err
			}
			if _, err := dropRows(ctx, tx, refs, "versions", where, args...); err != nil {
				return err
			}
			out.Files += r.Files
			out.Folders += r.Folders
			out.Bytes += r.Bytes
		}
		return sweepTrash(ctx, tx)
	})
	return out, err
}

// dropRows deletes rows of versions or history with their holds on chunks.
func dropRows(ctx context.Context, tx *sql.Tx, refs *refCounter, table, where string, args ...any) (int, error) {
	gone, err := collect(ctx, tx, scanBlob, "DELETE FROM "+table+" WHERE "+where+" RETURNING parts", args...)
	if err != nil {
		return 0, err
	}
	for _, b := range gone {
		parts, err := decodeParts(b)
		if err != nil {
			return 0, err
		}
		if err := refs.drop(parts); err != nil {
			return 0, err
		}
	}
	return len(gone), nil
}

// sweepTrash forgets removals of which nothing is left.
func sweepTrash(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM trash WHERE NOT EXISTS(SELECT 1 FROM history WHERE removal = id AND length(removal) > 0)")
	return err
}

// Trashed is one removal that can be taken back.
type Trashed struct {
	ID           [16]byte
	Path         string
	Kind         Kind
	Files, Bytes int64
	Removed      int64 // nanoseconds since 1970
	Origin       peers.DeviceID
}

// ListTrash gives the removals, newest first.
func (c *Catalog) ListTrash(ctx context.Context) ([]Trashed, error) {
	return collect(ctx, c.r, func(rows *sql.Rows) (t Trashed, err error) {
		var id, path, origin []byte
		err = rows.Scan(&id, &path, &t.Kind, &t.Files, &t.Bytes, &t.Removed, &origin)
		copy(t.ID[:], id)
		copy(t.Origin[:], origin)
		t.Path = string(path)
		return t, err
	}, "SELECT id, path, kind, files, bytes, removed, origin FROM trash ORDER BY removed DESC, id")
}

// ErrOccupied: something else has the name now.
var ErrOccupied = said.Error("occupied", "is there again: remove it first, or restore the old one into a folder with --to")

// Untrash takes removals back: what they removed is present again. Nothing is
// done when something has one of the names now.
func (c *Catalog) Untrash(ctx context.Context, ids [][16]byte) (Removed, error) {
	var out Removed
	err := c.write(ctx, func(tx *sql.Tx) error {
		u := newUpserter(ctx, tx, c.now)
		defer u.close()
		now := c.now().UnixNano()
		for _, id := range ids {
			was, err := collect(ctx, tx, scanFormer, "SELECT "+formerColumns+", until, removal FROM history WHERE removal = ? AND length(removal) > 0 ORDER BY parent, name", id[:])
			if err != nil {
				return err
			}
			if len(was) == 0 {
				return ErrGone
			}
			for i := range was {
				v := &was[i]
				p, err := u.present(v.Path)
				if err != nil {
					return err
				}
				if p != nil && (p.kind != Folder || v.Kind != Folder) {
					return fmt.Errorf("%q %w", v.Path, ErrOccupied)
				}
				v.GID, v.Kept = [16]byte{}, now
				if err := u.upsert(v); err != nil {
					return err
				}
				switch v.Kind {
				case File:
					out.Files++
					out.Bytes += v.Size
				case Folder:
					out.Folders++
				}
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM trash WHERE id = ?", id[:]); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// EmptyTrash lets go for good of what was removed, with all versions from
// before the removal.
func (c *Catalog) EmptyTrash(ctx context.Context, ids [][16]byte) (Removed, error) {
	var out Removed
	err := c.write(ctx, func(tx *sql.Tx) error {
		refs := newRefCounter(ctx, tx)
		defer refs.close()
		for _, id := range ids {
			var files, bytes int64
			err := tx.QueryRowContext(ctx, "SELECT files, bytes FROM trash WHERE id = ?", id[:]).Scan(&files, &bytes)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			} else if err != nil {
				return err
			}
			out.Files += files
			out.Bytes += bytes
			gids := `SELECT old.gid FROM history gone JOIN history old ON old.parent = gone.parent AND old.name = gone.name
				AND old.num <= gone.num WHERE gone.removal = ? AND length(gone.removal) > 0`
			if _, err := dropRows(ctx, tx, refs, "history", "gid IN ("+gids+")", id[:]); err != nil {
				return err
			}
		}
		return sweepTrash(ctx, tx)
	})
	return out, err
}
