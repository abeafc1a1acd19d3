// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers/sqlite"
)

// migrations lead from one schema version (PRAGMA user_version) to the next.
// Never change one that was released; add the next.
var migrations = []string{
	`CREATE TABLE owner (
		root      BLOB PRIMARY KEY, -- 32 bytes
		device    BLOB NOT NULL UNIQUE, -- device ID that appointed
		appointed INTEGER NOT NULL, -- the newest appointment's time, Unix seconds
		high      INTEGER NOT NULL, -- custody.Clock
		devices   BLOB NOT NULL,    -- signed device set, or empty
		panel     BLOB NOT NULL,    -- signed panel, or empty
		status    BLOB NOT NULL     -- signed owner status, or empty
	) STRICT, WITHOUT ROWID;
	CREATE TABLE entry (
		owner BLOB NOT NULL,
		seq   INTEGER NOT NULL,
		hash  BLOB NOT NULL,
		head  BLOB NOT NULL, -- of the log with this entry
		raw   BLOB NOT NULL,
		PRIMARY KEY (owner, seq)
	) STRICT, WITHOUT ROWID;
	CREATE TABLE revoked (
		owner BLOB NOT NULL,
		grant_hash BLOB NOT NULL,
		raw   BLOB NOT NULL,
		PRIMARY KEY (owner, grant_hash)
	) STRICT, WITHOUT ROWID;
	CREATE TABLE newest (
		owner BLOB NOT NULL,
		grant_hash BLOB NOT NULL,
		seq   INTEGER NOT NULL, -- 64 bits, as a signed number
		hash  BLOB NOT NULL,
		PRIMARY KEY (owner, grant_hash)
	) STRICT, WITHOUT ROWID;
	CREATE TABLE opened (
		owner BLOB NOT NULL,
		grant_hash BLOB NOT NULL,
		file  BLOB NOT NULL,
		version INTEGER NOT NULL, -- 64 bits, as a signed number
		n     INTEGER NOT NULL,
		PRIMARY KEY (owner, grant_hash, file, version)
	) STRICT, WITHOUT ROWID;
	CREATE TABLE answered (
		owner BLOB NOT NULL,
		request BLOB NOT NULL,
		at    INTEGER NOT NULL,
		release BLOB NOT NULL, -- sealed to the request's one-time key
		PRIMARY KEY (owner, request)
	) STRICT, WITHOUT ROWID;
	CREATE TABLE head (
		owner BLOB NOT NULL,
		custodian BLOB NOT NULL, -- its log key
		seq   INTEGER NOT NULL,
		head  BLOB NOT NULL, -- two for one number prove that it has two logs
		raw   BLOB NOT NULL, -- signed
		PRIMARY KEY (owner, custodian, seq, head)
	) STRICT, WITHOUT ROWID;`,
	`CREATE TABLE evidence (
		owner BLOB NOT NULL,
		seq   INTEGER NOT NULL, -- of the log entry
		grant_hash BLOB NOT NULL,
		request BLOB NOT NULL, -- signed by the brand's device
		release BLOB NOT NULL, -- signed; sealed to the request's one-time key
		PRIMARY KEY (owner, seq)
	) STRICT;`,
	// 1: by a device that was not in the owner's set.
	"ALTER TABLE revoked ADD COLUMN stray INTEGER NOT NULL DEFAULT 0",
	`CREATE TABLE members (
		owner BLOB NOT NULL,
		org   BLOB NOT NULL, -- root of a grantee
		raw   BLOB NOT NULL, -- its newest list of revoked members, signed
		PRIMARY KEY (owner, org)
	) STRICT, WITHOUT ROWID;`,
	// begun: when the log was begun after one that was lost, Unix seconds, or 0.
	// behind: 1 when this device once signed more of its log than is here.
	`ALTER TABLE owner ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;
	ALTER TABLE owner ADD COLUMN behind INTEGER NOT NULL DEFAULT 0;`,
}

// store is witness.db. Every commit is on the disk when it returns
// (synchronous=FULL), which is what a release waits for.
type store struct{ db *sql.DB }

func openStore(ctx context.Context, path string, key []byte) (*store, error) {
	// Each connection would have to be told to be durable; one is enough.
	db, err := sqlite.Open(path, sqlite.Options{Key: key, Exclusive: true})
	if err != nil {
		return nil, fmt.Errorf("witness.db: %w", err)
	}
	s := &store{db}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("witness.db: %w", err), db.Close())
	}
	return s, nil
}

func (s *store) prepare(ctx context.Context) error {
	var synchronous int
	if err := s.db.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&synchronous); err != nil {
		return err
	}
	if synchronous < 2 {
		return errors.New("SQLite does not take synchronous=FULL")
	}
	var version int
	if err := s.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("it was made by a later program (schema %d)", version)
	}
	for ; version < len(migrations); version++ {
		err := s.tx(ctx, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, migrations[version]); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version+1))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tx runs f in a transaction, which is durable when tx returns nil. It does not
// end with ctx's cancelling: half of what f means to write is of no use, and a
// cancelled commit would leave open whether it happened.
func (s *store) tx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// statement is a piece of a transaction that is put together before it begins.
type statement struct {
	sql  string
	args []any
}

func (s *store) write(ctx context.Context, list []statement) error {
	return s.tx(ctx, func(tx *sql.Tx) error {
		for _, st := range list {
			if _, err := tx.ExecContext(context.WithoutCancel(ctx), st.sql, st.args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// records reads up to limit entries of an owner's log behind one.
func (s *store) records(ctx context.Context, owner custody.Key, after uint64, limit int) ([]ledger.Record, error) {
	var out []ledger.Record
	err := s.each(ctx, "SELECT raw, hash FROM entry WHERE owner = ? AND seq > ? ORDER BY seq LIMIT ?",
		[]any{owner[:], int64(min(after, 1<<62)), limit}, func(scan func(...any) error) error {
			var r ledger.Record
			var hash []byte
			if err := scan(&r.Entry, &hash); err != nil {
				return err
			}
			out = append(out, r)
			return fixed(out[len(out)-1].Hash[:], hash)
		})
	return out, err
}

// raws reads one column of documents.
func (s *store) raws(ctx context.Context, query string, args ...any) ([][]byte, error) {
	var out [][]byte
	err := s.each(ctx, query, args, func(scan func(...any) error) error {
		var b []byte
		if err := scan(&b); err != nil {
			return err
		}
		out = append(out, b)
		return nil
	})
	return out, err
}

// each runs a query and f for each row of it.
func (s *store) each(ctx context.Context, query string, args []any, f func(scan func(...any) error) error) (err error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// fixed copies a column that must have exactly dst's length.
func fixed(dst, src []byte) error {
	if len(src) != len(dst) {
		return fmt.Errorf("witness.db: a value of %d bytes instead of %d", len(src), len(dst))
	}
	copy(dst, src)
	return nil
}

func (s *store) close() error { return s.db.Close() }
