// SPDX-License-Identifier: MPL-2.0

// Package sqlite opens the program's databases: SQLite in WAL mode through
// database/sql, plain or encrypted as a whole, so that no table needs a
// thought of its own. An encrypted database's log and its temporary files are
// ciphertext too; only the shared-memory index of the log, which holds page
// numbers, is not.
package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
)

// KeySize is the length of a database's key.
const KeySize = 32

// sector is the unit of encryption and of SQLite's pages.
const sector = 4096

// Options are how a database is opened.
type Options struct {
	// Key encrypts the database; nil: it is plain.
	Key []byte
	// Exclusive holds the lock for good, with one connection. SQLite then
	// needs no shared memory beside the file.
	Exclusive bool
	// Relaxed may lose the last commits to a power cut, never the file.
	Relaxed bool
	// ReadOnly refuses to write.
	ReadOnly bool
	// CacheKiB bounds each connection's page cache; 0: SQLite's own choice.
	CacheKiB int
	// LogPages is how long the log grows, in pages of 4 KiB, before what is in
	// it goes into the file; 0: SQLite's own choice, 1000. A page that is
	// written often meanwhile goes there once.
	LogPages int
}

// Open opens or makes the database at path, which only this user can read. The
// file is not touched before the first statement.
func Open(path string, o Options) (*sql.DB, error) {
	if o.Key != nil && len(o.Key) != KeySize {
		return nil, fmt.Errorf("a database's key has %d bytes, not %d", KeySize, len(o.Key))
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	own := []string{abs}
	if !o.Exclusive {
		own = append(own, abs+"-shm")
	}
	// SQLite would let anybody read them.
	for _, name := range own {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	sync := "FULL"
	if o.Relaxed {
		sync = "NORMAL"
	}
	var setup []string
	if o.Key != nil {
		setup = append(setup, "PRAGMA hexkey='"+hex.EncodeToString(o.Key)+"'")
	}
	setup = append(setup, "PRAGMA busy_timeout=10000")
	if o.Exclusive {
		// Before WAL, which would make the shared memory otherwise.
		setup = append(setup, "PRAGMA locking_mode=EXCLUSIVE")
	}
	setup = append(setup, "PRAGMA journal_mode=WAL", "PRAGMA synchronous="+sync, "PRAGMA foreign_keys=ON", "PRAGMA temp_store=MEMORY")
	if o.CacheKiB > 0 {
		setup = append(setup, "PRAGMA cache_size=-"+strconv.Itoa(o.CacheKiB))
	}
	if o.LogPages > 0 {
		setup = append(setup, "PRAGMA wal_autocheckpoint="+strconv.Itoa(o.LogPages))
	}
	if o.ReadOnly {
		setup = append(setup, "PRAGMA query_only=ON")
	}
	db, err := driver.Open(address(abs, o.Key != nil)+"&_txlock=immediate", func(c *sqlite3.Conn) error {
		for _, s := range setup {
			if err := c.Exec(s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if o.Exclusive {
		db.SetMaxOpenConns(1)
		db.SetConnMaxIdleTime(0)
	}
	return db, nil
}

// address is the URI of an absolute path. A path may hold '?' or '%', which a
// URI gives a meaning, and one of Windows has no slash before its drive.
func address(abs string, sealed bool) string {
	u := url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(filepath.ToSlash(abs), "/")}
	// The log and journal get the mode of the database. SQLite takes a plus
	// for a plus.
	q := "?modeof=" + strings.ReplaceAll(url.QueryEscape(abs), "+", "%20")
	if sealed {
		return u.String() + q + "&vfs=" + sealedLayer
	}
	return u.String() + q + "&vfs=" + plainLayer
}

// magic begins every plain database.
const magic = "SQLite format 3\x00"

// Plain tells whether the file at path is a database that is not encrypted.
func Plain(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, len(magic))
	n, err := f.Read(head)
	if n == 0 {
		return false, nil // empty: it is what its first opener makes of it
	}
	return string(head[:n]) == magic, err
}

// Seal writes the plain database at path, with what is still in its log, as an
// encrypted one to a new file and gives that file's name: the caller puts it
// in place. The plain one's log is empty then.
func Seal(ctx context.Context, path string, key []byte) (sealed string, err error) {
	if len(key) != KeySize {
		return "", fmt.Errorf("a database's key has %d bytes, not %d", KeySize, len(key))
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	sealed = abs + ".sealing"
	if err := os.Remove(sealed); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err // of a run that was cut off
	}
	db, err := Open(abs, Options{Exclusive: true})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	into := address(sealed, true) + "&hexkey=" + hex.EncodeToString(key)
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", into); err != nil {
		return "", err
	}
	f, err := os.OpenFile(sealed, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	if err := errors.Join(f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return "", err
	}
	if fi, err := os.Stat(sealed); err != nil || fi.Size() == 0 || fi.Size()%sector != 0 {
		return "", errors.Join(err, fmt.Errorf("%s: the encrypted database is not whole", path))
	}
	_, err = db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return sealed, err
}

// IsFull tells whether SQLite failed for want of room on the disk. Growing the
// shared memory is the one place where it calls that an I/O error.
func IsFull(err error) bool {
	return errors.Is(err, sqlite3.FULL) || errors.Is(err, sqlite3.IOERR_SHMSIZE) || isNoRoom(err)
}

// IsDamaged tells whether SQLite found the file not to be what it wrote; one
// opened with another key looks the same.
func IsDamaged(err error) bool {
	return errors.Is(err, sqlite3.CORRUPT) || errors.Is(err, sqlite3.NOTADB)
}

// IsSchema tells whether a statement does not fit the tables.
func IsSchema(err error) bool { return errors.Is(err, sqlite3.SCHEMA) }

// IsRolledBack tells whether SQLite has no transaction to roll back any more.
func IsRolledBack(err error) bool { return errors.Is(err, sqlite3.ERROR) }

// Migrate applies the steps that a database lacks, each in a transaction of its
// own; PRAGMA user_version counts those it has. After an error the database is
// to be closed: a step that failed leaves its transaction open.
func Migrate(ctx context.Context, db *sql.DB, steps []string) error {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > len(steps) {
		return fmt.Errorf("it was made by a later program (schema %d)", version)
	}
	for ; version < len(steps); version++ {
		step := steps[version] + fmt.Sprintf("PRAGMA user_version = %d", version+1)
		if _, err := db.ExecContext(ctx, "BEGIN IMMEDIATE;"+step+";COMMIT"); err != nil {
			return err
		}
	}
	return nil
}
