// SPDX-License-Identifier: MPL-2.0

//go:build darwin || freebsd || netbsd

package engine

import "syscall"

func ctimeOf(st *syscall.Stat_t) int64 { return syscall.TimespecToNsec(st.Ctimespec) }
