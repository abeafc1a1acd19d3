// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/chunk"
	"github.com/preezm/preezm/peers/said"
)

// source is a file or folder on this machine and its name in the catalog.
type source struct {
	local string
	path  string
}

// resolve checks the options before anything is done.
func (p *put) resolve(o PutOptions) ([]source, error) {
	if o.Into != "" {
		if err := checkPath(o.Into); err != nil {
			return nil, err
		}
	}
	if len(o.Sources)+len(o.Placed) == 0 {
		return nil, errors.New("nothing to keep: name a file or folder")
	}
	var out []source
	for _, s := range o.Placed {
		if err := checkPath(s.Path); err != nil {
			return nil, err
		}
		if !filepath.IsAbs(s.Local) {
			return nil, fmt.Errorf("%q is not an absolute path", s.Local)
		}
		out = append(out, source{filepath.Clean(s.Local), string(s.Path)})
	}
	for _, s := range o.Sources {
		if !filepath.IsAbs(s) {
			return nil, fmt.Errorf("%q is not an absolute path", s)
		}
		s = filepath.Clean(s)
		if _, err := os.Lstat(s); err != nil {
			return nil, said.Wrap(plain(err), "cannot-read", "cannot read \"{path}\": {why}", "path", s)
		}
		name := filepath.Base(s)
		if !validPath(name) || name == string(filepath.Separator) {
			return nil, said.Error("no-name", "\"{path}\" has no name of its own: name the files and folders in it instead", "path", s)
		}
		next := source{s, catalog.JoinPath(string(o.Into), name)}
		for _, other := range out {
			if other.path == next.path && other.local != next.local {
				return nil, said.Error("kept-same", "\"{first}\" and \"{second}\" would both be kept as \"{name}\": put one of them --into another folder", "first", other.local, "second", next.local, "name", string(next.path))
			}
		}
		if !slices.Contains(out, next) {
			out = append(out, next)
		}
	}
	return out, nil
}

// plain drops the path that os puts into its errors, since ours name it.
func plain(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// count adds up the sources ahead of the scan, for the time left.
func (p *put) count(sources []source) {
	for _, s := range sources {
		err := filepath.WalkDir(s.local, func(local string, d fs.DirEntry, err error) error {
			if p.ctx.Err() != nil {
				return fs.SkipAll
			}
			if err != nil {
				return nil
			}
			if p.skip != nil && p.skip(local, d.IsDir()) {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			if !d.Type().IsRegular() {
				return nil
			}
			if fi, err := d.Info(); err == nil {
				p.meter.totalFiles.Add(1)
				p.meter.totalBytes.Add(fi.Size())
			}
			return nil
		})
		if err != nil {
			return
		}
	}
	p.meter.totalKnown.Store(true)
}

// scanner walks the sources and feeds jobs; one goroutine.
type scanner struct {
	*put
	split *chunk.Splitter
}

func (p *put) scan(sources []source) {
	split, err := chunk.NewSplitter(p.e.secrets.Chunker)
	if err != nil {
		p.fail(fmt.Errorf("chunker: %w", err))
		return
	}
	s := &scanner{p, split}
	for _, src := range sources {
		parent, _ := catalog.SplitPath(src.path)
		if err := s.makeFolders(parent); err != nil {
			p.fail(err)
			return
		}
		had, err := p.e.cat.Version(p.ctx, src.path)
		if err != nil && !errors.Is(err, catalog.ErrNotFound) {
			p.fail(err)
			return
		}
		s.visit(src.local, src.path, had)
	}
}

// makeFolders sees to the folders that --into names.
func (s *scanner) makeFolders(folder string) error {
	if folder == "" {
		return nil
	}
	parent, _ := catalog.SplitPath(folder)
	if err := s.makeFolders(parent); err != nil {
		return err
	}
	v, err := s.e.cat.Version(s.ctx, folder)
	if err == nil && v.Kind == catalog.Folder {
		return nil
	} else if err == nil {
		return said.Error("into-file", "\"{path}\" is kept as a {kind}, so nothing can go into it: choose another folder or remove it first", "path", string(folder), "kind", Kind(v.Kind).String())
	} else if !errors.Is(err, catalog.ErrNotFound) {
		return err
	}
	s.commitEntry(&catalog.Version{Path: folder, Kind: catalog.Folder, Mode: 0o755, ModTime: s.e.now().UnixNano()})
	return nil
}

func (s *scanner) commitEntry(v *catalog.Version) {
	v.Kept, v.Origin = s.e.now().UnixNano(), s.e.device
	s.commits.add(commitItem{version: v})
}

// visit keeps one file, folder or symlink and all below it. had is what the
// catalog knows under that name, or the zero Version.
func (s *scanner) visit(local, path string, had catalog.Version) {
	if s.ctx.Err() != nil {
		return
	}
	fi, err := os.Lstat(local)
	if err != nil {
		s.problem(Path(path), true, said.Because(plain(err), "unreadable", "cannot be read: {why}"))
		return
	}
	kind := kindOf(fi.Mode())
	if s.skip != nil && s.skip(local, kind == catalog.Folder) {
		return
	}
	if had.Kind != 0 && had.Kind != kind && (had.Kind == catalog.Folder || kind == catalog.Folder) {
		s.problem(Path(path), true, said.As("other-kind", "is a {kind} here and kept as a {kept}: remove that one first (preezm rm)", "kind", Kind(kind).String(), "kept", Kind(had.Kind).String()))
		return
	}
	v := &catalog.Version{
		Path: path, Kind: kind, Mode: modeBits(fi), ModTime: fi.ModTime().UnixNano(), Source: sourceOf(fi),
	}
	switch kind {
	case catalog.Folder:
		s.visitFolder(local, v, had)
	case catalog.Symlink:
		s.reportMu.Lock()
		s.report.Symlinks++
		s.reportMu.Unlock()
		if v.Target, err = os.Readlink(local); err != nil {
			s.problem(Path(path), true, said.Because(plain(err), "unreadable", "cannot be read: {why}"))
		} else if had.Kind != kind || had.Target != v.Target || had.ModTime != v.ModTime {
			s.commitEntry(v)
		}
	case catalog.File:
		s.reportMu.Lock()
		s.report.Files++
		s.report.Bytes += fi.Size()
		s.reportMu.Unlock()
		if same(&had, v, fi.Size()) && !s.dead(&had) {
			s.reportMu.Lock()
			s.report.Unchanged++
			s.reportMu.Unlock()
			s.meter.files.Add(1)
			s.meter.bytes.Add(fi.Size())
			return
		}
		s.meter.working(path)
		s.visitFile(local, v, fi.Size(), had.Parts)
	default:
		s.problem(Path(path), false, said.As("no-file", "is not a file, a folder or a link ({kind}): left out", "kind", fi.Mode().Type().String()))
	}
}

// same tells whether a file still is as it was kept.
func same(had, now *catalog.Version, size int64) bool {
	return had.Kind == catalog.File && !had.Torn && had.Size == size && had.ModTime == now.ModTime &&
		had.Mode == now.Mode && had.Source == now.Source
}

// dead tells whether a version needs a chunk that can no longer be brought
// back.
func (p *put) dead(v *catalog.Version) bool {
	return len(p.deadChunks) > 0 && slices.ContainsFunc(v.Parts, func(x catalog.Part) bool { return p.deadChunks[x.Chunk] })
}

// justNow is the grain of a file system's clock: a file that changed so
// shortly before it was read may change again without another time.
const justNow = 20 * time.Millisecond

func kindOf(m fs.FileMode) catalog.Kind {
	switch m.Type() {
	case 0:
		return catalog.File
	case fs.ModeDir:
		return catalog.Folder
	case fs.ModeSymlink:
		return catalog.Symlink
	}
	return 0
}

func (s *scanner) visitFolder(local string, v *catalog.Version, had catalog.Version) {
	s.reportMu.Lock()
	s.report.Folders++
	s.reportMu.Unlock()
	if fi, err := os.Stat(local); err == nil && s.home != nil && os.SameFile(fi, s.home) {
		s.problem(Path(v.Path), false, said.As("home-left-out", "is the home folder of this program, keys and all: left out"))
		return
	}
	names, err := os.ReadDir(local)
	if err != nil {
		s.problem(Path(v.Path), true, said.Because(plain(err), "unreadable", "cannot be read: {why}"))
		return
	}
	known := map[string]catalog.Version{}
	if had.Kind == catalog.Folder {
		children, err := s.e.cat.Children(s.ctx, v.Path)
		if err != nil {
			s.fail(err)
			return
		}
		for _, c := range children {
			_, name := catalog.SplitPath(c.Path)
			known[name] = c
		}
	}
	if had.Kind != v.Kind || had.Mode != v.Mode || had.ModTime != v.ModTime {
		s.commitEntry(v)
	}
	for _, d := range names {
		name := d.Name()
		s.visit(filepath.Join(local, name), catalog.JoinPath(v.Path, name), known[name])
	}
}

// visitFile reads a file. One that changes meanwhile is read once more; if it
// changes again, what was read is kept and marked.
func (s *scanner) visitFile(local string, v *catalog.Version, announced int64, had []catalog.Part) {
	for try := 0; ; try++ {
		f := &fileJob{v: *v}
		f.open.Store(1)
		changed, err := s.read(local, f, had)
		if err != nil || s.ctx.Err() != nil {
			f.bad.Store(true)
			if err != nil && s.ctx.Err() == nil {
				s.problem(Path(v.Path), true, said.Because(plain(err), "unreadable", "cannot be read: {why}"))
			}
			return
		}
		if changed && try == 0 {
			f.bad.Store(true)
			continue
		}
		if f.v.Torn = changed; changed {
			s.problem(Path(v.Path), false, said.As("torn", "changed while it was read, twice: what was read is kept, but parts may not fit together; put it again when it is at rest"))
		}
		s.reportMu.Lock()
		s.report.Bytes += f.v.Size - announced // it may have grown or shrunk
		s.reportMu.Unlock()
		s.release(f)
		return
	}
}

var errShrunk = said.Error("file-shrank", "the file became shorter while it was read")

// read sends the file's content on its way and tells whether it changed
// meanwhile.
func (s *scanner) read(local string, f *fileJob, had []catalog.Part) (changed bool, err error) {
	file, err := openForRead(local)
	if err != nil {
		return false, err
	}
	defer file.Close()
	before, err := file.Stat()
	if err != nil {
		return false, err
	}
	if !before.Mode().IsRegular() {
		return false, said.Error("no-longer-file", "is no longer a file")
	}
	size := before.Size()
	f.v.ModTime, f.v.Mode, f.v.Source = before.ModTime().UnixNano(), modeBits(before), sourceOf(before)
	if c := f.v.Source.CTime; c != 0 && time.Now().UnixNano()-c < int64(justNow) {
		f.v.Source = catalog.Source{} // looks unlike itself next time
	}
	if size <= chunk.Min {
		err = s.readSmall(file, size, f)
	} else {
		err = s.readLarge(file, before, f, had)
	}
	if errors.Is(err, errShrunk) {
		err, changed = nil, true
	}
	if err != nil {
		return false, err
	}
	f.v.Size = f.size
	after, err := file.Stat()
	if err != nil {
		return false, err
	}
	return changed || after.Size() != f.size || !after.ModTime().Equal(before.ModTime()) ||
		sourceOf(after) != sourceOf(before), nil
}

// readSmall makes one chunk of a file that is too short to cut.
func (s *scanner) readSmall(file *os.File, size int64, f *fileJob) error {
	if size == 0 {
		return nil
	}
	buf := s.bytes.get(int(size))
	n, err := io.ReadFull(file, *buf)
	*buf = (*buf)[:n]
	if n > 0 {
		s.send(f, buf)
	} else {
		s.bytes.put(buf)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errShrunk
	}
	return err
}

const (
	// soonerTries new chunks in a row are looked through for a place where the
	// cuts of the last version begin again. It saves about two chunks for each
	// change of a file: little beside a change that is longer, and each try
	// costs several times what a cut does.
	soonerTries = 16
	// mostFormer bounds the chunks of the last version that are known for that.
	mostFormer = 1 << 17
)

// former gives the chunks of the last version of a file by their lengths.
func (s *scanner) former(had []catalog.Part) map[int][]chunk.ID {
	rows := catalog.ChunkRows(had)
	if len(rows) == 0 || len(rows) > mostFormer {
		return nil
	}
	chunks, err := s.e.cat.Chunks(s.ctx, rows)
	if err != nil { // it only costs the place where they begin again
		return nil
	}
	out := make(map[int][]chunk.ID, len(chunks))
	for _, c := range chunks {
		out[c.Plain] = append(out[c.Plain], c.Name)
	}
	return out
}

// readLarge cuts each run of data by content and keeps holes as holes. had is
// what the last version consists of.
func (s *scanner) readLarge(file *os.File, fi fs.FileInfo, f *fileJob, had []catalog.Part) error {
	size := fi.Size()
	former, fresh := s.former(had), 0
	there := func(piece []byte) bool {
		// Nearly always the length alone says no.
		names := former[len(piece)]
		return len(names) > 0 && slices.Contains(names, s.e.namer.Name(piece))
	}
	for pos := int64(0); pos < size; {
		data, end, err := nextData(file, fi, pos)
		if err != nil {
			return err
		}
		if data > pos {
			s.hole(f, data-pos)
		}
		if data == end {
			return nil
		}
		s.split.Reset(io.NewSectionReader(file, data, end-data))
		for got := data; ; {
			piece, err := s.split.Next()
			if errors.Is(err, io.EOF) {
				if got < end {
					return errShrunk
				}
				break
			} else if err != nil {
				return err
			}
			if err := s.ctx.Err(); err != nil {
				return err
			}
			if len(piece) >= chunk.Min && allZero(piece) {
				got += int64(len(piece))
				s.hole(f, int64(len(piece)))
				continue
			}
			if len(former[len(piece)]) > 0 {
				fresh = 0
			} else if fresh++; former != nil && fresh <= soonerTries {
				if short := s.split.Sooner(there); short != nil {
					piece = short
				}
			}
			got += int64(len(piece))
			buf := s.bytes.get(len(piece))
			copy(*buf, piece)
			s.send(f, buf)
		}
		pos = end
	}
	return nil
}

func (s *scanner) hole(f *fileJob, n int64) {
	f.addPart(catalog.Part{Hole: n})
	f.size += n
	s.meter.bytes.Add(n)
}

func (s *scanner) send(f *fileJob, buf *[]byte) {
	f.size += int64(len(*buf))
	f.open.Add(1)
	i := f.addPart(catalog.Part{})
	select {
	case s.jobs <- chunkJob{f, i, buf}:
	case <-s.ctx.Done():
	}
}

var zeros [4096]byte

func allZero(b []byte) bool {
	for len(b) > len(zeros) {
		if string(b[:len(zeros)]) != string(zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return string(b) == string(zeros[:len(b)])
}
