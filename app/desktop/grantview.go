// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/engine/grants"
)

// running tells whether a grant may still be opened, now or later.
func runningGrant(g *grants.Info) bool { return g.State == grants.Open || g.State == grants.Waiting }

// orderGrants sorts in place: what can be opened comes first, the one that
// ends first on top; then what is over, the latest on top.
func orderGrants(list []grants.Info) {
	slices.SortStableFunc(list, func(a, b grants.Info) int {
		x, y := runningGrant(&a), runningGrant(&b)
		switch {
		case x != y && x:
			return -1
		case x != y:
			return 1
		case x:
			return cmp.Or(a.NotAfter.Compare(b.NotAfter), strings.Compare(a.ID, b.ID))
		}
		return cmp.Or(b.NotAfter.Compare(a.NotAfter), strings.Compare(a.ID, b.ID))
	})
}

// grantState is a grant's state in a word, with its grade for colour and
// shape. The end is told by the clock as well: a list is some seconds old.
func grantState(l *i18n.Locale, g *grants.Info, now time.Time) (grade, string) {
	switch {
	case g.State == grants.Revoked:
		return gradeNone, l.T("access.state.withdrawn")
	case g.State == grants.Ended || !now.Before(g.NotAfter):
		return gradeNone, l.T("access.state.ended")
	case now.Before(g.NotBefore):
		return gradeNone, l.T("access.state.waiting")
	}
	return gradeSafe, l.T("access.state.open")
}

// copies says the thing that matters most about a grant: whether somebody can
// have kept a copy. Only a company that never had the key has none.
func copies(l *i18n.Locale, g *grants.Info, now time.Time) (grade, string) {
	var had []grants.Opening
	for _, o := range g.Openings {
		if o.Enough {
			had = append(had, o)
		}
	}
	switch {
	case len(had) > 0:
		last := had[len(had)-1]
		return gradeFragile, l.N("access.opened", int64(len(had)), i18n.A{"when": l.When(last.At, now), "who": deviceLabel(l, last.Device)})
	case len(g.Openings) > 0:
		return gradeFragile, l.T("access.maybe-opened")
	case !g.Unopened:
		return gradeNone, l.N("access.not-known", int64(g.Reported), i18n.A{"all": g.Custodians})
	case g.State == grants.Revoked && g.Told >= g.Quorum:
		return gradeSafe, l.T("access.never-opened-withdrawn")
	case !runningGrant(g):
		return gradeSafe, l.T("access.never-opened-over")
	}
	return gradeSafe, l.T("access.never-opened")
}

// deviceLabel is how a company calls the machine that opened; it may be empty.
func deviceLabel(l *i18n.Locale, label string) string {
	if label = strings.TrimSpace(shownName(label)); label != "" {
		return label
	}
	return l.T("access.some-device")
}

// withdrawal says how far a withdrawal has come, and whether that is enough.
func withdrawal(l *i18n.Locale, g *grants.Info) (done float64, certain bool, text string) {
	certain = g.Told >= g.Quorum
	text = l.N("access.told", int64(g.Told), i18n.A{"need": g.Quorum})
	if certain {
		text = l.N("access.told-enough", int64(g.Told), i18n.A{"all": g.Custodians})
	}
	return float64(g.Told) / float64(max(g.Quorum, 1)), certain, text
}

// grantSummary is the one sentence above the cards.
func grantSummary(l *i18n.Locale, list []grants.Info, now time.Time) string {
	brands, files := map[string]bool{}, map[string]bool{}
	never, soon := int64(0), int64(0)
	for i := range list {
		g := &list[i]
		if g.State != grants.Open || !now.Before(g.NotAfter) {
			continue
		}
		brands[g.BrandKey] = true
		for _, f := range g.Files {
			files[f] = true
		}
		if g.Unopened {
			never++
		}
		if g.NotAfter.Sub(now) < 7*24*time.Hour {
			soon++
		}
	}
	if len(brands) == 0 {
		return l.T("access.summary-none")
	}
	parts := []string{l.N("access.summary", int64(len(brands)), i18n.A{"files": l.N("access.files", int64(len(files)))})}
	if never > 0 {
		parts = append(parts, l.N("access.summary-never", never))
	}
	if soon > 0 {
		parts = append(parts, l.N("access.summary-soon", soon))
	}
	return join(parts...)
}

// fewNames names some files and counts the others.
func fewNames(l *i18n.Locale, files []string, most int) string {
	var names []string
	for _, f := range files[:min(len(files), most)] {
		names = append(names, shownName(path.Base(f)))
	}
	text := strings.Join(names, ", ")
	if more := len(files) - most; more > 0 {
		return l.N("transfer.and-more", int64(more), i18n.A{"name": text})
	}
	return text
}

// shortKey is the beginning of a key in groups of four, to be compared with
// one that was published.
func shortKey(key string) string {
	var parts []string
	for i := 0; i+4 <= min(len(key), 16); i += 4 {
		parts = append(parts, key[i:i+4])
	}
	return strings.Join(parts, " ")
}
