// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func ctimeOf(st *syscall.Stat_t) int64 { return syscall.TimespecToNsec(st.Ctim) }

// nextData finds the next run of data [data, end) at or after pos, by the file
// system's own map of holes. data == end: only a hole follows.
func nextData(f *os.File, fi fs.FileInfo, pos int64) (data, end int64, err error) {
	size := fi.Size()
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || st.Blocks*512 >= size {
		return pos, size, nil
	}
	data, err = unix.Seek(int(f.Fd()), pos, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return size, size, nil
	} else if err != nil { // a file system without the call
		return pos, size, nil
	}
	end, err = unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
	if err != nil || end <= data {
		return pos, size, nil
	}
	return data, min(end, size), nil
}
