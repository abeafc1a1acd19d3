// SPDX-License-Identifier: MPL-2.0

package main

import "golang.org/x/sys/unix"

// freeSpace is what an ordinary user may still write below dir, in bytes.
func freeSpace(dir string) (int64, bool) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return 0, false
	}
	return int64(st.Bavail) * st.Bsize, true
}
