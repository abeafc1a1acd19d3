// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/assets"
	"github.com/preezm/preezm/engine"
)

func english(t testing.TB) *i18n.Locale {
	t.Helper()
	l, err := i18n.Load(assets.Catalogs, "i18n", "en")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestHomeHealth(t *testing.T) {
	keepers := []engine.KeeperStatus{{Asked: true, Online: true}, {Asked: true}}
	for _, c := range []struct {
		name   string
		status engine.Status
		grade  grade
		say    string
		detail string
	}{
		{"alone", engine.Status{}, gradeNone, "No machine keeps for you yet. Invite someone to your circle.", ""},
		{"empty", engine.Status{Keepers: keepers}, gradeNone, "Your circle is ready. Add your first files.", "1 of 2 machines online"},
		{"safe", engine.Status{Files: 1, Bytes: 5, MayLose: 1, Keepers: keepers, Debt: 1}, gradeSafe,
			"Everything is safe: any 1 machine may be lost.", "1 file, 5 bytes  ·  1 of 2 machines online  ·  1 piece still to be handed out"},
		{"fragile", engine.Status{Files: 9, Health: []engine.HealthCount{{MayLose: 0, Files: 2}, {MayLose: 1, Files: 7}}}, gradeFragile,
			"2 files are at risk: they need every machine that holds them.", "9 files, 0 bytes"},
		{"lost", engine.Status{Files: 9, MayLose: -1, Health: []engine.HealthCount{{MayLose: -1, Files: 1}, {MayLose: 0, Files: 8}}}, gradeLost,
			"1 file is out of reach: too many machines are away.", "9 files, 0 bytes"},
		{"not asked", engine.Status{Keepers: make([]engine.KeeperStatus, 3)}, gradeNone, "Your circle is ready. Add your first files.", "3 machines"},
	} {
		h := homeHealth(english(t), &c.status)
		if h.grade != c.grade || h.sentence != c.say || h.detail != c.detail {
			t.Errorf("%s: %+v", c.name, h)
		}
	}
}

// Every step of health has a shape and a word of its own: colour is never
// alone.
func TestHealthWithoutColour(t *testing.T) {
	l := english(t)
	shapes, words := map[string]bool{}, map[string]bool{}
	for _, e := range []engine.Entry{
		{Kind: engine.Folder}, {Kind: engine.File, MayLose: 2}, {Kind: engine.File}, {Kind: engine.File, MayLose: -1},
	} {
		e.Keepers = 5
		g, w := entryHealth(l, newItems([]engine.Entry{e})[0], nil)
		shapes[g.icon().Name()[strings.LastIndex(g.icon().Name(), "_")+1:]] = true
		words[w] = true
	}
	if len(shapes) != 4 || len(words) != 4 {
		t.Errorf("shapes %v, words %v", shapes, words)
	}
}

// The rows say what is so now: machines that are away come off where that is
// known to be right.
func TestEntryHealthCountsWhoIsAway(t *testing.T) {
	file := func(mayLose, keepers int) engine.Entry {
		return engine.Entry{Kind: engine.File, MayLose: mayLose, Keepers: keepers}
	}
	for _, c := range []struct {
		entry engine.Entry
		home  *health
		want  string
	}{
		{file(2, 5), nil, "Safe: 2 machines may be lost"},
		{file(2, 5), &health{keepers: 5}, "Safe: 2 machines may be lost"},
		{file(2, 5), &health{keepers: 5, away: 1}, "Safe: 1 machine may be lost"},
		{file(2, 5), &health{keepers: 5, away: 2}, "At risk: no machine may be lost"},
		{file(2, 5), &health{keepers: 5, away: 4}, "Out of reach for now"},
		{file(2, 4), &health{keepers: 5, away: 1}, "Safe: 2 machines may be lost"}, // is it one of the four?
		{file(0, 0), &health{keepers: 5, away: 1}, "Empty"},
		{file(-1, 0), &health{keepers: 5}, "Out of reach for now"},
	} {
		if _, got := entryHealth(english(t), newItems([]engine.Entry{c.entry})[0], c.home); got != c.want {
			t.Errorf("%+v, %+v: %q, want %q", c.entry, c.home, got, c.want)
		}
	}
}

func TestRate(t *testing.T) {
	var r rate
	if _, ok := r.left(100); ok || r.perSecond() != 0 {
		t.Error("a speed before anything is known")
	}
	r.add(noon, 0)
	r.add(noon.Add(100*time.Millisecond), 50)
	if r.perSecond() != 0 {
		t.Error("a speed from a tenth of a second")
	}
	for s := 1; s <= 60; s++ { // 100 a second, then 10 a second
		bytes := int64(100 * min(s, 30))
		bytes += int64(10 * max(s-30, 0))
		r.add(noon.Add(time.Duration(s)*time.Second), bytes)
	}
	if got := r.perSecond(); got != 10 {
		t.Errorf("speed %v, want 10: the fast half is long ago", got)
	}
	if left, ok := r.left(3300 + 50); !ok || left != 5*time.Second {
		t.Errorf("left %v, %v", left, ok)
	}
	if left, ok := r.left(10); !ok || left != 0 {
		t.Errorf("less than nothing is left: %v, %v", left, ok)
	}
	if _, ok := r.left(1 << 62); ok {
		t.Error("a time left of thousands of years")
	}
	if len(r.samples) > 12 {
		t.Errorf("%d samples kept", len(r.samples))
	}
	var still rate
	still.add(noon, 7)
	still.add(noon.Add(time.Minute), 7)
	if _, ok := still.left(10); ok {
		t.Error("a time left while nothing moves")
	}
}

func TestFold(t *testing.T) {
	for in, want := range map[string]string{"Été À LA MER": "ete a la mer", "README.md": "readme.md", "ŒUVRE": "œuvre", "Ελλάδα": "ελλαδα", "\xff\xfe": "\uFFFD\uFFFD"} {
		if got := fold(strings.ToValidUTF8(in, "\uFFFD")); got != want && !(strings.Contains(want, "\uFFFD") && got == "\uFFFD") {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// A name must not be able to break a line or to hide its ending.
func TestPrintable(t *testing.T) {
	items := newItems([]engine.Entry{{Path: "a\nb/photo\u202Egpj.exe"}, {Path: "caf\xe9"}})
	if items[0].name != "photo\uFFFDgpj.exe" || items[0].within() != "a\uFFFDb" || items[1].name != "caf\uFFFD" {
		t.Errorf("%q %q %q", items[0].name, items[0].within(), items[1].name)
	}
	if items[1].Path != "caf\xe9" {
		t.Error("the path itself was changed")
	}
}

// A list that is read anew takes what is still the same from the one before, and
// nothing else.
func TestItemsOfBefore(t *testing.T) {
	entries := func() []engine.Entry {
		return []engine.Entry{{Path: "b/Zo\u00e9.txt", Size: 3, ModTime: noon}, {Path: "a", Kind: engine.Folder}, {Path: "b/c.jpg", MayLose: 2, Keepers: 5}, {Path: "d"}}
	}
	before := newItems(entries())
	now := entries()
	now[2].MayLose = 1
	now[3].Path = "dd"
	got, want := sinceBefore(before).items(now), newItems(now)
	for i := range want {
		if *got[i].shownEntry != *want[i].shownEntry {
			t.Errorf("%+v, want %+v", *got[i].shownEntry, *want[i].shownEntry)
		}
		if same := got[i] == before[i]; same != (i < 2) {
			t.Errorf("%s is the one of before: %v", want[i].Path, same)
		}
	}
	if *before[2].shownEntry != *newItems(entries())[2].shownEntry {
		t.Error("the list of before was changed")
	}
}

// Whatever the column and direction, folders come first and the order does
// not depend on the order before.
func TestOrderIsTotal(t *testing.T) {
	var entries []engine.Entry
	for i := range 60 {
		kind := engine.File
		if i%5 == 0 {
			kind = engine.Folder
		}
		entries = append(entries, engine.Entry{Path: engine.Path(fmt.Sprintf("f/%c%d", 'A'+i%3+32*(i%2), i%7)), Kind: kind,
			Size: int64(i % 4), MayLose: i%3 - 1, ModTime: noon.Add(time.Duration(i%2) * time.Hour)})
		entries[i].Path += engine.Path(fmt.Sprint("/", i%11, i))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for by := byName; by <= byHealth; by++ {
		for _, down := range []bool{false, true} {
			want := newItems(entries)
			order(want, by, down)
			for range 5 {
				got := newItems(entries)
				random.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
				order(got, by, down)
				if !slices.EqualFunc(got, want, func(a, b item) bool { return a.Path == b.Path }) {
					t.Fatalf("column %d, down %v: the order depends on the order before", by, down)
				}
			}
			if i := slices.IndexFunc(want, func(it item) bool { return it.Kind == engine.File }); i != 12 {
				t.Errorf("column %d, down %v: a file at %d", by, down, i)
			}
		}
	}
}

func TestSelection(t *testing.T) {
	items := newItems([]engine.Entry{{Path: "a"}, {Path: "b"}, {Path: "c"}, {Path: "d"}})
	var s selection
	check := func(want string) {
		t.Helper()
		var got string
		for _, it := range s.of(items) {
			got += it.name
		}
		if got != want {
			t.Errorf("picked %q, want %q", got, want)
		}
	}
	s.pick(items, 1, true, false)
	check("b")
	s.pick(items, 3, false, true)
	check("bcd")
	s.pick(items, 0, false, true)
	check("ab")
	s.pick(items, 2, true, false)
	check("abc")
	s.pick(items, 0, true, false)
	check("bc")
	s.pick(items, 3, false, false)
	check("d")
	s.pick(items, 9, false, false)
	check("d")
	slices.Reverse(items)
	check("d")
	s.clear()
	check("")
	s.pick(items, 2, false, true)
	check("b")
}

func TestEllipsize(t *testing.T) {
	test.NewTempApp(t)
	long := "a very long name of a file that goes on and on.pdf"
	got := ellipsize(long, 160, 14, fyne.TextStyle{})
	if fyne.MeasureText(got, 14, fyne.TextStyle{}).Width > 160 || !strings.HasSuffix(got, ".pdf") || !strings.HasPrefix(got, "a ve") {
		t.Errorf("%q", got)
	}
	if got := ellipsize("short.pdf", 160, 14, fyne.TextStyle{}); got != "short.pdf" {
		t.Errorf("%q", got)
	}
	if got := ellipsize("é", 0, 14, fyne.TextStyle{}); got != "…é" && got != "…" {
		t.Errorf("%q", got)
	}
}

// 100,000 files are searched between two letters typed.
func BenchmarkSearch(b *testing.B) {
	entries := make([]engine.Entry, 100_000)
	for i := range entries {
		entries[i].Path = engine.Path(fmt.Sprintf("folder %d/été %d.jpg", i%100, i))
	}
	items := newItems(entries)
	b.ResetTimer()
	for b.Loop() {
		order(search(items, "ETE 99"), byName, false)
	}
}
