// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/preezm/preezm/engine/backup"
	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/chunk"
	"github.com/preezm/preezm/peers"
)

const (
	// keptBackups is how many backups of one machine stay in the circle.
	keptBackups = 30
	// backupRetry: a backup does not wait for keepers; it is tried again.
	backupRetry = 2 * time.Second
	// noteParts is the note of an index with the chunks of the stream.
	noteParts = "parts"
	// wasteful: a backup that takes so many times what it needs in segments,
	// and this much more, is written anew.
	wasteful     = 3
	wastefulMore = 16 << 20
)

// ErrUnchanged: nothing has changed since the last backup.
var ErrUnchanged = errors.New("nothing has changed since the last backup")

// errPut: a put is waiting, which comes first.
var errPut = errors.New("a put came first")

// BackupOrder says what a backup is to hold beside the catalog, and who makes
// it.
type BackupOrder struct {
	Device peers.DeviceID
	Number uint64            // above all before it
	Notes  map[string][]byte // of the home: circle, settings
	Always bool              // even if nothing has changed
	// Seal makes the head of what leads to the backup's index.
	Seal func(rows, parts []byte, files int64) ([]byte, error)
}

// BackupReport is the outcome of BackUp. Sizes in bytes.
type BackupReport struct {
	Number uint64        `json:"number"`
	Files  int64         `json:"files"`
	Plain  int64         `json:"plain"`  // of the whole catalog
	New    int64         `json:"new"`    // not in the circle yet
	Stored int64         `json:"stored"` // shard bytes acknowledged by keepers
	Took   time.Duration `json:"took_ns"`
}

// BackUp keeps a copy of the catalog in the circle and gives the sealed head
// that leads to it; keepers hold that apart. A put that comes meanwhile goes
// first: the backup then ends with an error and is to be tried again, unless
// it insists. ErrUnchanged when the last backup says the same.
func (e *Engine) BackUp(ctx context.Context, o BackupOrder, insist bool, progress func(Progress)) (head []byte, r BackupReport, err error) {
	if !o.Always {
		if same, err := e.knownBackedUp(ctx, &o); err != nil {
			return nil, r, err
		} else if same {
			return nil, r, ErrUnchanged
		}
	}
	p := newPut(e, newMeter(StageBackup, progress))
	defer p.meter.close()
	if err := e.lockPut(ctx, func() { p.meter.set(StageWait) }); err != nil {
		return nil, r, err
	}
	defer e.unlockPut()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !insist {
		e.yielding.Store(&yield{cancel})
		defer e.yielding.Store(nil)
		if e.wanted.Load() > 0 { // it came before it could be seen
			return nil, r, errPut
		}
	}
	// What nobody needs is not to be found by deduplication any more when
	// another machine reads this.
	if _, err := e.collect(ctx); err != nil {
		return nil, r, err
	}
	last, err := e.cat.LastBackup(ctx, o.Device)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return nil, r, err
	}
	if err := e.rewriteWasteful(ctx, &last); err != nil {
		return nil, r, err
	}
	t, err := e.cat.Totals(ctx)
	if err != nil {
		return nil, r, err
	}
	seen, err := e.cat.Changes(ctx)
	if err != nil {
		return nil, r, err
	}
	held, err := e.cat.Held(ctx) // before the dump, which may know of more
	if err != nil {
		return nil, r, err
	}
	if !e.newVersions.Swap(false) && !o.Always && held <= last.Held { // else there is no need to look
		stamp, err := StampOf(ctx, e.cat, o.Notes)
		if err != nil {
			return nil, r, err
		}
		if stamp == last.Stamp {
			return nil, r, errors.Join(ErrUnchanged, e.cat.MarkBackedUp(ctx, last.Number, NotesDigest(o.Notes), seen))
		}
	}
	var stamp [32]byte
	body, err := p.stream(ctx, func(w io.Writer) (err error) {
		stamp, err = e.dump(ctx, o.Notes, w)
		return err
	})
	if err != nil {
		return nil, r, err
	}
	second := newPut(e, p.meter)
	index, err := second.stream(ctx, func(w io.Writer) error {
		return e.dumpWay(ctx, body.v.Parts, w)
	})
	if err != nil {
		return nil, r, err
	}
	var rows bytes.Buffer
	if err := e.dumpWay(ctx, index.v.Parts, &rows); err != nil {
		return nil, r, err
	}
	if head, err = o.Seal(rows.Bytes(), catalog.EncodeParts(index.v.Parts), t.Files); err != nil {
		return nil, r, err
	}
	// From here on it exists; who gives up now gives up too late.
	quiet := catalog.Aside(context.WithoutCancel(ctx))
	err = e.cat.AddBackup(quiet, &catalog.Backup{
		Device: o.Device, Number: o.Number, Made: e.now().Unix(), Parts: body.v.Parts, Index: index.v.Parts, Head: head, Stamp: stamp, Held: held,
	}, keptBackups)
	if err == nil {
		err = e.cat.MarkBackedUp(quiet, o.Number, NotesDigest(o.Notes), seen)
	}
	if err != nil {
		return nil, r, err
	}
	return head, BackupReport{
		Number: o.Number, Files: t.Files, Plain: body.size, New: p.newBytes.Load(),
		Stored: p.stored.Load() + second.stored.Load(), Took: p.meter.elapsed(),
	}, nil
}

// StampOf tells two states of a catalog, and of what is noted beside it, apart.
func StampOf(ctx context.Context, c *catalog.Catalog, notes map[string][]byte) ([32]byte, error) {
	stamp, err := c.Stamp(ctx)
	return sumNotes(stamp, notes), err
}

// NotesDigest tells two sets of notes apart.
func NotesDigest(notes map[string][]byte) [32]byte { return sumNotes([32]byte{}, notes) }

// knownBackedUp tells whether it is known without a look at the catalog that
// nothing has changed since the last backup.
func (e *Engine) knownBackedUp(ctx context.Context, o *BackupOrder) (bool, error) {
	last, err := e.cat.LastBackup(ctx, o.Device)
	if errors.Is(err, catalog.ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return e.cat.BackedUp(ctx, &last, NotesDigest(o.Notes))
}

func sumNotes(stamp [32]byte, notes map[string][]byte) [32]byte {
	for name, note := range notes {
		stamp = sumNote(stamp, name, note)
	}
	return stamp
}

// sumNote adds a note to a stamp, in any order.
func sumNote(stamp [32]byte, name string, note []byte) [32]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%q", name)
	h.Write(note)
	for i, b := range h.Sum(nil) {
		stamp[i] ^= b
	}
	return stamp
}

// yield is a backup under way that gives way to a put.
type yield struct{ cancel context.CancelCauseFunc }

// giveWay ends a backup that is under way, if it may be.
func (e *Engine) giveWay() {
	if y := e.yielding.Load(); y != nil {
		y.cancel(errPut)
	}
}

// own is the context in which the put writes its segments and chunks down: those
// of a backup are no reason for another.
func (p *put) own(ctx context.Context) context.Context {
	if p.backup {
		return catalog.Aside(ctx)
	}
	return ctx
}

// stream keeps what write makes as one run of bytes and gives its chunks, all
// of which are durable then. The caller holds the put lock.
func (p *put) stream(ctx context.Context, write func(io.Writer) error) (*fileJob, error) {
	p.backup, p.stage, p.retry = true, StageBackup, backupRetry
	f := &fileJob{bare: true}
	f.open.Store(1)
	err := p.run(ctx, nil, func() {
		split, err := chunk.NewFineSplitter(p.e.secrets.Chunker)
		if err != nil {
			p.fail(fmt.Errorf("chunker: %w", err))
			return
		}
		in, out := io.Pipe()
		written := make(chan struct{})
		go func() {
			defer close(written)
			out.CloseWithError(write(out))
		}()
		s := &scanner{p, split}
		s.split.Reset(in)
		for p.ctx.Err() == nil {
			piece, err := s.split.Next()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				p.fail(err)
				break
			}
			buf := s.bytes.get(len(piece))
			copy(*buf, piece)
			s.send(f, buf)
		}
		in.CloseWithError(context.Canceled) // of no effect at its end
		<-written
		p.release(f)
	})
	if err == nil && f.open.Load() != 0 {
		err = errors.New("the backup did not become durable")
	}
	return f, err
}

// dump writes the catalog, after what else belongs to the home, and gives what
// StampOf gives.
func (e *Engine) dump(ctx context.Context, notes map[string][]byte, w io.Writer) (stamp [32]byte, err error) {
	s := backup.NewWriter(w, catalog.Schema())
	names := make([]string, 0, len(notes))
	for n := range notes {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		if err := s.Note(n, notes[n]); err != nil {
			return stamp, err
		}
	}
	if stamp, err = e.cat.Dump(ctx, s); err != nil {
		return stamp, err
	}
	return sumNotes(stamp, notes), s.Close()
}

// dumpWay writes what leads to some chunks, and their list.
func (e *Engine) dumpWay(ctx context.Context, parts []catalog.Part, w io.Writer) error {
	s := backup.NewWriter(w, catalog.Schema())
	if err := s.Note(noteParts, catalog.EncodeParts(parts)); err != nil {
		return err
	}
	if err := e.cat.DumpWay(ctx, parts, s); err != nil {
		return err
	}
	return s.Close()
}

// rewriteWasteful sees to it that the next backup shares no chunk with the last
// one when that lies scattered over segments which are mostly dead.
func (e *Engine) rewriteWasteful(ctx context.Context, last *catalog.Backup) error {
	rows := catalog.ChunkRows(last.Parts)
	chunks, err := e.cat.Chunks(ctx, rows)
	if errors.Is(err, catalog.ErrGone) || len(rows) == 0 {
		return nil
	} else if err != nil {
		return err
	}
	live, takes := int64(0), int64(0)
	segments := map[int64]bool{}
	for _, c := range chunks {
		live += int64(c.Sealed)
		if segments[c.Segment] {
			continue
		}
		segments[c.Segment] = true
		s, err := e.cat.Segment(ctx, c.Segment)
		if err != nil {
			return err
		}
		takes += int64(s.K) * int64(s.ShardLen)
	}
	if takes <= wasteful*live+wastefulMore {
		return nil
	}
	ids := make([]int64, 0, len(segments))
	for id := range segments {
		ids = append(ids, id)
	}
	_, err = e.cat.Disown(ctx, ids)
	return err
}
