// SPDX-License-Identifier: MPL-2.0

package watch

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers/said"
)

const (
	// wholeFrom changed paths on the folder is looked through instead.
	wholeFrom = 2000
	// mirrorMost of what is kept of a folder may be gone from it at once
	// before somebody is asked: it looks like a disk that is not there.
	mirrorMost = 0.5
	mirrorFew  = 20 // files; as many are never too many
)

// folder is the work on one watched folder. One goroutine does it; the others
// only look at its state.
type folder struct {
	Folder
	w *Watcher

	mu     sync.Mutex
	cancel context.CancelFunc // ends the work; nil: none
	done   chan struct{}
	now    State

	lackEvents atomic.Bool // tests do without the system's events

	// Of the goroutine alone.
	rules   *rules
	noRules error
	events  *events
	lack    said.Note       // why there are no events
	dirty   map[string]bool // local paths
	whole   bool            // everything must be looked at
	first   time.Time       // of the changes that wait
	retry   time.Duration
	nextTry time.Time
}

func newFolder(w *Watcher, f Folder) *folder {
	return &folder{Folder: f, w: w, now: State{Phase: Stopped}}
}

func (f *folder) state() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.now
	s.Folder = f.Folder
	if s.Paused {
		s.Phase = Paused
	}
	return s
}

func (f *folder) setPaused(p bool) {
	f.mu.Lock()
	f.Paused = p
	f.mu.Unlock()
}

// say changes the state that others see.
func (f *folder) say(change func(*State)) {
	f.mu.Lock()
	change(&f.now)
	f.mu.Unlock()
}

// start begins the work, if Run runs and it is not paused. The caller holds
// the Watcher's mu.
func (f *folder) start() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.w.running == nil || f.Paused || f.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(f.w.running)
	f.cancel, f.done = cancel, make(chan struct{})
	f.now.Phase = Looking
	done := f.done
	f.w.works.Go(func() {
		defer close(done)
		f.run(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.cancel = nil
		f.now.Phase = Stopped
	})
}

// stop ends the work and waits for it.
func (f *folder) stop() {
	f.mu.Lock()
	cancel, done := f.cancel, f.done
	f.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
}

// run watches until ctx ends: it notes what changes, and puts it when nothing
// has changed for a while.
func (f *folder) run(ctx context.Context) {
	f.dirty, f.whole, f.retry, f.nextTry = map[string]bool{}, true, 0, time.Time{}
	defer f.closeEvents()
	f.watchAll()
	settle := time.NewTimer(0)
	defer settle.Stop()
	look := time.NewTimer(f.lookEvery())
	defer look.Stop()
	for {
		var wake <-chan struct{}
		if f.events != nil {
			wake = f.events.wake
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
			if f.note(f.events.take()) {
				settle.Reset(f.wait())
			}
		case <-look.C:
			f.whole = true
			settle.Reset(f.wait())
		case <-settle.C:
			looked := f.whole
			if !f.put(ctx) && ctx.Err() == nil {
				settle.Reset(max(time.Until(f.nextTry), f.w.cfg.Settle))
			}
			if looked {
				look.Reset(f.lookEvery())
			}
		}
	}
}

func (f *folder) lookEvery() time.Duration {
	if f.events != nil {
		return f.w.cfg.Look
	}
	return f.w.cfg.LookOnly
}

// wait is how long to wait from now on for changes to settle.
func (f *folder) wait() time.Duration {
	now := time.Now()
	if f.first.IsZero() {
		f.first = now
	}
	d := min(f.w.cfg.Settle, f.w.cfg.Longest-now.Sub(f.first))
	return max(d, time.Until(f.nextTry), 0)
}

// note takes changes in and tells whether there are any.
func (f *folder) note(c changes) bool {
	some := c.lost || c.over
	f.whole = f.whole || some
	for p, isFolder := range c.paths {
		if f.rules.skip(p, isFolder) {
			continue
		}
		some = true
		f.dirty[p] = true
		if isFolder {
			if err := f.events.add(p, f.rules); err != nil {
				f.lacks(err)
				break
			}
		}
	}
	if c.over {
		f.closeEvents()
	}
	if len(f.dirty) > wholeFrom {
		f.whole = true
	}
	if some {
		f.say(func(s *State) { s.Phase, s.Pending = Waiting, int64(len(f.dirty)) })
	}
	return some
}

// watchAll asks for the system's events of the whole folder. Where it cannot
// give them the folder is looked through more often.
func (f *folder) watchAll() {
	f.closeEvents()
	f.lack = said.Note{}
	if f.rules, f.noRules = newRules(&f.Folder); f.noRules == nil {
		var err error
		if f.lackEvents.Load() {
			err = errors.New("a test does without")
		} else {
			f.events, err = newEvents(f.Dir, f.rules)
		}
		if err != nil {
			f.lacks(err)
		}
	}
	f.say(func(s *State) { s.Events, s.Problem, s.Every = f.events != nil, f.lack, f.lookEvery().String() })
}

// lacks goes on without the system's events.
func (f *folder) lacks(err error) {
	f.closeEvents()
	f.whole = true
	f.lack = said.Because(err, "watch-slow", "changes are noticed within {span} only: {why}", "span", f.w.cfg.LookOnly.String())
	f.w.cfg.Logger.Warn("watched folder", "err", err)
	f.say(func(s *State) { s.Events, s.Problem, s.Every = false, f.lack, f.lookEvery().String() })
}

func (f *folder) closeEvents() {
	if f.events != nil {
		f.events.close()
		f.events = nil
	}
}

// put puts what waits and tells whether nothing waits any more.
func (f *folder) put(ctx context.Context) bool {
	if why := f.w.cfg.Hold(); !why.IsZero() {
		f.nextTry = time.Now().Add(f.w.cfg.Retry)
		f.say(func(s *State) { s.Phase, s.Problem = Held, why })
		return false
	}
	select {
	case f.w.turn <- struct{}{}:
		defer func() { <-f.w.turn }()
	case <-ctx.Done():
		return false
	}
	if f.whole {
		f.watchAll() // folders may have come, a limit been raised, the patterns changed
	}
	problem, again := f.putNow(ctx)
	if ctx.Err() != nil {
		return false
	}
	if len(again) == 0 && problem.IsZero() {
		f.retry, f.nextTry, f.first = 0, time.Time{}, time.Time{}
		f.say(func(s *State) {
			s.Phase, s.Pending, s.Problem = Resting, 0, f.lack
		})
		return true
	}
	for _, p := range again {
		f.dirty[p] = true
	}
	f.retry = min(max(2*f.retry, f.w.cfg.Retry), f.w.cfg.LookOnly)
	f.nextTry = time.Now().Add(f.retry)
	f.say(func(s *State) { s.Phase, s.Pending, s.Problem = Waiting, int64(len(f.dirty)), problem })
	return false
}

// putNow puts everything, or what changed, and gives what must be tried again.
func (f *folder) putNow(ctx context.Context) (problem said.Note, again []string) {
	fi, err := os.Stat(f.Dir)
	if err == nil && !fi.IsDir() {
		err = said.Error("folder-gone", "is no longer a folder")
	}
	if err != nil {
		f.whole = true
		return said.Because(err, "folder-unreadable", "the folder cannot be read: {why}"), nil
	}
	if f.noRules != nil {
		return said.By(f.noRules), nil
	}
	whole, dirty := f.whole, f.dirty
	f.whole, f.dirty, f.first = false, map[string]bool{}, time.Time{}
	o := engine.PutOptions{Skip: f.rules.skip, Gentle: true}
	var gone []string
	if whole {
		o.Placed = []engine.Placed{{Local: f.Dir, Path: f.Path}}
	} else {
		o.Placed, gone = f.placed(dirty)
	}
	f.say(func(s *State) {
		s.Phase, s.Pending = Putting, int64(len(dirty))
		if whole {
			s.Phase = Looking
		}
	})
	if len(o.Placed) > 0 {
		r, err := f.w.cfg.Engine.Put(ctx, o, f.progress)
		if err != nil && !errors.Is(err, engine.ErrNotKept) {
			f.whole = whole
			for p := range dirty {
				again = append(again, p)
			}
			return said.By(err), again
		}
		problem, again = f.judge(r)
		if r.Files > r.Unchanged {
			f.say(func(s *State) { s.LastPut = time.Now() })
		}
	}
	if why := f.mirror(ctx, whole, gone); !why.IsZero() && problem.IsZero() {
		problem = why
	}
	return problem, again
}

func (f *folder) progress(p engine.Progress) {
	f.say(func(s *State) {
		if p.TotalKnown {
			s.Pending = max(p.TotalFiles-p.Files, 0)
		}
		if p.Stage == engine.StagePut {
			s.Phase = Putting
		}
	})
}

// judge reads a report: what failed, or changed while it was read, is put
// again later.
func (f *folder) judge(r *engine.PutReport) (problem said.Note, again []string) {
	for _, p := range r.Problems {
		if !p.Failed && p.Said.Code != engine.CodeTorn {
			continue // left out for good, such as a socket
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(string(p.Path), string(f.Path)), "/")
		again = append(again, filepath.Join(f.Dir, filepath.FromSlash(rel)))
		if p.Failed && problem.IsZero() {
			problem = said.Given(p.Said, "watch-file", "\"{path}\" {why}", "path", string(p.Path))
		}
	}
	return problem, again
}

// placed turns changed paths into sources, and gives those that are gone.
func (f *folder) placed(dirty map[string]bool) (out []engine.Placed, gone []string) {
	paths := make([]string, 0, len(dirty))
	for p := range dirty {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	last := ""
	for _, p := range paths {
		if last != "" && within(p, last) {
			continue
		}
		fi, err := os.Lstat(p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			gone = append(gone, p)
		case err == nil && fi.IsDir():
			last = p
			fallthrough
		default: // what cannot be read is the put's to report
			if path := f.inCatalog(p); path != "" {
				out = append(out, engine.Placed{Local: p, Path: path})
			}
		}
	}
	return out, gone
}

// inCatalog is the name of a path of the folder.
func (f *folder) inCatalog(local string) engine.Path {
	rel, err := filepath.Rel(f.Dir, local)
	if err != nil || strings.HasPrefix(rel, "..") {
		return ""
	}
	if rel == "." {
		return f.Path
	}
	return f.Path + "/" + engine.Path(filepath.ToSlash(rel))
}

// mirror moves to the trash what is gone from the folder, if it is asked to.
func (f *folder) mirror(ctx context.Context, whole bool, gone []string) said.Note {
	var names []engine.Path
	var files, kept int64
	if whole {
		entries, err := f.w.cfg.Engine.List(ctx, engine.ListOptions{Folder: f.Path, Recursive: true})
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			return said.By(err)
		}
		names, files, kept = f.missing(entries)
		f.say(func(s *State) { s.Missing = files })
	} else if f.Mirror {
		for _, p := range gone {
			if path := f.inCatalog(p); path != "" {
				names = append(names, path)
			}
		}
	}
	if !f.Mirror || len(names) == 0 {
		return said.Note{}
	}
	if whole && files > mirrorFew && float64(files) > mirrorMost*float64(kept) {
		return said.As("watch-gone", "{n} of {all} files are gone from the folder: they stay kept, as a disk may be missing; 'preezm rm' removes them", "n", strconv.FormatInt(files, 10), "all", strconv.FormatInt(kept, 10))
	}
	for _, n := range names {
		_, err := f.w.cfg.Engine.Remove(ctx, []engine.Path{n})
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			return said.By(err)
		}
	}
	f.say(func(s *State) { s.Missing = 0 })
	return said.Note{}
}

// missing gives what is kept and no longer in the folder: of what is below
// another such entry only the upper one. Entries come folder by folder.
func (f *folder) missing(entries []engine.Entry) (names []engine.Path, files, kept int64) {
	gone := map[engine.Path]bool{}
	slices.SortFunc(entries, func(a, b engine.Entry) int { return strings.Compare(string(a.Path), string(b.Path)) })
	for _, e := range entries {
		isFile := e.Kind != engine.Folder
		if isFile {
			kept++
		}
		parent := engine.Path("")
		if i := strings.LastIndexByte(string(e.Path), '/'); i >= 0 {
			parent = e.Path[:i]
		}
		if gone[parent] {
			gone[e.Path] = true
		} else {
			rel := strings.TrimPrefix(string(e.Path), string(f.Path)+"/")
			if _, err := os.Lstat(filepath.Join(f.Dir, filepath.FromSlash(rel))); errors.Is(err, fs.ErrNotExist) {
				gone[e.Path] = true
				names = append(names, e.Path)
			}
		}
		if gone[e.Path] && isFile {
			files++
		}
	}
	return names, files, kept
}
