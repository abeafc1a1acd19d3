// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/preezm/preezm/engine/catalog"
)

// place is the target folder as one goroutine sees it. It keeps the subfolder
// open in which it worked last, since each step of a path costs system calls
// and files come folder by folder.
type place struct {
	root *os.Root
	look func(*os.Root) // called with each subfolder that is opened
	dir  string
	sub  *os.Root
}

// in gives the folder dir, relative to the target.
func (p *place) in(dir string) (*os.Root, error) {
	if dir == "." {
		return p.root, nil
	}
	if p.sub != nil && p.dir == dir {
		return p.sub, nil
	}
	// Into a subfolder is one step; from the top it is as many as it is deep.
	from, rest := p.root, dir
	if p.sub != nil && len(dir) > len(p.dir) && dir[len(p.dir)] == '/' && dir[:len(p.dir)] == p.dir {
		from, rest = p.sub, dir[len(p.dir)+1:]
	}
	sub, err := from.OpenRoot(rest)
	if err != nil {
		return nil, err
	}
	p.close()
	p.dir, p.sub = dir, sub
	if p.look != nil {
		p.look(sub)
	}
	return sub, nil
}

func (p *place) close() {
	if p.sub != nil {
		p.sub.Close()
		p.sub = nil
	}
}

// outFile is a file being brought back, in a temporary one beside it.
type outFile struct {
	v      *catalog.Version
	dir    string // relative to the target
	name   string
	temp   string
	sparse bool // written in more than one place: give it its length first
	left   atomic.Int64
	failed atomic.Bool
	mu     sync.Mutex
	fh     *os.File
	made   bool
}

// The temporary name of a file is short enough for any file system, and no
// other run's: a file that somebody else is writing is never taken for ours.
const (
	tempPrefix = ".preezm-"
	tempSuffix = ".part"
)

func (g *get) newOutFile(v *catalog.Version, local string) *outFile {
	sum := sha256.Sum256([]byte(local))
	return &outFile{
		v: v, dir: path.Dir(local), name: path.Base(local),
		temp: fmt.Sprintf("%s%x-%x%s", tempPrefix, g.mark, sum[:8], tempSuffix),
	}
}

// sweep removes what an interrupted get left in a folder. Only a get that
// resumes one does that.
func (g *get) sweep(root *os.Root) {
	d, err := root.Open(".")
	if err != nil {
		return
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1000)
		for _, n := range names {
			mine := strings.HasPrefix(n, fmt.Sprintf("%s%x", tempPrefix, g.mark))
			if strings.HasPrefix(n, tempPrefix) && strings.HasSuffix(n, tempSuffix) && !mine {
				if err := root.Remove(n); err != nil {
					g.e.log.Warn("a temporary file is left", "file", n, "err", err)
				}
			}
		}
		if err != nil {
			return
		}
	}
}

// maxOpen bounds the files that a get holds open. More can be unfinished at
// once when their chunks lie scattered; those are opened again when needed.
const maxOpen = 256

// write puts data at its place in f.
func (g *get) write(at *place, f *outFile, data []byte, off int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := g.opened(at, f); err != nil {
		return err
	}
	if _, err := f.fh.WriteAt(data, off); err != nil {
		return err
	}
	if f.sparse {
		startWriteback(f.fh, off, int64(len(data)))
	}
	if g.open.Load() > maxOpen {
		return g.closed(f)
	}
	return nil
}

// opened sees to it that f.fh is there. The caller holds f.mu.
func (g *get) opened(at *place, f *outFile) error {
	if f.fh != nil {
		return nil
	}
	root, err := at.in(f.dir)
	if err != nil {
		return err
	}
	flags := os.O_RDWR
	if !f.made {
		flags |= os.O_CREATE | os.O_EXCL
	}
	if f.fh, err = root.OpenFile(f.temp, flags, 0o600); err != nil {
		f.fh = nil
		return err
	}
	g.open.Add(1)
	fresh := !f.made
	f.made = true
	if fresh && f.sparse {
		return f.fh.Truncate(f.v.Size)
	}
	return nil
}

// closed closes f.fh. The caller holds f.mu.
func (g *get) closed(f *outFile) error {
	if f.fh == nil {
		return nil
	}
	g.open.Add(-1)
	err := f.fh.Close()
	f.fh = nil
	return err
}

// abort removes what was written of a file that is not complete.
func (g *get) abort(at *place, f *outFile) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := g.closed(f)
	if f.made {
		f.made = false
		root, inErr := at.in(f.dir)
		if err = errors.Join(err, inErr); inErr == nil {
			err = errors.Join(err, root.Remove(f.temp))
		}
	}
	if err != nil {
		g.e.log.Warn("a temporary file is left", "file", f.temp, "err", err)
	}
}

// settle ends one thing that a file waited for; after the last one the file
// gets its mode, time and name.
func (g *get) settle(at *place, f *outFile) {
	if f.left.Add(-1) > 0 {
		return
	}
	if f.failed.Load() {
		g.abort(at, f)
		return
	}
	if err := g.complete(at, f); err != nil {
		g.abort(at, f)
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

func (g *get) complete(at *place, f *outFile) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := g.opened(at, f); err != nil { // empty, one hole, or closed meanwhile
		return err
	}
	err := f.fh.Chmod(fileMode(f.v.Mode))
	if err == nil && (f.sparse || !syncsTrees) {
		// It has its full length from the start. Without this a power cut could
		// leave it with its name, its length and its time, but not its content.
		err = f.fh.Sync()
	}
	if err = errors.Join(err, g.closed(f)); err != nil {
		return err
	}
	root, err := at.in(f.dir)
	if err != nil {
		return err
	}
	t := time.Unix(0, f.v.ModTime)
	if err := root.Chtimes(f.temp, t, t); err != nil {
		return err
	}
	if err := root.Rename(f.temp, f.name); err != nil {
		return err
	}
	f.made = false
	return nil
}

// fileMode turns permission bits into Go's form. The bits that make a program
// run as its owner or its group are left out: the owner is not kept, so they
// would give the rights of whoever brings the file back.
func fileMode(bits uint32) os.FileMode { return os.FileMode(bits & 0o777) }

// folderMode is fileMode for folders, where the sticky bit protects.
func folderMode(bits uint32) os.FileMode {
	m := fileMode(bits)
	if bits&0o1000 != 0 {
		m |= os.ModeSticky
	}
	return m
}

// link makes a symlink under a temporary name and moves it into place.
func (g *get) link(at *place, local string, v *catalog.Version) error {
	f := g.newOutFile(v, local)
	root, err := at.in(f.dir)
	if err != nil {
		return err
	}
	if err = root.Symlink(v.Target, f.temp); err == nil {
		err = errors.Join(setLinkTime(root, f.temp, v.ModTime), root.Rename(f.temp, f.name))
	}
	return err
}

func setFolder(root *os.Root, local string, v *catalog.Version) error {
	t := time.Unix(0, v.ModTime)
	return errors.Join(root.Chtimes(local, t, t), root.Chmod(local, folderMode(v.Mode)))
}
