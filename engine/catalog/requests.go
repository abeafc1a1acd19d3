// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
)

// requestSchema is a step of migrations.
const requestSchema = `
-- What companies asked for, and what was answered. Nothing of it is removed: a
-- refusal is a record too.
CREATE TABLE requests(
  hash    BLOB PRIMARY KEY,    -- of the access-request
  doc     TEXT NOT NULL,       -- as it came, with the card
  got     INTEGER NOT NULL,    -- Unix seconds
  consent BLOB,                -- signed
  refusal BLOB,                -- signed
  grant_hash BLOB              -- that the consent led to
) WITHOUT ROWID;
`

// countersignSchema is a step of migrations.
const countersignSchema = `
ALTER TABLE requests ADD COLUMN countersigned BLOB; -- the company's word that it holds the answer
`

// Request is what a company asked for, as its person keeps it.
type Request struct {
	Hash    [32]byte
	Doc     string
	Got     int64
	Consent []byte // nil: none
	Refusal []byte
	Grant   []byte // hash of the grant that followed; nil: none yet
	// Countersigned is the company's word that it holds the answer; nil: none.
	Countersigned []byte
}

// AddRequest keeps a request; one that is there stays as it is.
func (c *Catalog) AddRequest(ctx context.Context, r Request) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO requests(hash, doc, got) VALUES(?,?,?)", r.Hash[:], r.Doc, r.Got)
		return err
	})
}

// AnswerRequest writes an answer down: a consent takes the place of one that led
// to no grant, and a refusal that of none.
func (c *Catalog) AnswerRequest(ctx context.Context, r Request) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE requests SET consent = ?, refusal = ?, grant_hash = ?
			WHERE hash = ? AND refusal IS NULL AND grant_hash IS NULL`, r.Consent, r.Refusal, r.Grant, r.Hash[:])
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return ErrNotFound
		}
		return nil
	})
}

// Countersigned keeps a company's word about the answer to a request. The first
// one stays.
func (c *Catalog) Countersigned(ctx context.Context, request [32]byte, doc []byte) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE requests SET countersigned = ? WHERE hash = ? AND countersigned IS NULL", doc, request[:])
		return err
	})
}

// Requests lists all of them, the newest first.
func (c *Catalog) Requests(ctx context.Context) ([]Request, error) {
	return collect(ctx, c.r, func(rows *sql.Rows) (r Request, err error) {
		var hash []byte
		err = rows.Scan(&hash, &r.Doc, &r.Got, &r.Consent, &r.Refusal, &r.Grant, &r.Countersigned)
		copy(r.Hash[:], hash)
		return r, err
	}, "SELECT hash, doc, got, consent, refusal, grant_hash, countersigned FROM requests ORDER BY got DESC, hash")
}

// mergeRequests takes over what another machine of this person was asked and has
// answered. Where both answered, both records stay.
func (c *Catalog) mergeRequests(ctx context.Context, from *Catalog) error {
	theirs, err := from.Requests(ctx)
	if err != nil {
		return err
	}
	for _, r := range theirs {
		err := c.write(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO requests(hash, doc, got, consent, refusal, grant_hash, countersigned) VALUES(?,?,?,?,?,?,?)
				ON CONFLICT(hash) DO UPDATE SET
				consent = CASE WHEN grant_hash IS NULL AND excluded.consent IS NOT NULL THEN excluded.consent ELSE consent END,
				grant_hash = coalesce(grant_hash, excluded.grant_hash),
				refusal = coalesce(refusal, excluded.refusal),
				countersigned = coalesce(countersigned, excluded.countersigned)`,
				r.Hash[:], r.Doc, r.Got, r.Consent, r.Refusal, r.Grant, r.Countersigned)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
