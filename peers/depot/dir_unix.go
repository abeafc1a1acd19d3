// SPDX-License-Identifier: MPL-2.0

//go:build unix

package depot

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// isDiskFull: no room, or no room for this user.
func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// diskSpace asks for the room that a program without root's reserve has.
func diskSpace(dir string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Space{}, os.NewSyscallError("statfs", err)
	}
	unit := int64(st.Bsize)
	return Space{Free: int64(st.Bavail) * unit, Total: int64(st.Blocks) * unit}, nil
}
