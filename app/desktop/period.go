// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
)

const day = 24 * time.Hour

// periods are how long a grant may last, to choose from.
func periods() []time.Duration {
	return []time.Duration{time.Hour, day, 7 * day, 30 * day, 90 * day, 365 * day}
}

// The period that is proposed, and the longest that is offered; the person
// changes both in the settings.
const (
	usualPeriod   = 30 * day
	longestPeriod = 365 * day
)

// period is the choice of how long.
type period struct {
	ui      *UI
	choice  *widget.Select
	other   *widget.Entry
	spans   []time.Duration
	most    time.Duration
	view    fyne.CanvasObject
	changed func()
}

func newPeriod(u *UI) *period { return newPeriodUpTo(u, 0) }

// newPeriodUpTo proposes a period that somebody asked for, and shorter ones; 0
// is nobody asked.
func newPeriodUpTo(u *UI, asked time.Duration) *period {
	p := &period{ui: u, most: u.prefs.longest()}
	usual := min(u.prefs.usual(), p.most)
	all := periods()
	if asked > 0 {
		p.most, usual = asked, asked
		if !slices.Contains(all, asked) {
			all = append(all, asked)
			slices.Sort(all)
		}
	}
	var names []string
	for _, span := range all {
		if span <= p.most {
			p.spans = append(p.spans, span)
			names = append(names, u.locale.Duration(span))
		}
	}
	names = append(names, u.t("period.other"))
	p.other = widget.NewEntry()
	p.other.SetPlaceHolder(u.t("period.example"))
	p.other.OnChanged = func(string) { p.tell() }
	p.other.Hide()
	p.choice = widget.NewSelect(names, nil)
	p.choice.SetSelectedIndex(max(slices.Index(p.spans, usual), 0))
	row := container.NewGridWithColumns(2, p.choice, p.other)
	p.choice.OnChanged = func(string) {
		visible(p.other, p.choice.SelectedIndex() == len(p.spans))
		row.Refresh()
		p.tell()
	}
	note := u.t("period.note", i18n.A{"usual": u.locale.Duration(u.prefs.usual()), "most": u.locale.Duration(p.most)})
	if asked > 0 {
		note = u.t("period.asked", i18n.A{"most": u.locale.Duration(asked)})
	}
	p.view = container.New(tightLayout{}, row, newNote(note))
	return p
}

func (p *period) tell() {
	if p.changed != nil {
		p.changed()
	}
}

// span is how long was chosen; false while that is nothing sensible.
func (p *period) span() (time.Duration, bool) {
	if i := p.choice.SelectedIndex(); i >= 0 && i < len(p.spans) {
		return p.spans[i], true
	}
	d, ok := parsePeriod(p.other.Text)
	return d, ok && d <= p.most
}

// until is the moment at which the period ends when it begins now.
func (p *period) until() (time.Time, bool) {
	d, ok := p.span()
	return p.ui.opt.Now().Add(d).Truncate(time.Second), ok
}

// parsePeriod reads a length of time as people of both languages write it:
// "45 min", "2 h", "10 d", "10 j", "3 w", "90 s".
func parsePeriod(text string) (time.Duration, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	n, err := strconv.Atoi(text[:digits])
	if err != nil || n <= 0 || n > 100_000 {
		return 0, false
	}
	unit, ok := map[string]time.Duration{
		"s": time.Second, "min": time.Minute, "h": time.Hour, "d": day, "day": day, "days": day, "j": day, "jour": day, "jours": day,
		"w": 7 * day, "week": 7 * day, "weeks": 7 * day, "sem": 7 * day, "semaine": 7 * day, "semaines": 7 * day,
	}[strings.TrimSpace(text[digits:])]
	return time.Duration(n) * unit, ok
}
