// SPDX-License-Identifier: MPL-2.0

package watch

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers/said"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeEngine keeps names: what a put is given is in its list from then on.
type fakeEngine struct {
	mu      sync.Mutex
	kept    map[engine.Path]string // content
	puts    int
	files   int // put, again or not
	running int
	err     error
	torn    map[engine.Path]bool // says once that it changed while it was read
	hold    chan struct{}        // a put waits for it
}

func (f *fakeEngine) Put(ctx context.Context, o engine.PutOptions, progress func(engine.Progress)) (*engine.PutReport, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running++
	if f.running > 1 {
		panic("two puts at once")
	}
	defer func() { f.running-- }()
	if f.hold != nil {
		f.mu.Unlock()
		select {
		case <-f.hold:
		case <-ctx.Done():
		}
		f.mu.Lock()
	}
	if err := errors.Join(f.err, ctx.Err()); err != nil {
		return &engine.PutReport{}, err
	}
	f.puts++
	r := &engine.PutReport{}
	for _, p := range o.Placed {
		err := filepath.WalkDir(p.Local, func(local string, d fs.DirEntry, err error) error {
			if err != nil || o.Skip(local, d.IsDir()) {
				if d != nil && d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			rel, err := filepath.Rel(p.Local, local)
			if err != nil {
				return err
			}
			path := engine.Path(strings.TrimSuffix(string(p.Path)+"/"+filepath.ToSlash(rel), "/."))
			if d.IsDir() {
				f.kept[path] = "folder"
				return nil
			}
			b, err := os.ReadFile(local)
			r.Files++
			f.files++
			f.kept[path] = string(b)
			if f.torn[path] {
				delete(f.torn, path)
				r.Problems = append(r.Problems, engine.Problem{Path: path, Said: said.As("torn", "changed while it was read, twice")})
			}
			return err
		})
		if err != nil {
			return r, err
		}
	}
	progress(engine.Progress{Stage: engine.StagePut, TotalKnown: true})
	return r, nil
}

func (f *fakeEngine) Remove(_ context.Context, names []engine.Path) (*engine.RemoveReport, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range names {
		if _, ok := f.kept[n]; !ok {
			return nil, engine.ErrNotFound
		}
		for p := range f.kept {
			if p == n || strings.HasPrefix(string(p), string(n)+"/") {
				delete(f.kept, p)
			}
		}
	}
	return &engine.RemoveReport{}, nil
}

func (f *fakeEngine) List(_ context.Context, o engine.ListOptions) ([]engine.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []engine.Entry
	for p, content := range f.kept {
		if strings.HasPrefix(string(p), string(o.Folder)+"/") {
			e := engine.Entry{Path: p, Kind: engine.File}
			if content == "folder" {
				e.Kind = engine.Folder
			}
			out = append(out, e)
		}
	}
	return out, nil
}

func (f *fakeEngine) names() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for p, content := range f.kept {
		if content != "folder" {
			out = append(out, strings.TrimPrefix(string(p), "d/")+"="+content)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// bench is a watched folder under test.
type bench struct {
	*testing.T
	dir string
	cfg Config
	eng *fakeEngine
	w   *Watcher
	end func()
}

func newBench(t *testing.T, change func(*Config)) *bench {
	b := &bench{T: t, dir: filepath.Join(t.TempDir(), "d"), eng: &fakeEngine{kept: map[engine.Path]string{}, torn: map[engine.Path]bool{}}}
	if err := os.Mkdir(b.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b.cfg = Config{
		File: filepath.Join(t.TempDir(), "watch.json"), Engine: b.eng,
		Settle: 20 * time.Millisecond, Longest: 200 * time.Millisecond, Retry: 20 * time.Millisecond,
	}
	if change != nil {
		change(&b.cfg)
	}
	b.open()
	t.Cleanup(func() { b.end() })
	return b
}

// open starts the Watcher, which remembers what was watched.
func (b *bench) open() {
	b.Helper()
	var err error
	if b.w, err = Open(b.cfg); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.w.Run(ctx)
	}()
	b.end = func() {
		cancel()
		<-done
	}
}

func (b *bench) write(name, content string) {
	b.Helper()
	path := filepath.Join(b.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) until(what string, ok func() bool) {
	b.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("%s did not come; kept %q, %+v", what, b.eng.names(), b.w.List())
		}
	}
}

func (b *bench) wantNames(want string) {
	b.Helper()
	b.until(want, func() bool { return b.eng.names() == want })
}

func (b *bench) add(f Folder) {
	b.Helper()
	f.Dir, f.Path = b.dir, "d"
	if _, err := b.w.Add(f); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) rests() {
	b.Helper()
	b.until("rest", func() bool {
		s := b.w.List()[0]
		return s.Phase == Resting && s.Pending == 0
	})
}

func TestChangesArePut(t *testing.T) {
	b := newBench(t, nil)
	b.write("there", "before")
	b.add(Folder{})
	b.wantNames("there=before")
	b.rests()
	if s := b.w.List()[0]; !s.Events || !s.Problem.IsZero() || s.LastPut.IsZero() {
		t.Errorf("%+v", s)
	}
	b.write("there", "after")
	b.write("sub/deep/new", "1")
	b.wantNames("sub/deep/new=1 there=after")
	b.write("sub/deep/new", "2") // in a folder that came later
	b.wantNames("sub/deep/new=2 there=after")
	// A renamed folder is a new one; what is gone stays kept.
	if err := os.Rename(filepath.Join(b.dir, "sub"), filepath.Join(b.dir, "moved")); err != nil {
		t.Fatal(err)
	}
	b.wantNames("moved/deep/new=2 sub/deep/new=2 there=after")
	b.write("moved/deep/new", "3")
	b.wantNames("moved/deep/new=3 sub/deep/new=2 there=after")
	b.rests()
}

func TestOnlyWhatChangedIsPut(t *testing.T) {
	b := newBench(t, nil)
	for _, n := range []string{"a", "b", "c/d", "c/e"} {
		b.write(n, n)
	}
	b.add(Folder{})
	b.rests()
	b.eng.mu.Lock()
	before := b.eng.files
	b.eng.mu.Unlock()
	b.write("c/d", "x")
	b.wantNames("a=a b=b c/d=x c/e=c/e")
	b.rests()
	b.eng.mu.Lock()
	defer b.eng.mu.Unlock()
	if n := b.eng.files - before; n > 2 { // twice if it was seen half written
		t.Errorf("%d files were put for one", n)
	}
}

func TestRestartFindsWhatChanged(t *testing.T) {
	b := newBench(t, nil)
	b.write("a", "1")
	b.add(Folder{Ignore: []string{"*.tmp"}})
	b.wantNames("a=1")
	b.end()
	b.write("a", "2")
	b.write("b.tmp", "no")
	b.open()
	b.wantNames("a=2")
	if s := b.w.List(); len(s) != 1 || s[0].Ignore[0] != "*.tmp" {
		t.Errorf("%+v", s)
	}
}

func TestMirrorMovesToTheTrash(t *testing.T) {
	b := newBench(t, nil)
	for _, n := range []string{"a", "b", "c/d", "c/e"} {
		b.write(n, n)
	}
	b.add(Folder{Mirror: true})
	b.wantNames("a=a b=b c/d=c/d c/e=c/e")
	b.rests()
	if err := errors.Join(os.Remove(filepath.Join(b.dir, "a")), os.RemoveAll(filepath.Join(b.dir, "c"))); err != nil {
		t.Fatal(err)
	}
	b.wantNames("b=b")
	// Also what went while nobody looked.
	b.rests()
	b.end()
	if err := os.Remove(filepath.Join(b.dir, "b")); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.wantNames("")
}

// A disk that is not mounted looks like a folder that was emptied.
func TestMirrorDoubtsThatMostIsGone(t *testing.T) {
	b := newBench(t, nil)
	for i := range 40 {
		b.write(string(rune('a'+i%26))+strings.Repeat("x", i/26), "1")
	}
	b.add(Folder{Mirror: true})
	b.rests()
	want := b.eng.names()
	b.end()
	if err := errors.Join(os.RemoveAll(b.dir), os.Mkdir(b.dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.until("a word about it", func() bool { return strings.Contains(b.w.List()[0].Problem.Text, "40 of 40 files are gone") })
	if got := b.eng.names(); got != want {
		t.Errorf("left %s", got)
	}
}

func TestTroubleIsToldAndTriedAgain(t *testing.T) {
	b := newBench(t, nil)
	b.eng.err = engine.ErrNoKeepers
	b.write("a", "1")
	b.add(Folder{})
	b.until("the trouble", func() bool { s := b.w.List()[0]; return strings.Contains(s.Problem.Text, "invite one first") })
	b.eng.mu.Lock()
	b.eng.err = nil
	b.eng.torn["d/a"] = true
	b.eng.mu.Unlock()
	b.rests()
	if s := b.w.List()[0]; !s.Problem.IsZero() {
		t.Errorf("%+v", s)
	}
	b.eng.mu.Lock()
	defer b.eng.mu.Unlock()
	if len(b.eng.torn) > 0 || b.eng.puts < 2 {
		t.Error("what changed while it was read was not put again")
	}
}

func TestHeldAndPaused(t *testing.T) {
	var mu sync.Mutex
	why := said.As("on-battery", "on battery")
	b := newBench(t, func(c *Config) {
		c.Hold = func() said.Note {
			mu.Lock()
			defer mu.Unlock()
			return why
		}
	})
	b.write("a", "1")
	b.add(Folder{})
	b.until("the hold", func() bool { s := b.w.List()[0]; return s.Phase == Held && s.Problem.Text == "on battery" })
	mu.Lock()
	why = said.Note{}
	mu.Unlock()
	b.wantNames("a=1")
	if s, err := b.w.Pause(b.dir, true); err != nil || s.Phase != Paused {
		t.Fatalf("%+v, %v", s, err)
	}
	b.write("a", "2")
	b.end()
	b.open()
	if s := b.w.List()[0]; s.Phase != Paused {
		t.Errorf("%+v", s)
	}
	if _, err := b.w.Pause(b.dir, false); err != nil {
		t.Fatal(err)
	}
	b.wantNames("a=2")
	if _, err := b.w.Remove(b.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := b.w.Remove(b.dir); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if s := b.w.List(); len(s) != 0 {
		t.Errorf("%+v", s)
	}
}

// Without events a folder is looked through, and says so.
func TestLookingWithoutEvents(t *testing.T) {
	b := newBench(t, func(c *Config) { c.LookOnly, c.Look = 30*time.Millisecond, 30*time.Millisecond })
	b.write("a", "1")
	b.add(Folder{})
	b.rests()
	f := b.w.folders[0]
	f.lackEvents.Store(true)
	b.until("no events", func() bool {
		s := b.w.List()[0]
		return !s.Events && strings.Contains(s.Problem.Text, "noticed within")
	})
	b.write("a", "2")
	b.wantNames("a=2")
	f.lackEvents.Store(false)
	b.until("events again", func() bool { return b.w.List()[0].Events })
}

func TestAddRefusesWhatCannotBe(t *testing.T) {
	b := newBench(t, nil)
	b.write("sub/file", "1")
	b.add(Folder{})
	other := t.TempDir()
	for name, f := range map[string]Folder{
		"itself":                 {Dir: b.dir, Path: "x"},
		"one in it":              {Dir: filepath.Join(b.dir, "sub"), Path: "x"},
		"one above it":           {Dir: filepath.Dir(b.dir), Path: "x"},
		"the same name":          {Dir: other, Path: "d"},
		"a name below":           {Dir: other, Path: "d/x"},
		"a file":                 {Dir: filepath.Join(b.dir, "sub/file"), Path: "x"},
		"nothing":                {Dir: filepath.Join(other, "none"), Path: "x"},
		"the program's home":     {Dir: filepath.Dir(b.cfg.File), Path: "x"},
		"patterns that are away": {Dir: other, Path: "x", IgnoreFile: filepath.Join(other, "none")},
	} {
		if _, err := b.w.Add(f); err == nil {
			t.Errorf("%s was added", name)
		}
	}
	if n := len(b.w.List()); n != 1 {
		t.Errorf("%d are watched", n)
	}
}

// What is left out is what git leaves out.
func TestPatternsAreReadAsGitReadsThem(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("no git to compare with")
	}
	patterns := []string{
		"# a comment", "", "*.tmp", "!keep.tmp", "/top", "build/", "!build/kept", "a/**/z", "**/deep", "doc/*.txt", "doc/**",
		"!doc/", `\#odd`, `\!odd`, "spaces\\ ", "[a-c]x", "[!a]y", "q?", "trail   ", "/x/y", "**/w/v", "foo/**/bar",
	}
	paths := []string{
		"x.tmp", "keep.tmp", "d/keep.tmp", "top", "d/top", "build/f", "build/kept", "d/build/f", "a/z", "a/b/z", "a/b/c/z", "deep/f",
		"d/deep", "doc/f.txt", "doc/s/f.txt", "#odd", "!odd", "spaces ", "ax", "dx", "by", "ay", "q1", "q", "q12", "trail", "x/y", "d/x/y",
		"w/v", "d/w/v", "foo/bar", "foo/1/2/bar", "plain", "building", "Top",
	}
	dir := t.TempDir()
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), git, append([]string{"-C", dir, "-c", "core.excludesFile=", "-c", "core.ignoreCase=false"}, args...)...)
		out, err := cmd.Output()
		var exit *exec.ExitError
		if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
			t.Fatalf("git %v: %v", args, err)
		}
		return string(out)
	}
	run("init", "-q")
	for _, p := range paths {
		full := filepath.Join(dir, p)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(full); err == nil {
			continue
		}
		if err := os.WriteFile(full, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte(strings.Join(patterns, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := newRules(&Folder{Dir: dir, IgnoreFile: filepath.Join(dir, ".gitignore")})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		fi, err := os.Stat(filepath.Join(dir, p))
		if err != nil {
			t.Fatal(err)
		}
		want := run("check-ignore", "--no-index", p) != ""
		if got := r.skip(filepath.Join(dir, p), fi.IsDir()); got != want {
			t.Errorf("%q is left out: %v, git says %v", p, got, want)
		}
	}
}
