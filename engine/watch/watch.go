// SPDX-License-Identifier: MPL-2.0

package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/vault"
)

// Errors a caller decides on.
var (
	// ErrUnknown: the folder is not watched.
	ErrUnknown = said.Error("not-watched", "is not watched; 'preezm watch list' shows what is")
	// ErrTwice: it, one above it or one in it is watched already.
	ErrTwice = said.Error("watched-already", "is watched already")
)

// Folder is a watched folder as it is remembered.
type Folder struct {
	Dir        string      `json:"dir"`  // absolute
	Path       engine.Path `json:"path"` // its name in the catalog
	Ignore     []string    `json:"ignore,omitempty"`
	IgnoreFile string      `json:"ignore_file,omitempty"`
	// Mirror moves to the trash what is gone from the folder.
	Mirror bool `json:"mirror,omitempty"`
	Paused bool `json:"paused,omitempty"`
}

// Phase says what is done with a folder just now.
type Phase string

// The phases.
const (
	Resting Phase = "up to date"
	Waiting Phase = "waiting" // for changes to settle, or to try again
	Putting Phase = "putting"
	Looking Phase = "looking" // for changes
	Paused  Phase = "paused"
	Held    Phase = "held" // by the limits; Problem says why
	Stopped Phase = "not running"
)

// State is a folder and how far it is.
type State struct {
	Folder
	Phase   Phase     `json:"phase"`
	Pending int64     `json:"pending"` // files and folders that changed and are not put yet, as far as known
	Events  bool      `json:"events"`  // changes are noticed at once; else by looking
	Every   string    `json:"look_every"`
	LastPut time.Time `json:"last_put,omitzero"`
	Problem said.Note `json:"problem,omitzero"`
	Missing int64     `json:"missing,omitempty"` // gone here and still kept, without Mirror or too many at once
}

// Engine is what a Watcher needs of one.
type Engine interface {
	Put(ctx context.Context, o engine.PutOptions, progress func(engine.Progress)) (*engine.PutReport, error)
	Remove(ctx context.Context, names []engine.Path) (*engine.RemoveReport, error)
	List(ctx context.Context, o engine.ListOptions) ([]engine.Entry, error)
}

// Config is what a Watcher needs. Zero times are the usual ones.
type Config struct {
	File   string     // where the folders are remembered
	Box    *vault.Box // which seals that; nil: plain
	Engine Engine
	// Hold gives a reason not to put just now, or none.
	Hold   func() said.Note
	Logger *slog.Logger

	Settle   time.Duration // quiet before changes are put
	Longest  time.Duration // changes wait no longer, quiet or not
	Look     time.Duration // a folder with events is looked through
	LookOnly time.Duration // one without
	Retry    time.Duration // after trouble, first; doubled up to LookOnly
}

func (c *Config) fill() {
	for _, f := range []struct {
		d *time.Duration
		v time.Duration
	}{
		{&c.Settle, 2 * time.Second}, {&c.Longest, time.Minute}, {&c.Look, time.Hour},
		{&c.LookOnly, 5 * time.Minute}, {&c.Retry, 10 * time.Second},
	} {
		if *f.d == 0 {
			*f.d = f.v
		}
	}
	if c.Hold == nil {
		c.Hold = func() said.Note { return said.Note{} }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// Watcher keeps folders put. All methods are safe for concurrent use; the
// folders are worked on while Run runs.
type Watcher struct {
	cfg Config

	mu      sync.Mutex
	running context.Context // of Run; nil before and after
	works   sync.WaitGroup
	folders []*folder // by Dir

	turn chan struct{} // one folder puts at a time
}

// format is the first version of the file.
const format = 1

type file struct {
	Format  int      `json:"format"`
	Folders []Folder `json:"folders"`
}

// maxFolders bounds what is watched.
const maxFolders = 1000

// maxFile bounds what is read.
const maxFile = 16 << 20

// Open reads what is watched. Nothing happens before Run.
func Open(cfg Config) (*Watcher, error) {
	cfg.fill()
	w := &Watcher{cfg: cfg, turn: make(chan struct{}, 1)}
	raw, err := cfg.Box.ReadFile(cfg.File, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	} else if err != nil {
		return nil, err
	}
	var f file
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.File, err)
	}
	if f.Format != format {
		return nil, fmt.Errorf("%s has format %d, this program knows %d", cfg.File, f.Format, format)
	}
	for _, x := range f.Folders {
		w.folders = append(w.folders, newFolder(w, x))
	}
	return w, nil
}

// save writes what is watched. The caller holds mu.
func (w *Watcher) save() error {
	f := file{Format: format, Folders: []Folder{}}
	for _, x := range w.folders {
		f.Folders = append(f.Folders, x.Folder)
	}
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return w.cfg.Box.Replace(w.cfg.File, append(raw, '\n'))
}

// Run works until ctx ends, then ends what it does and returns.
func (w *Watcher) Run(ctx context.Context) {
	w.mu.Lock()
	w.running = ctx
	for _, f := range w.folders {
		f.start()
	}
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	w.running = nil
	w.mu.Unlock()
	w.works.Wait()
}

// within tells whether a path is a folder or lies in it.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, string(filepath.Separator))+string(filepath.Separator))
}

// Add begins to watch a folder. Its Dir is made absolute and free of links.
func (w *Watcher) Add(f Folder) (State, error) {
	dir, err := filepath.EvalSymlinks(f.Dir)
	if err != nil {
		return State{}, err
	}
	if f.Dir, err = filepath.Abs(dir); err != nil {
		return State{}, err
	}
	if fi, err := os.Stat(f.Dir); err != nil {
		return State{}, err
	} else if !fi.IsDir() {
		return State{}, said.Error("no-folder", "\"{path}\" is not a folder", "path", f.Dir)
	}
	if home := filepath.Dir(w.cfg.File); within(f.Dir, home) {
		return State{}, said.Error("watch-home", "\"{path}\" is in the home folder of this program: it cannot be watched", "path", f.Dir)
	}
	if _, err := newRules(&f); err != nil {
		return State{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.folders {
		switch {
		case within(f.Dir, x.Dir) || within(x.Dir, f.Dir):
			return State{}, said.Wrap(ErrTwice, "watched-as", "\"{path}\" {why}, as \"{other}\"", "path", f.Dir, "other", x.Dir)
		case f.Path == x.Path || strings.HasPrefix(string(f.Path), string(x.Path)+"/") || strings.HasPrefix(string(x.Path), string(f.Path)+"/"):
			return State{}, said.Error("watch-meets", "\"{path}\" is kept as \"{kept}\" and would meet \"{other}\", kept as \"{place}\": choose another place with --into", "path", f.Dir, "kept", string(f.Path), "other", x.Dir, "place", string(x.Path))
		}
	}
	if len(w.folders) >= maxFolders {
		return State{}, said.Error("watch-many", "{most} folders are watched, and more is not possible", "most", strconv.Itoa(maxFolders))
	}
	next := newFolder(w, f)
	w.folders = append(w.folders, next)
	slices.SortFunc(w.folders, func(a, b *folder) int { return strings.Compare(a.Dir, b.Dir) })
	if err := w.save(); err != nil {
		w.folders = slices.DeleteFunc(w.folders, func(x *folder) bool { return x == next })
		return State{}, err
	}
	next.start()
	return next.state(), nil
}

// find gives the watched folder with that Dir. The caller holds mu.
func (w *Watcher) find(dir string) (*folder, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		real = dir // it may be gone
	}
	for _, x := range w.folders {
		if x.Dir == dir || x.Dir == real {
			return x, nil
		}
	}
	return nil, fmt.Errorf("%q %w", dir, ErrUnknown)
}

// Remove watches a folder no longer. What was kept stays kept.
func (w *Watcher) Remove(dir string) (State, error) {
	w.mu.Lock()
	f, err := w.find(dir)
	if err != nil {
		w.mu.Unlock()
		return State{}, err
	}
	before := slices.Clone(w.folders)
	w.folders = slices.DeleteFunc(w.folders, func(x *folder) bool { return x == f })
	if err := w.save(); err != nil {
		w.folders = before
		w.mu.Unlock()
		return State{}, err
	}
	w.mu.Unlock()
	f.stop()
	return f.state(), nil
}

// Pause stops the work on a folder, or goes on with it. What changes meanwhile
// is found when it goes on.
func (w *Watcher) Pause(dir string, pause bool) (State, error) {
	w.mu.Lock()
	f, err := w.find(dir)
	if err != nil {
		w.mu.Unlock()
		return State{}, err
	}
	was := f.Paused
	f.setPaused(pause)
	if err := w.save(); err != nil {
		f.setPaused(was)
		w.mu.Unlock()
		return State{}, err
	}
	w.mu.Unlock()
	if pause {
		f.stop()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	f.start()
	return f.state(), nil
}

// List gives every watched folder and how far it is.
func (w *Watcher) List() []State {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := []State{}
	for _, f := range w.folders {
		out = append(out, f.state())
	}
	return out
}
