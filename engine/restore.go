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
	"github.com/preezm/preezm/peers/said"
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
	looked []planned // whose chunks are not looked up yet
	parts  int       // of them
	uses   []use
	open   []*outFile // planned and perhaps not complete
	at     place
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
				return b.refuse(v, said.Error("name-taken", "something that is not a folder has its name"))
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
	b.looked = append(b.looked, planned{b.newOutFile(&keep, local), v.Parts})
	if b.parts += len(v.Parts); len(b.looked) >= filesPerLook || b.parts >= partsPerLook {
		return b.look()
	}
	return nil
}

// planned is a file to bring back, and what it is made of.
type planned struct {
	f     *outFile
	parts []catalog.Part
}

// The chunks of so many files, or of files of so many parts, are looked up at
// once: a query for each of many small files costs more than their bytes.
const (
	filesPerLook = 512
	partsPerLook = 4096
)

// look finds the chunks of the files planned so far.
func (b *batch) look() error {
	files := b.looked
	b.looked, b.parts = nil, 0
	var ids []int64
	for _, p := range files {
		ids = append(ids, catalog.ChunkRows(p.parts)...)
	}
	rows, err := b.e.cat.Chunks(b.ctx, ids)
	if err != nil && !errors.Is(err, catalog.ErrGone) {
		return err
	}
	for _, p := range files {
		if errors.Is(err, catalog.ErrGone) { // of which one?
			var one error
			if rows, one = b.e.cat.Chunks(b.ctx, catalog.ChunkRows(p.parts)); errors.Is(one, catalog.ErrGone) {
				b.problem(p.f.v.Path, true, said.By(one))
				continue
			} else if one != nil {
				return one
			}
		}
		if err := b.plan(p, rows); err != nil {
			return err
		}
	}
	return nil
}

// plan notes where the chunks of one file go.
func (b *batch) plan(p planned, rows map[int64]catalog.Chunk) error {
	f := p.f
	f.sparse = len(p.parts) > 1
	f.left.Store(1)
	if slices.ContainsFunc(p.parts, func(x catalog.Part) bool { return x.Chunk != 0 }) {
		b.open = append(b.open, f)
	}
	off := int64(0)
	for _, part := range p.parts {
		if part.Hole > 0 {
			off += part.Hole
			f.sparse = true
			b.meter.bytes.Add(part.Hole)
			continue
		}
		f.left.Add(1)
		row := rows[part.Chunk]
		b.uses = append(b.uses, use{f, off, row})
		off += int64(row.Plain)
		if len(b.uses) >= usesPerBatch {
			if err := b.run(); err != nil {
				return err
			}
			b.open = append(b.open, f)
		}
	}
	if off != f.v.Size {
		f.failed.Store(true)
		b.problem(f.v.Path, true, said.As("chunks-damaged", "its list of chunks is damaged in the catalog"))
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
		return said.Wrap(syscall.ENOSPC, "target-full", "\"{path}\": the disk of \"{to}\" is full: make room and repeat with --resume", "path", v.Path, "to", g.o.To)
	}
	g.problem(v.Path, true, said.Because(plain(err), "unwritable", "cannot be written: {why}"))
	return nil
}

// finish runs what is planned; with ok false it only cleans up.
func (b *batch) finish(ok bool) error {
	var err error
	if ok {
		if err = b.look(); err == nil {
			err = b.run()
		}
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
