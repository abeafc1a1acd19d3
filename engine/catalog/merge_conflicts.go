// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"bytes"
	"database/sql"
	"errors"
)

// both keeps a version beside the one that is here: the newer is shown.
func (m *merger) both(v *Version, ours [16]byte, kept, num int64) error {
	parts, err := m.parts(v.Parts)
	if err != nil {
		return err
	}
	parent, name := SplitPath(v.Path)
	at := []any{[]byte(parent), []byte(name)}
	var raw, target []byte
	var kind Kind
	var size, mtime int64
	err = m.tx.QueryRowContext(m.ctx, "SELECT kind, parts, target, size, mtime FROM versions WHERE parent = ? AND name = ?", at...).
		Scan(&kind, &raw, &target, &size, &mtime)
	if err != nil {
		return err
	}
	if kind == v.Kind && string(target) == v.Target && size == v.Size && mtime == v.ModTime && bytes.Equal(raw, encodeParts(parts)) {
		return nil // the same file, put on both
	}
	m.out.Conflicts++
	loser := ours
	if v.Kept > kept || v.Kept == kept && bytes.Compare(v.GID[:], ours[:]) > 0 {
		v.Parts, v.Source = parts, Source{}
		if err := m.u.upsert(v); err != nil {
			return err
		}
	} else {
		loser = v.GID
		if err := m.behind(v, parts, kept, num); err != nil {
			return err
		}
	}
	return m.conflict(loser[:], parent, name)
}

// behind puts a version into the history, with its chunks here, as the one before
// the present one, which was kept then and has that number.
func (m *merger) behind(v *Version, parts []Part, kept, num int64) error {
	if err := m.u.refs.add(parts); err != nil {
		return err
	}
	parent, name := SplitPath(v.Path)
	if _, err := m.tx.ExecContext(m.ctx, "UPDATE versions SET num = num + 1 WHERE parent = ? AND name = ?", []byte(parent), []byte(name)); err != nil {
		return err
	}
	_, err := m.tx.ExecContext(m.ctx, "INSERT INTO history("+historyColumn+", until, removal) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,x'')",
		[]byte(parent), []byte(name), num, v.GID[:], v.Origin[:], v.Kind, v.Size, v.Mode, v.ModTime, append([]byte{}, v.Target...),
		v.Kept, v.Torn, encodeParts(parts), max(kept, v.Kept+1))
	return err
}

// conflicts takes over the versions that lie beside shown ones there, with the
// note of it, where the same is shown here and nothing is known of them.
func (m *merger) conflicts(there []Conflict) error {
	for i := range there {
		v := &there[i].Version
		for _, table := range []string{"versions", "history", "conflicts"} {
			if known, err := m.known(m.tx, table, v.GID); err != nil {
				return err
			} else if known {
				v = nil
				break
			}
		}
		if v == nil {
			continue
		}
		parent, name := SplitPath(v.Path)
		var gid []byte
		var kept, num int64
		err := m.tx.QueryRowContext(m.ctx, "SELECT gid, kept, num FROM versions WHERE parent = ? AND name = ?", []byte(parent), []byte(name)).Scan(&gid, &kept, &num)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		same, err := m.known(m.theirs, "versions", [16]byte(gid))
		if err != nil {
			return err
		}
		if !same { // somebody replaced it, or chose
			continue
		}
		parts, err := m.parts(v.Parts)
		if err != nil {
			return err
		}
		if err := m.behind(v, parts, kept, num); err != nil {
			return err
		}
		if err := m.conflict(v.GID[:], parent, name); err != nil {
			return err
		}
		m.out.Conflicts++
	}
	return nil
}

// conflict notes a version that is not the shown one although nobody meant that.
func (m *merger) conflict(gid []byte, parent, name string) error {
	_, err := m.tx.ExecContext(m.ctx, "INSERT OR REPLACE INTO conflicts(gid, parent, name, found) VALUES(?,?,?,?)",
		gid, []byte(parent), []byte(name), m.u.now().UnixNano())
	return err
}
