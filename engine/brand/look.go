// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"context"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers/said"
)

// ErrClosed: a look has ended.
var ErrClosed = said.Error("view-closed", "this is not open any more: open it again")

// Look is one file that was opened to be looked at. Its keys are in memory
// until Close, and nowhere else; parts of it may be read in any order without
// asking the custodians again. Its methods are safe for concurrent use.
type Look struct {
	Name string
	Size int64

	v *visit
	e *custody.Entry

	mu     sync.Mutex
	o      *custody.Opening // until it is settled
	m      *ticket.Manifest // nil: closed
	starts []int64          // of the pieces
	index  []uint64         // of the pieces among the chunks
	buf    []byte           // the piece that was read last
	at     int              // its number
}

// Look opens one file of a received grant, by its place from 0, for as long as
// the look is not closed. It counts as an opening once Seen is called.
func (b *Brand) Look(ctx context.Context, r *Received, i int, dial Dial) (*Look, error) {
	if i < 0 || i >= len(r.Names.Names) {
		return nil, ErrUnknown
	}
	v, err := b.visit(ctx, r, 0, dial)
	if err != nil {
		return nil, err
	}
	m, o, err := v.manifest(ctx, i)
	if err != nil {
		v.gws.close()
		return nil, err
	}
	l := &Look{Name: m.Name, Size: m.Size, v: v, e: &r.Ticket.Package.Body.Entries[i], o: o, m: m, at: -1}
	var off int64
	var chunk uint64
	for j := range m.Pieces {
		l.starts, l.index = append(l.starts, off), append(l.index, chunk)
		off += m.Pieces[j].Hole + int64(m.Pieces[j].Plain)
		if m.Pieces[j].Hole == 0 {
			chunk++
		}
	}
	return l, nil
}

// Seen says that somebody got to see the file: this opening is done. One that
// nobody saw is repeated with the same request, and does not count again.
func (l *Look) Seen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.o == nil {
		return nil
	}
	err := l.v.b.dropRequest(l.o)
	l.o.Forget()
	l.o = nil
	return err
}

// Close forgets the keys and what was read.
func (l *Look) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		return nil
	}
	var err error
	if l.o != nil {
		err = l.v.b.keepRequest(l.o)
		l.o.Forget()
		l.o = nil
	}
	l.m.Forget()
	clear(l.buf[:cap(l.buf)])
	l.m, l.buf = nil, nil
	l.v.gws.close()
	return err
}

// Reader reads the file from its beginning, and can be moved.
func (l *Look) Reader(ctx context.Context) io.ReadSeeker { return &reader{l: l, ctx: ctx} }

type reader struct {
	l   *Look
	ctx context.Context // of the request that is answered
	off int64
}

// Seek implements io.Seeker.
func (r *reader) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += r.off
	case io.SeekEnd:
		off += r.l.Size
	}
	if off < 0 {
		return 0, fmt.Errorf("a place before the file's beginning")
	}
	r.off = off
	return off, nil
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.off >= r.l.Size {
		return 0, io.EOF
	}
	n, err := r.l.read(r.ctx, p, r.off)
	r.off += int64(n)
	return n, err
}

// read reads from one piece.
func (l *Look) read(ctx context.Context, p []byte, off int64) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil {
		return 0, ErrClosed
	}
	j := sort.Search(len(l.starts), func(j int) bool { return l.starts[j] > off }) - 1
	piece := &l.m.Pieces[j]
	within := off - l.starts[j]
	if piece.Hole > 0 {
		n := int(min(int64(len(p)), piece.Hole-within))
		clear(p[:n])
		return n, nil
	}
	if l.at != j {
		l.at = -1
		var err error
		if l.buf, err = l.v.chunk(ctx, l.buf[:0], piece, l.e, l.index[j]); err != nil {
			return 0, err
		}
		l.at = j
	}
	return copy(p, l.buf[within:]), nil
}
