// SPDX-License-Identifier: MPL-2.0

//go:build unix

package sqlite

import "syscall"

func noRoom(e syscall.Errno) bool { return e == syscall.ENOSPC || e == syscall.EDQUOT }
