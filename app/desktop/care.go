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

// careScreen is how the home looks after itself: what may be lost, what is
// being made whole again, what the machines proved, and what of the past stays.
type careScreen struct {
	ui     *UI
	status *engine.Status // as it was shown last
	copies *node.BackupState
	pace   pace

	safety *fyne.Container
	doing  *fyne.Container
	off    *caretakerCard // who repairs while this home is off
	mend   *widget.RichText
	bar    *bar
	jobs   *panel
	grace  *widget.Select
	checks *fyne.Container
	repair *widget.Button
	check  *widget.Button
	copy   *fyne.Container
	past   *pastCard
	root   fyne.CanvasObject
}

// graces are the times that a machine may be away before what it holds is made
// anew elsewhere.
func graces() []time.Duration {
	return []time.Duration{6 * time.Hour, day, 2 * day, 3 * day, 7 * day, 14 * day, 30 * day}
}

func newCare(u *UI) *careScreen {
	c := &careScreen{ui: u, safety: container.NewVBox(), doing: container.NewVBox(), mend: newNote(""), bar: newBar(),
		checks: container.NewVBox(), copy: container.NewVBox()}
	c.mend.Hide()
	c.bar.Hide()
	c.safety.Add(newNote(u.t("health.asking")))
	c.grace = widget.NewSelect(nil, nil)
	c.repair = widget.NewButtonWithIcon(u.t("care.repair"), theme.ViewRefreshIcon(), c.mendNow)
	c.check = widget.NewButtonWithIcon(u.t("care.check"), icon("eye", theme.ColorNameForeground), c.checkNow)
	c.past, c.off = newPastCard(u), newCaretakerCard(u)
	u.jobs.list = container.NewVBox()
	c.jobs = newCard(u.jobs.list)
	u.jobs.seen = func() {
		visible(c.jobs, len(u.jobs.all) > 0)
		enable(c.repair, u.jobs.running() == 0)
		enable(c.check, u.jobs.running() == 0)
		c.root.Refresh()
	}
	body := container.NewVBox(
		newCard(c.safety), c.jobs,
		newCard(container.NewVBox(newWideHeading(u.t("care.doing")), container.New(tightLayout{}, c.mend, c.bar), c.doing,
			setting(u.t("care.grace"), container.NewHBox(c.grace)), newNote(u.t("care.grace-note")), container.NewHBox(c.repair))),
		c.off.view,
		newCard(container.NewVBox(newWideHeading(u.t("care.checks")), newNote(u.t("care.checks-text")), c.checks, container.NewHBox(c.check))),
		newCard(container.NewVBox(newWideHeading(u.t("care.copies")), c.copy)),
		c.past.view,
	)
	c.root = container.NewBorder(newTitle(u.t("nav.care")), nil, nil, nil, scrolled(body))
	u.jobs.show()
	u.jobs.seen()
	if u.status != nil {
		c.show(u.status)
	}
	return c
}

func (c *careScreen) view() fyne.CanvasObject { return c.root }

// refresh asks for what the health does not tell.
func (c *careScreen) refresh() {
	u, n := c.ui, c.ui.node
	if n == nil {
		return
	}
	if u.status == nil {
		u.askHealth()
	}
	c.past.refresh()
	c.off.refresh()
	learn(u, n.BackupState, c.showCopies)
}

func (c *careScreen) showCopies(b *node.BackupState) {
	if reflect.DeepEqual(b, c.copies) {
		return
	}
	c.copies = b
	c.copy.Objects = nil
	c.copy.Add(spoken(copyWords(c.ui.locale, b, c.ui.opt.Now())))
	c.root.Refresh()
}

// spoken is a remark on screen.
func spoken(r remark) fyne.CanvasObject {
	if r.grade == gradeNone {
		return newNote(r.text)
	}
	return statement(r.grade, r.text)
}

// show takes what the node says of the health.
func (c *careScreen) show(s *engine.Status) {
	u, l := c.ui, c.ui.locale
	c.pace.look(u.opt.Now(), s.Outlook.Todo)
	c.showMending(s)
	if c.status != nil && reflect.DeepEqual(timeless(s), timeless(c.status)) {
		return
	}
	c.status = s
	h := homeHealth(l, s)
	c.safety.Objects = nil
	words := newHeading(h.sentence)
	words.Wrapping = fyne.TextWrapWord
	mark := container.NewCenter(iconOf(h.grade.icon(), 32))
	box := container.New(tightLayout{}, words)
	if h.detail != "" {
		box.Add(newNote(h.detail))
	}
	c.safety.Add(container.NewBorder(nil, nil, mark, nil, box))
	for _, r := range safetyLines(l, s) {
		c.safety.Add(spoken(r))
	}
	if sentence, why := chances(l, s); sentence != "" {
		chance := container.New(tightLayout{}, newNote(sentence))
		if why != "" {
			chance.Add(styledNote(why))
		}
		c.safety.Add(chance)
	}
	c.doing.Objects = nil
	for _, r := range careLines(l, s) {
		c.doing.Add(spoken(r))
	}
	c.showGrace(s.Outlook.Grace)
	c.checks.Objects = nil
	if len(s.Keepers) == 0 {
		c.checks.Add(newNote(u.t("health.home.alone")))
	}
	for i := range s.Keepers {
		c.checks.Add(c.keeperRow(&s.Keepers[i]))
	}
	c.root.Refresh()
}

// timeless is a status without what changes at every look.
func timeless(s *engine.Status) engine.Status {
	out := *s
	out.Keepers = slices.Clone(s.Keepers)
	for i := range out.Keepers {
		out.Keepers[i].Latency = 0
	}
	return out
}

// styledNote is a note in small letters: an explanation for those who want it.
func styledNote(text string) *widget.RichText {
	t := styled(text, widget.RichTextStyle{ColorName: colorQuiet, SizeName: theme.SizeNameCaptionText})
	t.Wrapping = fyne.TextWrapWord
	return t
}

func (c *careScreen) showMending(s *engine.Status) {
	words := ""
	if s.Outlook.Todo > 0 {
		words = mendingWords(c.ui.locale, &s.Outlook, &c.pace)
	}
	changed := words != textOf(c.mend)
	setText(c.mend, words)
	visible(c.bar, words != "")
	c.bar.set(c.pace.fraction(s.Outlook.Todo))
	if changed {
		c.root.Refresh()
	}
}

func (c *careScreen) showGrace(now time.Duration) {
	all := graces()
	if !slices.Contains(all, now) {
		all = append(all, now)
	}
	var names []string
	for _, g := range all {
		names = append(names, c.ui.locale.Duration(g))
	}
	c.grace.OnChanged = nil // what is set here was not chosen by the person
	c.grace.SetOptions(names)
	c.grace.SetSelectedIndex(slices.Index(all, now))
	c.grace.OnChanged = func(string) {
		if i := c.grace.SelectedIndex(); i >= 0 && all[i] != now {
			c.setGrace(all[i])
		}
	}
}

func (c *careScreen) setGrace(d time.Duration) {
	u, n := c.ui, c.ui.node
	u.work(func(ctx context.Context) func() {
		_, err := n.Repair(ctx, node.RepairOrder{Grace: d}, nil)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("settings.not-changed"), err)
			}
			c.status = nil
			u.askHealth()
		}
	})
}

// keeperRow is how one machine did in its checks.
func (c *careScreen) keeperRow(k *engine.KeeperStatus) fyne.CanvasObject {
	l := c.ui.locale
	g, words := checkWords(l, k, c.ui.opt.Now())
	name := widget.NewLabel(shownName(k.Name))
	name.TextStyle.Bold = true
	name.Truncation = fyne.TextTruncateEllipsis
	line := styled(words, widget.RichTextStyle{ColorName: g.color(), SizeName: theme.SizeNameText})
	line.Wrapping = fyne.TextWrapWord
	mark := container.NewCenter(iconOf(g.icon(), 20))
	holds := newNote(join(l.N("care.pieces", k.Shards), l.Size(k.Bytes)))
	holds.Wrapping = fyne.TextWrapOff
	right := container.New(tightLayout{}, holds)
	if on := usually(l, &k.Conduct); on != "" {
		often := newNote(on)
		often.Wrapping = fyne.TextWrapOff
		right.Add(often)
	}
	return container.NewVBox(beside(230, container.NewBorder(nil, nil, mark, nil, container.New(tightLayout{}, name, line)), right), widget.NewSeparator())
}

// mendNow makes everything as whole as the circle allows, without waiting for
// machines that are away.
func (c *careScreen) mendNow() {
	u, n := c.ui, c.ui.node
	u.jobs.start(theme.ViewRefreshIcon(), u.t("care.repairing"), func(ctx context.Context, progress func(engine.Progress)) (outcome, error) {
		r, err := n.Repair(ctx, node.RepairOrder{}, progress)
		if r == nil || r.Done == nil {
			return outcome{}, err
		}
		return outcome{summary: u.locale.N("care.repaired", r.Done.Pieces, i18n.A{"size": u.locale.Size(r.Done.Sent)})}, err
	}, func(t *transfer) {
		if t.err != nil {
			t.againTo, t.again = u.t("transfer.again"), c.mendNow
		}
		u.askHealth()
	})
}

// checkNow asks every machine to prove a sample of what it holds.
func (c *careScreen) checkNow() {
	u, n := c.ui, c.ui.node
	u.jobs.start(icon("eye", theme.ColorNamePrimary), u.t("care.checking"), func(ctx context.Context, progress func(engine.Progress)) (outcome, error) {
		r, err := n.Audit(ctx, node.AuditOrder{}, progress)
		if r == nil {
			return outcome{}, err
		}
		summary, notes := auditWords(u.locale, r)
		return outcome{summary: summary, notes: notes}, err
	}, func(*transfer) { u.askHealth() })
}
