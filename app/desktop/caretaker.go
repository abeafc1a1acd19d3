// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"reflect"
	"slices"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

// caretakerCard is who repairs while the machines of this home are off, and for
// whom this machine does so.
type caretakerCard struct {
	ui    *UI
	state *node.CareState // nil: not known yet
	asked time.Time       // when it was asked last

	lines  *fyne.Container // about this home
	others *fyne.Container // for whom this machine does it
	choose *widget.Button
	take   *widget.Button
	view   *panel
}

func newCaretakerCard(u *UI) *caretakerCard {
	c := &caretakerCard{ui: u, lines: container.NewVBox(), others: container.NewVBox()}
	c.choose = widget.NewButton(u.t("caretaker.choose"), c.ask)
	c.choose.Disable()
	c.take = widget.NewButton(u.t("caretaker.take"), c.askToTake)
	c.take.Hide()
	c.view = newCard(container.NewVBox(newWideHeading(u.t("caretaker.title")), newNote(u.t("caretaker.text")), c.lines,
		container.New(&flowLayout{}, c.choose, c.take), c.others))
	return c
}

// refresh asks again when that is due: the caretaker itself is asked for it.
func (c *caretakerCard) refresh() {
	u, n := c.ui, c.ui.node
	if now := u.opt.Now(); c.asked.IsZero() || now.Sub(c.asked) >= devicesEvery {
		c.asked = now
		learn(u, n.Care, c.show)
	}
}

func (c *caretakerCard) show(s *node.CareState) {
	if c.state != nil && reflect.DeepEqual(s, c.state) {
		return
	}
	c.state = s
	u, l, now := c.ui, c.ui.locale, c.ui.opt.Now()
	c.lines.Objects, c.others.Objects = nil, nil
	for _, r := range givenLines(l, s.Given, now) {
		c.lines.Add(spoken(r))
	}
	given := s.Given != nil && !s.Given.Ended
	c.choose.SetText(u.t("caretaker.choose"))
	if given {
		c.choose.SetText(u.t("caretaker.change"))
	}
	c.choose.Enable()
	visible(c.take, given)
	for i := range s.For {
		c.others.Add(c.forRow(&s.For[i]))
	}
	u.relayout()
}

// givenLines say who repairs while the machines of this home are off.
func givenLines(l *i18n.Locale, g *node.CareGiven, now time.Time) []remark {
	if g == nil {
		return []remark{{gradeNone, l.T("care.nobody")}}
	}
	a := i18n.A{"name": shownName(g.Name), "date": l.When(g.Until, now)}
	var out []remark
	add := func(g grade, words string) { out = append(out, remark{g, words}) }
	switch {
	case g.Ended:
		add(gradeNone, l.T("care.nobody"))
		add(gradeNone, l.T("caretaker.ended", a))
	case g.Idle:
		add(gradeFragile, l.T("caretaker.idle", a))
	default:
		words := l.T("care.caretaker", a)
		if g.Work.Pieces > 0 {
			words += " " + l.N("care.caretaker-did", g.Work.Pieces, i18n.A{"when": l.When(g.Work.Last, now)})
		}
		how := gradeSafe
		if !g.Asked {
			how, words = gradeFragile, words+" "+l.T("care.caretaker-away")
		}
		add(how, words)
		if g.Work.Lacking > 0 && g.Asked {
			add(gradeNone, l.T("caretaker.lacking"))
		}
	}
	if len(g.Unaware) > 0 {
		var names []string
		for _, n := range g.Unaware {
			names = append(names, shownName(n))
		}
		add(gradeNone, l.N("caretaker.unaware", int64(len(names)), i18n.A{"names": fewNames(l, names, 5)}))
	}
	return out
}

// forRow is somebody for whom this machine repairs, or was asked to.
func (c *caretakerCard) forRow(f *node.CareFor) fyne.CanvasObject {
	u, l := c.ui, c.ui.locale
	a := i18n.A{"name": shownName(f.Name), "date": l.When(f.Until, u.opt.Now())}
	words, button := l.T("care.caretaker-of", a), u.t("caretaker.refuse")
	if f.Lists > 0 {
		words += " " + l.T("caretaker.lists", i18n.A{"size": l.Size(f.Lists)})
	}
	if f.Refused {
		words, button = l.T("caretaker.refused", a), u.t("caretaker.again")
	}
	do := widget.NewButton(button, func() {
		if f.Refused {
			c.refuse(f, false)
			return
		}
		u.confirm(u.t("caretaker.refuse-title", a), u.t("caretaker.refuse-yes"), widget.HighImportance, newNote(u.t("caretaker.refuse-text")), func() { c.refuse(f, true) })
	})
	return beside(300, newNote(words), do)
}

func (c *caretakerCard) refuse(f *node.CareFor, on bool) {
	n := c.ui.node
	c.change(func(ctx context.Context) (*node.CareState, error) {
		return n.RefuseCare(ctx, node.CareRefusal{Who: f.Owner.String(), On: on})
	})
}

// change does something about the task and shows what came of it.
func (c *caretakerCard) change(do func(ctx context.Context) (*node.CareState, error)) {
	learnOr(c.ui, c.ui.t("settings.not-changed"), do, c.show)
}

func (c *caretakerCard) askToTake() {
	u, n := c.ui, c.ui.node
	u.confirm(u.t("caretaker.take-title"), u.t("caretaker.take"), widget.HighImportance, newNote(u.t("caretaker.take-text")), func() {
		c.change(n.TakeCare)
	})
}

// ask lets the person choose the machine that is to repair: any of the circle
// but their own, which repair by themselves.
func (c *caretakerCard) ask() {
	u, n := c.ui, c.ui.node
	u.work(func(ctx context.Context) func() {
		members, err := n.Circle(ctx, true)
		var own []node.Device
		if err == nil {
			own, err = n.Devices(ctx)
		}
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("caretaker.title"), err)
				return
			}
			c.chooseAmong(slices.DeleteFunc(slices.Clone(members), func(m node.Member) bool {
				return slices.ContainsFunc(own, func(d node.Device) bool { return d.Device == m.Device })
			}))
		}
	})
}

func (c *caretakerCard) chooseAmong(members []node.Member) {
	u := c.ui
	if len(members) == 0 {
		u.inform(u.t("caretaker.title"), newNote(u.t("caretaker.no-machine")))
		return
	}
	names, now := make([]string, len(members)), -1
	for i, m := range members {
		state := u.t("circle.away")
		if m.Online {
			state = u.t("circle.online")
		}
		names[i] = join(ellipsizeEnd(shownName(m.Name), 240, theme.TextSize()), state)
		if slices.Contains(names[:i], names[i]) {
			names[i] = join(names[i], m.Device.Short())
		}
		if g := c.state; g != nil && g.Given != nil && !g.Given.Ended && g.Given.Device == m.Device {
			now = i
		}
	}
	which := widget.NewRadioGroup(names, nil)
	which.Required = true
	if now >= 0 {
		which.SetSelected(names[now])
	}
	u.confirm(u.t("caretaker.choose-title"), u.t("caretaker.choose-yes"), widget.HighImportance,
		container.NewVBox(newNote(u.t("caretaker.choose-text")), which), func() {
			if i := slices.Index(names, which.Selected); i >= 0 {
				c.give(&members[i])
			}
		})
}

// give hands a machine the task; telling it of all pieces can take a while.
func (c *caretakerCard) give(m *node.Member) {
	u, n, who := c.ui, c.ui.node, m.Device.String()
	a := i18n.A{"name": shownName(m.Name)}
	u.jobs.start(icon("safe", theme.ColorNamePrimary), u.t("caretaker.giving", a), func(ctx context.Context, progress func(engine.Progress)) (outcome, error) {
		s, err := n.GiveCare(ctx, node.CareOrder{Who: who}, progress)
		if err == nil {
			u.pump.post(ctx, func() { c.show(s) })
		}
		return outcome{summary: u.locale.T("caretaker.given", a)}, err
	}, func(t *transfer) {
		if t.err != nil {
			t.againTo, t.again = u.t("transfer.again"), func() { c.give(m) }
		}
	})
}
