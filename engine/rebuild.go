// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/preezm/preezm/engine/backup"
	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/seal"
	"github.com/preezm/preezm/engine/segment"
	"github.com/preezm/preezm/peers"
)

// Way leads to a backup: what its head holds.
type Way struct {
	Device      peers.DeviceID // the machine that made it
	Number      uint64
	At          int64
	Rows, Parts []byte
}

// RebuildPrefix begins the names of the folders that Rebuild works in.
const RebuildPrefix = ".rebuild-"

// readWindow bounds the plain bytes that a stream from the circle holds at once.
const readWindow = 16 << 20

// Rebuild makes the catalog of a backup anew in the file at path, which it
// replaces, and returns the notes that the backup holds. cfg.Dir is for what is
// needed on the way. A crash leaves no file at path, or a whole one.
func Rebuild(ctx context.Context, cfg Config, w *Way, path string, progress func(Progress)) (notes map[string][]byte, err error) {
	m := newMeter(StageGet, progress)
	defer m.close()
	tmp, err := workFolder(cfg.Dir, RebuildPrefix)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	cfg.Dir = tmp
	r := &rebuild{ctx: ctx, cfg: cfg, meter: m}

	parts, err := catalog.DecodeParts(w.Parts)
	if err != nil {
		return nil, err
	}
	var index bytes.Buffer
	if err := r.read("head", w.Rows, parts, &index); err != nil {
		return nil, fmt.Errorf("the index of the backup: %w", err)
	}
	way := &noted{notes: map[string][]byte{}}
	if err := backup.Read(bytes.NewReader(index.Bytes()), way); err != nil {
		return nil, fmt.Errorf("the index of the backup: %w", err)
	}
	body, err := catalog.DecodeParts(way.notes[noteParts])
	if err != nil {
		return nil, err
	}
	fresh := filepath.Join(tmp, "catalog.db")
	sink := &building{ctx: ctx, path: fresh, key: cfg.Key, noted: noted{notes: map[string][]byte{}}}
	in, out := io.Pipe()
	var both errgroup.Group
	both.Go(func() error {
		err := r.read("index", index.Bytes(), body, out)
		out.CloseWithError(err)
		return err
	})
	both.Go(func() error {
		err := backup.Read(in, sink)
		if err != nil {
			in.CloseWithError(err)
		}
		return err
	})
	if err := both.Wait(); err != nil {
		return nil, errors.Join(fmt.Errorf("the backup: %w", err), sink.abort())
	}
	// The backup cannot hold its own rows.
	for _, more := range [][]byte{index.Bytes(), w.Rows} {
		if err := sink.more(more); err != nil {
			return nil, errors.Join(err, sink.abort())
		}
	}
	cat, err := sink.b.Finish()
	if err != nil {
		return nil, err
	}
	if _, err = cat.LastBackup(ctx, w.Device); err == nil || errors.Is(err, catalog.ErrNotFound) {
		err = cat.AddBackup(ctx, &catalog.Backup{Device: w.Device, Number: w.Number, Made: w.At, Parts: body, Index: parts}, keptBackups)
	}
	// Closing the last connection leaves one file, without a log beside it.
	if err := errors.Join(err, cat.Close()); err != nil {
		return nil, err
	}
	for _, old := range []string{path + "-wal", path + "-shm"} {
		if err := os.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return sink.notes, os.Rename(fresh, path)
}

// workFolder makes a folder of that beginning in dir, and removes those that a
// run which was killed left there.
func workFolder(dir, prefix string) (string, error) {
	left, err := filepath.Glob(filepath.Join(dir, prefix+"*"))
	if err != nil {
		return "", err
	}
	for _, l := range left {
		if err := os.RemoveAll(l); err != nil {
			return "", err
		}
	}
	return os.MkdirTemp(dir, prefix+"*")
}

type rebuild struct {
	ctx   context.Context
	cfg   Config
	meter *meter
}

// read writes the chunks named by parts, which lie where rows say.
func (r *rebuild) read(name string, rows []byte, parts []catalog.Part, w io.Writer) (err error) {
	dir := filepath.Join(r.cfg.Dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	sink := &building{ctx: r.ctx, path: filepath.Join(dir, "catalog.db"), key: r.cfg.Key, noted: noted{notes: map[string][]byte{}}}
	if err := backup.Read(bytes.NewReader(rows), sink); err != nil {
		return errors.Join(err, sink.abort())
	}
	cat, err := sink.b.Finish()
	if err != nil {
		return err
	}
	e := newEngine(r.cfg, cat)
	defer func() { err = errors.Join(err, e.Close()) }()
	return e.readStream(r.ctx, parts, w, r.meter)
}

// noted takes the notes of a stream and passes over its tables.
type noted struct{ notes map[string][]byte }

func (n *noted) Schema(int) error { return nil }

func (n *noted) Note(name string, value []byte) error {
	n.notes[name] = bytes.Clone(value)
	return nil
}

func (n *noted) Table(string, []string) error { return nil }
func (n *noted) Row([]any) error              { return nil }

// building makes a catalog of a stream.
type building struct {
	noted
	ctx  context.Context
	path string
	key  []byte
	b    *catalog.Builder
}

func (s *building) Schema(steps int) (err error) {
	s.b, err = catalog.NewBuilder(s.ctx, s.path, s.key, steps)
	return err
}

func (s *building) Table(name string, columns []string) error { return s.b.Table(name, columns) }
func (s *building) Row(values []any) error                    { return s.b.Row(values) }

func (s *building) abort() error {
	if s.b == nil {
		return nil
	}
	return s.b.Abort()
}

// more adds the rows of another stream that are not there yet.
func (s *building) more(rows []byte) error {
	s.b.Ignore = true
	return backup.Read(bytes.NewReader(rows), &adding{noted{notes: map[string][]byte{}}, s.b})
}

type adding struct {
	noted
	b *catalog.Builder
}

func (s *adding) Table(name string, columns []string) error { return s.b.Table(name, columns) }
func (s *adding) Row(values []any) error                    { return s.b.Row(values) }

// readStream writes the chunks named by parts, one after the other.
func (e *Engine) readStream(ctx context.Context, parts []catalog.Part, w io.Writer, m *meter) error {
	ids := catalog.ChunkRows(parts)
	rows, err := e.cat.Chunks(ctx, ids)
	if err != nil {
		return err
	}
	for _, c := range rows {
		m.totalBytes.Add(int64(c.Sealed))
	}
	m.totalKnown.Store(true)
	f := e.newFetcher(&blames{})
	f.patient = true
	for len(ids) > 0 {
		n, size := 0, 0
		bySegment := map[int64][]catalog.Chunk{}
		for n < len(ids) && (n == 0 || size+rows[ids[n]].Plain <= readWindow) {
			c := rows[ids[n]]
			bySegment[c.Segment] = append(bySegment[c.Segment], c)
			size += c.Plain
			n++
		}
		plain := map[int64][]byte{}
		for id, chunks := range bySegment {
			if err := e.readChunks(ctx, f, id, chunks, plain); err != nil {
				return err
			}
		}
		for _, id := range ids[:n] {
			if _, err := w.Write(plain[id]); err != nil {
				return err
			}
			m.bytes.Add(int64(rows[id].Sealed))
		}
		ids = ids[n:]
	}
	return nil
}

// readChunks opens some chunks of one segment into plain, by row. Whoever gives
// wrong bytes for them is found out and done without.
func (e *Engine) readChunks(ctx context.Context, f *fetcher, id int64, chunks []catalog.Chunk, plain map[int64][]byte) error {
	seg, err := e.cat.Segment(ctx, id)
	if err != nil {
		return err
	}
	var ranges []segment.Range
	for i := range chunks {
		if !sane(&chunks[i], seg) {
			return fmt.Errorf("chunk %d is damaged in the catalog", chunks[i].ID)
		}
		ranges = append(ranges, segment.Range{Off: chunks[i].Off, Len: chunks[i].Sealed})
	}
	buf := e.segments.get(seg.N)
	defer e.segments.put(buf)
	var all errgroup.Group
	if len(chunks) > 1 { // a single one is waited for
		all.SetLimit(unitsAtOnce)
	}
	for _, u := range segment.Units(ranges, seg.K, seg.ShardLen) {
		all.Go(func() error { return f.unit(ctx, seg, u, columns(buf, seg, u)) })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	checked := false
	for i := 0; i < len(chunks); i++ {
		c := &chunks[i]
		p, err := OpenChunk(make([]byte, 0, c.Plain), nil, c.Name, c.Key, c.Zstd, c.Plain, buf[c.Off:c.Off+c.Sealed])
		if errors.Is(err, seal.ErrAuthentic) && !checked {
			checked = true
			if err := f.recheck(ctx, seg, buf); err != nil {
				return err
			}
			i--
			continue
		}
		if err != nil {
			return err
		}
		plain[c.ID] = p
	}
	return nil
}
