// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// syncTree makes everything written below folder durable in one go.
func syncTree(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}

// syncsTrees: syncTree makes single files durable.
const syncsTrees = true

// startWriteback lets the disk begin while more data comes.
func startWriteback(f *os.File, off, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE) // only a hint
}

// setLinkTime sets a symlink's own time.
func setLinkTime(root *os.Root, name string, mtime int64) error {
	d, err := root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	t := unix.NsecToTimespec(mtime)
	err = unix.UtimesNanoAt(int(d.Fd()), path.Base(name), []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
	return errors.Join(err, d.Close())
}
