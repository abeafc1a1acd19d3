// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"fmt"
	"time"

	"fyne.io/fyne/v2"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/grants"
)

// notice is something the window tells of by itself.
type notice string

const (
	noticeOpened   notice = "opened"   // a company opened what it was granted
	noticeEnding   notice = "ending"   // a grant ends within a day
	noticeAsked    notice = "asked"    // a company asks for files
	noticeHelp     notice = "help"     // somebody is being brought back by helpers
	noticeMissing  notice = "missing"  // a machine has not been seen for long
	noticeRepaired notice = "repaired" // everything is safe again
)

// missingAfter is how long a machine is away before it is missed: people
// switch computers off at night and on weekends.
const missingAfter = 3 * day

// wanted tells whether the person wants to be told. What a person did not
// ask for and may not be able to help is off until they say so.
func (p prefs) wanted(n notice) bool {
	return p.store.BoolWithFallback("notify."+string(n), n == noticeOpened || n == noticeEnding || n == noticeAsked || n == noticeHelp)
}

func (p prefs) want(n notice, on bool) { p.store.SetBool("notify."+string(n), on) }

// once tells whether something is told for the first time, and notes that.
func (p prefs) once(what string) bool {
	told := p.store.StringList("told")
	for _, t := range told {
		if t == what {
			return false
		}
	}
	const most = 200 // a list of what is long over helps nobody
	told = append(told, what)
	p.store.SetStringList("told", told[max(len(told)-most, 0):])
	return true
}

func (u *UI) notify(n notice, text string) {
	if u.prefs.wanted(n) {
		u.app.SendNotification(fyne.NewNotification("Preezm", text))
	}
}

// announce tells of openings since it last did, and of grants that end soon.
// Several at once are one notice.
func (u *UI) announce(all []happening, list []grants.Info) {
	key := "announced:" + u.opt.Home
	last := time.Unix(int64(u.prefs.store.Int(key)), 0)
	newest, count := last, 0
	var first happening
	for _, h := range all { // the newest come first
		if h.kind != kindOpened || !h.enough || !h.At.After(last) {
			continue
		}
		if count == 0 {
			first, newest = h, h.At
		}
		count++
	}
	if count > 0 {
		u.prefs.store.SetInt(key, int(newest.Unix()))
		if last.Unix() > 0 || u.opt.Now().Sub(newest) < day {
			text := first.Text
			if count > 1 {
				text = u.n("notify.opened-more", int64(count-1), i18n.A{"first": first.Text})
			}
			u.notify(noticeOpened, text)
		}
	}
	for i := range list {
		g := &list[i]
		left := g.NotAfter.Sub(u.opt.Now())
		// A grant for an hour ends soon from its beginning: that is no news.
		if runningGrant(g) && left > 0 && left < day && g.NotAfter.Sub(g.NotBefore) > 2*day && u.prefs.once("ending:"+g.ID) {
			u.notify(noticeEnding, u.t("notify.ending", i18n.A{"brand": shownName(g.Brand), "time": u.locale.Countdown(left)}))
		}
	}
}

// missed tells of machines that have been away for long, once each time.
func (u *UI) missed(members []node.Member) {
	for _, m := range members {
		if m.Asked && !m.Online && !m.LastSeen.IsZero() && u.opt.Now().Sub(m.LastSeen) > missingAfter &&
			u.prefs.once(fmt.Sprintf("missing:%s:%d", m.Device, m.LastSeen.Unix())) {
			u.notify(noticeMissing, u.t("notify.missing", i18n.A{"machine": shownName(m.Name), "when": u.locale.When(m.LastSeen, u.opt.Now())}))
		}
	}
}
