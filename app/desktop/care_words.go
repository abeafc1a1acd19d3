// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"math"
	"time"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

// remark is a sentence with its grade; gradeNone is a plain one.
type remark struct {
	grade grade
	text  string
}

// hoursToTell is how long machines must have been watched before their habits
// are worth a word.
const hoursToTell = 24

// safetyLines say what may be lost and what is to be expected, below the
// sentence of health.
func safetyLines(l *i18n.Locale, s *engine.Status) []remark {
	var out []remark
	if len(s.Health) > 1 {
		for _, h := range s.Health {
			g, words := gradeOf(h.MayLose), ""
			a := i18n.A{"files": l.N("health.files", h.Files, i18n.A{"size": l.Size(h.Bytes)})}
			switch g {
			case gradeLost:
				words = l.T("care.files-lost", a)
			case gradeFragile:
				words = l.T("care.files-fragile", a)
			default:
				words = l.N("care.files-safe", int64(h.MayLose), a)
			}
			out = append(out, remark{g, words})
		}
	}
	o := &s.Outlook
	if o.Houses && s.Files > 0 && o.MayLoseHouses < s.MayLose {
		if o.MayLoseHouses > 0 {
			out = append(out, remark{gradeNone, l.N("care.houses", int64(o.MayLoseHouses))})
		} else {
			out = append(out, remark{gradeFragile, l.T("care.one-house")})
		}
	}
	return out
}

// chances is the estimate for a year, in two sentences; "" while nothing is
// known that could be estimated from.
func chances(l *i18n.Locale, s *engine.Status) (sentence, why string) {
	o := &s.Outlook
	switch {
	case s.Files == 0 || s.MayLose < 0:
		return "", ""
	case o.Hours < hoursToTell:
		return l.T("care.chance-later"), ""
	}
	a := i18n.A{"chance": oneIn(l, o.YearlyLoss), "reach": percent(l, o.Readable)}
	return l.T("care.chance", a), l.T("care.chance-why", i18n.A{"time": l.Duration(time.Duration(o.Hours) * time.Hour)})
}

// oneIn writes a small chance as people say it, with two digits: it is an
// estimate.
func oneIn(l *i18n.Locale, p float64) string {
	switch {
	case p < 1e-9:
		return l.T("care.hardly")
	case p > 0.2:
		return percent(l, p)
	}
	n := 1 / p
	unit := math.Pow(10, math.Floor(math.Log10(n))-1)
	return l.T("care.one-in", i18n.A{"number": int64(math.Round(math.Round(n/unit) * unit))})
}

// percent writes a chance, rounded down so that it promises nothing.
func percent(l *i18n.Locale, p float64) string {
	if p > 0.99 && p < 1 {
		return l.T("care.nearly-all")
	}
	return l.T("care.percent", i18n.A{"number": int64(100 * p)})
}

// pace measures how fast what is to be made anew gets less.
type pace struct {
	most int64 // at the beginning of this repair
	rate rate
}

// paceWindow is how far back it looks: the node is asked every few seconds.
const paceWindow = 5 * time.Minute

func (p *pace) look(at time.Time, todo int64) {
	if todo == 0 || todo > p.most { // over, or more came
		p.most, p.rate = todo, rate{window: paceWindow}
	}
	if todo > 0 {
		p.rate.add(at, p.most-todo)
	}
}

func (p *pace) fraction(todo int64) float64 {
	if p.most == 0 {
		return 0
	}
	return float64(p.most-todo) / float64(p.most)
}

// mendingWords say what is being made anew now, how fast and how long yet.
func mendingWords(l *i18n.Locale, o *engine.Outlook, p *pace) string {
	words := l.N("care.todo", o.Todo)
	if perMinute := int64(math.Round(p.rate.perSecond() * 60)); perMinute > 0 {
		words = join(words, l.N("care.pace", perMinute))
	}
	if left, ok := p.rate.left(p.most); ok {
		words = join(words, l.T("transfer.left", i18n.A{"time": l.Duration(left)}))
	}
	return words
}

// careLines say what else is owed, waited for or under way.
func careLines(l *i18n.Locale, s *engine.Status) []remark {
	var out []remark
	add := func(g grade, words string) { out = append(out, remark{g, words}) }
	o := &s.Outlook
	if o.Waiting > 0 {
		add(gradeFragile, l.N("care.waiting", o.Waiting, i18n.A{"time": l.Duration(o.Grace)}))
	}
	if o.Homeless > 0 {
		add(gradeFragile, l.N("care.homeless", o.Homeless))
	}
	// What would make nothing safer in so small a circle is no debt to a person.
	if owed := s.Debt - o.Idle; owed > 0 {
		add(gradeNone, l.N("care.owed", owed))
	}
	if s.Pending > 0 {
		add(gradeNone, l.N("care.pending", s.Pending))
	}
	if o.Recode > 0 {
		add(gradeNone, l.T("care.growing", i18n.A{"percent": 100 * o.Fit / (o.Recode + o.Fit)}))
	}
	for _, leave := range o.Leaving {
		a := i18n.A{"name": shownName(leave.Name)}
		if leave.Stays {
			add(gradeNone, l.N("care.stops-keeping", leave.Left, a))
		} else {
			add(gradeNone, l.N("care.leaving", leave.Left, a))
		}
	}
	if len(out) == 0 && o.Todo == 0 && s.Files > 0 {
		add(gradeSafe, l.T("care.nothing-to-do"))
	}
	return out
}

// checkWords say how a keeper did when it was asked to prove what it holds. A
// machine that loses things is taken for one with a failing disk: that is what
// it nearly always is.
func checkWords(l *i18n.Locale, k *engine.KeeperStatus, now time.Time) (grade, string) {
	c := &k.Conduct
	last := ""
	if !c.Audited.IsZero() {
		last = l.T("care.last", i18n.A{"when": l.When(c.Audited, now)})
	}
	with := func(words string) string {
		if last == "" {
			return words
		}
		return join(words, last)
	}
	all := c.Proven + c.Unproven
	a := i18n.A{"all": all}
	switch {
	case c.Standing == "failing":
		return gradeLost, with(l.N("care.failing", c.Unproven, a))
	case c.Standing == "missing":
		return gradeLost, l.T("care.missing", i18n.A{"time": l.Duration(c.Away)})
	case all == 0:
		return gradeNone, with(l.T("care.not-checked"))
	case c.Unproven > 0:
		return gradeFragile, with(l.N("care.some-bad", c.Unproven, a))
	}
	return gradeSafe, with(l.N("care.all-good", all))
}

// usually is how often a machine is on, once that is known.
func usually(l *i18n.Locale, c *engine.Conduct) string {
	if c.Hours < hoursToTell {
		return ""
	}
	return l.T("care.usually", i18n.A{"percent": percent(l, c.Likely)})
}

// auditWords sum an audit up.
func auditWords(l *i18n.Locale, r *engine.AuditReport) (summary string, notes []string) {
	var asked, good int64
	for _, k := range r.Keepers {
		asked, good = asked+int64(k.Asked), good+int64(k.Good)
		switch {
		case k.Absent:
			notes = append(notes, l.T("care.absent", i18n.A{"name": shownName(k.Name)}))
		case k.Bad():
			notes = append(notes, l.N("care.found-bad", int64(k.Asked-k.Good), i18n.A{"name": shownName(k.Name), "all": k.Asked}))
		}
	}
	if good == asked {
		return l.N("care.all-good", asked), notes
	}
	return l.N("care.some-bad", asked-good, i18n.A{"all": asked}), notes
}

// copyWords say whether the list of the files can be brought back.
func copyWords(l *i18n.Locale, b *node.BackupState, now time.Time) remark {
	switch {
	case b.TakenOff:
		return remark{gradeLost, l.T("care.taken-off")}
	case b.Of == 0:
		return remark{gradeNone, l.T("care.no-copy-place")}
	case b.Number == 0:
		return remark{gradeFragile, l.T("care.no-copy")}
	}
	words := l.N("care.copy", int64(b.Keepers), i18n.A{"all": b.Of, "when": l.When(b.Made, now)})
	if b.Pending {
		words += " " + l.T("care.copy-behind")
	}
	return remark{gradeSafe, words}
}

// retentionWords say which of the past stays.
func retentionWords(l *i18n.Locale, r engine.Retention) string {
	var parts []string
	for _, p := range []struct {
		n     int64
		words string
	}{
		{r.Last, l.N("care.keep-last", r.Last)},
		{r.Daily, l.N("care.keep-daily", r.Daily)},
		{r.Weekly, l.N("care.keep-weekly", r.Weekly)},
		{r.Monthly, l.N("care.keep-monthly", r.Monthly)},
	} {
		if p.n > 0 {
			parts = append(parts, p.words)
		}
	}
	words := l.T("care.keep-none")
	if len(parts) > 0 {
		words = l.T("care.keep", i18n.A{"what": join(parts...)})
	}
	return words + " " + l.N("care.keep-trash", r.TrashDays)
}
