// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"fyne.io/fyne/v2"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/engine"
)

// grade is health as a person needs it: four steps, each with its own shape,
// colour and words.
type grade int

const (
	gradeNone    grade = iota // nothing to say: an empty folder, an empty circle
	gradeSafe                 // at least one machine may be lost
	gradeFragile              // every machine is needed
	gradeLost                 // cannot be brought back now
)

func gradeOf(mayLose int) grade {
	switch {
	case mayLose < 0:
		return gradeLost
	case mayLose == 0:
		return gradeFragile
	}
	return gradeSafe
}

func (g grade) color() fyne.ThemeColorName {
	switch g {
	case gradeSafe:
		return colorSafe
	case gradeFragile:
		return colorFragile
	case gradeLost:
		return colorLost
	}
	return colorQuiet
}

func (g grade) icon() fyne.Resource {
	switch g {
	case gradeSafe:
		return icon("safe", g.color())
	case gradeFragile:
		return icon("fragile", g.color())
	case gradeLost:
		return icon("lost", g.color())
	}
	return icon("none", g.color())
}

// entryHealth says in a few words how an entry is doing. What has no data, as
// an empty file or folder or a link, has nothing that could be lost.
func entryHealth(l *i18n.Locale, e item, h *health) (grade, string) {
	if e.Kind == engine.Folder && e.Files == 0 || e.Keepers == 0 && e.MayLose == 0 {
		return gradeNone, l.T("health.empty")
	}
	// A listing counts every machine that holds a piece, here or away. Where
	// all of the circle hold one, those that do not answer come off, so that
	// the rows say the same as the sentence above them.
	mayLose := int(e.MayLose)
	if h != nil && int(e.Keepers) == h.keepers && mayLose >= 0 {
		mayLose = max(mayLose-h.away, -1)
	}
	g := gradeOf(mayLose)
	switch g {
	case gradeLost:
		return g, l.T("health.lost")
	case gradeFragile:
		return g, l.T("health.fragile")
	}
	return g, l.N("health.safe", int64(mayLose))
}

// health is the one sentence on the first screen, and a line of detail.
type health struct {
	grade    grade
	sentence string
	detail   string
	keepers  int // machines that keep for this home
	away     int // of these, the ones that do not answer now
	mayLose  int // machines, of those that answer

	// What is kept, to see that it changed.
	files, folders, bytes, debt int64
}

// homeHealth makes the sentence from what the node says.
func homeHealth(l *i18n.Locale, s *engine.Status) health {
	h := health{detail: keeperDetail(l, s), keepers: len(s.Keepers), mayLose: s.MayLose,
		files: s.Files, folders: s.Folders, bytes: s.Bytes, debt: s.Debt}
	for _, k := range s.Keepers {
		if k.Asked && !k.Online {
			h.away++
		}
	}
	switch {
	case s.Files == 0 && len(s.Keepers) == 0:
		h.sentence = l.T("health.home.alone")
	case s.Files == 0:
		h.sentence = l.T("health.home.empty")
	case s.MayLose < 0:
		h.grade = gradeLost
		h.sentence = l.N("health.home.lost", filesAt(s, func(n int) bool { return n < 0 }))
	case s.MayLose == 0:
		h.grade = gradeFragile
		h.sentence = l.N("health.home.fragile", filesAt(s, func(n int) bool { return n == 0 }))
	default:
		h.grade = gradeSafe
		h.sentence = l.N("health.home.safe", int64(s.MayLose))
	}
	return h
}

func filesAt(s *engine.Status, in func(mayLose int) bool) int64 {
	var n int64
	for _, c := range s.Health {
		if in(c.MayLose) {
			n += c.Files
		}
	}
	return n
}

// keeperDetail: how much is kept, who answers, what is still to be done.
func keeperDetail(l *i18n.Locale, s *engine.Status) string {
	var parts []string
	if s.Files > 0 {
		parts = append(parts, l.N("health.files", s.Files, i18n.A{"size": l.Size(s.Bytes)}))
	}
	if n := len(s.Keepers); n > 0 {
		asked, online := 0, 0
		for _, k := range s.Keepers {
			if k.Asked {
				asked++
			}
			if k.Online {
				online++
			}
		}
		switch {
		case asked < n:
			parts = append(parts, l.N("health.keepers", int64(n)))
		case online == n:
			parts = append(parts, l.N("health.all-answer", int64(n)))
		default:
			parts = append(parts, l.N("health.answer", int64(online), i18n.A{"all": n}))
		}
	}
	if s.Debt > 0 {
		parts = append(parts, l.N("health.debt", s.Debt))
	}
	return join(parts...)
}
