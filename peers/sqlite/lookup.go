// SPDX-License-Identifier: MPL-2.0

package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
)

// Lookup asks one query again and again, for one number by one blob. It has a
// connection of its own. One goroutine at a time.
type Lookup struct {
	conn *sql.Conn
	raw  *sqlite3.Conn
	stmt *sqlite3.Stmt
	hold bool // questions are to share a moment
	open bool // it reads from one
}

// NewLookup prepares a query with one parameter and one column. Close it.
func NewLookup(ctx context.Context, db *sql.DB, query string) (*Lookup, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	l := &Lookup{conn: conn}
	err = conn.Raw(func(c any) (err error) {
		d, ok := c.(driver.Conn)
		if !ok {
			return fmt.Errorf("a connection of type %T", c)
		}
		l.raw = d.Raw()
		l.stmt, _, err = l.raw.Prepare(query)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return l, nil
}

// Find gives the number of the first row; false: there is none.
func (l *Lookup) Find(key []byte) (n int64, ok bool, err error) {
	if l.hold && !l.open {
		if err := l.raw.Exec("BEGIN DEFERRED"); err != nil {
			return 0, false, err
		}
		l.open = true
	}
	if err := l.stmt.BindBlob(1, key); err != nil {
		return 0, false, err
	}
	if ok = l.stmt.Step(); ok {
		n = l.stmt.ColumnInt64(0)
	}
	err = errors.Join(l.stmt.Err(), l.stmt.Reset())
	return n, ok && err == nil, err
}

// Hold makes the next question see what was committed until then. With on, those
// after it see no more than that one, and cost no locks. The log cannot begin
// anew meanwhile, so nothing long is to be written before Hold(false).
func (l *Lookup) Hold(on bool) error {
	l.hold = on
	if !l.open {
		return nil
	}
	l.open = false
	return l.raw.Exec("ROLLBACK")
}

// Close gives the connection back.
func (l *Lookup) Close() error {
	err := errors.Join(l.stmt.Close(), l.Hold(false))
	if err != nil {
		// Nobody else is to read from that moment.
		err = errors.Join(err, l.conn.Raw(func(any) error { return sqldriver.ErrBadConn }))
	}
	return errors.Join(err, l.conn.Close())
}
