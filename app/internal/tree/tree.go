// SPDX-License-Identifier: MPL-2.0

// Package tree says whether what came back is what went away: it scans a file
// or folder and compares a second one with it, entry by entry, down to the
// SHA-256 of every file. The demo and the benchmark end with it, since speed
// without the right bytes is worth nothing.
package tree

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"golang.org/x/sync/errgroup"
)

// node is what a file, folder or link must still be after the way there and
// back.
type node struct {
	mode   fs.FileMode // type, permission, setuid, setgid and sticky bits
	size   int64       // of files
	mtime  time.Time
	target string // of links
}

// Tree is a scanned file or folder.
type Tree struct {
	Special []string // sockets, pipes and devices, which nobody can keep
	Bytes   int64    // in files
	Files   int64
	Folders int64
	Links   int64

	root  string
	nodes map[string]node // by name relative to root; "." is root itself
}

// Counts says in words how many entries of which kind there are.
func (t *Tree) Counts() string {
	s := count(t.Files, "file")
	if t.Folders > 0 {
		s += ", " + count(t.Folders, "folder") + ", " + count(t.Links, "link")
	}
	return s
}

func count(n int64, what string) string {
	return humanize.Comma(n) + " " + english.PluralWord(int(n), what, "")
}

// Scan walks root without following links.
func Scan(ctx context.Context, root string) (*Tree, error) {
	t := &Tree{root: root, nodes: map[string]node{}}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		n := node{mode: fi.Mode(), mtime: fi.ModTime()}
		switch fi.Mode().Type() {
		case 0:
			n.size = fi.Size()
			t.Files++
			t.Bytes += n.size
		case fs.ModeDir:
			t.Folders++
		case fs.ModeSymlink:
			t.Links++
			// Of a link only the target is kept: its mode means nothing on
			// Linux, and its time is nothing a person sets.
			n = node{mode: fs.ModeSymlink}
			if n.target, err = os.Readlink(p); err != nil {
				return err
			}
		default:
			t.Special = append(t.Special, rel)
			return nil
		}
		t.nodes[rel] = n
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(t.nodes) == 0 {
		return nil, fmt.Errorf("%s is not a file, folder or link", root)
	}
	return t, nil
}

// maxDifferences is how many differences are told; more only repeat.
const maxDifferences = 20

// Compare checks that back holds the same entries with the same modes, times,
// link targets and bytes as the scanned tree, which must not have changed
// since. It gives the number of entries compared; the error tells the first
// differences.
func (t *Tree) Compare(ctx context.Context, back string) (int64, error) {
	now, err := Scan(ctx, t.root)
	if err != nil {
		return 0, err
	}
	got, err := Scan(ctx, back)
	if err != nil {
		return 0, err
	}
	var bad []string
	note := func(name, format string, a ...any) {
		bad = append(bad, fmt.Sprintf("%q: ", name)+fmt.Sprintf(format, a...))
	}
	var files []string
	for _, name := range slices.Sorted(maps.Keys(t.nodes)) {
		w := t.nodes[name]
		g, ok := got.nodes[name]
		switch {
		case now.nodes[name] != w && !w.mode.IsDir():
			note(name, "changed at its source since it was scanned, so there is nothing to compare with")
		case !ok:
			note(name, "did not come back")
		case g.mode != w.mode:
			note(name, "has mode %v, had %v", g.mode, w.mode)
		case g.size != w.size:
			note(name, "has %d bytes, had %d", g.size, w.size)
		case g.target != w.target:
			note(name, "points to %q, did to %q", g.target, w.target)
		case !g.mtime.Equal(w.mtime):
			note(name, "has time %v, had %v", g.mtime, w.mtime)
		case w.mode.IsRegular():
			files = append(files, name)
		}
	}
	for name := range got.nodes {
		if _, ok := t.nodes[name]; !ok {
			note(name, "came back but was never there")
		}
	}
	differ, err := differing(ctx, files, t.root, back)
	if err != nil {
		return 0, err
	}
	for _, name := range differ {
		note(name, "has another SHA-256")
	}
	if len(bad) > 0 {
		more := ""
		if n := len(bad) - maxDifferences; n > 0 {
			bad, more = bad[:maxDifferences], fmt.Sprintf("\n  and %d more", n)
		}
		return 0, fmt.Errorf("what came back differs:\n  %s%s", strings.Join(bad, "\n  "), more)
	}
	return int64(len(t.nodes)), nil
}

// differing gives the names whose SHA-256 differ below the two roots.
func differing(ctx context.Context, names []string, a, b string) ([]string, error) {
	equal := make([]bool, len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for i, name := range names {
		g.Go(func() error {
			x, err := sum(ctx, filepath.Join(a, name))
			if err != nil {
				return err
			}
			y, err := sum(ctx, filepath.Join(b, name))
			equal[i] = x == y
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var differ []string
	for i, name := range names {
		if !equal[i] {
			differ = append(differ, name)
		}
	}
	return differ, nil
}

func sum(ctx context.Context, name string) (out [sha256.Size]byte, err error) {
	if err := ctx.Err(); err != nil {
		return out, err
	}
	f, err := os.Open(name)
	if err != nil {
		return out, err
	}
	defer f.Close() // only read from
	h := sha256.New()
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, 256<<10)); err != nil {
		return out, err
	}
	h.Sum(out[:0])
	return out, nil
}
