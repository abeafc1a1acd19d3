// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"path"

	"github.com/preezm/preezm/peers"
)

// Kind tells files, folders and symbolic links apart.
type Kind uint8

// The kinds of version, as stored.
const (
	File Kind = iota + 1
	Folder
	Symlink
)

// Source is how a file looked on the owner's disk when it was read.
type Source struct{ CTime, Inode, Device int64 }

// Version is a file, folder or symlink as it is kept, or as it was.
type Version struct {
	GID     [16]byte       // its name everywhere; given by the catalog
	Number  int64          // counts the versions of one path from 1; given by the catalog
	Origin  peers.DeviceID // where it was put; zero: not known
	Path    string         // slash-separated, any bytes but NUL
	Kind    Kind
	Size    int64
	Mode    uint32
	ModTime int64 // nanoseconds since 1970
	Target  string
	Source  Source
	Kept    int64 // nanoseconds since 1970
	Torn    bool
	Parts   []Part
	Until   int64 // when it ceased to be the present one; 0: it is
	Removed bool  // it was followed by a removal, not by another version
}

const versionColumns = "parent, name, kind, size, mode, mtime, target, ctime, inode, device, kept, torn, parts, gid, num, origin"

// SplitPath cuts a path into its folder ("" for the top) and its last part.
func SplitPath(p string) (parent, name string) {
	dir, name := path.Split(p)
	if dir != "" {
		dir = dir[:len(dir)-1]
	}
	return dir, name
}

// JoinPath is the inverse of SplitPath.
func JoinPath(parent, name string) string {
	if parent == "" {
		return name
	}
	return parent + "/" + name
}

func scanVersion(rows *sql.Rows) (Version, error) {
	var v Version
	err := v.scan(rows)
	return v, err
}

// scan reads versionColumns and whatever the query gives after them.
func (v *Version) scan(rows *sql.Rows, more ...any) error {
	var parent, name, target, parts, gid, origin []byte
	err := rows.Scan(append([]any{&parent, &name, &v.Kind, &v.Size, &v.Mode, &v.ModTime, &target,
		&v.Source.CTime, &v.Source.Inode, &v.Source.Device, &v.Kept, &v.Torn, &parts, &gid, &v.Number, &origin}, more...)...)
	if err != nil {
		return err
	}
	v.Path, v.Target = JoinPath(string(parent), string(name)), string(target)
	copy(v.GID[:], gid)
	copy(v.Origin[:], origin)
	v.Parts, err = decodeParts(parts)
	if err != nil {
		return fmt.Errorf("%q: %w", v.Path, err)
	}
	return nil
}

// Version gives what is kept at path, or ErrNotFound.
func (c *Catalog) Version(ctx context.Context, path string) (Version, error) {
	parent, name := SplitPath(path)
	vs, err := collect(ctx, c.r, scanVersion,
		"SELECT "+versionColumns+" FROM versions WHERE parent = ? AND name = ?", []byte(parent), []byte(name))
	if err != nil {
		return Version{}, err
	}
	if len(vs) == 0 {
		return Version{}, ErrNotFound
	}
	return vs[0], nil
}

// Children lists what lies directly in folder, by name.
func (c *Catalog) Children(ctx context.Context, folder string) ([]Version, error) {
	return collect(ctx, c.r, scanVersion,
		"SELECT "+versionColumns+" FROM versions WHERE parent = ? ORDER BY name", []byte(folder))
}

// EachChild calls f for what is directly in folder, by name, page by page. It
// stops at f's first error.
func (c *Catalog) EachChild(ctx context.Context, folder string, f func(*Version) error) error {
	return eachPage(func(last string) ([]Version, error) {
		where, args := childAfter(folder, last)
		return collect(ctx, c.r, scanVersion,
			"SELECT "+versionColumns+" FROM versions WHERE "+where+" ORDER BY name LIMIT ?", append(args, pageSize)...)
	}, f)
}

// childAfter is the condition, with its arguments, for what is directly in
// folder and comes after the path last; "" is before everything.
func childAfter(folder, last string) (string, []any) {
	if last == "" {
		return "parent = ?", []any{[]byte(folder)}
	}
	_, name := SplitPath(last)
	return "parent = ? AND name > ?", []any{[]byte(folder), []byte(name)}
}

// below is the condition, with its arguments, for everything under folder,
// however deep, without the folder itself: one run of the primary key, less
// the siblings between "folder" and "folder/". '0' follows '/'.
func below(folder string) (string, []any) {
	if folder == "" {
		return "1", nil
	}
	return "parent >= ? AND parent < ? AND (parent = ? OR parent >= ?)",
		[]any{[]byte(folder), []byte(folder + "0"), []byte(folder), []byte(folder + "/")}
}

// belowAfter is the same for what comes after the path last, in the order of
// folders, then names; "" is before everything.
func belowAfter(folder, last string) (string, []any) {
	if last == "" {
		return below(folder)
	}
	parent, name := SplitPath(last)
	where, args := "(parent, name) > (?, ?)", []any{[]byte(parent), []byte(name)}
	if folder != "" {
		// Without "parent >= folder", which last implies: it would be taken as
		// the place to begin, and each page would read all pages before it.
		where += " AND parent < ? AND (parent = ? OR parent >= ?)"
		args = append(args, []byte(folder+"0"), []byte(folder), []byte(folder+"/"))
	}
	return where, args
}

// Page gives up to limit of what lies under folder, without the folder
// itself, in the order of folders, then names, after the path last ("" for
// the first page).
func (c *Catalog) Page(ctx context.Context, folder, last string, limit int) ([]Version, error) {
	where, args := belowAfter(folder, last)
	return collect(ctx, c.r, scanVersion,
		"SELECT "+versionColumns+" FROM versions WHERE "+where+" ORDER BY parent, name LIMIT ?", append(args, limit)...)
}

// pageSize is how many versions Below holds at once.
const pageSize = 4096

// Below calls f for everything under folder, page by page, so that no read of
// the database stays open while f works. It stops at f's first error.
func (c *Catalog) Below(ctx context.Context, folder string, f func(*Version) error) error {
	return eachPage(func(last string) ([]Version, error) { return c.Page(ctx, folder, last, pageSize) }, f)
}

// eachPage calls f for all that is on the pages which after gives, each by the
// last path of the one before.
func eachPage(after func(last string) ([]Version, error), f func(*Version) error) error {
	for last := ""; ; {
		page, err := after(last)
		if err != nil {
			return err
		}
		for i := range page {
			if err := f(&page[i]); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
		last = page[len(page)-1].Path
	}
}

// Sum is what lies below a folder.
type Sum struct{ Files, Folders, Bytes int64 }

// SumBelow counts everything under folder.
func (c *Catalog) SumBelow(ctx context.Context, folder string) (Sum, error) {
	where, args := below(folder)
	var s Sum
	err := c.r.QueryRowContext(ctx, `SELECT coalesce(sum(kind = 1), 0), coalesce(sum(kind = 2), 0),
		coalesce(sum(size * (kind = 1)), 0) FROM versions WHERE `+where, args...).Scan(&s.Files, &s.Folders, &s.Bytes)
	if err != nil {
		return s, fmt.Errorf("catalog: %w", explain(err))
	}
	return s, nil
}
