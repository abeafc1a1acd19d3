// SPDX-License-Identifier: MPL-2.0

package depot

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/durable"
)

// Folders of a Disk, under its own.
const (
	shardsDir  = "shards"  // shards/ab/<64 hex digits>
	tmpDir     = "tmp"     // what is being received; emptied by OpenDisk
	damagedDir = "damaged" // what was set aside
)

// blocks lends header blocks: one for each Open or Commit under way.
var blocks = sync.Pool{New: func() any { return new([HeaderSize]byte) }}

// Disk is Storage in a local folder: one file for each shard, spread over 256
// folders by the first byte of the ID, so that none grows too long to list.
type Disk struct {
	dir    string
	log    *slog.Logger
	groups [256]syncGroup     // one for each folder under shards/
	step   func(point string) // crash tests stop here; nil otherwise

	mu   sync.Mutex
	made [256]bool // the folder exists, durably
}

// OpenDisk makes the folder ready and throws away what was being received when
// the last process ended. One process at a time: the caller holds a lock.
func OpenDisk(dir string, log *slog.Logger) (*Disk, error) {
	d := &Disk{dir: dir, log: log}
	for _, sub := range [...]string{shardsDir, tmpDir, damagedDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, fmt.Errorf("depot folder: %w", diskError(err))
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, tmpDir))
	if err != nil {
		return nil, fmt.Errorf("depot folder: %w", err)
	}
	for _, e := range left {
		if err := os.RemoveAll(filepath.Join(dir, tmpDir, e.Name())); err != nil {
			return nil, fmt.Errorf("depot folder: %w", err)
		}
	}
	if err := durable.SyncDir(dir); err != nil {
		return nil, fmt.Errorf("depot folder: %w", diskError(err))
	}
	return d, nil
}

// Close has nothing to release: every file has its own user.
func (d *Disk) Close() error { return nil }

func (d *Disk) at(point string) {
	if d.step != nil {
		d.step(point)
	}
}

func (d *Disk) path(id peers.ShardID) string {
	name := id.String()
	return filepath.Join(d.dir, shardsDir, name[:2], name)
}

// folder makes the shard's folder durably, once. Also one that exists gets its
// fsync: the run that made it may have died before.
func (d *Disk) folder(id peers.ShardID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made[id[0]] {
		return nil
	}
	if err := os.Mkdir(filepath.Dir(d.path(id)), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := durable.SyncDir(filepath.Join(d.dir, shardsDir)); err != nil {
		return err
	}
	d.made[id[0]] = true
	return nil
}

// Create opens a file under tmp/.
func (d *Disk) Create(_ context.Context, id peers.ShardID, size int64) (Writer, error) {
	if err := checkSize(size); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Join(d.dir, tmpDir), id.String()[:16]+".*")
	if err != nil {
		return nil, diskError(err)
	}
	return &diskWriter{disk: d, f: f, size: size}, nil
}

// Open reads and checks the header block.
func (d *Disk) Open(_ context.Context, id peers.ShardID) (Object, error) {
	f, err := os.Open(d.path(id))
	if err != nil {
		return nil, err
	}
	o, err := readObject(f, id)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return o, nil
}

// Stat looks at the file's length and time only.
func (d *Disk) Stat(_ context.Context, id peers.ShardID) (Entry, error) {
	fi, err := os.Lstat(d.path(id))
	if err != nil {
		return Entry{}, err
	}
	return entryOf(id, fi), nil
}

func entryOf(id peers.ShardID, fi fs.FileInfo) Entry {
	return Entry{ID: id, Size: fi.Size() - HeaderSize, Stamp: fi.ModTime().UnixNano()}
}

func readObject(f *os.File, id peers.ShardID) (*diskObject, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("shard file is no regular file: %w", peers.ErrDamaged)
	}
	block := blocks.Get().(*[HeaderSize]byte)
	defer blocks.Put(block)
	if _, err := f.ReadAt(block[:], 0); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("shard file of %d bytes: %w", fi.Size(), peers.ErrDamaged)
	} else if err != nil {
		return nil, err
	}
	h, err := DecodeHeader(block)
	if err != nil {
		return nil, err
	}
	if h.ID != id {
		return nil, fmt.Errorf("shard file says it is %s: %w", h.ID, peers.ErrDamaged)
	}
	if fi.Size() != HeaderSize+h.Size {
		return nil, fmt.Errorf("shard file of %d bytes, its header says %d: %w",
			fi.Size(), HeaderSize+h.Size, peers.ErrDamaged)
	}
	return &diskObject{f: f, h: h, stamp: fi.ModTime().UnixNano()}, nil
}

type diskObject struct {
	f     *os.File
	h     *Header
	stamp int64
}

func (o *diskObject) Size() int64     { return o.h.Size }
func (o *diskObject) Header() *Header { return o.h }
func (o *diskObject) Stamp() int64    { return o.stamp }
func (o *diskObject) Close() error    { return o.f.Close() }

func (o *diskObject) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d: %w", off, fs.ErrInvalid)
	}
	// The file's end is the body's end: Open compared them.
	return o.f.ReadAt(p, HeaderSize+off)
}

// Remove deletes files, then makes each folder durable once.
func (d *Disk) Remove(ctx context.Context, ids ...peers.ShardID) error {
	sorted := slices.SortedFunc(slices.Values(ids), compareIDs)
	for i := 0; i < len(sorted); {
		first, gone := sorted[i], false
		for ; i < len(sorted) && sorted[i][0] == first[0]; i++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			switch err := os.Remove(d.path(sorted[i])); {
			case err == nil:
				gone = true
			case !errors.Is(err, fs.ErrNotExist):
				return err
			}
		}
		if gone {
			if err := d.groups[first[0]].sync(filepath.Dir(d.path(first))); err != nil {
				return err
			}
		}
	}
	return nil
}

// SetAside moves the file to damaged/, under a new name when that one is taken.
func (d *Disk) SetAside(_ context.Context, id peers.ShardID) error {
	to := filepath.Join(d.dir, damagedDir, id.String())
	free := to
	for n := 1; ; n++ {
		if _, err := os.Lstat(free); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
		free = to + "." + strconv.Itoa(n)
	}
	if err := os.Rename(d.path(id), free); err != nil {
		return err
	}
	return d.groups[id[0]].sync(filepath.Dir(d.path(id)))
}

// Walk lists the folders. Names that no shard can have are left alone: file
// managers leave things behind, and they are nobody's shard.
func (d *Disk) Walk(ctx context.Context, fn func(Entry) error) error {
	root := filepath.Join(d.dir, shardsDir)
	folders, err := os.ReadDir(root) // sorted by name
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if len(folder.Name()) != 2 || !folder.IsDir() {
			d.log.Warn("depot: not a shard folder, left alone", "name", folder.Name())
			continue
		}
		files, err := os.ReadDir(filepath.Join(root, folder.Name()))
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := ctx.Err(); err != nil {
				return err
			}
			id, ok := parseName(f.Name())
			if !ok || f.Name()[:2] != folder.Name() || !f.Type().IsRegular() {
				d.log.Warn("depot: not a shard file, left alone", "folder", folder.Name(), "name", f.Name())
				continue
			}
			fi, err := f.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted since the listing
			}
			if err != nil {
				return err
			}
			if err := fn(entryOf(id, fi)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Space asks the file system.
func (d *Disk) Space(context.Context) (Space, error) {
	s, err := diskSpace(d.dir)
	if err != nil {
		return Space{}, fmt.Errorf("free room of the disk: %w", err)
	}
	return s, nil
}

// parseName reads a file name: 64 lower-case hexadecimal digits.
func parseName(name string) (peers.ShardID, bool) {
	var id peers.ShardID
	if len(name) != 2*len(id) {
		return id, false
	}
	if _, err := hex.Decode(id[:], []byte(name)); err != nil {
		return id, false
	}
	return id, id.String() == name
}

func compareIDs(a, b peers.ShardID) int { return cmp.Compare(string(a[:]), string(b[:])) }

// diskError adds peers.ErrDiskFull to what the system says when it is that.
func diskError(err error) error {
	if err != nil && isDiskFull(err) {
		return fmt.Errorf("%w: %w", peers.ErrDiskFull, err)
	}
	return err
}
