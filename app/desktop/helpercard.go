// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"reflect"
	"slices"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/helpers"
)

// helperDelays are how long a helper waits after agreeing, to choose from.
func helperDelays() []time.Duration { return []time.Duration{day, 3 * day, 7 * day, 14 * day} }

// helperCard is the part of the settings about who can bring the person back
// whose words are lost, and whom they help.
type helperCard struct {
	ui     *UI
	set    node.HelperSet
	loaded bool
	state  *fyne.Container
	choose *widget.Button
	none   *widget.Button
	view   *panel
}

func newHelperCard(u *UI) *helperCard {
	c := &helperCard{ui: u, state: container.NewVBox()}
	c.choose = widget.NewButton(u.t("helpers.choose"), c.ask)
	c.none = widget.NewButton(u.t("helpers.none-more"), c.askToEnd)
	c.none.Hide()
	c.view = newCard(container.NewVBox(newWideHeading(u.t("helpers.title")), newNote(u.t("helpers.text")), c.state,
		container.New(&flowLayout{}, c.choose, c.none)))
	return c
}

func (c *helperCard) refresh() {
	u, n := c.ui, c.ui.node
	learn(u, n.Helpers, c.show)
}

func (c *helperCard) show(set node.HelperSet) {
	if c.loaded && reflect.DeepEqual(set, c.set) {
		return
	}
	c.set, c.loaded = set, true
	u, l, now := c.ui, c.ui.locale, c.ui.opt.Now()
	c.state.Objects = nil
	visible(c.none, len(set.Helpers) > 0)
	if len(set.Helpers) == 0 {
		c.state.Add(statement(gradeFragile, u.t("helpers.none")))
		c.choose.SetText(u.t("helpers.choose"))
	} else {
		c.choose.SetText(u.t("helpers.change"))
		c.state.Add(statement(helpersGrade(&set), together(l, set.K, len(set.Helpers), set.Delay)))
		for _, h := range set.Helpers {
			c.state.Add(newNote(join(shownName(h.Name), helperWords(l, &h, now))))
		}
		if set.Outdated {
			c.state.Add(statement(gradeFragile, u.t("helpers.outdated")))
		}
		if !set.Words {
			c.state.Add(newNote(u.t("helpers.no-words")))
		}
	}
	for _, h := range set.Helped {
		c.state.Add(newNote(u.t("helpers.helped", i18n.A{"name": shownName(h.Owner), "when": l.When(h.Since, now)})))
	}
	u.relayout()
}

// helpersGrade: enough of them must have their part, and one may be missing.
func helpersGrade(s *node.HelperSet) grade {
	have := 0
	for _, h := range s.Helpers {
		if !h.Kept.IsZero() && !h.Left {
			have++
		}
	}
	switch {
	case have > s.K:
		return gradeSafe
	case have == s.K:
		return gradeFragile
	}
	return gradeLost
}

// together says what a set of helpers can do.
func together(l *i18n.Locale, k, n int, delay time.Duration) string {
	return l.N("helpers.together", int64(k), i18n.A{"all": n, "time": l.Duration(delay)})
}

func helperWords(l *i18n.Locale, h *node.Helper, now time.Time) string {
	switch {
	case h.Left:
		return l.T("helpers.left")
	case !h.Kept.IsZero():
		return l.T("helpers.has-part", i18n.A{"when": l.When(h.Kept, now)})
	case !h.Problem.IsZero():
		return l.T("helpers.not-yet-why", i18n.A{"why": l.Reason(h.Problem, now)})
	}
	return l.T("helpers.not-yet")
}

// ask lets the person choose who helps them.
func (c *helperCard) ask() {
	u, n := c.ui, c.ui.node
	u.work(func(ctx context.Context) func() {
		members, err := n.Circle(ctx, true)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("helpers.title"), err)
				return
			}
			c.chooseAmong(members)
		}
	})
}

func (c *helperCard) chooseAmong(members []node.Member) {
	u := c.ui
	picked := map[string]bool{}
	for _, h := range c.set.Helpers {
		picked[h.Device.String()] = !h.Left
	}
	delays := helperDelays()
	now := c.set.Delay
	if now == 0 {
		now = 3 * day
	}
	if !slices.Contains(delays, now) {
		delays = append(delays, now)
	}
	var names []string
	for _, d := range delays {
		names = append(names, u.locale.Duration(d))
	}
	delay := widget.NewSelect(names, nil)
	said := newNote(" ")
	say := func() {
		count, span := 0, delays[max(delay.SelectedIndex(), 0)]
		for _, on := range picked {
			if on {
				count++
			}
		}
		switch {
		case count < helpers.MinHelpers:
			setText(said, u.t("helpers.too-few"))
		case count > helpers.MaxHelpers:
			setText(said, u.t("helpers.too-many"))
		default:
			setText(said, together(u.locale, count/2+1, count, span))
		}
	}
	delay.SetSelectedIndex(slices.Index(delays, now))
	delay.OnChanged = func(string) { say() }
	box := container.NewVBox()
	for _, m := range members {
		check := widget.NewCheck(shownName(m.Name), nil)
		check.Checked = picked[m.Device.String()]
		check.OnChanged = func(on bool) { picked[m.Device.String()] = on; say() }
		who := ""
		if m.Person != "" {
			who = shownName(m.Person)
		}
		note := newNote(who)
		note.Wrapping, note.Truncation = fyne.TextWrapOff, fyne.TextTruncateEllipsis
		box.Add(container.NewBorder(nil, nil, check, nil, note))
	}
	if len(members) == 0 {
		box.Add(newNote(u.t("circle.empty")))
	}
	say()
	content := container.NewVBox(newNote(u.t("helpers.choose-text")), box, setting(u.t("helpers.delay"), container.NewHBox(delay)), said)
	u.confirm(u.t("helpers.choose-title"), u.t("helpers.choose-yes"), widget.HighImportance, content, func() {
		var add, drop []string
		for device, on := range picked {
			is := slices.ContainsFunc(c.set.Helpers, func(h node.Helper) bool { return h.Device.String() == device })
			switch {
			case on && !is:
				add = append(add, device)
			case !on && is: // among them who left the circle
				drop = append(drop, device)
			}
		}
		slices.Sort(add)
		slices.Sort(drop)
		c.change(add, drop, delays[max(delay.SelectedIndex(), 0)])
	})
}

// change makes a new set. Those that come are taken in before others go, so
// that there are never too few; who left the circle is out by then.
func (c *helperCard) change(add, drop []string, delay time.Duration) {
	u, n := c.ui, c.ui.node
	if len(add) == 0 && len(drop) == 0 && delay == c.set.Delay && !c.set.Outdated {
		return
	}
	u.work(func(ctx context.Context) func() {
		set, err := c.set, error(nil)
		if len(add) > 0 || len(drop) == 0 {
			set, err = n.AddHelpers(ctx, node.HelperOrder{Names: add, Delay: delay})
		}
		drop := slices.DeleteFunc(drop, func(device string) bool {
			return !slices.ContainsFunc(set.Helpers, func(h node.Helper) bool { return h.Device.String() == device })
		})
		if err == nil && len(drop) > 0 {
			set, err = n.RemoveHelpers(ctx, node.HelperOrder{Names: drop, Delay: delay})
		}
		return func() { c.changed(set, err) }
	})
}

func (c *helperCard) changed(set node.HelperSet, err error) {
	u := c.ui
	if err != nil {
		u.heard(err)
		u.tell(u.t("settings.not-changed"), err)
		c.refresh()
		return
	}
	c.show(set)
}

// askToEnd lets nobody help any more.
func (c *helperCard) askToEnd() {
	u, n := c.ui, c.ui.node
	u.confirm(u.t("helpers.none-more"), u.t("helpers.none-yes"), widget.DangerImportance, newNote(u.t("helpers.none-text")), func() {
		u.work(func(ctx context.Context) func() {
			set, err := n.RemoveHelpers(ctx, node.HelperOrder{All: true})
			return func() { c.changed(set, err) }
		})
	})
}
