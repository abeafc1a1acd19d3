// SPDX-License-Identifier: MPL-2.0

//go:build cgo

package depot

import (
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"

	"github.com/preezm/preezm/peers"
)

// indexError adds what a caller decides on to an error of SQLite.
func indexError(err error) error {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Code == sqlite3.ErrFull, e.SystemErrno != 0 && isDiskFull(e.SystemErrno),
		e.ExtendedCode == sqlite3.ErrIoErrSHMSize:
		// Growing the -shm file is the one place where SQLite reports a
		// full disk as an I/O error.
		return fmt.Errorf("index: %w: %w", peers.ErrDiskFull, err)
	case e.Code == sqlite3.ErrCorrupt, e.Code == sqlite3.ErrNotADB, e.Code == sqlite3.ErrSchema:
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	return fmt.Errorf("index: %w", err)
}

// rolledBack: SQLite says that there is no transaction left to roll back.
func rolledBack(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && e.Code == sqlite3.ErrError
}
