// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"time"
)

// Retention says how much of the past is kept. Of each path the present
// version always is; a number counts it. A former version stays if any of the
// rules wants it: the newest Last ones, and the newest one of each of the last
// Daily days, Weekly weeks and Monthly months that have one.
type Retention struct {
	Last, Daily, Weekly, Monthly int64
	TrashDays                    int64 // what was removed stays that long; 0: not at all
}

// DefaultRetention applies until somebody sets another.
var DefaultRetention = Retention{Last: 10, Daily: 30, Weekly: 12, Monthly: 24, TrashDays: 30}

func (r *Retention) fields() map[string]*int64 {
	return map[string]*int64{"last": &r.Last, "daily": &r.Daily, "weekly": &r.Weekly, "monthly": &r.Monthly, "trash_days": &r.TrashDays}
}

// Retention gives the setting.
func (c *Catalog) Retention(ctx context.Context) (Retention, error) {
	r := DefaultRetention
	fields := r.fields()
	_, err := collect(ctx, c.r, func(rows *sql.Rows) (_ struct{}, err error) {
		var name string
		var value int64
		if err = rows.Scan(&name, &value); err == nil && fields[name] != nil {
			*fields[name] = value
		}
		return struct{}{}, err
	}, "SELECT name, value FROM retention")
	return r, err
}

// SetRetention changes the setting.
func (c *Catalog) SetRetention(ctx context.Context, r Retention) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		for name, value := range r.fields() {
			if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO retention(name, value) VALUES(?,?)", name, *value); err != nil {
				return err
			}
		}
		return nil
	})
}

// Pruned is what a prune lets go of.
type Pruned struct {
	Versions, Bytes int64 // former versions, and how large they were as files
	Kept            int64 // former versions that stay
}

// pruneBatch former versions go in one transaction.
const pruneBatch = 1000

// Prune lets go of the former versions that r does not want; with dry it only
// counts them. Days, weeks and months are those of zone. What lies in the
// trash stays until its own time is over.
func (c *Catalog) Prune(ctx context.Context, r Retention, zone *time.Location, dry bool) (Pruned, error) {
	var out Pruned
	var doomed [][]byte
	flush := func() error {
		if dry || len(doomed) == 0 {
			return nil
		}
		err := c.write(ctx, func(tx *sql.Tx) error {
			refs := newRefCounter(ctx, tx)
			defer refs.close()
			for _, gid := range doomed {
				if _, err := dropRows(ctx, tx, refs, "history", "gid = ?", gid); err != nil {
					return err
				}
			}
			return nil
		})
		doomed = doomed[:0]
		return err
	}
	judge := func(path []former) error {
		keep := r.choose(path, zone)
		for i, f := range path {
			switch {
			case f.present:
			case keep[i] || f.trashed || f.kind == Folder:
				out.Kept++
			default:
				out.Versions++
				out.Bytes += f.size
				doomed = append(doomed, f.gid)
			}
		}
		if len(doomed) < pruneBatch {
			return nil
		}
		return flush()
	}
	err := c.eachPast(ctx, judge)
	if err == nil {
		err = flush()
	}
	return out, err
}

// former is one version as Prune looks at it.
type former struct {
	parent, name, gid []byte
	kind              Kind
	num, kept, size   int64
	present, trashed  bool
}

// eachPast calls f with the versions of each path that has a history, newest
// first.
func (c *Catalog) eachPast(ctx context.Context, f func([]former) error) error {
	last := &former{parent: []byte{}, name: []byte{}}
	var path []former
	for {
		page, err := collect(ctx, c.r, func(rows *sql.Rows) (x former, err error) {
			err = rows.Scan(&x.parent, &x.name, &x.num, &x.gid, &x.kind, &x.kept, &x.size, &x.trashed)
			return x, err
		}, `SELECT parent, name, num, gid, kind, kept, size, EXISTS(SELECT 1 FROM trash WHERE id = removal)
			FROM history WHERE (parent, name, num) > (?, ?, ?) ORDER BY parent, name, num LIMIT ?`, last.parent, last.name, last.num, pageSize)
		if err != nil {
			return err
		}
		for i := range page {
			x := page[i]
			if len(path) > 0 && (string(path[0].parent) != string(x.parent) || string(path[0].name) != string(x.name)) {
				if err := c.withPresent(ctx, path, f); err != nil {
					return err
				}
				path = path[:0]
			}
			path = append(path, x)
		}
		if len(page) < pageSize {
			break
		}
		last = &page[len(page)-1]
	}
	if len(path) == 0 {
		return nil
	}
	return c.withPresent(ctx, path, f)
}

// withPresent puts the present version before the former ones, which it turns
// newest first.
func (c *Catalog) withPresent(ctx context.Context, path []former, f func([]former) error) error {
	all, err := collect(ctx, c.r, func(rows *sql.Rows) (x former, err error) {
		x.present = true
		err = rows.Scan(&x.kept)
		return x, err
	}, "SELECT kept FROM versions WHERE parent = ? AND name = ?", path[0].parent, path[0].name)
	if err != nil {
		return err
	}
	for i := len(path) - 1; i >= 0; i-- {
		all = append(all, path[i])
	}
	return f(all)
}

// choose tells which versions of one path, newest first, the rules want.
func (r *Retention) choose(path []former, zone *time.Location) []bool {
	keep := make([]bool, len(path))
	for i := range path {
		keep[i] = int64(i) < r.Last
	}
	for _, rule := range []struct {
		n      int64
		bucket func(time.Time) string
	}{
		{r.Daily, func(t time.Time) string { return t.Format(time.DateOnly) }},
		{r.Weekly, func(t time.Time) string {
			t = t.AddDate(0, 0, -(int(t.Weekday())+6)%7) // its Monday
			return t.Format(time.DateOnly)
		}},
		{r.Monthly, func(t time.Time) string { return t.Format("2006-01") }},
	} {
		last := ""
		for i, n := 0, rule.n; i < len(path) && n > 0; i++ {
			if b := rule.bucket(time.Unix(0, path[i].kept).In(zone)); b != last {
				last, keep[i] = b, true
				n--
			}
		}
	}
	return keep
}

// ExpiredTrash gives the removals from before a time, in nanoseconds.
func (c *Catalog) ExpiredTrash(ctx context.Context, before int64) ([][16]byte, error) {
	return collect(ctx, c.r, func(rows *sql.Rows) (id [16]byte, err error) {
		b, err := scanBlob(rows)
		copy(id[:], b)
		return id, err
	}, "SELECT id FROM trash WHERE removed < ?", before)
}

// PastTotals is what the history holds.
type PastTotals struct {
	Versions, Bytes     int64 // former versions that are not in the trash
	Trashed, TrashBytes int64 // files in the trash
}

// Past counts former versions.
func (c *Catalog) Past(ctx context.Context) (t PastTotals, err error) {
	err = c.r.QueryRowContext(ctx, `SELECT count(*) - coalesce(sum(t), 0), coalesce(sum(size), 0) - coalesce(sum(size * t), 0), coalesce(sum(t), 0), coalesce(sum(size * t), 0)
		FROM (SELECT size, EXISTS(SELECT 1 FROM trash WHERE id = removal) AS t FROM history WHERE kind <> 2)`).
		Scan(&t.Versions, &t.Bytes, &t.Trashed, &t.TrashBytes)
	return t, explain(err)
}

// Due tells whether a chore was last done so long ago that it is time again.
func (c *Catalog) Due(ctx context.Context, chore string, now time.Time, every time.Duration) (bool, error) {
	last, err := collect(ctx, c.r, scanInt, "SELECT done FROM chores WHERE name = ?", chore)
	if err != nil {
		return false, err
	}
	// A clock that was ahead must not put a chore off for long.
	return len(last) == 0 || now.Sub(time.Unix(0, last[0])).Abs() >= every, nil
}

// Did notes that a chore was done.
func (c *Catalog) Did(ctx context.Context, chore string, now time.Time) error {
	return c.writeRestless(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO chores(name, done) VALUES(?,?)", chore, now.UnixNano())
		return err
	})
}
