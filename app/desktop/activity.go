// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/peers/said"
)

// activity is the Activity screen: the custodians' logs in plain words.
type activity struct {
	ui     *UI
	lines  []grants.Line
	grants []grants.Info
	all    []happening
	shown  []happening
	notes  []said.Note
	loaded bool
	asking bool
	of     kind
	query  string

	line    *widget.RichText
	entry   *widget.Entry
	list    *widget.List
	empty   *widget.RichText
	verdict *fyne.Container
	verify  *widget.Button
	root    fyne.CanvasObject
}

func newActivity(u *UI) *activity {
	a := &activity{ui: u, line: newNote(u.t("activity.asking")), empty: centred(newNote("")), verdict: container.NewVBox()}
	a.verify = widget.NewButtonWithIcon(u.t("activity.verify"), icon("safe", theme.ColorNameForeground), a.check)
	asCSV := widget.NewButtonWithIcon(u.t("activity.export-csv"), theme.DocumentSaveIcon(), func() { a.export(".csv", exportCSV) })
	asJSON := widget.NewButtonWithIcon(u.t("activity.export-json"), theme.DocumentSaveIcon(), func() { a.export(".json", exportJSON) })
	a.entry = widget.NewEntry()
	a.entry.SetIcon(theme.SearchIcon())
	a.entry.SetPlaceHolder(u.t("activity.search"))
	a.entry.OnChanged = func(q string) { a.query = q; a.filter() }
	kinds := widget.NewSelect([]string{u.t("activity.all"), u.t("activity.openings"), u.t("activity.refusals"), u.t("activity.grants"), u.t("activity.erasures")}, nil)
	kinds.SetSelectedIndex(0)
	kinds.OnChanged = func(string) { a.of = kind(max(kinds.SelectedIndex(), 0)); a.filter() }
	a.list = widget.NewList(func() int { return len(a.shown) }, func() fyne.CanvasObject { return newHappeningRow(u) },
		func(i widget.ListItemID, o fyne.CanvasObject) {
			if i < len(a.shown) {
				o.(*happeningRow).set(a.shown[i])
			}
		})
	a.list.HideSeparators = true
	a.list.OnSelected = func(i widget.ListItemID) {
		a.list.UnselectAll()
		a.tell(i)
	}
	tools := container.NewBorder(nil, nil, nil, container.NewHBox(kinds), a.entry)
	buttons := container.New(&flowLayout{}, a.verify, asCSV, asJSON,
		widget.NewButtonWithIcon(u.t("receipt.check"), icon("safe", theme.ColorNameForeground), u.checkReceipt))
	top := container.NewVBox(newTitle(u.t("nav.activity")), container.New(tightLayout{}, a.line), tools, buttons, a.verdict)
	body := newPanel(colorSurface, 12, container.New(layout.NewCustomPaddedLayout(6, 6, 0, 0),
		container.NewStack(a.list, container.NewCenter(container.New(&wideLayout{ui: u, width: 420}, a.empty)))))
	body.outline, body.wide = true, true
	a.root = container.NewBorder(top, nil, nil, nil, body)
	return a
}

func (a *activity) view() fyne.CanvasObject { return a.root }

// refresh asks for the logs. It is called in the background as well, for the
// count of what is new.
func (a *activity) refresh() {
	u, n := a.ui, a.ui.node
	if n == nil || a.asking {
		return
	}
	a.asking = true
	u.work(func(ctx context.Context) func() {
		view, err := n.Ledger(ctx)
		if err != nil {
			return func() { a.asking = false; u.heard(err); setText(a.line, u.say(err)) }
		}
		list, err := n.Grants(ctx)
		if err != nil {
			return func() { a.asking = false; u.heard(err); setText(a.line, u.say(err)) }
		}
		return func() {
			a.asking = false
			a.show(view.Entries, list.Grants, view.Notes)
		}
	})
}

func (a *activity) show(lines []grants.Line, list []grants.Info, notes []said.Note) {
	if f := a.ui.frame; f == nil || f.pages["activity"] != screen(a) {
		return // the home was closed, or the language changed, meanwhile
	}
	for i := range list {
		list[i].LogsUpTo = time.Time{}
	}
	same := a.loaded && len(lines) == len(a.lines) && reflect.DeepEqual(list, a.grants) && reflect.DeepEqual(notes, a.notes)
	if !same {
		a.lines, a.grants, a.notes, a.loaded = lines, list, notes, true
		a.all = happenings(a.ui.locale, lines, list)
		a.ui.announce(a.all, list)
		a.filter()
	}
	a.seen()
}

// seen marks all as read while the screen is in front.
func (a *activity) seen() {
	u := a.ui
	if u.frame == nil {
		return
	}
	if u.frame.front == screen(a) && len(a.all) > 0 {
		u.prefs.setSeen(u.opt.Home, a.all[0].At)
	}
	u.frame.items["activity"].count(unread(a.all, u.prefs.seen(u.opt.Home)))
}

func (a *activity) filter() {
	u := a.ui
	a.shown = sift(a.all, a.of, a.query)
	switch {
	case !a.loaded:
		setText(a.empty, "")
	case len(a.all) == 0:
		setText(a.empty, u.t("activity.empty"))
	case len(a.shown) == 0:
		setText(a.empty, u.t("activity.none-found"))
	default:
		setText(a.empty, "")
	}
	text := u.n("activity.count", int64(len(a.all)))
	if len(a.notes) > 0 {
		text = join(text, u.n("activity.notes", int64(len(a.notes))))
	}
	setText(a.line, text)
	a.list.Refresh()
}

// tell shows which entries of which logs a line is made of.
func (a *activity) tell(i int) {
	if i >= len(a.shown) {
		return
	}
	u, h := a.ui, a.shown[i]
	content := container.NewVBox(newNote(h.Text), newNote(u.locale.Moment(h.At, u.opt.Now())))
	if h.Grant != "" {
		content.Add(newNote(u.t("activity.grant", i18n.A{"id": h.Grant})))
	}
	if len(h.Entries) > 0 {
		content.Add(newNote(u.t("activity.written", i18n.A{"entries": strings.Join(h.Entries, ", ")})))
	}
	u.inform(u.t("activity.detail"), content)
}

// check verifies all logs and names the first bad entry of each.
func (a *activity) check() {
	u, n := a.ui, a.ui.node
	a.verify.Disable()
	u.work(func(ctx context.Context) func() {
		list, err := n.VerifyLedger(ctx)
		return func() {
			a.verify.Enable()
			a.verdict.Objects = nil
			switch {
			case err != nil:
				u.heard(err)
				a.verdict.Add(statement(gradeLost, u.say(err)))
			case len(list) == 0:
				a.verdict.Add(statement(gradeNone, u.t("access.no-custodians")))
			}
			good, entries := 0, 0
			for _, c := range list {
				if c.Good {
					good++
					entries += c.Entries
					continue
				}
				a.verdict.Add(statement(gradeLost, u.t("activity.bad", i18n.A{"custodian": shownName(c.Custodian), "why": spelled(u.locale, c.Why, u.opt.Now())})))
			}
			if good > 0 && good == len(list) {
				a.verdict.Add(statement(gradeSafe, u.n("activity.good", int64(entries), i18n.A{"logs": u.n("activity.logs", int64(good))})))
			}
			a.root.Refresh()
		}
	})
}

func (a *activity) export(ending string, write func([]happening) ([]byte, error)) {
	list := slices.Clone(a.shown)
	a.ui.saveAs(a.ui.t("activity.export"), "preezm-activity"+ending, func(context.Context) ([]byte, error) { return write(list) })
}

// happeningRow is one line.
type happeningRow struct {
	widget.BaseWidget
	ui   *UI
	icon *widget.Icon
	text *canvas.Text
	when *canvas.Text
	full string
}

func newHappeningRow(u *UI) *happeningRow {
	r := &happeningRow{ui: u, icon: widget.NewIcon(nil), text: canvas.NewText("", nil), when: canvas.NewText("", nil)}
	r.ExtendBaseWidget(r)
	return r
}

func (r *happeningRow) set(h happening) {
	r.full = h.Text
	r.when.Text = r.ui.locale.When(h.At, r.ui.opt.Now())
	r.icon.SetResource(h.picture())
	r.Refresh()
}

// CreateRenderer is part of fyne.Widget.
func (r *happeningRow) CreateRenderer() fyne.WidgetRenderer {
	n := &happeningRenderer{r}
	n.Refresh()
	return n
}

type happeningRenderer struct{ row *happeningRow }

func (n *happeningRenderer) MinSize() fyne.Size { return fyne.NewSize(300, rowHeight) }

func (n *happeningRenderer) Layout(s fyne.Size) {
	r := n.row
	r.icon.Resize(fyne.NewSquareSize(18))
	r.icon.Move(fyne.NewPos(14, (s.Height-18)/2))
	w := r.when.MinSize()
	r.when.Resize(w)
	r.when.Move(fyne.NewPos(s.Width-w.Width-16, (s.Height-w.Height)/2))
	r.text.Text = ellipsizeEnd(r.full, s.Width-44-w.Width-32, theme.TextSize())
	m := r.text.MinSize()
	r.text.Resize(m)
	r.text.Move(fyne.NewPos(44, (s.Height-m.Height)/2))
}

func (n *happeningRenderer) Refresh() {
	r := n.row
	r.text.Color, r.text.TextSize = themeColor(theme.ColorNameForeground), theme.TextSize()
	r.when.Color, r.when.TextSize = themeColor(colorQuiet), theme.CaptionTextSize()
	n.Layout(r.Size())
	for _, o := range n.Objects() {
		o.Refresh()
	}
}

func (n *happeningRenderer) Objects() []fyne.CanvasObject {
	return []fyne.CanvasObject{n.row.icon, n.row.text, n.row.when}
}
func (n *happeningRenderer) Destroy() {}
