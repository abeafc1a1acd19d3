// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/peers/said"
)

// access is the Access screen: who was granted what, until when, and what
// they did with it.
type access struct {
	clocks
	ui         *UI
	list       []grants.Info
	notes      []said.Note
	custodians []node.Custodian
	loaded     bool
	asking     bool
	wide       map[string]bool // grants whose openings are all shown

	summary *widget.RichText
	trouble *widget.RichText
	panel   *widget.RichText
	grant   *widget.Button
	change  *widget.Button
	asks    *askedCards
	cards   *fyne.Container
	root    fyne.CanvasObject
}

func newAccess(u *UI) *access {
	a := &access{ui: u, wide: map[string]bool{}, summary: newNote(u.t("access.asking")), trouble: newTrouble(),
		panel: newNote(" "), cards: container.NewVBox()}
	a.grant = widget.NewButtonWithIcon(u.t("access.new"), icon("key", theme.ColorNameForegroundOnPrimary), func() { u.grantPage(nil) })
	a.grant.Importance = widget.HighImportance
	a.change = widget.NewButton(u.t("access.custodians-change"), a.askCustodians)
	a.change.Importance = widget.LowImportance
	a.asks = newAskedCards(u)
	take := widget.NewButtonWithIcon(u.t("asked.add"), icon("inbox", theme.ColorNameForeground), a.asks.askForText)
	head := beside(110, newTitle(u.t("nav.access")), take, a.grant)
	deciders := newPanel(colorSidebar, 10, beside(260, a.panel, a.change))
	top := container.NewVBox(head, container.New(tightLayout{}, a.summary, a.trouble))
	a.root = container.NewBorder(top, nil, nil, nil, scrolled(container.NewVBox(deciders, a.asks.view, a.cards)))
	return a
}

func (a *access) view() fyne.CanvasObject { return a.root }

// refresh asks the node, which asks the custodians: this can take seconds.
func (a *access) refresh() {
	n := a.ui.node
	if n == nil || a.asking {
		return
	}
	a.asks.refresh()
	a.asking = true
	a.ui.work(func(ctx context.Context) func() {
		custodians, err := n.Custodians(ctx)
		if err == nil {
			known := slices.Clone(custodians)
			a.ui.pump.post(ctx, func() { a.showCustodians(known) })
		}
		var list *node.GrantList
		if err == nil {
			list, err = n.Grants(ctx)
		}
		return func() {
			a.asking = false
			if err != nil {
				a.ui.heard(err)
				setText(a.trouble, a.ui.say(err))
				return
			}
			a.show(list)
		}
	})
}

// show takes what the node says. The time of the logs moves on by itself and
// is no reason to draw anything anew.
func (a *access) show(list *node.GrantList) {
	setText(a.trouble, "")
	fresh := slices.Clone(list.Grants)
	orderGrants(fresh)
	for i := range fresh {
		fresh[i].LogsUpTo = time.Time{}
	}
	if a.loaded && reflect.DeepEqual(fresh, a.list) && reflect.DeepEqual(list.Notes, a.notes) {
		return
	}
	known := a.loaded
	a.list, a.notes, a.loaded = fresh, list.Notes, true
	a.build()
	if f := a.ui.frame; known && f != nil {
		f.pages["activity"].refresh() // an opening is told of when it is seen, not up to a minute later
	}
}

func (a *access) showCustodians(list []node.Custodian) {
	if a.loaded && reflect.DeepEqual(list, a.custodians) {
		return
	}
	a.custodians = list
	l := a.ui.locale
	if len(list) == 0 {
		setText(a.panel, a.ui.t("access.no-custodians"))
		a.change.SetText(a.ui.t("access.custodians-choose"))
		a.change.Importance = widget.HighImportance
	} else {
		var names []string
		for _, c := range list {
			names = append(names, shownName(c.Name))
		}
		slices.Sort(names)
		setText(a.panel, l.N("access.custodians", int64(len(list)), i18n.A{"need": len(list)/2 + 1, "names": fewNames(l, names, 5)}))
		a.change.SetText(a.ui.t("access.custodians-change"))
		a.change.Importance = widget.LowImportance
	}
	a.change.Refresh()
	a.root.Refresh()
}

// build draws all cards anew.
func (a *access) build() {
	u := a.ui
	a.cards.Objects, a.clocks = nil, nil
	setText(a.summary, grantSummary(u.locale, a.list, u.opt.Now()))
	if len(a.list) == 0 {
		a.cards.Add(emptyPage(icon("key", theme.ColorNamePrimary), u.t("access.empty-title"), u.t("access.empty")))
	}
	for _, note := range a.notes {
		a.cards.Add(newNote(capital(spelled(u.locale, note, u.opt.Now()))))
	}
	for i := range a.list {
		a.cards.Add(a.card(&a.list[i]))
	}
	a.root.Refresh()
	u.lives()
}

// tick is part of living.
func (a *access) tick(now time.Time) {
	if a.clocks.tick(now) {
		a.build() // what can be done changes with the end
		a.refresh()
	}
}

// card is one grant.
func (a *access) card(g *grants.Info) fyne.CanvasObject {
	u, l, now := a.ui, a.ui.locale, a.ui.opt.Now()
	brand := widget.NewLabel(shownName(g.Brand))
	brand.TextStyle.Bold = true
	brand.Truncation = fyne.TextTruncateEllipsis
	stateGrade, state := grantState(l, g, now)
	about := []string{state, l.N("access.files", int64(len(g.Files))), g.ID}
	if g.Purpose != "" {
		about = append([]string{state, shownName(g.Purpose)}, about[1:]...)
	}
	line := newNote(join(about...))
	line.Wrapping, line.Truncation = fyne.TextWrapOff, fyne.TextTruncateEllipsis
	over := u.t("access.state.ended")
	if g.State == grants.Revoked {
		over = u.t("access.state.withdrawn")
	}
	end := g.NotAfter
	c := newClock(u, g.NotBefore, end, over)
	if g.State == grants.Revoked {
		c.until = now.Add(-time.Second)
		c.tick(now)
		setText(c.small, u.t("clock.was-until", i18n.A{"when": l.Moment(end, now)}))
	} else {
		a.clocks = append(a.clocks, c.started())
	}
	mark := iconOf(stateIcon(g, stateGrade), 22)
	top := beside(230, container.NewBorder(nil, nil, container.NewCenter(mark), nil, container.New(tightLayout{}, brand, line)),
		container.New(widthLayout{170}, container.New(tightLayout{}, c.text, c.small)))

	body := container.NewVBox(top, container.New(indentLayout{28}, newNote(fewNames(l, g.Files, 6))))
	grade, words := copies(l, g, now)
	body.Add(container.New(indentLayout{28}, statement(grade, words)))
	if g.State == grants.Revoked {
		done, certain, text := withdrawal(l, g)
		b := newBar()
		b.set(done)
		grade := gradeFragile
		if certain {
			grade = gradeSafe
		}
		body.Add(container.New(indentLayout{28}, container.New(tightLayout{}, statement(grade, text), b)))
	}
	if len(g.Openings)+g.Refusals > 0 {
		body.Add(container.New(indentLayout{34}, a.openings(g)))
	}
	body.Add(container.New(indentLayout{36}, a.buttons(g)))
	return newCard(body)
}

func stateIcon(g *grants.Info, grade grade) fyne.Resource {
	if grade == gradeSafe {
		return icon("key", theme.ColorNamePrimary)
	}
	if g.State == grants.Revoked {
		return tinted(theme.CancelIcon(), colorQuiet)
	}
	return icon("key", colorQuiet)
}

// few is how many openings a card shows unless asked for all.
const few = 3

// openings is the timeline of a grant, the newest on top.
func (a *access) openings(g *grants.Info) fyne.CanvasObject {
	u, l, now := a.ui, a.ui.locale, a.ui.opt.Now()
	list := slices.Clone(g.Openings)
	slices.Reverse(list)
	shown := list
	if !a.wide[g.ID] {
		shown = list[:min(few, len(list))]
	}
	box := container.New(rowsLayout{})
	for i, o := range shown {
		text := u.n("access.opening", int64(o.Custodians), i18n.A{"when": l.When(o.At, now), "time": o.At.In(now.Location()).Format("15:04"),
			"who": deviceLabel(l, o.Device), "file": shownName(o.Path)})
		if !o.Enough {
			text = join(text, u.t("access.not-enough"))
		}
		box.Add(newEvent(text, o.Enough, i == 0, i == len(shown)-1))
	}
	if g.Refusals > 0 {
		box.Add(newNote(u.n("access.refusals", int64(g.Refusals))))
	}
	if more := len(list) - few; more > 0 {
		words := u.n("access.more-openings", int64(more))
		if a.wide[g.ID] {
			words = u.t("access.fewer-openings")
		}
		b := widget.NewButton(words, func() {
			a.wide[g.ID] = !a.wide[g.ID]
			a.build()
		})
		b.Importance = widget.LowImportance
		box.Add(container.NewHBox(b))
	}
	return box
}

func (a *access) buttons(g *grants.Info) fyne.CanvasObject {
	u := a.ui
	box := container.New(&flowLayout{})
	add := func(words string, picture fyne.Resource, importance widget.Importance, do func()) {
		b := widget.NewButtonWithIcon(words, picture, do)
		b.Importance = importance
		box.Add(b)
	}
	if runningGrant(g) && u.opt.Now().Before(g.NotAfter) {
		add(u.t("access.withdraw"), tinted(theme.CancelIcon(), colorLost), widget.MediumImportance, func() { a.askToWithdraw(g) })
		add(u.t("access.extend"), theme.HistoryIcon(), widget.MediumImportance, func() { a.askToExtend(g) })
		if g.Follow {
			add(u.t("access.replace"), theme.DocumentCreateIcon(), widget.MediumImportance, func() { a.askToReplace(g) })
		}
		if g.Ticket != "" {
			add(u.t("access.ticket"), theme.MailSendIcon(), widget.MediumImportance, func() { u.showTicket(shownName(g.Brand), g.ID, g.Ticket) })
		}
	} else if g.State == grants.Revoked && g.Told < g.Quorum {
		add(u.t("access.tell-again"), theme.ViewRefreshIcon(), widget.MediumImportance, func() { a.withdraw(g.ID, "") })
	}
	add(u.t("access.proof"), theme.DocumentSaveIcon(), widget.MediumImportance, func() { a.saveProof(g.ID) })
	return box
}

// askToWithdraw is the one question before a withdrawal.
func (a *access) askToWithdraw(g *grants.Info) {
	u := a.ui
	grade, words := copies(u.locale, g, u.opt.Now())
	content := container.NewVBox(
		newNote(u.t("withdraw.text", i18n.A{"brand": shownName(g.Brand)})),
		statement(grade, words),
	)
	u.confirm(u.t("withdraw.title"), u.t("withdraw.yes"), widget.DangerImportance, content, func() { a.withdraw(g.ID, "") })
}

// withdraw ends a grant; the card then shows who knows of it.
func (a *access) withdraw(id, reason string) {
	u, n := a.ui, a.ui.node
	u.work(func(ctx context.Context) func() {
		info, err := n.Revoke(ctx, node.RevokeOrder{ID: id, Reason: reason})
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("withdraw.failed"), err)
				return
			}
			for i := range a.list {
				if a.list[i].Hash == info.Hash {
					brand := a.list[i].Brand
					a.list[i] = *info
					a.list[i].Brand, a.list[i].LogsUpTo = brand, time.Time{}
				}
			}
			a.build()
			a.refresh()
		}
	})
}

// askToExtend asks until when, and shows the new ticket.
func (a *access) askToExtend(g *grants.Info) {
	u, n := a.ui, a.ui.node
	p := newPeriod(u)
	content := container.NewVBox(newNote(u.t("extend.text", i18n.A{"brand": shownName(g.Brand)})), p.view)
	u.confirm(u.t("extend.title"), u.t("extend.yes"), widget.HighImportance, content, func() {
		until, ok := p.until()
		if !ok {
			u.tell(u.t("extend.failed"), errPeriod)
			return
		}
		u.work(func(ctx context.Context) func() {
			made, err := n.Extend(ctx, node.ExtendOrder{ID: g.ID, Until: until})
			return func() { a.made(made, err, u.t("extend.failed")) }
		})
	})
}

// made shows a new ticket, or why there is none.
func (a *access) made(g *node.Granted, err error, failed string) {
	u := a.ui
	if err != nil {
		u.heard(err)
		u.tell(failed, err)
		return
	}
	a.refresh()
	u.showTicket(shownName(g.Brand), g.ID, g.Ticket)
}

// saveProof writes the bundle that proves a grant's history.
func (a *access) saveProof(id string) {
	u, n := a.ui, a.ui.node
	u.saveAs(u.t("proof.title"), "preezm-"+id+".zip", func(ctx context.Context) ([]byte, error) { return n.Proof(ctx, id) })
}

// errPeriod: what was typed is no time in the future.
var errPeriod = errors.New("no period")

// askCustodians lets the person choose who decides.
func (a *access) askCustodians() {
	u, n := a.ui, a.ui.node
	already := map[string]bool{}
	for _, c := range a.custodians {
		already[c.Device.String()] = true
	}
	u.work(func(ctx context.Context) func() {
		members, err := n.Circle(ctx, true)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("custodians.title"), err)
				return
			}
			a.chooseCustodians(members, already)
		}
	})
}

func (a *access) chooseCustodians(members []node.Member, already map[string]bool) {
	u, n := a.ui, a.ui.node
	box := container.NewVBox()
	picked := map[string]bool{}
	for _, m := range members {
		check := widget.NewCheck(shownName(m.Name), func(on bool) { picked[m.Device.String()] = on })
		if already[m.Device.String()] || !m.Online {
			check.Disable()
		}
		if already[m.Device.String()] {
			check.Checked = true
		}
		line := memberState(u.locale, m, u.opt.Now())
		if already[m.Device.String()] {
			line = u.t("custodians.already")
		}
		note := newNote(line)
		note.Wrapping, note.Truncation = fyne.TextWrapOff, fyne.TextTruncateEllipsis
		box.Add(container.NewBorder(nil, nil, check, nil, note))
	}
	if len(members) == 0 {
		box.Add(newNote(u.t("circle.empty")))
	}
	content := container.NewVBox(newNote(u.t("custodians.text")), box)
	u.confirm(u.t("custodians.title"), u.t("custodians.yes"), widget.HighImportance, content, func() {
		var ask []string
		for _, m := range members {
			if picked[m.Device.String()] {
				ask = append(ask, m.Device.String())
			}
		}
		u.work(func(ctx context.Context) func() {
			var failed error
			for _, who := range ask {
				if _, err := n.AddCustodian(ctx, who); err != nil {
					failed = errors.Join(failed, err)
				}
			}
			return func() {
				if failed != nil {
					u.heard(failed)
					u.tell(u.t("custodians.failed"), failed)
				}
				a.refresh()
				if u.frame != nil && u.frame.granting != nil {
					u.frame.granting.refresh()
				}
			}
		})
	})
}
