// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"sync"
	"syscall"

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
	open []*outFile // planned and perhaps not complete
	at   place
}

// add plans one version. Folders, links and empty files are made at once.
func (b *batch) add(w *wanted, v *catalog.Version) error {
	if err := context.Cause(b.ctx); err != nil {
		return err
	}
	local := b.local(w, v.Path)
	if local != w.relative(v.Path) {
		b.report.Renamed = append(b.report.Renamed, Renamed{Path: Path(v.Path), As: local})
	}
	switch v.Kind {
	case catalog.Folder:
		in, err := b.at.in(path.Dir(local))
		if err != nil {
			return b.refuse(v, err)
		}
		if err := in.Mkdir(path.Base(local), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return b.refuse(v, err)
		} else if err != nil {
			if fi, err := in.Stat(path.Base(local)); err != nil || !fi.IsDir() {
				return b.refuse(v, errors.New("something that is not a folder has its name"))
			}
		}
		b.report.Folders++
		keep := *v
		b.folders = append(b.folders, folderEnd{local, &keep})
		return nil
	case catalog.Symlink:
		if b.o.Resume && b.sameLink(local, v) {
			return nil
		}
		if err := b.link(&b.at, local, v); err != nil {
			return b.refuse(v, err)
		}
		b.report.Symlinks++
		return nil
	}
	if v.Kind != catalog.File {
		return fmt.Errorf("%q is of a kind that this program does not know: update it", v.Path)
	}
	if b.o.Resume {
		if _, err := b.at.in(path.Dir(local)); err != nil { // sweeps it
			return b.refuse(v, err)
		}
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
	f := b.newOutFile(&keep, local)
	f.sparse = len(v.Parts) > 1
	f.left.Store(1)
	ids := catalog.ChunkRows(v.Parts)
	rows, err := b.e.cat.Chunks(b.ctx, ids)
	if errors.Is(err, catalog.ErrGone) {
		b.problem(v.Path, true, "%v", err)
		return nil
	} else if err != nil {
		return err
	}
	if len(ids) > 0 {
		b.open = append(b.open, f)
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
	b.settle(&b.at, f) // all of it is planned
	return nil
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
		b.abort(&b.at, f)
	}
	b.at.close()
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
			j = &segmentJob{get: b.get, id: u.row.Segment, at: place{root: b.root}}
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
	b.open = b.open[:0]
	return nil
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
