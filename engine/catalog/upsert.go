// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// upserter writes versions and keeps the chunks' counts right. What a new
// version replaces goes to the history and takes its hold on its chunks along.
type upserter struct {
	ctx    context.Context
	tx     *sql.Tx
	stmts  map[string]*sql.Stmt
	refs   *refCounter
	folder string // known to be there
	anew   bool   // what is present as it is becomes a new version too
	now    func() time.Time
}

func newUpserter(ctx context.Context, tx *sql.Tx, now func() time.Time) *upserter {
	return &upserter{ctx: ctx, tx: tx, now: now, stmts: map[string]*sql.Stmt{}, refs: newRefCounter(ctx, tx)}
}

func (u *upserter) close() {
	for _, s := range u.stmts {
		s.Close()
	}
	u.refs.close()
}

// prepared gives a query's statement, made once for the transaction.
func (u *upserter) prepared(query string) (*sql.Stmt, error) {
	if s := u.stmts[query]; s != nil {
		return s, nil
	}
	s, err := u.tx.PrepareContext(u.ctx, query)
	if err == nil {
		u.stmts[query] = s
	}
	return s, err
}

func (u *upserter) exec(query string, args ...any) error {
	s, err := u.prepared(query)
	if err == nil {
		_, err = s.ExecContext(u.ctx, args...)
	}
	return err
}

const (
	// putFirst writes the version of a path that has none now, and nothing when
	// it has one. It numbers on where a former one ended, and a clock that was
	// set back does not turn their order around.
	putFirst = "INSERT INTO versions(" + versionColumns + ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10," +
		"max(?11, coalesce((SELECT max(until) FROM history WHERE parent = ?1 AND name = ?2), 0)),?12,?13,?14," +
		"coalesce((SELECT max(num) FROM history WHERE parent = ?1 AND name = ?2), 0) + 1,?15) ON CONFLICT(parent, name) DO NOTHING"
	putVersion    = "INSERT OR REPLACE INTO versions(" + versionColumns + ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
	presentOf     = "SELECT kind, size, mode, mtime, target, kept, num, parts FROM versions WHERE parent = ? AND name = ?"
	seenAgain     = "UPDATE versions SET mode = ?, mtime = ?, ctime = ?, inode = ?, device = ?, torn = ? WHERE parent = ? AND name = ?"
	historyColumn = "parent, name, num, gid, origin, kind, size, mode, mtime, target, kept, torn, parts"
	toHistory     = "INSERT INTO history(" + historyColumn + ", until, removal) SELECT " + historyColumn + ", ?, ? FROM versions WHERE "
	retire        = toHistory + "parent = ? AND name = ?"
)

// folders makes the folders above a version that are missing: they may have
// been removed while a put was filling them.
func (u *upserter) folders(folder string, v *Version) error {
	if folder == "" || folder == u.folder {
		return nil
	}
	parent, _ := SplitPath(folder)
	if err := u.folders(parent, v); err != nil {
		return err
	}
	p, err := u.present(folder)
	if err == nil && p == nil {
		now := u.now().UnixNano()
		err = u.upsert(&Version{Path: folder, Kind: Folder, Mode: 0o755, ModTime: now, Kept: now, Origin: v.Origin})
	}
	if err == nil {
		u.folder = folder
	}
	return err
}

// present gives what is known of a path now, nil when nothing is.
func (u *upserter) present(path string) (*presentRow, error) {
	s, err := u.prepared(presentOf)
	if err != nil {
		return nil, err
	}
	parent, name := SplitPath(path)
	p := &presentRow{}
	err = s.QueryRowContext(u.ctx, []byte(parent), []byte(name)).
		Scan(&p.kind, &p.size, &p.mode, &p.modTime, &p.target, &p.kept, &p.num, &p.parts)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return p, err
}

type presentRow struct {
	kind          Kind
	size, modTime int64
	mode          uint32
	target, parts []byte
	kept, num     int64
}

// same tells whether v is no new version of what is there. A folder never is:
// it has no content of its own.
func (p *presentRow) same(v *Version, parts []byte) bool {
	return p.kind == v.Kind && (v.Kind == Folder || p.size == v.Size && p.mode == v.Mode && p.modTime == v.ModTime &&
		string(p.target) == v.Target && bytes.Equal(p.parts, parts))
}

func (u *upserter) upsert(v *Version) error {
	parent, name := SplitPath(v.Path)
	if err := u.folders(parent, v); err != nil {
		return err
	}
	if slices.Contains(v.Parts, Part{}) {
		return errParts
	}
	parts := encodeParts(v.Parts)
	gid := v.GID
	if gid == [16]byte{} {
		rand.Read(gid[:])
	}
	// Most are new, and each query costs.
	first, err := u.prepared(putFirst)
	if err != nil {
		return err
	}
	res, err := first.ExecContext(u.ctx, []byte(parent), []byte(name), v.Kind, v.Size, v.Mode, v.ModTime, append([]byte{}, v.Target...),
		v.Source.CTime, v.Source.Inode, v.Source.Device, v.Kept, v.Torn, parts, gid[:], v.Origin[:])
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil {
		return err
	} else if n > 0 {
		return u.refs.add(v.Parts)
	}
	was, err := u.present(v.Path)
	if err == nil && was == nil {
		err = errors.New("there is a version, and then there is not")
	}
	if err != nil {
		return err
	}
	path := []any{[]byte(parent), []byte(name)}
	if was.same(v, parts) && !(u.anew && v.Kind != Folder) {
		return u.exec(seenAgain, append([]any{v.Mode, v.ModTime, v.Source.CTime, v.Source.Inode, v.Source.Device, v.Torn}, path...)...)
	}
	if err := u.refs.add(v.Parts); err != nil {
		return err
	}
	// A clock that was set back must not turn the order of versions around.
	kept := max(v.Kept, was.kept+1)
	if err := u.exec(retire, append([]any{kept, []byte{}}, path...)...); err != nil {
		return err
	}
	return u.exec(putVersion, []byte(parent), []byte(name), v.Kind, v.Size, v.Mode, v.ModTime, append([]byte{}, v.Target...),
		v.Source.CTime, v.Source.Inode, v.Source.Device, kept, v.Torn, parts, gid[:], was.num+1, v.Origin[:])
}

// upsertAll writes versions in one transaction, before the chunks whose counts
// coming gets.
func (c *Catalog) upsertAll(ctx context.Context, tx *sql.Tx, versions []*Version, coming map[int64]int64) error {
	u := newUpserter(ctx, tx, c.now)
	u.refs.coming = coming
	defer u.close()
	for _, v := range versions {
		if err := u.upsert(v); err != nil {
			return fmt.Errorf("%q: %w", v.Path, err)
		}
	}
	return nil
}
