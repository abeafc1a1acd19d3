// SPDX-License-Identifier: MPL-2.0

//go:build unix

package node

import (
	"io/fs"
	"os"
	"syscall"
)

// ownedPrivately says whether fi belongs to this user and to nobody else.
func ownedPrivately(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int64(st.Uid) == int64(os.Geteuid()) && fi.Mode().Perm()&0o077 == 0
}
