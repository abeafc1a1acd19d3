// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/preezm/preezm/engine/catalog"
)

// use is a chunk's place in a file.
type use struct {
	file *outFile
	off  int64
	row  catalog.Chunk
}

// batch gathers the chunks of many files, so that each segment is fetched
// once for all of them.
type batch struct {
	*get
	uses []use
	open []*outFile // planned, to be released after the batch ran
}

// add plans one version. Folders, links and empty files are made at once.
func (b *batch) add(w *wanted, v *catalog.Version) error {
	if err := context.Cause(b.ctx); err != nil {
		return err
	}
	local := b.local(w, v.Path)
	if want := localPlain(w, v.Path); local != want {
		b.report.Renamed = append(b.report.Renamed, Renamed{Path: Path(v.Path), As: local})
	}
	switch v.Kind {
	case catalog.Folder:
		if err := b.root.Mkdir(local, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return b.refuse(v, err)
		} else if err != nil {
			if fi, err := b.root.Stat(local); err != nil || !fi.IsDir() {
				return b.refuse(v, errors.New("something that is not a folder has its name"))
			}
		}
		b.report.Folders++
		keep := *v
		b.folders = append(b.folders, folderEnd{local, &keep})
		return nil
	case catalog.Symlink:
		if b.o.Resume && b.thereAsKept(local, v) {
			return nil
		}
		if err := b.link(local, v); err != nil {
			return b.refuse(v, err)
		}
		b.report.Symlinks++
		return nil
	}
	if b.o.Resume && b.thereAsKept(local, v) {
		b.mu.Lock()
		b.report.Skipped++
		b.mu.Unlock()
		b.meter.files.Add(1)
		b.meter.bytes.Add(v.Size)
		return nil
	}
	keep := *v
	keep.Parts = nil
	f := &outFile{v: &keep, local: local, sparse: len(v.Parts) > 1}
	f.left.Store(1)
	b.open = append(b.open, f)
	var ids []int64
	for _, p := range v.Parts {
		if p.Chunk != 0 {
			ids = append(ids, p.Chunk)
		}
	}
	rows, err := b.e.cat.Chunks(b.ctx, ids)
	if err != nil {
		return err
	}
	off := int64(0)
	for _, p := range v.Parts {
		if p.Hole > 0 {
			off += p.Hole
			f.sparse = true
			b.meter.bytes.Add(p.Hole)
			continue
		}
		f.left.Add(1)
		row := rows[p.Chunk]
		b.uses = append(b.uses, use{f, off, row})
		off += int64(row.Plain)
		if len(b.uses) >= usesPerBatch {
			f.left.Add(1) // there is more of it to come
			if err := b.run(); err != nil {
				return err
			}
			b.open = append(b.open, f)
		}
	}
	if off != v.Size {
		f.failed.Store(true)
		b.problem(v.Path, true, "its list of chunks is damaged in the catalog")
	}
	return nil
}

// localPlain is the name that a system without limits would give.
func localPlain(w *wanted, p string) string {
	if w.parent == "" {
		return p
	}
	return p[len(w.parent)+1:]
}

func (b *batch) thereAsKept(local string, v *catalog.Version) bool {
	fi, err := b.root.Lstat(local)
	return err == nil && asKept(fi, v)
}

// refuse reports that a version could not be made, or ends the get when the
// disk is full: nothing after it would fare better.
func (g *get) refuse(v *catalog.Version, err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%q: the disk of %q is full: make room and repeat with --resume", v.Path, g.o.To)
	}
	g.problem(v.Path, true, "cannot be written: %v", plain(err))
	return nil
}

// finish runs what is planned; with ok false it only cleans up.
func (b *batch) finish(ok bool) error {
	var err error
	if ok {
		err = b.run()
	}
	for _, f := range b.open {
		f.abort(b.root)
	}
	return err
}

// run brings everything planned back, segment by segment.
func (b *batch) run() error {
	// Segments in the order in which files need them; within one, chunks in
	// theirs.
	jobs := map[int64]*segmentJob{}
	var order []*segmentJob
	for _, u := range b.uses {
		j := jobs[u.row.Segment]
		if j == nil {
			j = &segmentJob{get: b.get, id: u.row.Segment}
			jobs[u.row.Segment] = j
			order = append(order, j)
		}
		j.uses = append(j.uses, u)
	}
	b.uses = b.uses[:0]
	var running sync.WaitGroup
	for _, j := range order {
		select {
		case b.slots <- struct{}{}:
		case <-b.ctx.Done():
		}
		if b.ctx.Err() != nil {
			break
		}
		running.Go(func() {
			defer func() { <-b.slots }()
			if err := j.run(); err != nil {
				b.cancel(err)
			}
		})
	}
	running.Wait()
	if err := context.Cause(b.ctx); err != nil {
		return err
	}
	for _, f := range b.open {
		b.settle(b.root, f)
	}
	b.open = b.open[:0]
	return nil
}

// outFile is a file being brought back, in a temporary one beside it.
type outFile struct {
	v      *catalog.Version
	local  string
	sparse bool // written in more than one place: give it its length first
	left   atomic.Int64
	failed atomic.Bool
	mu     sync.Mutex
	fh     *os.File
	made   bool
}

// temp is the temporary name: short enough for any file system, the same in
// every run so that leftovers do not pile up.
func (f *outFile) temp() string {
	sum := sha256.Sum256([]byte(f.local))
	return path.Join(path.Dir(f.local), fmt.Sprintf(".preezm-%x.part", sum[:8]))
}

// maxOpen bounds the files that a get holds open. More can be unfinished at
// once when their chunks lie scattered; those are opened again when needed.
const maxOpen = 256

// write puts data at its place in f.
func (g *get) write(f *outFile, data []byte, off int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fh == nil {
		if err := f.create(g.root); err != nil {
			return err
		}
		g.open.Add(1)
	}
	if _, err := f.fh.WriteAt(data, off); err != nil {
		return err
	}
	if f.sparse {
		startWriteback(f.fh, off, int64(len(data)))
	}
	if g.open.Load() > maxOpen {
		g.open.Add(-1)
		err := f.fh.Close()
		f.fh = nil
		return err
	}
	return nil
}

func (f *outFile) create(root *os.Root) (err error) {
	if f.made {
		f.fh, err = root.OpenFile(f.temp(), os.O_RDWR, 0)
		return err
	}
	flags := os.O_RDWR | os.O_CREATE | os.O_EXCL
	f.fh, err = root.OpenFile(f.temp(), flags, 0o600)
	if errors.Is(err, os.ErrExist) {
		if err = root.Remove(f.temp()); err == nil {
			f.fh, err = root.OpenFile(f.temp(), flags, 0o600)
		}
	}
	if err != nil {
		return err
	}
	f.made = true
	if f.sparse {
		return f.fh.Truncate(f.v.Size)
	}
	return nil
}

// abort removes what was written.
func (f *outFile) abort(root *os.Root) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fh != nil {
		f.fh.Close()
		f.fh = nil
	}
	if f.made {
		root.Remove(f.temp())
		f.made = false
	}
}

// settle ends one thing that a file waited for; after the last one the file
// gets its mode, time and name.
func (g *get) settle(root *os.Root, f *outFile) {
	if f.left.Add(-1) > 0 {
		return
	}
	if f.fh != nil {
		g.open.Add(-1)
	}
	if f.failed.Load() {
		f.abort(root)
		return
	}
	if err := f.complete(root); err != nil {
		f.abort(root)
		if err := g.refuse(f.v, err); err != nil {
			g.cancel(err)
		}
		return
	}
	g.mu.Lock()
	g.report.Files++
	g.report.Bytes += f.v.Size
	g.mu.Unlock()
	g.meter.files.Add(1)
}

func (f *outFile) complete(root *os.Root) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fh == nil { // empty, one hole, or closed meanwhile
		if err := f.create(root); err != nil {
			return err
		}
	}
	err := f.fh.Chmod(fileMode(f.v.Mode))
	if err == nil {
		err = syncEach(f.fh)
	}
	if err = errors.Join(err, f.fh.Close()); err != nil {
		return err
	}
	f.fh = nil
	t := time.Unix(0, f.v.ModTime)
	if err := root.Chtimes(f.temp(), t, t); err != nil {
		return err
	}
	if err := root.Rename(f.temp(), f.local); err != nil {
		return err
	}
	f.made = false
	return nil
}

// fileMode turns permission bits into Go's form.
func fileMode(bits uint32) os.FileMode {
	m := os.FileMode(bits & 0o777)
	for _, b := range []struct {
		bit  uint32
		mode os.FileMode
	}{{0o4000, os.ModeSetuid}, {0o2000, os.ModeSetgid}, {0o1000, os.ModeSticky}} {
		if bits&b.bit != 0 {
			m |= b.mode
		}
	}
	return m
}

// link makes a symlink under a temporary name and moves it into place.
func (g *get) link(local string, v *catalog.Version) error {
	f := &outFile{v: v, local: local}
	err := g.root.Symlink(v.Target, f.temp())
	if errors.Is(err, os.ErrExist) {
		if err = g.root.Remove(f.temp()); err == nil {
			err = g.root.Symlink(v.Target, f.temp())
		}
	}
	if err == nil {
		err = errors.Join(setLinkTime(g.root, f.temp(), v.ModTime), g.root.Rename(f.temp(), local))
	}
	return err
}

func setFolder(root *os.Root, local string, v *catalog.Version) error {
	t := time.Unix(0, v.ModTime)
	return errors.Join(root.Chtimes(local, t, t), root.Chmod(local, fileMode(v.Mode)))
}

// byChunk groups uses of the same chunk, in the order of the segment.
func byChunk(uses []use) [][]use {
	slices.SortStableFunc(uses, func(a, b use) int { return a.row.Off - b.row.Off })
	var out [][]use
	for len(uses) > 0 {
		n := 1
		for n < len(uses) && uses[n].row.ID == uses[0].row.ID {
			n++
		}
		out = append(out, uses[:n])
		uses = uses[n:]
	}
	return out
}
