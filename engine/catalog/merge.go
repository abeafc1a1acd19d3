// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"slices"

	"github.com/preezm/preezm/peers"
)

// mergeSchema is a step of migrations.
const mergeSchema = `
CREATE INDEX versions_gid ON versions(gid);
CREATE INDEX shards_shard ON shards(shard);

-- Which versions were present on another of the owner's machines when this one
-- looked last: what is missing there later was removed there.
CREATE TABLE seen(
  device  BLOB NOT NULL,
  gid     BLOB NOT NULL,
  PRIMARY KEY(device, gid)
) WITHOUT ROWID;

-- Segments of this catalog that another machine needed then.
CREATE TABLE needed(
  device  BLOB NOT NULL,
  segment INTEGER NOT NULL,
  PRIMARY KEY(device, segment)
) WITHOUT ROWID;

-- Segments that nobody needs here, from which backup of this machine on. They
-- stay until every other machine knew that and needed them no more.
CREATE TABLE dead(
  segment INTEGER PRIMARY KEY,
  number  INTEGER NOT NULL
);

-- Versions that were put on two machines at once and are not the shown ones.
CREATE TABLE conflicts(
  gid     BLOB PRIMARY KEY,
  parent  BLOB NOT NULL,
  name    BLOB NOT NULL,
  found   INTEGER NOT NULL   -- nanoseconds since 1970
) WITHOUT ROWID;
`

// MergeOrder is another machine's catalog to be taken over.
type MergeOrder struct {
	Theirs *Catalog
	Device peers.DeviceID // the other machine
	Name   string         // of it, for names that cannot be two things
	Number uint64         // of its backup
	Made   int64          // Unix seconds
	Knew   uint64         // the number of this machine's that it knew then
}

// Merged is what a merge changed here.
type Merged struct {
	Added     int64 `json:"added"`
	Replaced  int64 `json:"replaced"`
	Removed   int64 `json:"removed"`
	Conflicts int64 `json:"conflicts"`
}

// merger takes one catalog over into another, in one transaction of the latter.
type merger struct {
	ctx      context.Context
	o        *MergeOrder
	tx       *preparing
	theirs   *preparing // the other machine's catalog
	u        *upserter
	chunks   map[int64]int64 // rows there to rows here
	segments map[int64]int64
	left     map[peers.DeviceID]bool // keepers that shards moved away from, and from nowhere else to: true
	out      Merged
}

// Merge takes over what another machine of the owner's did. Versions that both
// put under one name are both kept: the newer is shown. No put may run meanwhile.
func (c *Catalog) Merge(ctx context.Context, o MergeOrder) (Merged, error) {
	var out Merged
	grants, err := o.Theirs.Grants(ctx)
	if err != nil {
		return out, err
	}
	known, err := c.Grants(ctx)
	if err != nil {
		return out, err
	}
	have := map[[32]byte]*Grant{}
	for i := range known {
		have[known[i].Hash] = &known[i]
	}
	unsettled, err := o.Theirs.Conflicts(ctx)
	if err != nil {
		return out, err
	}
	err = c.write(ctx, func(tx *sql.Tx) error {
		m := &merger{ctx: ctx, o: &o, tx: newPreparing(tx), theirs: newPreparing(o.Theirs.r), u: newUpserter(ctx, tx, c.now), chunks: map[int64]int64{}, segments: map[int64]int64{}, left: map[peers.DeviceID]bool{}}
		defer m.u.close()
		defer m.tx.close()
		defer m.theirs.close()
		if err := m.match(); err != nil {
			return err
		}
		if err := o.Theirs.Below(ctx, "", m.version); err != nil {
			return err
		}
		if err := m.removals(); err != nil {
			return err
		}
		if err := m.conflicts(unsettled); err != nil {
			return err
		}
		for i := range grants {
			if have[grants[i].Hash] != nil {
				continue
			}
			for j := range grants[i].Files {
				f := &grants[i].Files[j]
				var err error
				if f.Parts, err = m.parts(f.Parts); err != nil {
					return err
				}
			}
		}
		if err := m.note(); err != nil {
			return err
		}
		out = m.out
		return nil
	})
	if err != nil {
		return out, err
	}
	return out, c.mergeRest(ctx, &o, grants, have)
}

// Descend notes that this catalog is a copy of another machine's backup: there is
// nothing in that to take over.
func (c *Catalog) Descend(ctx context.Context, d peers.DeviceID, number uint64, made int64) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		for _, q := range []string{
			"INSERT OR IGNORE INTO seen(device, gid) SELECT ?, gid FROM versions",
			"INSERT OR IGNORE INTO needed(device, segment) SELECT DISTINCT ?, segment FROM chunks WHERE refs > 0",
		} {
			if _, err := tx.ExecContext(ctx, q, d[:]); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO imports(device, number, made, knew) VALUES(?,?,?,0)", d[:], number, made)
		return err
	})
}

// version takes one version over that is present there.
func (m *merger) version(v *Version) error {
	seen, err := exists(m.ctx, m.tx, "SELECT 1 FROM seen WHERE device = ? AND gid = ?", m.o.Device[:], v.GID[:])
	if err != nil || seen {
		return err // whatever became of it here since then stands
	}
	former, err := m.known(m.tx, "history", v.GID)
	if err != nil || former {
		return err // it was replaced or removed here
	}
	parent, name := SplitPath(v.Path)
	var gid []byte
	var kind Kind
	var kept, num int64
	err = m.tx.QueryRowContext(m.ctx, "SELECT gid, kind, kept, num FROM versions WHERE parent = ? AND name = ?", []byte(parent), []byte(name)).
		Scan(&gid, &kind, &kept, &num)
	absent := errors.Is(err, sql.ErrNoRows)
	switch {
	case err != nil && !absent:
		return err
	case !absent && bytes.Equal(gid, v.GID[:]):
		return nil
	case !absent && kind == Folder && v.Kind == Folder:
		// One folder that both made: the smaller name is its name.
		if bytes.Compare(v.GID[:], gid) < 0 {
			_, err = m.tx.ExecContext(m.ctx, "UPDATE versions SET gid = ? WHERE parent = ? AND name = ?", v.GID[:], []byte(parent), []byte(name))
			return err
		}
		return nil
	case !absent && (kind == Folder) != (v.Kind == Folder):
		v.Path += " (" + m.o.Name + ")"
		return m.take(v, &m.out.Conflicts)
	case absent:
		return m.take(v, &m.out.Added)
	}
	ours := [16]byte(gid)
	after, err := m.knownThere(ours)
	if err != nil {
		return err
	}
	if !after {
		return m.both(v, ours, kept, num)
	}
	m.u.anew = true // the same again, when somebody settled on it
	err = m.take(v, &m.out.Replaced)
	m.u.anew = false
	if err != nil {
		return err
	}
	unaware, err := m.known(m.theirs, "conflicts", ours)
	if err != nil || !unaware {
		return err
	}
	m.out.Conflicts++ // not knowing of it, as was found there
	return m.conflict(gid, parent, name)
}

// take makes a version of the other machine the present one.
func (m *merger) take(v *Version, count *int64) error {
	var err error
	if v.Parts, err = m.parts(v.Parts); err != nil {
		return err
	}
	v.Source = Source{} // of another disk
	*count++
	return m.u.upsert(v)
}

type rowQueryer interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// exists tells whether a query gives any row. What cannot be read is not taken
// for what is not there.
func exists(ctx context.Context, db rowQueryer, query string, args ...any) (bool, error) {
	var one int
	err := db.QueryRowContext(ctx, query, args...).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, explain(err)
}

func (m *merger) known(db rowQueryer, table string, gid [16]byte) (bool, error) {
	return exists(m.ctx, db, "SELECT 1 FROM "+table+" WHERE gid = ?", gid[:])
}

// knownThere: the other machine had that version before the one it has now.
func (m *merger) knownThere(gid [16]byte) (bool, error) {
	return m.known(m.theirs, "history", gid)
}

// removals takes over what was removed there and is as it was then here.
func (m *merger) removals() error {
	type row struct{ gid, removal []byte }
	gone, err := collect(m.ctx, m.theirs, func(rows *sql.Rows) (r row, err error) {
		err = rows.Scan(&r.gid, &r.removal)
		return r, err
	}, "SELECT gid, removal FROM history WHERE length(removal) > 0")
	if err != nil {
		return err
	}
	// What was there and is in neither table any more was removed for good. Here
	// it goes to the trash: nothing is lost by a merge.
	was, err := collect(m.ctx, m.tx, scanBlob, "SELECT gid FROM seen WHERE device = ?", m.o.Device[:])
	if err != nil {
		return err
	}
	for _, gid := range was {
		there, err := m.known(m.theirs, "versions", [16]byte(gid))
		if err == nil && !there {
			there, err = m.knownThere([16]byte(gid))
		}
		if err != nil {
			return err
		}
		if !there {
			id := make([]byte, 16)
			rand.Read(id)
			gone = append(gone, row{gid, id})
		}
	}
	var files, folders []*present
	for _, g := range gone {
		p, err := m.present(g.gid, g.removal)
		switch {
		case err != nil:
			return err
		case p == nil:
		case p.kind == Folder:
			folders = append(folders, p)
		default:
			files = append(files, p)
		}
	}
	// Folders after what is in them, the deepest first: one that still holds
	// something then stays.
	slices.SortFunc(folders, func(a, b *present) int { return cmp.Compare(len(b.path), len(a.path)) })
	for _, p := range slices.Concat(files, folders) {
		if err := m.remove(p); err != nil {
			return err
		}
	}
	return nil
}

// present is a version that is shown here and was removed on the other machine.
type present struct {
	gid, removal []byte
	path         string
	kind         Kind
	size, kept   int64
}

// present gives the version of that name; nil when it is not shown here.
func (m *merger) present(gid, removal []byte) (*present, error) {
	p := present{gid: gid, removal: removal}
	var parent, name []byte
	err := m.tx.QueryRowContext(m.ctx, "SELECT parent, name, kind, size, kept FROM versions WHERE gid = ?", gid).Scan(&parent, &name, &p.kind, &p.size, &p.kept)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	p.path = JoinPath(string(parent), string(name))
	return &p, err
}

// remove moves a version to the trash, but no folder with something in it.
func (m *merger) remove(p *present) error {
	if p.kind == Folder {
		where, args := below(p.path)
		inside, err := exists(m.ctx, m.tx, "SELECT 1 FROM versions WHERE "+where+" LIMIT 1", args...)
		if err != nil || inside {
			return err
		}
	}
	now := max(p.kept+1, m.u.now().UnixNano())
	if _, err := m.tx.ExecContext(m.ctx, toHistory+"gid = ?", now, p.removal, p.gid); err != nil {
		return err
	}
	if _, err := m.tx.ExecContext(m.ctx, "DELETE FROM versions WHERE gid = ?", p.gid); err != nil {
		return err
	}
	files, size := int64(0), int64(0)
	if p.kind == File {
		files, size = 1, p.size
	}
	// All that one removal took there is one entry of the trash here.
	_, err := m.tx.ExecContext(m.ctx, `INSERT INTO trash(id, path, kind, files, bytes, removed, origin) VALUES(?,?,?,?,?,?,?)
		ON CONFLICT(id) DO UPDATE SET files = files + excluded.files, bytes = bytes + excluded.bytes,
		path = CASE WHEN length(excluded.path) < length(path) THEN excluded.path ELSE path END,
		kind = CASE WHEN length(excluded.path) < length(path) THEN excluded.kind ELSE kind END`,
		p.removal, []byte(p.path), p.kind, files, size, now, m.o.Device[:])
	m.out.Removed++
	return err
}

// note writes down how far the other machine is known, and what it needs.
func (m *merger) note() error {
	d := m.o.Device[:]
	for _, q := range []string{"DELETE FROM seen WHERE device = ?", "DELETE FROM needed WHERE device = ?"} {
		if _, err := m.tx.ExecContext(m.ctx, q, d); err != nil {
			return err
		}
	}
	if err := takeEpochs(m.ctx, m.tx, m.o.Theirs); err != nil {
		return err
	}
	if err := m.follow(); err != nil {
		return err
	}
	if err := m.apart(); err != nil {
		return err
	}
	gids, err := collect(m.ctx, m.theirs, scanBlob, "SELECT gid FROM versions")
	if err != nil {
		return err
	}
	for _, g := range gids {
		if _, err := m.tx.ExecContext(m.ctx, "INSERT OR IGNORE INTO seen(device, gid) VALUES(?,?)", d, g); err != nil {
			return err
		}
	}
	live, err := collect(m.ctx, m.theirs, scanInt, "SELECT DISTINCT segment FROM chunks WHERE refs > 0")
	if err != nil {
		return err
	}
	for _, s := range live {
		here, err := m.segmentHere(s)
		if err != nil {
			return err
		}
		if here == 0 {
			continue
		}
		if _, err := m.tx.ExecContext(m.ctx, "INSERT OR IGNORE INTO needed(device, segment) VALUES(?,?)", d, here); err != nil {
			return err
		}
	}
	_, err = m.tx.ExecContext(m.ctx, "INSERT OR REPLACE INTO imports(device, number, made, knew) VALUES(?,?,?,?)",
		d, m.o.Number, m.o.Made, m.o.Knew)
	return err
}

// mergeRest takes over what stands beside the files: machines, brands,
// custodians, grants, and what the owner said last.
func (c *Catalog) mergeRest(ctx context.Context, o *MergeOrder, grants []Grant, have map[[32]byte]*Grant) error {
	theirs, err := o.Theirs.Machines(ctx)
	if err != nil {
		return err
	}
	mine, err := c.Machines(ctx)
	if err != nil {
		return err
	}
	for _, t := range theirs {
		newer := true
		for _, m := range mine {
			if m.Device == t.Device { // a removal stays
				newer = t.Device == o.Device && m.Removed == 0 && m != t || m.Removed == 0 && t.Removed > 0
			}
		}
		if newer {
			if err := c.PutMachine(ctx, t); err != nil {
				return err
			}
		}
	}
	brands, err := o.Theirs.Brands(ctx)
	if err != nil {
		return err
	}
	for _, b := range brands {
		if err := c.PutBrand(ctx, b); err != nil {
			return err
		}
	}
	if err := c.mergeRequests(ctx, o.Theirs); err != nil {
		return err
	}
	cs, err := o.Theirs.Custodians(ctx)
	if err != nil {
		return err
	}
	known, err := c.Custodians(ctx)
	if err != nil {
		return err
	}
	for _, k := range cs {
		newer := true
		for _, m := range known {
			if m.Device == k.Device {
				newer = k.Generation > m.Generation || k.Retired > m.Retired
			}
		}
		if newer {
			if err := c.PutCustodian(ctx, k); err != nil {
				return err
			}
		}
	}
	for i := range grants {
		g := &grants[i]
		if h := have[g.Hash]; h != nil {
			if len(h.Revocation) == 0 && len(g.Revocation) > 0 {
				if err := c.Revoke(ctx, g.Hash, g.Revocation); err != nil {
					return err
				}
			}
			continue
		}
		pkgs, err := o.Theirs.Packages(ctx, g.Hash)
		if err != nil {
			return err
		}
		if len(pkgs) == 0 {
			continue
		}
		if err := c.AddGrant(ctx, g, pkgs[0], Saying{}); err != nil {
			return err
		}
		for j, p := range pkgs[1:] {
			if err := c.RenewGrant(ctx, g.Hash, uint64(j)+2, p, g.Ticket, g.Files, Saying{}); err != nil {
				return err
			}
		}
		if len(g.Revocation) > 0 {
			if err := c.Revoke(ctx, g.Hash, g.Revocation); err != nil {
				return err
			}
		}
	}
	if err := c.mergeReceipts(ctx, o.Theirs); err != nil {
		return err
	}
	return c.mergeSaid(ctx, o.Theirs)
}

// mergeSaid takes over what the owner told custodians under a higher number, and
// the random names of files in grants that are not known here.
func (c *Catalog) mergeSaid(ctx context.Context, theirs *Catalog) error {
	type said struct {
		what   string
		number int64
		doc    []byte
	}
	all, err := collect(ctx, theirs.r, func(rows *sql.Rows) (s said, err error) {
		err = rows.Scan(&s.what, &s.number, &s.doc)
		return s, err
	}, "SELECT what, number, doc FROM said")
	if err != nil {
		return err
	}
	type named struct {
		path, file, stamp []byte
		version           int64
	}
	names, err := collect(ctx, theirs.r, func(rows *sql.Rows) (n named, err error) {
		err = rows.Scan(&n.path, &n.file, &n.version, &n.stamp)
		return n, err
	}, "SELECT path, file, version, stamp FROM names")
	if err != nil {
		return err
	}
	return c.write(ctx, func(tx *sql.Tx) error {
		for _, s := range all {
			_, err := tx.ExecContext(ctx, `INSERT INTO said(what, number, doc) VALUES(?,?,?)
				ON CONFLICT(what) DO UPDATE SET number = excluded.number, doc = excluded.doc WHERE excluded.number > number`, s.what, s.number, s.doc)
			if err != nil {
				return err
			}
		}
		for _, n := range names {
			if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO names(path, file, version, stamp) VALUES(?,?,?,?)", n.path, n.file, n.version, n.stamp); err != nil {
				return err
			}
		}
		return nil
	})
}
