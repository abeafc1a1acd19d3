// SPDX-License-Identifier: MPL-2.0

package caretaker

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/sqlite"
)

// File is the database, in the home folder.
const File = "care.db"

// migrations lead from one schema version (PRAGMA user_version) to the next.
// Never change one that was released; add the next.
var migrations = []string{`
-- The newest task of each owner's device that this machine was shown.
CREATE TABLE task (
	owner   BLOB PRIMARY KEY, -- the owner's device
	number  INTEGER NOT NULL,
	mine    INTEGER NOT NULL, -- 1: this machine is the caretaker
	doc     BLOB NOT NULL,    -- signed
	refused INTEGER NOT NULL  -- 1: this machine's user does not want it
) STRICT, WITHOUT ROWID;
-- Parts of tasks that are this machine's.
CREATE TABLE part (
	owner   BLOB NOT NULL,
	hash    BLOB NOT NULL,
	body    BLOB NOT NULL,
	PRIMARY KEY (owner, hash)
) STRICT, WITHOUT ROWID;
-- Pieces that are elsewhere than the task says.
CREATE TABLE made (
	owner   BLOB NOT NULL,
	piece   BLOB NOT NULL,    -- its name in the task
	keeper  BLOB NOT NULL,    -- where it was made anew; empty: it was lost
	size    INTEGER NOT NULL,
	at      INTEGER NOT NULL, -- Unix seconds
	PRIMARY KEY (owner, piece)
) STRICT, WITHOUT ROWID;
-- How often each keeper answered, see package presence.
CREATE TABLE seen (
	owner   BLOB NOT NULL,
	keeper  BLOB NOT NULL,
	history BLOB NOT NULL,
	PRIMARY KEY (owner, keeper)
) STRICT, WITHOUT ROWID;`, `
-- What each keeper proved when it was checked, see package audit.
CREATE TABLE audit (
	owner  BLOB NOT NULL,
	keeper BLOB NOT NULL,
	at     INTEGER NOT NULL, -- the last check, Unix seconds
	score  REAL NOT NULL,
	bad_at INTEGER NOT NULL, -- the last bad one
	in_a_row INTEGER NOT NULL, -- bad ones
	PRIMARY KEY (owner, keeper)
) STRICT, WITHOUT ROWID;`}

// store is care.db. A commit is on the disk when it returns.
type store struct{ db *sql.DB }

func openStore(ctx context.Context, path string, key []byte) (*store, error) {
	db, err := sqlite.Open(path, sqlite.Options{Key: key, Exclusive: true})
	if err != nil {
		return nil, err
	}
	s := &store{db}
	if err := sqlite.Migrate(ctx, db, migrations); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", File, err), db.Close())
	}
	if err := s.giveBack(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", File, err), db.Close())
	}
	return s, nil
}

// giveBack has the file become smaller when rows go: what they took is promised
// to others then.
func (s *store) giveBack(ctx context.Context) error {
	var does int
	if err := s.db.QueryRowContext(ctx, "PRAGMA auto_vacuum").Scan(&does); err != nil || does != 0 {
		return err
	}
	for _, q := range []string{"PRAGMA auto_vacuum = FULL", "VACUUM"} {
		if _, err := s.db.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// shrink cuts off at once what rows that went took of the file.
func (s *store) shrink(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return fmt.Errorf("%s: %w", File, err)
	}
	return nil
}

// write runs f in a transaction.
func (s *store) write(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", File, err)
	}
	if err := f(tx); err != nil {
		return fmt.Errorf("%s: %w", File, errors.Join(err, tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s: %w", File, err)
	}
	return nil
}

// taskRow is a task as it lies in the store.
type taskRow struct {
	doc     []byte
	refused bool
}

func (s *store) tasks(ctx context.Context) (out []taskRow, err error) {
	return rows(ctx, s.db, func(r *sql.Rows) (t taskRow, err error) {
		err = r.Scan(&t.doc, &t.refused)
		return t, err
	}, "SELECT doc, refused FROM task")
}

// rows reads all rows of a query.
func rows[T any](ctx context.Context, db *sql.DB, scan func(*sql.Rows) (T, error), query string, args ...any) (out []T, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", File, err)
		}
	}()
	rs, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rs.Close()) }()
	for rs.Next() {
		v, err := scan(rs)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rs.Err()
}

// putTask keeps a task in the place of the one before. What only that one
// needed goes.
func (s *store) putTask(ctx context.Context, t *custody.Signed[task], mine bool) error {
	owner := t.Body.Owner
	return s.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO task(owner, number, mine, doc, refused) VALUES(?,?,?,?,0)
			ON CONFLICT(owner) DO UPDATE SET number = excluded.number, mine = excluded.mine, doc = excluded.doc`,
			owner[:], int64(t.Body.Number), mine, t.Raw); err != nil {
			return err
		}
		if mine {
			return dropParts(ctx, tx, t)
		}
		return drop(ctx, tx, owner)
	})
}

// dropParts drops the parts that a task does not name.
func dropParts(ctx context.Context, tx *sql.Tx, t *custody.Signed[task]) error {
	needed := map[custody.Hash]bool{}
	for _, h := range t.Body.Parts {
		needed[h] = true
	}
	rs, err := tx.QueryContext(ctx, "SELECT hash FROM part WHERE owner = ?", t.Body.Owner[:])
	if err != nil {
		return err
	}
	defer rs.Close()
	var gone []custody.Hash
	for rs.Next() {
		var h []byte
		if err := rs.Scan(&h); err != nil {
			return err
		}
		if len(h) != 32 || !needed[custody.Hash(h)] {
			gone = append(gone, custody.Hash(append(h, make([]byte, 32)...)))
		}
	}
	if err := rs.Err(); err != nil {
		return err
	}
	for _, h := range gone {
		if _, err := tx.ExecContext(ctx, "DELETE FROM part WHERE owner = ? AND hash = ?", t.Body.Owner[:], h[:]); err != nil {
			return err
		}
	}
	return nil
}

// refuse notes that this machine's user does not want to look after an owner,
// whose lists go then, or does after all.
func (s *store) refuse(ctx context.Context, owner peers.DeviceID, on bool) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE task SET refused = ? WHERE owner = ?", on, owner[:])
		if err != nil || !on {
			return err
		}
		return drop(ctx, tx, owner)
	})
}

func (s *store) putPart(ctx context.Context, owner peers.DeviceID, h custody.Hash, body []byte) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO part(owner, hash, body) VALUES(?,?,?)", owner[:], h[:], body)
		return err
	})
}

// part gives a part, nil when it is not here.
func (s *store) part(ctx context.Context, owner peers.DeviceID, h custody.Hash) (body []byte, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT body FROM part WHERE owner = ? AND hash = ?", owner[:], h[:]).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", File, err)
	}
	return body, nil
}

// owners gives whose lists and notes lie here.
func (s *store) owners(ctx context.Context) ([]peers.DeviceID, error) {
	return rows(ctx, s.db, func(r *sql.Rows) (d peers.DeviceID, err error) {
		var owner []byte
		if err := r.Scan(&owner); err != nil {
			return d, err
		}
		if len(owner) != len(d) {
			return d, errors.New("an owner's name is damaged")
		}
		return peers.DeviceID(owner), nil
	}, "SELECT owner FROM part UNION SELECT owner FROM made")
}

// partsHere gives the hashes of an owner's parts that are here.
func (s *store) partsHere(ctx context.Context, owner peers.DeviceID) (map[custody.Hash]bool, error) {
	list, err := rows(ctx, s.db, func(r *sql.Rows) (h []byte, err error) {
		err = r.Scan(&h)
		return h, err
	}, "SELECT hash FROM part WHERE owner = ?", owner[:])
	out := map[custody.Hash]bool{}
	for _, h := range list {
		if len(h) == 32 {
			out[custody.Hash(h)] = true
		}
	}
	return out, err
}

// Made is a piece that is elsewhere than the task says.
type Made struct {
	Piece  peers.ShardID // its name in the task
	Keeper peers.DeviceID
	Lost   bool // it is nowhere
	Size   int64
	At     int64 // Unix seconds
}

// noted tells whether there is a note of a piece.
func (s *store) noted(ctx context.Context, owner peers.DeviceID, piece peers.ShardID) (yes bool, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM made WHERE owner = ? AND piece = ?)", owner[:], piece[:]).Scan(&yes)
	if err != nil {
		err = fmt.Errorf("%s: %w", File, err)
	}
	return yes, err
}

func (s *store) setMade(ctx context.Context, owner peers.DeviceID, m Made) error {
	keeper := m.Keeper[:]
	if m.Lost {
		keeper = []byte{}
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO made(owner, piece, keeper, size, at) VALUES(?,?,?,?,?)", owner[:], m.Piece[:], keeper, m.Size, m.At)
		return err
	})
}

func (s *store) made(ctx context.Context, owner peers.DeviceID) ([]Made, error) {
	return rows(ctx, s.db, func(r *sql.Rows) (m Made, err error) {
		var piece, keeper []byte
		if err := r.Scan(&piece, &keeper, &m.Size, &m.At); err != nil {
			return m, err
		}
		if len(piece) != 32 || len(keeper) != 32 && len(keeper) != 0 {
			return m, errors.New("a piece's name is damaged")
		}
		m.Piece, m.Lost = peers.ShardID(piece), len(keeper) == 0
		copy(m.Keeper[:], keeper)
		return m, nil
	}, "SELECT piece, keeper, size, at FROM made WHERE owner = ? ORDER BY at", owner[:])
}

func (s *store) unmade(ctx context.Context, owner peers.DeviceID, piece peers.ShardID) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM made WHERE owner = ? AND piece = ?", owner[:], piece[:])
		return err
	})
}

// keepMade drops the notes of pieces that are not among those needed.
func (s *store) keepMade(ctx context.Context, owner peers.DeviceID, needed map[peers.ShardID]bool) error {
	all, err := s.made(ctx, owner)
	if err != nil {
		return err
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		for _, m := range all {
			if needed[m.Piece] {
				continue
			}
			if _, err := tx.ExecContext(ctx, "DELETE FROM made WHERE owner = ? AND piece = ?", owner[:], m.Piece[:]); err != nil {
				return err
			}
		}
		return nil
	})
}

// saveSeen keeps histories of presence, and no others.
func (s *store) saveSeen(ctx context.Context, owner peers.DeviceID, of map[peers.DeviceID][]byte) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM seen WHERE owner = ?", owner[:]); err != nil {
			return err
		}
		for d, h := range of {
			if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO seen(owner, keeper, history) VALUES(?,?,?)", owner[:], d[:], h); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *store) seen(ctx context.Context, owner peers.DeviceID) (map[peers.DeviceID][]byte, error) {
	type one struct{ keeper, history []byte }
	list, err := rows(ctx, s.db, func(r *sql.Rows) (o one, err error) {
		err = r.Scan(&o.keeper, &o.history)
		return o, err
	}, "SELECT keeper, history FROM seen WHERE owner = ?", owner[:])
	out := map[peers.DeviceID][]byte{}
	for _, o := range list {
		if len(o.keeper) == 32 {
			out[peers.DeviceID(o.keeper)] = o.history
		}
	}
	return out, err
}

// Audit is what became of the checks of a keeper.
type Audit struct {
	At     int64 // the last one, Unix seconds
	Score  float64
	BadAt  int64 // the last bad one
	InARow int64 // bad ones
}

// saveAudits keeps what became of checks, and of no other keepers.
func (s *store) saveAudits(ctx context.Context, owner peers.DeviceID, of map[peers.DeviceID]Audit) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM audit WHERE owner = ?", owner[:]); err != nil {
			return err
		}
		for d, a := range of {
			if _, err := tx.ExecContext(ctx, "INSERT INTO audit(owner, keeper, at, score, bad_at, in_a_row) VALUES(?,?,?,?,?,?)",
				owner[:], d[:], a.At, a.Score, a.BadAt, a.InARow); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *store) audits(ctx context.Context, owner peers.DeviceID) (map[peers.DeviceID]Audit, error) {
	type one struct {
		keeper []byte
		Audit
	}
	list, err := rows(ctx, s.db, func(r *sql.Rows) (o one, err error) {
		err = r.Scan(&o.keeper, &o.At, &o.Score, &o.BadAt, &o.InARow)
		return o, err
	}, "SELECT keeper, at, score, bad_at, in_a_row FROM audit WHERE owner = ?", owner[:])
	out := map[peers.DeviceID]Audit{}
	for _, o := range list {
		if len(o.keeper) == 32 {
			out[peers.DeviceID(o.keeper)] = o.Audit
		}
	}
	return out, err
}
