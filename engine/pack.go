// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	mrand "math/rand/v2"
	"sync/atomic"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/chunk"
	"github.com/preezm/preezm/engine/seal"
	"github.com/preezm/preezm/engine/segment"
	"github.com/preezm/preezm/erasure"
)

// chunkJob is a chunk just cut, and its place in its file.
type chunkJob struct {
	file *fileJob
	part int
	data *[]byte
}

// flyingChunk is a chunk that this put found to be new and that is not yet in
// the catalog. nameMu guards done and waiters.
type flyingChunk struct {
	row     catalog.Chunk
	from    int64      // the segment it is moved from; 0: it is new
	done    bool       // its segment is acknowledged and queued for commit
	waiters []*fileJob // to release then
}

// mostWaiters bounds the files that wait for one chunk, as when a folder holds
// a million equal ones: their segment then does not wait to be full.
const mostWaiters = 4096

// openSegment is a segment being filled, coded and delivered.
type openSegment struct {
	rec    catalog.Segment
	buf    []byte
	off    int // packMu
	chunks []*flyingChunk
	// writers counts the chunks being sealed into buf, plus one while the
	// segment takes more; at zero it is full.
	writers atomic.Int64
	shards  [][]byte
	why     []error // the last failure of each shard that is not there
}

// chunkAD is the additional data that a chunk is sealed with: what it is, so
// that a key never opens something else than was meant.
func chunkAD(dst []byte, name chunk.ID, zstd bool, plain int) []byte {
	dst = append(dst, "preezm/v1/chunk"...)
	coding := byte(0)
	if zstd {
		coding = 1
	}
	dst = append(dst, coding)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(plain))
	return append(dst, name[:]...)
}

// OpenChunk appends to dst the plain bytes of a chunk that was kept sealed:
// seal.ErrAuthentic when it is not that chunk, chunk.ErrCorrupt when it is but
// cannot be. Its compressed form stands in scratch meanwhile, which may be nil.
func OpenChunk(dst, scratch []byte, name [32]byte, key seal.Key, zstd bool, plain int, sealed []byte) ([]byte, error) {
	ad := chunkAD(nil, chunk.ID(name), zstd, plain)
	if zstd {
		body, err := seal.Open(scratch[:0], key, ad, sealed)
		if err != nil {
			return dst, err
		}
		return chunk.Decompress(dst, body, plain)
	}
	out, err := seal.Open(dst, key, ad, sealed)
	if err == nil && len(out)-len(dst) != plain {
		return dst, chunk.ErrCorrupt
	}
	return out, err
}

// pack names, deduplicates, compresses and seals chunks until jobs is closed.
func (p *put) pack() {
	own := scratch{zstd: chunk.NewCompressor()}
	defer own.zstd.Done()
	for j := range p.jobs {
		if p.ctx.Err() == nil {
			if err := p.packOne(j, &own); err != nil {
				p.fail(err)
			}
		}
		p.bytes.put(j.data)
	}
}

// scratch is what a packer uses again and again.
type scratch struct {
	ad, packed []byte
	// zstd is its own: out of a pool for each chunk there is one for each
	// processor in the end, however few packers there are.
	zstd *chunk.Compressor
}

func (p *put) packOne(j chunkJob, own *scratch) error {
	name := p.e.namer.Name(*j.data)
	c, err := p.claim(name, j)
	if err != nil {
		return err
	}
	if c == nil {
		p.meter.bytes.Add(int64(len(*j.data)))
		return nil
	}
	body := *j.data
	c.row.Plain, c.row.Key = len(body), seal.NewKey()
	p.newBytes.Add(int64(len(body)))
	if out, ok := own.zstd.Compress(own.packed[:0], body); ok {
		body, own.packed, c.row.Zstd = out, out, true
	}
	c.row.Sealed = seal.SealedLen(len(body))
	p.packed.Add(int64(c.row.Sealed))
	s, err := p.reserve(c)
	if err != nil {
		return err
	}
	own.ad = chunkAD(own.ad[:0], name, c.row.Zstd, c.row.Plain)
	// Sealed straight into the segment: no copy on the way.
	seal.Seal(s.buf[c.row.Off:c.row.Off:c.row.Off+c.row.Sealed], c.row.Key, own.ad, body)
	p.wrote(s)
	return nil
}

// claim finds the chunk's row and notes it in the file. A nil flyingChunk
// means that it is kept already, or on its way; the file is released, now or
// when it is durable.
func (p *put) claim(name chunk.ID, j chunkJob) (*flyingChunk, error) {
	p.nameMu.Lock()
	defer p.nameMu.Unlock()
	// The part is set before anything can release the file for commit.
	if c := p.inFlight[name]; c != nil {
		j.file.setPart(j.part, catalog.Part{Chunk: c.row.ID})
		if c.done {
			p.release(j.file)
		} else {
			c.waiters = append(c.waiters, j.file)
			if len(c.waiters) >= mostWaiters {
				p.passOn(c)
			}
		}
		return nil, nil
	}
	// The catalog is asked under the same lock that the committer takes to
	// move chunks there, so a chunk is always in one of the two places.
	id, err := p.finder.Find(name)
	if err != nil {
		return nil, err
	}
	if id != 0 {
		j.file.setPart(j.part, catalog.Part{Chunk: id})
		p.release(j.file)
		return nil, nil
	}
	c := &flyingChunk{waiters: []*fileJob{j.file}}
	c.row.ID, c.row.Name = p.nextChunk, name
	p.nextChunk++
	j.file.setPart(j.part, catalog.Part{Chunk: c.row.ID})
	p.inFlight[name] = c
	return c, nil
}

// reserve finds room for a sealed chunk.
func (p *put) reserve(c *flyingChunk) (*openSegment, error) {
	p.packMu.Lock()
	defer p.packMu.Unlock()
	if s := p.current; s != nil && s.off+c.row.Sealed > segment.Capacity(p.geo.K) {
		p.current = nil
		p.wrote(s)
	}
	if p.current == nil {
		select {
		case p.slots <- struct{}{}:
		case <-p.ctx.Done():
			return nil, context.Cause(p.ctx)
		}
		p.current = &openSegment{buf: p.e.segments.get(p.geo.N)}
		p.current.rec.ID = p.nextSeg
		p.current.writers.Store(1)
		p.nextSeg++
	}
	s := p.current
	c.row.Segment, c.row.Off = s.rec.ID, s.off
	s.off += c.row.Sealed
	s.chunks = append(s.chunks, c)
	s.writers.Add(1)
	return s, nil
}

// wrote ends one writer of s; the last one passes it on.
func (p *put) wrote(s *openSegment) {
	if s.writers.Add(-1) == 0 {
		select {
		case p.full <- s:
		case <-p.ctx.Done():
		}
	}
}

// passOn ends the segment in which c lies, if that is still being filled.
func (p *put) passOn(c *flyingChunk) {
	p.packMu.Lock()
	defer p.packMu.Unlock()
	if s := p.current; s != nil && s.rec.ID == c.row.Segment {
		p.current = nil
		p.wrote(s)
	}
}

// flush passes the last segment on. No packer runs any more.
func (p *put) flush() {
	if s := p.current; s != nil {
		p.current = nil
		p.wrote(s)
	}
}

// encode turns full segments into shards, records the intent to store them
// and hands them over for delivery.
func (p *put) encode() {
	for s := range p.full {
		if p.ctx.Err() != nil {
			continue
		}
		if err := p.encodeOne(s); err != nil {
			p.fail(err)
			continue
		}
		p.sent.Go(func() { p.deliver(s) })
	}
}

func (p *put) encodeOne(s *openSegment) error {
	k, n := p.geo.K, p.geo.N
	size := segment.ShardLen(s.off, k)
	// Keepers must not see where the data ends.
	var seed [32]byte
	rand.Read(seed[:])
	mrand.NewChaCha8(seed).Read(s.buf[s.off : k*size])
	s.shards = make([][]byte, n)
	for i := range s.shards {
		s.shards[i] = s.buf[i*size : (i+1)*size : (i+1)*size]
	}
	if err := p.codec.Encode(s.shards); err != nil {
		return fmt.Errorf("erasure coding: %w", err)
	}
	s.rec.K, s.rec.N, s.rec.ShardLen, s.rec.DataLen, s.rec.Backup = k, n, size, s.off, p.backup
	s.rec.Shards, s.why = make([]catalog.Shard, n), make([]error, n)
	for i, t := range p.place(s.rec.ID, size) {
		sh := &s.rec.Shards[i]
		sh.Keeper, sh.Root = t.Device(), erasure.ShardRoot(s.shards[i])
	}
	return p.e.cat.Intend(p.own(p.ctx), []*catalog.Segment{&s.rec}, p.e.now().UnixNano())
}

// landed is called when enough keepers hold the segment: it is committed,
// with the files that waited for it alone.
func (p *put) landed(s *openSegment) {
	p.commits.add(commitItem{segment: s})
	var released []*fileJob
	p.nameMu.Lock()
	for _, c := range s.chunks {
		c.done = true
		released = append(released, c.waiters...)
		c.waiters = nil
	}
	p.nameMu.Unlock()
	for _, f := range released {
		p.release(f)
	}
	p.commits.poke()
}
