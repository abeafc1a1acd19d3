// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/peers/said"
)

// usesPerBatch bounds how many chunks a get plans ahead.
const usesPerBatch = 16 << 10

// get is one running Get.
type get struct {
	e      *Engine
	ctx    context.Context
	cancel context.CancelCauseFunc
	o      GetOptions
	meter  *meter
	bytes  bytePool
	blames blames
	fetch  *fetcher
	view   catalog.View
	root   *os.Root
	names  *localNames
	mark   [4]byte // of this run's temporary files

	open  atomic.Int64  // files
	slots chan struct{} // one for each segment in memory

	mu     sync.Mutex // guards report
	report GetReport

	folders []folderEnd
}

// folderEnd is a folder's mode and time, set when all in it is there.
type folderEnd struct {
	local string
	v     *catalog.Version
}

// Get brings files and folders back into o.To. Each file appears whole, with
// its time and mode, or not at all. Nothing in o.To is replaced unless
// o.Overwrite says so, and nothing outside of o.To is ever written. The report
// is valid, as far as it goes, also with an error; ErrNotBack means that some
// files, named in it, could not be brought back.
func (e *Engine) Get(ctx context.Context, o GetOptions, progress func(Progress)) (*GetReport, error) {
	g := &get{e: e, o: o, meter: newMeter(StageScan, progress), names: namesFor(runtime.GOOS)}
	defer g.meter.close()
	g.ctx, g.cancel = context.WithCancelCause(ctx)
	defer g.cancel(nil)
	e.foreground.Add(1)
	defer e.foreground.Add(-1)
	err := g.run()
	g.report.Elapsed = g.meter.elapsed()
	if g.fetch != nil {
		g.report.Fetched, g.report.Rebuilt = g.fetch.fetched.Load(), g.fetch.rebuilt.Load()
	}
	g.report.Blamed = g.blames.all()
	if err == nil {
		for _, p := range g.report.Problems {
			if p.Failed {
				err = ErrNotBack
			}
		}
	}
	return &g.report, err
}

// wanted is one thing a person named.
type wanted struct {
	top    catalog.Version // its zero value means everything
	parent string          // the part of the path that stays behind
	fresh  bool            // nothing of it is in the target folder yet
}

// relative is a path below w as it stands in the target folder, on a system
// that can hold every name.
func (w *wanted) relative(name string) string {
	if w.parent == "" {
		return name
	}
	return name[len(w.parent)+1:]
}

func (g *get) run() error {
	g.view = g.e.viewAt(g.o.At)
	tops, err := g.resolve()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(g.o.To, 0o777); err != nil {
		return said.Wrap(plain(err), "folder-unmade", "cannot make the folder \"{path}\": {why}", "path", g.o.To)
	}
	if g.root, err = os.OpenRoot(g.o.To); err != nil {
		return said.Wrap(plain(err), "folder-closed", "cannot open the folder \"{path}\": {why}", "path", g.o.To)
	}
	defer g.root.Close()
	release, err := g.e.targets.claim(g.root)
	if err != nil {
		return err
	}
	defer release()
	rand.Read(g.mark[:])
	if err := g.check(tops); err != nil {
		return err
	}
	g.fetch = g.e.newFetcher(&g.blames)
	g.fetch.patient, g.fetch.waits = true, g.meter.set
	widest, err := g.e.cat.Widest(g.ctx)
	if err != nil {
		return err
	}
	g.slots = make(chan struct{}, segmentsInMemory(widest))
	g.meter.set(StageGet)
	b := &batch{get: g, at: place{root: g.root}}
	if g.o.Resume {
		g.sweep(g.root)
		b.at.look = g.sweep
	}
	for i := range tops {
		err = g.each(&tops[i], b.add)
		if err != nil {
			break
		}
	}
	err = errors.Join(err, b.finish(err == nil))
	if err != nil {
		return err
	}
	g.setFolders()
	if err := syncTree(g.o.To); err != nil {
		return fmt.Errorf("cannot make the files in %q durable: %w", g.o.To, err)
	}
	return nil
}

// setFolders gives the folders their times and modes: from the top down, which
// is one step for each, and from the bottom up those that nobody could go
// through any more afterwards.
func (g *get) setFolders() {
	set := func(root *os.Root, local string, f *folderEnd) {
		if err := setFolder(root, local, f.v); err != nil {
			g.problem(f.v.Path, false, said.Because(plain(err), "time-mode", "its time or mode could not be set: {why}"))
		}
	}
	at := place{root: g.root}
	defer at.close()
	var closed []*folderEnd
	for i := range g.folders {
		f := &g.folders[i]
		if f.v.Mode&0o700 != 0o700 {
			closed = append(closed, f)
			continue
		}
		root, err := at.in(path.Dir(f.local))
		if err != nil {
			g.problem(f.v.Path, false, said.Because(plain(err), "time-mode", "its time or mode could not be set: {why}"))
			continue
		}
		set(root, path.Base(f.local), f)
	}
	for _, f := range slices.Backward(closed) {
		set(g.root, f.local, f)
	}
}

// resolve looks the names up and refuses two that would land on each other.
func (g *get) resolve() ([]wanted, error) {
	if !filepath.IsAbs(g.o.To) {
		return nil, fmt.Errorf("%q is not an absolute path", g.o.To)
	}
	var tops []wanted
	seen := map[string]Path{}
	for _, name := range g.o.Names {
		if name == "" {
			tops = append(tops, wanted{})
			continue
		}
		if err := checkPath(name); err != nil {
			return nil, err
		}
		v, err := g.named(string(name))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", string(name), err)
		}
		parent, base := catalog.SplitPath(v.Path)
		if other, ok := seen[base]; ok {
			return nil, said.Error("same-name", "\"{first}\" and \"{second}\" would both become \"{name}\": bring them back one at a time, into two folders", "first", string(other), "second", string(name), "name", base)
		}
		seen[base] = name
		tops = append(tops, wanted{top: v, parent: parent})
	}
	if len(tops) == 0 {
		return nil, errors.New("nothing to bring back: name a file or folder")
	}
	if len(tops) > 1 && len(seen) < len(tops) {
		return nil, errors.New("everything, and more: name either everything or some files and folders")
	}
	return tops, nil
}

// named looks one name up.
func (g *get) named(name string) (catalog.Version, error) {
	if g.o.Number == 0 {
		return g.view.Version(g.ctx, name)
	}
	v, err := g.e.cat.Numbered(g.ctx, name, g.o.Number)
	if err == nil && v.Kind == catalog.Folder {
		err = errFolderNumber
	}
	return v, err
}

// each calls f for everything that w names.
func (g *get) each(w *wanted, f func(w *wanted, v *catalog.Version) error) error {
	if w.top.Kind != 0 {
		if err := f(w, &w.top); err != nil {
			return err
		}
		if w.top.Kind != catalog.Folder {
			return nil
		}
	}
	return g.view.Below(g.ctx, w.top.Path, func(v *catalog.Version) error {
		if !under(v.Path, w.top.Path) || !validPath(v.Path) {
			return fmt.Errorf("the catalog names %q, which could climb out of the folder: it is damaged", v.Path)
		}
		return f(w, v)
	})
}

// local is where a version goes, relative to the target folder.
func (g *get) local(w *wanted, path string) string {
	var out strings.Builder
	folder := ""
	for part := range strings.SplitSeq(w.relative(path), "/") {
		if out.Len() > 0 {
			out.WriteByte('/')
		}
		out.WriteString(g.names.local(folder, part))
		folder += "/" + part
	}
	return out.String()
}

// check looks for files that are there already, before anything is written,
// and counts what will come.
func (g *get) check(tops []wanted) error {
	var there []string
	more := 0
	for i := range tops {
		w := &tops[i]
		if w.top.Kind != 0 {
			_, err := g.root.Lstat(g.local(w, w.top.Path))
			w.fresh = errors.Is(err, os.ErrNotExist)
		}
		err := g.each(w, func(w *wanted, v *catalog.Version) error {
			if v.Kind == catalog.File {
				g.meter.totalFiles.Add(1)
				g.meter.totalBytes.Add(v.Size)
			}
			local := g.local(w, v.Path)
			if w.fresh || g.o.Overwrite {
				return nil
			}
			fi, err := g.root.Lstat(local)
			if err != nil || fi.IsDir() && v.Kind == catalog.Folder ||
				g.o.Resume && (asKept(fi, v) || g.sameLink(local, v)) {
				return nil
			}
			if len(there) < 3 {
				there = append(there, fmt.Sprintf("%q", local))
			} else {
				more++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	g.meter.totalKnown.Store(true)
	if len(there) == 0 {
		return nil
	}
	list := strings.Join(there, ", ")
	if more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return said.Wrap(ErrExists, "there-already", "{names} {why} in \"{path}\": nothing was changed; use --overwrite to replace, --resume to go on with an interrupted get, or another folder", "names", list, "path", g.o.To)
}

// sameLink tells whether a local symlink is the version.
func (g *get) sameLink(local string, v *catalog.Version) bool {
	target, err := g.root.Readlink(local)
	return err == nil && v.Kind == catalog.Symlink && target == v.Target
}

// asKept tells whether a local file looks like the version.
func asKept(fi os.FileInfo, v *catalog.Version) bool {
	switch v.Kind {
	case catalog.File:
		return fi.Mode().IsRegular() && fi.Size() == v.Size && fi.ModTime().UnixNano() == v.ModTime
	case catalog.Folder:
		return fi.IsDir()
	}
	return false // a link costs nothing to make again
}

func (g *get) problem(path string, failed bool, note said.Note) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.report.Problems = append(g.report.Problems,
		Problem{Path: Path(path), RawPath: Path(path).Bytes(), Said: note, Failed: failed})
}
