// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"math"
)

// View is everything that is kept, as it is now or as it was at a time.
type View interface {
	// Version gives what was at path, or ErrNotFound.
	Version(ctx context.Context, path string) (Version, error)
	// EachChild calls f for what lay directly in folder, by name, page by page.
	EachChild(ctx context.Context, folder string, f func(*Version) error) error
	// Below calls f for everything under folder, page by page.
	Below(ctx context.Context, folder string, f func(*Version) error) error
	// SumBelow counts everything under folder.
	SumBelow(ctx context.Context, folder string) (Sum, error)
}

var (
	_ View = (*Catalog)(nil)
	_ View = past{}
)

// At is the catalog as it was at a time, in nanoseconds since 1970, as far as
// what was then is still kept: where the version of that moment was pruned the
// one before it stands in its place.
func (c *Catalog) At(t int64) View { return past{c, t} }

type past struct {
	c *Catalog
	t int64
}

// asOf is a query for the newest version of each path that was kept by a
// moment, without what was removed before it. The condition stands for the
// rows of both tables. Of a group SQLite gives the row that has the max.
func asOf(columns, where, more string) string {
	from := func(cols, until, removal, table string) string {
		return "SELECT " + cols + ", " + until + " AS until, " + removal + " AS removal FROM " + table + " WHERE kept <= ? AND " + where
	}
	return "SELECT " + columns + " FROM (SELECT *, max(num) FROM (" +
		from(namedFormer, "until", "removal", "history") + " UNION ALL " +
		from(versionColumns, fmt.Sprint(int64(math.MaxInt64)), "x''", "versions") +
		") GROUP BY parent, name HAVING length(removal) = 0 OR until > ?) " + more
}

// namedFormer is formerColumns under the names of versionColumns.
const namedFormer = "parent, name, kind, size, mode, mtime, target, 0 AS ctime, 0 AS inode, 0 AS device, kept, torn, parts, gid, num, origin"

func (p past) args(where []any, more ...any) []any {
	args := append([]any{p.t}, where...)
	args = append(append(args, p.t), where...)
	return append(append(args, p.t), more...)
}

func (p past) query(ctx context.Context, where string, args []any, tail string, more ...any) ([]Version, error) {
	vs, err := collect(ctx, p.c.r, scanFormer, asOf(versionColumns+", until, removal", where, tail), p.args(args, more...)...)
	for i := range vs {
		if vs[i].Until == math.MaxInt64 {
			vs[i].Until = 0
		}
	}
	return vs, err
}

func (p past) Version(ctx context.Context, path string) (Version, error) {
	parent, name := SplitPath(path)
	vs, err := p.query(ctx, "parent = ? AND name = ?", []any{[]byte(parent), []byte(name)}, "")
	if err != nil {
		return Version{}, err
	}
	if len(vs) == 0 {
		return Version{}, ErrNotThen
	}
	return vs[0], nil
}

func (p past) EachChild(ctx context.Context, folder string, f func(*Version) error) error {
	return eachPage(func(last string) ([]Version, error) {
		where, args := childAfter(folder, last)
		return p.query(ctx, where, args, "ORDER BY name LIMIT ?", pageSize)
	}, f)
}

func (p past) Below(ctx context.Context, folder string, f func(*Version) error) error {
	return eachPage(func(last string) ([]Version, error) {
		where, args := belowAfter(folder, last)
		return p.query(ctx, where, args, "ORDER BY parent, name LIMIT ?", pageSize)
	}, f)
}

func (p past) SumBelow(ctx context.Context, folder string) (Sum, error) {
	where, args := below(folder)
	var s Sum
	row := p.c.r.QueryRowContext(ctx, asOf(`coalesce(sum(kind = 1), 0), coalesce(sum(kind = 2), 0),
		coalesce(sum(size * (kind = 1)), 0)`, where, ""), p.args(args)...)
	if err := row.Scan(&s.Files, &s.Folders, &s.Bytes); err != nil && err != sql.ErrNoRows {
		return s, fmt.Errorf("catalog: %w", explain(err))
	}
	return s, nil
}
