// SPDX-License-Identifier: MPL-2.0

//go:build unix

package engine

import (
	"io/fs"
	"os"
	"syscall"

	"github.com/preezm/preezm/engine/catalog"
)

// openForRead opens a file that was a regular one a moment ago. Should it
// have become a link or a pipe meanwhile, the first is refused and the second
// does not block.
func openForRead(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}

func sourceOf(fi fs.FileInfo) catalog.Source {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return catalog.Source{}
	}
	return catalog.Source{CTime: ctimeOf(st), Inode: int64(st.Ino), Device: int64(st.Dev)}
}

func modeBits(fi fs.FileInfo) uint32 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return uint32(st.Mode) & 0o7777
	}
	return uint32(fi.Mode().Perm())
}
