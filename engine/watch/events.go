// SPDX-License-Identifier: MPL-2.0

package watch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/fsnotify/fsnotify"

	"github.com/preezm/preezm/peers/said"
)

// events are the system's notices of changes in a folder and all below it, as
// they gather until somebody takes them.
type events struct {
	w    *fsnotify.Watcher
	wake chan struct{} // holds one while there is something to take
	done sync.WaitGroup

	mu   sync.Mutex
	seen changes
	dirs map[string]bool // of which there are notices
}

// changes are paths in which something happened.
type changes struct {
	paths map[string]bool // whether they are folders
	lost  bool            // the system could not keep up: anything may have changed
	over  bool            // there will be no more
}

// newEvents asks for the events of a folder. It fails when the system cannot
// give those of every folder below: half of them would be worse than none.
func newEvents(root string, r *rules) (*events, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, limits(err)
	}
	e := &events{w: w, wake: make(chan struct{}, 1), seen: changes{paths: map[string]bool{}}, dirs: map[string]bool{}}
	e.done.Go(e.pump)
	if err := e.add(root, r); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// take gives what happened since the last call.
func (e *events) take() changes {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.seen
	e.seen = changes{paths: map[string]bool{}, over: c.over}
	return c
}

// note changes what is to be taken.
func (e *events) note(f func(*changes)) {
	e.mu.Lock()
	f(&e.seen)
	if len(e.seen.paths) > wholeFrom {
		e.seen.lost = true
		clear(e.seen.paths)
	}
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// limits explains an error of the system's notices.
func limits(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return said.Wrap(err, "watch-limit", "this system watches no more folders (fs.inotify.max_user_watches): {why}")
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return said.Wrap(err, "watcher-limit", "this system gives no more watchers (fs.inotify.max_user_instances, open files): {why}")
	}
	return err
}

// add asks for the events of a folder and all below it that is not left out.
func (e *events) add(root string, r *rules) error {
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			if p != root {
				return nil // gone again, or not for us to read: the put tells
			}
			return err
		}
		if !d.IsDir() {
			return nil
		}
		if r.skip(p, true) {
			return fs.SkipDir
		}
		switch err := e.w.Add(p); {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return limits(err)
		}
		e.mu.Lock()
		e.dirs[p] = true
		e.mu.Unlock()
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// pump gathers the system's events until close.
func (e *events) pump() {
	defer e.note(func(c *changes) { c.over = true })
	for {
		select {
		case ev, ok := <-e.w.Events:
			if !ok {
				return
			}
			if ev.Has(fsnotify.Rename) || ev.Has(fsnotify.Remove) {
				e.forget(ev.Name)
			}
			fi, err := os.Lstat(ev.Name)
			folder := err == nil && fi.IsDir()
			// A folder's own time changes with every file in it.
			if !folder || ev.Has(fsnotify.Create) || ev.Has(fsnotify.Chmod) {
				e.note(func(c *changes) { c.paths[ev.Name] = folder })
			}
		case _, ok := <-e.w.Errors:
			if !ok {
				return
			}
			e.note(func(c *changes) { c.lost = true })
		}
	}
}

// forget ends the notices of a folder that has another name now: they would
// go on under the old one. Under its new name it is added again.
func (e *events) forget(root string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.dirs[root] {
		return
	}
	for p := range e.dirs {
		if within(p, root) {
			delete(e.dirs, p)
			// It may be gone, and its notices with it.
			_ = e.w.Remove(p)
		}
	}
}

func (e *events) close() {
	e.w.Close()
	e.done.Wait()
}
