// SPDX-License-Identifier: MPL-2.0

//go:build cgo

package catalog

import (
	"errors"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// isDamaged tells whether SQLite found the file not to be what it wrote.
func isDamaged(err error) bool {
	var se sqlite3.Error
	return errors.As(err, &se) && (se.Code == sqlite3.ErrCorrupt || se.Code == sqlite3.ErrNotADB)
}

// isFull tells whether SQLite failed for want of room on the disk.
func isFull(err error) bool {
	var se sqlite3.Error
	return errors.As(err, &se) && se.Code == sqlite3.ErrFull
}
