// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"cmp"
	"context"
	"math"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/preezm/preezm/engine"
)

// item is one entry as the Files screen shows and finds it. Lists of items are
// copied, cut and sorted all the time and may be long, so it is a pointer.
type item struct{ *shownEntry }

// shownEntry is what a list holds of an entry. There may be a hundred thousand
// of them: it is a third of the size of what the node tells.
type shownEntry struct {
	Path    engine.Path
	name    string // what is shown: the last part of the path
	folded  string // name without case and accents, for search and order
	Size    int64
	changed int64 // nanoseconds since 1970; 0: not known
	Files   int64 // below a folder
	MayLose int16
	Keepers int16
	Kind    engine.Kind
}

// when is when the entry was changed.
func (e *shownEntry) when() time.Time {
	if e.changed == 0 {
		return time.Time{}
	}
	return time.Unix(0, e.changed)
}

// within is the folder it is in, shown among search results.
func (e *shownEntry) within() string {
	dir, _ := path.Split(showable(e.Path))
	return shownName(strings.TrimSuffix(dir, "/"))
}

// showable is a path as text. Linux allows names that are no text; what cannot
// be shown is replaced on screen only, the Path stays what it is.
func showable(p engine.Path) string { return strings.ToValidUTF8(string(p), "\uFFFD") }

func newItems(entries []engine.Entry) []item { return earlier(nil).items(entries) }

// earlier is a list of before, ordered by path. What is still the same is taken
// from it, so that a long list that is read anew does not stand there twice.
type earlier []item

func sinceBefore(items []item) earlier {
	e := slices.Clone(items)
	slices.SortFunc(e, func(a, b item) int { return strings.Compare(string(a.Path), string(b.Path)) })
	return e
}

// same gives the entry of before that has the same path and says the same; nil:
// there is none.
func (e earlier) same(row *shownEntry) *shownEntry {
	i, found := slices.BinarySearchFunc(e, row.Path, func(it item, p engine.Path) int { return strings.Compare(string(it.Path), string(p)) })
	if !found {
		return nil
	}
	old := e[i].shownEntry
	row.name, row.folded = old.name, old.folded // they follow from the path
	if *row != *old {
		return nil
	}
	return old
}

func (e earlier) items(entries []engine.Entry) []item {
	items := make([]item, len(entries))
	var rows []shownEntry // the new ones
	short := func(n int) int16 { return int16(min(max(n, math.MinInt16), math.MaxInt16)) }
	for i := range entries {
		n := &entries[i]
		row := shownEntry{Path: n.Path, Size: n.Size, Files: n.Files, MayLose: short(n.MayLose), Keepers: short(n.Keepers), Kind: n.Kind}
		if !n.ModTime.IsZero() {
			row.changed = n.ModTime.UnixNano()
		}
		if old := e.same(&row); old != nil {
			items[i] = item{old}
			continue
		}
		_, name := path.Split(showable(n.Path))
		row.name, row.folded = shownName(name), fold(name)
		if rows == nil {
			rows = make([]shownEntry, 0, len(entries)-i)
		}
		rows = append(rows, row)
		items[i] = item{&rows[len(rows)-1]}
	}
	return items
}

// listItems gives what a listing holds, as items. Before is what was listed
// last, as far as it is still shown.
func listItems(ctx context.Context, n Node, o engine.ListOptions, before []item) ([]item, error) {
	items, known := make([]item, 0, len(before)), sinceBefore(before)
	var err error
	garbage.during(func() {
		err = n.ListPages(ctx, o, func(page []engine.Entry) error {
			items = append(items, known.items(page)...)
			return nil
		})
	})
	return items, err
}

// fold takes case and accents away, so that "ete" finds "Été".
func fold(s string) string {
	ascii := true
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			ascii = false
			break
		}
	}
	if ascii {
		return strings.ToLower(s)
	}
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFD.String(s))
}

// search gives the items whose name holds every word of the query.
func search(items []item, query string) []item {
	words := strings.Fields(fold(query))
	var found []item
	for _, it := range items {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(it.folded, w) }) {
			found = append(found, it)
		}
	}
	return found
}

// column is what the list is ordered by.
type column int

const (
	byName column = iota
	bySize
	byDate
	byHealth
)

// order sorts in place: folders before files, then by the column, then by
// name. The paths make it total, so equal names never swap places.
func order(items []item, by column, descending bool) {
	slices.SortFunc(items, func(a, b item) int {
		if c := folderRank(a) - folderRank(b); c != 0 {
			return c
		}
		c := 0
		switch by {
		case bySize:
			c = cmp.Compare(a.Size, b.Size)
		case byDate:
			c = cmp.Compare(a.changed, b.changed)
		case byHealth:
			c = cmp.Compare(a.MayLose, b.MayLose)
		}
		if c == 0 {
			c = strings.Compare(a.folded, b.folded)
			if by != byName {
				return tie(c, a, b)
			}
		}
		if descending {
			c = -c
		}
		return tie(c, a, b)
	})
}

func tie(c int, a, b item) int {
	if c != 0 {
		return c
	}
	return strings.Compare(string(a.Path), string(b.Path))
}

func folderRank(it item) int {
	if it.Kind == engine.Folder {
		return 0
	}
	return 1
}

// selection is what is picked in the list. Paths, not rows: the list may be
// reordered or reloaded under it.
type selection struct {
	picked map[engine.Path]bool
	anchor engine.Path // where a range starts
}

// pick applies a click: alone it picks one, with toggle (Ctrl) it adds or
// removes one, with extend (Shift) it picks from the last one on.
func (s *selection) pick(items []item, i int, toggle, extend bool) {
	if i < 0 || i >= len(items) {
		return
	}
	p := items[i].Path
	from := slices.IndexFunc(items, func(it item) bool { return it.Path == s.anchor })
	switch {
	case extend && from >= 0:
		s.picked = make(map[engine.Path]bool)
		for j := min(from, i); j <= max(from, i); j++ {
			s.picked[items[j].Path] = true
		}
		return
	case toggle && s.picked[p]:
		delete(s.picked, p)
	case toggle && s.picked != nil:
		s.picked[p] = true
	default:
		s.picked = map[engine.Path]bool{p: true}
	}
	s.anchor = p
}

func (s *selection) clear() { *s = selection{} }

// of gives what is picked among items, in their order.
func (s *selection) of(items []item) []item {
	var picked []item
	for _, it := range items {
		if s.picked[it.Path] {
			picked = append(picked, it)
		}
	}
	return picked
}

func pathsOf(items []item) []engine.Path {
	paths := make([]engine.Path, len(items))
	for i, it := range items {
		paths[i] = it.Path
	}
	return paths
}
