// SPDX-License-Identifier: MPL-2.0

package sqlite

import (
	"errors"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
	"github.com/ncruces/go-sqlite3/vfs/adiantum"
)

// The file layers this package registers: plain, and encrypting above it.
const (
	plainLayer  = "preezm"
	sealedLayer = "preezm-sealed"
)

func init() {
	plain := &roomVFS{vfs.Find("")}
	vfs.Register(plainLayer, plain)
	vfs.Register(sealedLayer, adiantum.Wrap(plain, nil))
}

// roomVFS is the system's file layer, but for one thing: it tells SQLite that
// the disk is full, where the library calls that any I/O error. A person can
// do something about a full disk.
type roomVFS struct{ vfs.VFS }

// OpenFilename opens a file with what SQLite knows of its name.
func (v *roomVFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := vfsutil.WrapOpenFilename(v.VFS, name, flags)
	if err != nil {
		return nil, flags, full(err)
	}
	return &roomFile{f}, flags, nil
}

// Open opens a file by its name alone.
func (v *roomVFS) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, flags, err := v.VFS.Open(name, flags)
	if err != nil {
		return nil, flags, full(err)
	}
	return &roomFile{f}, flags, nil
}

func full(err error) error {
	if isNoRoom(err) {
		return sqlite3.FULL
	}
	return err
}

type roomFile struct{ vfs.File }

func (f *roomFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	return n, full(err)
}

func (f *roomFile) Truncate(size int64) error          { return full(f.File.Truncate(size)) }
func (f *roomFile) Sync(flags vfs.SyncFlag) error      { return full(f.File.Sync(flags)) }
func (f *roomFile) SizeHint(size int64) error          { return full(vfsutil.WrapSizeHint(f.File, size)) }
func (f *roomFile) Unwrap() vfs.File                   { return f.File }
func (f *roomFile) SharedMemory() vfs.SharedMemory     { return vfsutil.WrapSharedMemory(f.File) }
func (f *roomFile) LockState() vfs.LockLevel           { return vfsutil.WrapLockState(f.File) }
func (f *roomFile) PersistWAL() bool                   { return vfsutil.WrapPersistWAL(f.File) }
func (f *roomFile) SetPersistWAL(keep bool)            { vfsutil.WrapSetPersistWAL(f.File, keep) }
func (f *roomFile) PowersafeOverwrite() bool           { return vfsutil.WrapPowersafeOverwrite(f.File) }
func (f *roomFile) SetPowersafeOverwrite(safe bool)    { vfsutil.WrapSetPowersafeOverwrite(f.File, safe) }
func (f *roomFile) ChunkSize(size int)                 { vfsutil.WrapChunkSize(f.File, size) }
func (f *roomFile) HasMoved() (bool, error)            { return vfsutil.WrapHasMoved(f.File) }
func (f *roomFile) Overwrite() error                   { return vfsutil.WrapOverwrite(f.File) }
func (f *roomFile) SyncSuper(super string) error       { return full(vfsutil.WrapSyncSuper(f.File, super)) }
func (f *roomFile) CommitPhaseTwo() error              { return full(vfsutil.WrapCommitPhaseTwo(f.File)) }
func (f *roomFile) CheckpointStart()                   { vfsutil.WrapCheckpointStart(f.File) }
func (f *roomFile) CheckpointDone()                    { vfsutil.WrapCheckpointDone(f.File) }
func (f *roomFile) BusyHandler(handler func() bool)    { vfsutil.WrapBusyHandler(f.File, handler) }
func (f *roomFile) Pragma(n, v string) (string, error) { return vfsutil.WrapPragma(f.File, n, v) }

// isNoRoom: no room, or no room for this user.
func isNoRoom(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && noRoom(errno)
}
