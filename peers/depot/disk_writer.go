// SPDX-License-Identifier: MPL-2.0

package depot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/durable"
)

// writeback is how much is written before the system is asked to start moving
// it to the disk, so that the fdatasync at the end finds little to do.
const writeback = 1 << 20

// diskWriter receives a shard in tmp/. The body goes behind the room of the
// header block, which is written last: a file that was never finished starts
// with zeros and is nobody's shard, even if it should ever get under shards/.
type diskWriter struct {
	disk    *Disk
	f       *os.File // nil once ended
	size    int64
	n       int64 // of the body, written
	started int64 // of the body, on its way to the disk
}

func (w *diskWriter) Write(p []byte) (int, error) {
	if w.f == nil {
		return 0, fs.ErrClosed
	}
	if int64(len(p)) > w.size-w.n {
		return 0, fmt.Errorf("more than %d bytes: %w", w.size, peers.ErrDamaged)
	}
	n, err := w.f.WriteAt(p, HeaderSize+w.n)
	w.n += int64(n)
	if err != nil {
		return n, diskError(err)
	}
	if w.n-w.started >= writeback {
		startWriteback(w.f, HeaderSize+w.started, w.n-w.started)
		w.started = w.n
	}
	return n, nil
}

// Commit writes the header, then makes first the file and then its name
// durable.
func (w *diskWriter) Commit(h *Header) (Entry, error) {
	if w.f == nil {
		return Entry{}, fs.ErrClosed
	}
	e, err := w.commit(h)
	if err != nil {
		return Entry{}, errors.Join(err, w.Abort())
	}
	return e, nil
}

func (w *diskWriter) commit(h *Header) (Entry, error) {
	if w.n != w.size || h.Size != w.size {
		return Entry{}, fmt.Errorf("%d of %d bytes: %w", w.n, w.size, peers.ErrDamaged)
	}
	block := blocks.Get().(*[HeaderSize]byte)
	defer blocks.Put(block)
	if err := h.Encode(block); err != nil {
		return Entry{}, err
	}
	if _, err := w.f.WriteAt(block[:], 0); err != nil {
		return Entry{}, diskError(err)
	}
	w.disk.at("written")
	if err := syncData(w.f); err != nil {
		return Entry{}, diskError(err)
	}
	fi, err := w.f.Stat()
	if err != nil {
		return Entry{}, err
	}
	w.disk.at("synced")
	// Windows renames no open file.
	if err := w.f.Close(); err != nil {
		return Entry{}, diskError(err)
	}
	to := w.disk.path(h.ID)
	if err := w.disk.folder(h.ID); err != nil {
		return Entry{}, diskError(err)
	}
	// Nobody else creates this shard now (Storage), so look and rename is
	// one step.
	if _, err := os.Lstat(to); err == nil {
		return Entry{}, fmt.Errorf("shard %s: %w", h.ID, fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Entry{}, err
	}
	if err := os.Rename(w.f.Name(), to); err != nil {
		return Entry{}, diskError(err)
	}
	w.disk.at("renamed")
	if err := w.disk.groups[h.ID[0]].sync(filepath.Dir(to)); err != nil {
		// Not known to be durable, so it must not show.
		return Entry{}, errors.Join(diskError(err), os.Remove(to))
	}
	w.f = nil
	return entryOf(h.ID, fi), nil
}

func (w *diskWriter) Abort() error {
	if w.f == nil {
		return nil
	}
	f := w.f
	w.f = nil
	if err := f.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		// The room matters more than the reason: go on and remove it.
		w.disk.log.Warn("depot: close of a temporary file", "err", err)
	}
	if err := os.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncGroup lets callers that want the same folder durable share one fsync:
// whoever comes while one runs waits for the next, which then serves them all.
type syncGroup struct {
	mu      sync.Mutex
	waiting *syncBatch
	running sync.Mutex
}

type syncBatch struct {
	done chan struct{}
	err  error
}

func (g *syncGroup) sync(dir string) error {
	g.mu.Lock()
	if b := g.waiting; b != nil {
		g.mu.Unlock()
		<-b.done
		return b.err
	}
	b := &syncBatch{done: make(chan struct{})}
	g.waiting = b
	g.mu.Unlock()

	g.running.Lock()
	defer g.running.Unlock()
	// From here on a newcomer's change may come too late for this fsync.
	g.mu.Lock()
	g.waiting = nil
	g.mu.Unlock()
	b.err = durable.SyncDir(dir)
	close(b.done)
	return b.err
}
