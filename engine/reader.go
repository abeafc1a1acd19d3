// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/preezm/preezm/engine/catalog"
)

const (
	// readAhead chunks are fetched before they are asked for, when a file is
	// read in order.
	readAhead = 3
	// readKeep chunks of a file stay in memory.
	readKeep = readAhead + 2
)

// Reader reads a kept file, whichever part of it, from the circle: it fetches
// the chunks that are asked for, and some more when they are asked for in
// order. Every byte it gives was authenticated. It implements io.ReaderAt,
// io.ReadSeeker, io.WriterTo and io.Closer; ReadAt is safe for concurrent use.
type Reader struct {
	e     *Engine
	ctx   context.Context
	end   context.CancelFunc
	fetch *fetcher
	entry Entry
	parts []catalog.Part
	ends  []int64 // of each part in the file

	mu      sync.Mutex
	flights map[int]*flight // by part
	recent  []int           // parts in flights, in the order of their last use
	last    int             // part that was asked for last
	work    sync.WaitGroup
	slots   chan struct{} // one for each segment in memory

	pos int64 // of Read and Seek
}

// flight is a chunk that is fetched, or was.
type flight struct {
	done chan struct{}
	data []byte
	err  error
}

var errClosedReader = errors.New("read of a closed file")

// Open gives a reader of a file as it is kept now, or as w says. The reader
// stays with that version. It works until ctx ends or Close.
func (e *Engine) Open(ctx context.Context, p Path, w When) (*Reader, error) {
	if err := checkPath(p); err != nil {
		return nil, err
	}
	var v catalog.Version
	var err error
	if w.Number != 0 {
		v, err = e.cat.Numbered(ctx, string(p), w.Number)
	} else {
		v, err = e.viewAt(w.At).Version(ctx, string(p))
	}
	if err != nil {
		return nil, fmt.Errorf("%q: %w", string(p), err)
	}
	if v.Kind != catalog.File {
		return nil, fmt.Errorf("%q is a %s, which has no content to read", string(p), Kind(v.Kind))
	}
	lengths, err := e.cat.Lengths(ctx, v.Parts)
	if err != nil {
		return nil, fmt.Errorf("%q %w", string(p), err)
	}
	r := &Reader{e: e, fetch: e.newFetcher(&blames{}), entry: entryOf(&v), parts: v.Parts, flights: map[int]*flight{}, last: -2, slots: make(chan struct{}, readAhead+1)}
	r.fetch.patient = true
	var end int64
	for _, n := range lengths {
		end += n
		r.ends = append(r.ends, end)
	}
	if end != v.Size {
		return nil, fmt.Errorf("%q: its list of chunks is damaged in the catalog", string(p))
	}
	r.ctx, r.end = context.WithCancel(ctx)
	return r, nil
}

// Entry is the version that is read.
func (r *Reader) Entry() Entry { return r.entry }

// Size is the file's length in bytes.
func (r *Reader) Size() int64 { return r.entry.Size }

// Close ends fetches under way and waits for them.
func (r *Reader) Close() error {
	r.mu.Lock()
	r.end()
	r.mu.Unlock()
	r.work.Wait()
	return nil
}

// ReadAt fills p from the file's byte off on.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read before the beginning")
	}
	n := 0
	for n < len(p) {
		got, err := r.some(p[n:], off+int64(n))
		n += got
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Read is io.Reader's: it gives what is left of the chunk it is in.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := r.some(p, r.pos)
	r.pos += int64(n)
	return n, err
}

// Seek is io.Seeker's.
func (r *Reader) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += r.pos
	case io.SeekEnd:
		off += r.Size()
	case io.SeekStart:
	default:
		return 0, fmt.Errorf("seek: whence %d", whence)
	}
	if off < 0 {
		return 0, errors.New("seek before the beginning")
	}
	r.pos = off
	return off, nil
}

// some reads from the one part in which off lies.
func (r *Reader) some(p []byte, off int64) (int, error) {
	if off >= r.Size() {
		return 0, io.EOF
	}
	i := sort.Search(len(r.ends), func(i int) bool { return r.ends[i] > off })
	left := r.ends[i] - off
	if int64(len(p)) > left {
		p = p[:left]
	}
	if r.parts[i].Hole > 0 {
		clear(p)
		return len(p), r.alive()
	}
	f, err := r.part(i)
	if err != nil {
		return 0, err
	}
	select {
	case <-f.done:
	case <-r.ctx.Done():
		return 0, r.alive()
	}
	if f.err != nil {
		return 0, f.err
	}
	return copy(p, f.data[len(f.data)-int(left):]), nil
}

func (r *Reader) alive() error {
	if r.ctx.Err() == nil {
		return nil
	}
	if err := context.Cause(r.ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return errClosedReader
}

// part gives a chunk, which may be on its way, and starts on those after it
// when they were asked for in order.
func (r *Reader) part(i int) (*flight, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.alive(); err != nil {
		return nil, err
	}
	f := r.start(i)
	if i == r.last || i == r.last+1 {
		for j := i + 1; j < len(r.parts) && j <= i+readAhead; j++ {
			if r.parts[j].Chunk != 0 {
				r.start(j)
			}
		}
	}
	r.last = i
	return f, nil
}

// start sees to it that a part is there or on its way. The caller holds mu.
func (r *Reader) start(i int) *flight {
	for k, x := range r.recent {
		if x == i {
			r.recent = append(r.recent[:k], r.recent[k+1:]...)
			break
		}
	}
	r.recent = append(r.recent, i)
	if f := r.flights[i]; f != nil && !f.failed() {
		return f
	}
	for len(r.recent) > readKeep {
		delete(r.flights, r.recent[0])
		r.recent = r.recent[1:]
	}
	f := &flight{done: make(chan struct{})}
	r.flights[i] = f
	r.work.Go(func() {
		defer close(f.done)
		select {
		case r.slots <- struct{}{}:
			defer func() { <-r.slots }()
		case <-r.ctx.Done():
			f.err = r.alive()
			return
		}
		if f.data, f.err = r.e.readChunk(r.ctx, r.fetch, r.parts[i].Chunk); f.err != nil && r.ctx.Err() == nil {
			f.err = fmt.Errorf("%q %s: %w", string(r.entry.Path), whyNotRead(f.err), f.err)
		}
	})
	return f
}

// failed tells whether it is worth trying again.
func (f *flight) failed() bool {
	select {
	case <-f.done:
		return f.err != nil
	default:
		return false
	}
}

func whyNotRead(err error) string {
	if errors.Is(err, catalog.ErrGone) {
		return "cannot be read any further"
	}
	return "cannot be read there now"
}

// readChunk brings one chunk back.
func (e *Engine) readChunk(ctx context.Context, f *fetcher, id int64) ([]byte, error) {
	for try := 0; ; try++ {
		data, err := e.readChunkOnce(ctx, f, id)
		// A chunk may have been moved to another segment under our feet.
		if errors.Is(err, catalog.ErrGone) && try == 0 {
			continue
		}
		return data, err
	}
}

func (e *Engine) readChunkOnce(ctx context.Context, f *fetcher, id int64) ([]byte, error) {
	rows, err := e.cat.Chunks(ctx, []int64{id})
	if err != nil {
		return nil, err
	}
	plain := map[int64][]byte{}
	err = e.readChunks(ctx, f, rows[id].Segment, []catalog.Chunk{rows[id]}, plain)
	return plain[id], err
}
