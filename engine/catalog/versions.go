// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"
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

// Version is a file, folder or symlink as it is kept.
type Version struct {
	Path    string // slash-separated, any bytes but NUL
	Kind    Kind
	Size    int64
	Mode    uint32
	ModTime int64 // nanoseconds since 1970
	Target  string
	Source  Source
	Kept    int64 // nanoseconds since 1970
	Torn    bool
	Parts   []Part
}

const versionColumns = "parent, name, kind, size, mode, mtime, target, ctime, inode, device, kept, torn, parts"

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
	var parent, name, target, parts []byte
	err := rows.Scan(&parent, &name, &v.Kind, &v.Size, &v.Mode, &v.ModTime, &target,
		&v.Source.CTime, &v.Source.Inode, &v.Source.Device, &v.Kept, &v.Torn, &parts)
	if err != nil {
		return v, err
	}
	v.Path, v.Target = JoinPath(string(parent), string(name)), string(target)
	v.Parts, err = decodeParts(parts)
	if err != nil {
		return v, fmt.Errorf("%q: %w", v.Path, err)
	}
	return v, nil
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

// Page gives up to limit of what lies under folder, without the folder
// itself, in the order of folders, then names, after the path last ("" for
// the first page).
func (c *Catalog) Page(ctx context.Context, folder, last string, limit int) ([]Version, error) {
	where, args := below(folder)
	if last != "" {
		parent, name := SplitPath(last)
		where += " AND (parent, name) > (?, ?)"
		args = append(args, []byte(parent), []byte(name))
	}
	return collect(ctx, c.r, scanVersion,
		"SELECT "+versionColumns+" FROM versions WHERE "+where+" ORDER BY parent, name LIMIT ?", append(args, limit)...)
}

// pageSize is how many versions Below holds at once.
const pageSize = 4096

// Below calls f for everything under folder, page by page, so that no read of
// the database stays open while f works. It stops at f's first error.
func (c *Catalog) Below(ctx context.Context, folder string, f func(*Version) error) error {
	for last := ""; ; {
		page, err := c.Page(ctx, folder, last, pageSize)
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

// Removed is the outcome of Remove.
type Removed struct{ Files, Folders, Bytes int64 }

// Remove forgets the paths and all below them in one transaction, or nothing
// when one of them is not kept. Segments that nobody needs any more become
// candidates for Collect.
func (c *Catalog) Remove(ctx context.Context, paths []string) (Removed, error) {
	var out Removed
	err := c.write(ctx, func(tx *sql.Tx) error {
		refs := newRefCounter(ctx, tx)
		defer refs.close()
		for _, p := range paths {
			parent, name := SplitPath(p)
			self, args := "parent = ? AND name = ?", []any{[]byte(parent), []byte(name)}
			var kind Kind
			err := tx.QueryRowContext(ctx, "SELECT kind FROM versions WHERE "+self, args...).Scan(&kind)
			if errors.Is(err, sql.ErrNoRows) {
				return fmt.Errorf("%q %w", p, ErrNotFound)
			} else if err != nil {
				return err
			}
			where := self
			if kind == Folder {
				under, more := below(p)
				where, args = "("+self+") OR ("+under+")", append(args, more...)
			}
			gone, err := collect(ctx, tx, scanVersion, "SELECT "+versionColumns+" FROM versions WHERE "+where, args...)
			if err != nil {
				return err
			}
			for _, v := range gone {
				switch v.Kind {
				case File:
					out.Files++
					out.Bytes += v.Size
				case Folder:
					out.Folders++
				}
				if err := refs.drop(v.Parts); err != nil {
					return err
				}
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM versions WHERE "+where, args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Removed{}, err
	}
	return out, nil
}

// upserter writes versions and keeps the chunks' counts right.
type upserter struct {
	ctx      context.Context
	tx       *sql.Tx
	old, put *sql.Stmt
	refs     *refCounter
	folder   string // known to be there
}

func newUpserter(ctx context.Context, tx *sql.Tx) (*upserter, error) {
	old, err := tx.PrepareContext(ctx, "SELECT kind, parts FROM versions WHERE parent = ? AND name = ?")
	if err != nil {
		return nil, err
	}
	put, err := tx.PrepareContext(ctx, "INSERT OR REPLACE INTO versions("+versionColumns+") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)")
	if err != nil {
		return nil, errors.Join(err, old.Close())
	}
	return &upserter{ctx: ctx, tx: tx, old: old, put: put, refs: newRefCounter(ctx, tx)}, nil
}

func (u *upserter) close() {
	u.old.Close()
	u.put.Close()
	u.refs.close()
}

// folders makes the folders above a version that are missing: they may have
// been removed while a put was filling them.
func (u *upserter) folders(folder string) error {
	if folder == "" || folder == u.folder {
		return nil
	}
	parent, name := SplitPath(folder)
	if err := u.folders(parent); err != nil {
		return err
	}
	now := time.Now().UnixNano()
	_, err := u.tx.ExecContext(u.ctx, "INSERT OR IGNORE INTO versions("+versionColumns+") VALUES(?,?,?,0,?,?,?,0,0,0,?,0,?)",
		[]byte(parent), []byte(name), Folder, 0o755, now, []byte{}, now, []byte{})
	if err == nil {
		u.folder = folder
	}
	return err
}

func (u *upserter) upsert(v *Version) error {
	parent, name := SplitPath(v.Path)
	if err := u.folders(parent); err != nil {
		return err
	}
	if slices.Contains(v.Parts, Part{}) {
		return errParts
	}
	parts := encodeParts(v.Parts)
	var kind Kind
	var oldParts []byte
	err := u.old.QueryRowContext(u.ctx, []byte(parent), []byte(name)).Scan(&kind, &oldParts)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = u.refs.add(v.Parts)
	case err != nil:
		return err
	case !bytes.Equal(oldParts, parts):
		// Add before dropping: a chunk in both must not touch zero.
		if err = u.refs.add(v.Parts); err != nil {
			return err
		}
		var old []Part
		if old, err = decodeParts(oldParts); err == nil {
			err = u.refs.drop(old)
		}
	default:
		err = nil
	}
	if err != nil {
		return err
	}
	_, err = u.put.ExecContext(u.ctx, []byte(parent), []byte(name), v.Kind, v.Size, v.Mode, v.ModTime, append([]byte{}, v.Target...),
		v.Source.CTime, v.Source.Inode, v.Source.Device, v.Kept, v.Torn, parts)
	return err
}
