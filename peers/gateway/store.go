// SPDX-License-Identifier: MPL-2.0

package gateway

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/sqlite"
)

// migrations lead from one schema version (PRAGMA user_version) to the next.
// Never change one that was released; add the next.
var migrations = []string{`
-- The newest plan of a grant that was pushed here, or that a letter waits under.
CREATE TABLE plan (
	root    BLOB NOT NULL,
	grant_hash BLOB NOT NULL,
	seq     INTEGER NOT NULL,
	doc     BLOB NOT NULL,    -- the signed grant
	sealed  BLOB NOT NULL,
	until   INTEGER NOT NULL, -- the grant's end, Unix seconds
	pushed  INTEGER NOT NULL, -- 1: by its owner; 0: only letters need it
	PRIMARY KEY (root, grant_hash)
) STRICT;
-- Letters whose custodian did not answer, and the answers to them.
CREATE TABLE letter (
	id      BLOB PRIMARY KEY, -- SHA-256
	guest   BLOB NOT NULL,
	root    BLOB NOT NULL,
	grant_hash BLOB NOT NULL,
	mailbox BLOB NOT NULL,
	raw     BLOB NOT NULL,
	until   INTEGER NOT NULL,
	reply   BLOB NOT NULL     -- empty: none yet
) STRICT;`, `
-- The newest list of each person's devices.
CREATE TABLE device_set (
	root BLOB PRIMARY KEY,
	doc  BLOB NOT NULL -- signed
) STRICT;`}

// store is gateway.db. A commit is on the disk when it returns.
type store struct{ db *sql.DB }

func openStore(ctx context.Context, path string, key []byte) (*store, error) {
	db, err := sqlite.Open(path, sqlite.Options{Key: key, Exclusive: true})
	if err != nil {
		return nil, err
	}
	s := &store{db}
	if err := sqlite.Migrate(ctx, db, migrations); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *store) exec(query string, args ...any) error {
	// Not cancelled half-way: what the caller remembers must be what is there.
	if _, err := s.db.ExecContext(context.Background(), query, args...); err != nil {
		return fmt.Errorf("gateway.db: %w", err)
	}
	return nil
}

// planRow is a plan as it lies in the store.
type planRow struct {
	seq    uint64
	doc    []byte
	sealed []byte
}

// plan gives the plan of a grant that was kept; nil when none was.
func (s *store) plan(k granted) (*planRow, error) {
	var p planRow
	var seq int64
	err := s.db.QueryRow("SELECT seq, doc, sealed FROM plan WHERE root = ? AND grant_hash = ?", k.root[:], k.grant[:]).Scan(&seq, &p.doc, &p.sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("gateway.db: %w", err)
	}
	p.seq = uint64(seq)
	return &p, nil
}

// putPlan keeps a plan unless a newer one is there.
func (s *store) putPlan(k granted, p *planRow, until int64, pushed bool) error {
	return s.exec(`INSERT INTO plan(root, grant_hash, seq, doc, sealed, until, pushed) VALUES(?,?,?,?,?,?,?)
		ON CONFLICT(root, grant_hash) DO UPDATE SET seq = excluded.seq, sealed = excluded.sealed, pushed = max(pushed, excluded.pushed) WHERE excluded.seq > seq`,
		k.root[:], k.grant[:], int64(p.seq), p.doc, p.sealed, until, pushed)
}

// plansOf counts the plans kept for an owner beside one, and their bytes.
func (s *store) plansOf(k granted) (n, bytes int64, err error) {
	err = s.db.QueryRow("SELECT count(*), coalesce(sum(length(doc) + length(sealed)), 0) FROM plan WHERE root = ? AND grant_hash <> ?", k.root[:], k.grant[:]).Scan(&n, &bytes)
	if err != nil {
		return 0, 0, fmt.Errorf("gateway.db: %w", err)
	}
	return n, bytes, nil
}

// sweep drops what has ended.
func (s *store) sweep(now int64) error {
	return errors.Join(
		s.exec("DELETE FROM letter WHERE until <= ?", now),
		s.exec("DELETE FROM plan WHERE until + ? <= ? OR pushed = 0 AND NOT EXISTS (SELECT 1 FROM letter l WHERE l.root = plan.root AND l.grant_hash = plan.grant_hash)", afterwards, now))
}

func (s *store) putLetter(id custody.Hash, l *letter) error {
	reply := l.reply
	if reply == nil {
		reply = []byte{}
	}
	return s.exec("INSERT OR REPLACE INTO letter(id, guest, root, grant_hash, mailbox, raw, until, reply) VALUES(?,?,?,?,?,?,?,?)",
		id[:], l.guest[:], l.of.root[:], l.of.grant[:], l.mailbox[:], l.raw, l.until, reply)
}

func (s *store) dropLetter(id custody.Hash) error {
	return s.exec("DELETE FROM letter WHERE id = ?", id[:])
}

// letters reads all that wait.
func (s *store) letters(ctx context.Context) (out map[custody.Hash]*letter, err error) {
	out = map[custody.Hash]*letter{}
	rows, err := s.db.QueryContext(ctx, "SELECT id, guest, root, grant_hash, mailbox, raw, until, reply FROM letter")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		l := &letter{}
		var id, guest, root, grant, mailbox []byte
		if err := rows.Scan(&id, &guest, &root, &grant, &mailbox, &l.raw, &l.until, &l.reply); err != nil {
			return nil, err
		}
		if len(id) != 32 || len(guest) != 32 || len(root) != 32 || len(grant) != 32 || len(mailbox) != 32 {
			return nil, errors.New("a letter is damaged")
		}
		if len(l.reply) == 0 {
			l.reply = nil
		}
		l.guest, l.mailbox = peers.DeviceID(guest), custody.Key(mailbox)
		l.of = granted{custody.Key(root), custody.Hash(grant)}
		out[custody.Hash(id)] = l
	}
	return out, rows.Err()
}

// plansBy reads the plans of one person, by their grants.
func (s *store) plansBy(root custody.Key) (out map[custody.Hash]*planRow, err error) {
	out = map[custody.Hash]*planRow{}
	rows, err := s.db.Query("SELECT grant_hash, seq, doc, sealed FROM plan WHERE root = ?", root[:])
	if err != nil {
		return nil, fmt.Errorf("gateway.db: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var hash []byte
		var seq int64
		p := &planRow{}
		if err := rows.Scan(&hash, &seq, &p.doc, &p.sealed); err != nil {
			return nil, fmt.Errorf("gateway.db: %w", err)
		}
		if len(hash) != 32 {
			return nil, errors.New("gateway.db: a plan is damaged")
		}
		p.seq = uint64(seq)
		out[custody.Hash(hash)] = p
	}
	return out, rows.Err()
}

func (s *store) dropPlan(k granted) error {
	return s.exec("DELETE FROM plan WHERE root = ? AND grant_hash = ?", k.root[:], k.grant[:])
}

func (s *store) putSet(root custody.Key, set *custody.Signed[custody.DeviceSet]) error {
	return s.exec("INSERT OR REPLACE INTO device_set(root, doc) VALUES(?,?)", root[:], set.Raw)
}

func (s *store) dropSet(root custody.Key) error {
	return s.exec("DELETE FROM device_set WHERE root = ?", root[:])
}

// sets reads the lists of devices.
func (s *store) sets(ctx context.Context) (out map[custody.Key]*custody.Signed[custody.DeviceSet], err error) {
	out = map[custody.Key]*custody.Signed[custody.DeviceSet]{}
	rows, err := s.db.QueryContext(ctx, "SELECT doc FROM device_set")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var doc []byte
		if err := rows.Scan(&doc); err != nil {
			return nil, err
		}
		set, err := custody.Parse[custody.DeviceSet](doc)
		if err != nil {
			return nil, err
		}
		out[set.Body.Root] = set
	}
	return out, rows.Err()
}

func (s *store) close() error { return s.db.Close() }
