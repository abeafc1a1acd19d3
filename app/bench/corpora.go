// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/internal/proc"
	"github.com/preezm/preezm/app/node"
)

// What is measured beside the big file and the small ones.
const (
	putMedium work = "put medium files"
	getMedium work = "get medium files"
	putText   work = "put text"
	getText   work = "get text"
	putSource work = "put a source tree"
	getSource work = "get a source tree"
	putInsert work = "put after 1 % was inserted"
	listMany  work = "list many files"
)

// corpora are the works with no ceiling, in the order of the table.
var corpora = []work{putMedium, getMedium, putText, getText, putSource, getSource, putInsert, listMany, repairBig, getRepaired}

// firstByte is the time to the first byte of a range in the middle of the big
// file, of a running node.
const firstByte waiting = "first byte of a range"

const (
	mediumSize = 5 << 20
	rangeReads = 41
)

// writeMedium writes n random files of mediumSize.
func writeMedium(ctx context.Context, root string, n int) error {
	src := rand.NewChaCha8([32]byte([]byte("preezm bench: medium size files.")))
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	buf := make([]byte, mediumSize)
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		src.Read(buf) // never fails
		if err := os.WriteFile(filepath.Join(root, smallName(i)), buf, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// writeText writes size bytes of words in lines: text that no two chunks of
// are alike, and that compresses about as well as prose.
func writeText(name string, size int64) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	r := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 4096)
	for i := range words {
		b := make([]byte, 2+r.IntN(9))
		for j := range b {
			b[j] = 'a' + byte(r.IntN(26))
		}
		words[i] = string(b)
	}
	for n := int64(0); n < size; {
		// Few words are frequent, as in a language.
		word := words[int(float64(len(words))*r.Float64()*r.Float64()*r.Float64())]
		sep := byte(' ')
		if r.IntN(12) == 0 {
			sep = '\n'
		}
		k, err := w.WriteString(word)
		if err != nil {
			return err
		}
		if err := w.WriteByte(sep); err != nil {
			return err
		}
		n += int64(k) + 1
	}
	return w.Flush()
}

// writeInserted writes a file's content with a hundredth of its length of other
// bytes inserted in the middle.
func writeInserted(from, to string, size int64) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // only read from
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	src := rand.NewChaCha8([32]byte([]byte("preezm bench: what is inserted..")))
	for _, part := range []struct {
		r io.Reader
		n int64
	}{{in, size / 2}, {src, size / 100}, {in, size - size/2}} {
		if _, err := io.CopyN(out, part.r, part.n); err != nil {
			return err
		}
	}
	return nil
}

// writeMany writes n files of a few bytes, a thousand to a folder.
func writeMany(ctx context.Context, root string, n int) error {
	for i := range n {
		dir := filepath.Join(root, fmt.Sprintf("%03d", i/1000))
		if i%1000 == 0 {
			if err := errors.Join(ctx.Err(), os.MkdirAll(dir, 0o755)); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, smallName(i)), []byte(smallName(i)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// sourceTree is where the toolchain's own sources are, with what is in them;
// empty when this machine has none.
func sourceTree(ctx context.Context) (dir string, bytes int64, files int) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", 0, 0
	}
	dir = filepath.Join(strings.TrimSpace(string(out)), "src")
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			bytes += fi.Size()
			files++
		}
		return err
	})
	if err != nil || files == 0 {
		return "", 0, 0
	}
	return dir, bytes, files
}

// pieces is what the keepers' disks hold of others, as allocated.
func pieces(f *e2e.Fleet) (n int64) {
	for _, k := range f.Keepers {
		n += allocated(filepath.Join(k.Dir, "depot", "shards"))
	}
	return n
}

// putMeasured is put, with what it took on the keepers' disks.
func (b *bench) putMeasured(ctx context.Context, f *e2e.Fleet, s sample, source string) error {
	before := pieces(f)
	if err := b.put(ctx, f, s, source); err != nil {
		return err
	}
	b.samples[len(b.samples)-1].allocated = pieces(f) - before
	return nil
}

// preezmCorpora puts and gets what is neither one random file nor small ones.
func (b *bench) preezmCorpora(ctx context.Context, dir string) (err error) {
	f, err := b.fleet(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	tree, treeBytes, treeFiles := sourceTree(ctx)
	for _, c := range []struct {
		put, get work
		source   string
		bytes    int64
		files    int
	}{
		{putMedium, getMedium, filepath.Join(b.root, "medium"), int64(b.medium) * mediumSize, b.medium},
		{putText, getText, filepath.Join(b.root, "text"), b.text, 1},
		{putSource, getSource, tree, treeBytes, treeFiles},
	} {
		if c.source == "" {
			continue
		}
		s := sample{side: "preezm", bytes: c.bytes, files: c.files, work: c.put}
		if err := b.putMeasured(ctx, f, s, c.source); err != nil {
			return err
		}
		s.work = c.get
		if err := b.get(ctx, f, s, c.source, b.back(dir)); err != nil {
			return err
		}
	}
	return nil
}

// preezmMany lists many files, through a running node.
func (b *bench) preezmMany(ctx context.Context, dir string) (err error) {
	f, err := b.fleet(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := errors.Join(f.Owner.Must(ctx, nil, "put", filepath.Join(b.root, "many")), f.Owner.Start(ctx)); err != nil {
		return err
	}
	s := sample{side: "preezm", files: b.many, work: listMany}
	return b.measure(s, keeperUsage(f), withNode(f, func() (proc.Usage, error) {
		cmd := f.Owner.Command(ctx, "ls", "-R", "many")
		lines := &counter{}
		cmd.Stdout = lines
		p, err := proc.Start(ctx, cmd)
		if err != nil {
			return proc.Usage{}, err
		}
		if err = p.Wait(); err == nil && lines.n < b.many {
			err = fmt.Errorf("listed %d of %d files", lines.n, b.many)
		}
		return p.Usage(), err
	}))
}

// withNode is do, with what the owner's running node cost meanwhile.
func withNode(f *e2e.Fleet, do func() (proc.Usage, error)) func() (proc.Usage, error) {
	return func() (proc.Usage, error) {
		before := proc.Of(f.Owner.About().PID)
		own, err := do()
		node := proc.Of(f.Owner.About().PID)
		node.CPU -= before.CPU
		return own.Add(node), err
	}
}

// counter counts lines.
type counter struct{ n int }

func (c *counter) Write(p []byte) (int, error) {
	c.n += bytes.Count(p, []byte{'\n'})
	return len(p), nil
}

// preezmBigMore measures what comes after the big file was put: a file with
// something inserted, ranges, and the repair of what two lost keepers had.
func (b *bench) preezmBigMore(ctx context.Context, dir string) (err error) {
	f, err := b.fleet(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// The file keeps its name: the insertion is a new version of it.
	place := filepath.Join(dir, "file", "big")
	// What stays in dir is emptied, and these are links to what is put again.
	defer func() { err = errors.Join(err, os.RemoveAll(filepath.Dir(place))) }()
	if err := errors.Join(os.Mkdir(filepath.Dir(place), 0o700), os.Link(b.bigFile, place)); err != nil {
		return err
	}
	if err := f.Owner.Must(ctx, nil, "put", place); err != nil {
		return err
	}
	if err := b.readRanges(ctx, f); err != nil {
		return err
	}
	inserted := filepath.Join(b.root, "inserted")
	if err := errors.Join(os.Remove(place), os.Link(inserted, place)); err != nil {
		return err
	}
	s := sample{side: "preezm", bytes: b.big / 100, files: 1, work: putInsert}
	if err := b.putMeasured(ctx, f, s, place); err != nil {
		return err
	}
	return b.repairs(ctx, dir, f, place)
}

// readRanges reads a byte here and there in the middle of the big file through
// a running node, on a connection that is there, and notes how long each took.
func (b *bench) readRanges(ctx context.Context, f *e2e.Fleet) error {
	if err := f.Owner.Start(ctx); err != nil {
		return err
	}
	api, err := node.Dial(ctx, f.Owner.Dir)
	if err != nil {
		return err
	}
	defer api.Close() // only read from
	for i := range rangeReads {
		off := b.big/4 + int64(i)*(b.big/2)/rangeReads
		t0 := time.Now()
		var first time.Duration
		w := writer(func(p []byte) {
			if first == 0 && len(p) > 0 {
				first = time.Since(t0)
			}
		})
		if _, err := api.Read(ctx, node.ReadOrder{Path: "big", Offset: off, Length: 4096}, w); err != nil {
			return err
		}
		if i > 0 { // the first one makes the connections
			b.took(firstByte, first)
		}
	}
	return f.Owner.Stop(ctx)
}

// writer sees what is written.
type writer func([]byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}
