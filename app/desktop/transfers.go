// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/engine"
)

// transfer is one put or get, running or over.
type transfer struct {
	sign     fyne.Resource // which way it goes
	title    string
	progress engine.Progress
	rate     rate
	cancel   context.CancelFunc
	stopping bool // the person asked to cancel
	paused   bool // or to pause: what is done stays done, and it goes on from there

	over     bool
	err      error
	summary  string
	problems []engine.Problem
	notes    []string
	again    func() // answers err, with the words below; nil when there is nothing to do
	againTo  string

	row *transferRow
	in  *transfers // the list it is on
}

// outcome is what a finished put or get has to say.
type outcome struct {
	summary  string
	problems []engine.Problem
	notes    []string
}

// transfers are the ones of this window, the newest first. They outlive the
// screens, which are rebuilt when the language changes. The care screen has a
// list of its own.
type transfers struct {
	ui   *UI
	all  []*transfer
	list *fyne.Container // of the screen that is shown
	seen func()          // called when there are more or fewer
}

func (ts *transfers) running() int {
	n := 0
	for _, t := range ts.all {
		if !t.over {
			n++
		}
	}
	return n
}

// start runs one. After is called on the window's thread when it is over,
// whichever way.
func (ts *transfers) start(sign fyne.Resource, title string, run func(ctx context.Context, progress func(engine.Progress)) (outcome, error), after func(t *transfer)) *transfer {
	u := ts.ui
	ctx, cancel := context.WithCancel(u.ctx)
	t := &transfer{sign: sign, title: title, cancel: cancel, in: ts}
	// What is over and went well has been seen by now.
	ts.all = slices.DeleteFunc(ts.all, func(t *transfer) bool { return t.over && t.err == nil && len(t.problems) == 0 })
	ts.all = append([]*transfer{t}, ts.all...)
	ts.show()
	u.work(func(context.Context) func() {
		defer cancel()
		result, err := run(ctx, func(p engine.Progress) {
			at := u.opt.Now()
			u.pump.post(ctx, func() {
				if t.over {
					return
				}
				t.progress = p
				t.rate.add(at, p.Bytes)
				t.row.update()
			})
		})
		return func() {
			t.over, t.err = true, err
			t.summary, t.problems, t.notes = result.summary, result.problems, result.notes
			if after != nil {
				after(t)
			}
			if t.again != nil && errors.Is(err, context.Canceled) {
				t.againTo = u.t("transfer.resume")
			}
			ts.ui.healthChanged()
			u.heard(err)
			t.row.update()
			if ts.seen != nil {
				ts.seen()
			}
		}
	})
	return t
}

// dismiss takes one that is over off the list.
func (ts *transfers) dismiss(t *transfer) {
	ts.all = slices.DeleteFunc(ts.all, func(o *transfer) bool { return o == t })
	ts.show()
}

// show rebuilds the list; there are never many.
func (ts *transfers) show() {
	for _, t := range ts.all {
		if t.row == nil || t.row.locale != ts.ui.locale {
			t.row = newTransferRow(ts.ui, t)
		}
	}
	if ts.list == nil {
		return
	}
	ts.list.Objects = nil
	for i, t := range ts.all {
		if i > 0 {
			ts.list.Add(widget.NewSeparator())
		}
		ts.list.Add(t.row.view)
	}
	ts.list.Refresh()
	ts.ui.healthChanged()
	if ts.seen != nil {
		ts.seen()
	}
}

// line is the second line of a transfer: where it stands, in words.
func (t *transfer) line(u *UI) string {
	l := u.locale
	switch {
	case t.over && t.paused && errors.Is(t.err, context.Canceled):
		return u.t("transfer.paused")
	case t.over && errors.Is(t.err, context.Canceled):
		return u.t("transfer.cancelled")
	case t.over && t.err != nil && !t.partly():
		return u.say(t.err)
	case t.over && len(t.problems) > 0:
		return t.summary + "  ·  " + u.n("transfer.problems", int64(len(t.problems)))
	case t.over:
		return t.summary
	case t.stopping:
		return u.t("transfer.stopping")
	}
	p := t.progress
	switch p.Stage {
	case "":
		return u.t("transfer.starting")
	case engine.StageWait:
		return u.t("transfer.waiting")
	case engine.StageScan:
		return u.n("transfer.looking", p.TotalFiles)
	}
	if p.TotalBytes == 0 && p.TotalFiles > 0 { // pieces to look at, not bytes to send
		return u.n("transfer.looked", p.Files, i18n.A{"total": p.TotalFiles})
	}
	parts := []string{u.t("transfer.of", i18n.A{"done": l.Size(p.Bytes), "total": l.Size(p.TotalBytes)})}
	if speed := t.rate.perSecond(); speed > 0 {
		parts = append(parts, l.Speed(speed))
	}
	if left, ok := t.rate.left(p.TotalBytes); ok && p.TotalKnown {
		parts = append(parts, u.t("transfer.left", i18n.A{"time": l.Duration(left.Round(time.Second))}))
	}
	return join(parts...)
}

// partly tells whether it went through but for some files, which the report
// names.
func (t *transfer) partly() bool {
	return len(t.problems) > 0 && (errors.Is(t.err, engine.ErrNotKept) || errors.Is(t.err, engine.ErrNotBack))
}

// trouble grades how it ended: not at all, or but for some files.
func (t *transfer) trouble() grade {
	switch {
	case !t.over || errors.Is(t.err, context.Canceled):
		return gradeNone
	case len(t.problems) > 0 && (t.err == nil || t.partly()):
		return gradeFragile
	case t.err != nil:
		return gradeLost
	}
	return gradeNone
}

func (t *transfer) picture() fyne.Resource {
	switch {
	case t.trouble() != gradeNone:
		return t.trouble().icon()
	case t.over && t.err == nil:
		return tinted(theme.ConfirmIcon(), colorSafe)
	}
	return tinted(t.sign, theme.ColorNamePrimary)
}

func (t *transfer) fraction() float64 {
	if t.over && t.err == nil {
		return 1
	}
	if t.progress.TotalBytes <= 0 {
		return float64(t.progress.Files) / float64(max(t.progress.TotalFiles, 1))
	}
	return float64(t.progress.Bytes) / float64(t.progress.TotalBytes)
}

// transferRow is how one transfer looks.
type transferRow struct {
	ui       *UI
	locale   *i18n.Locale
	transfer *transfer
	mark     *widget.Icon
	title    *widget.Label
	line     *widget.RichText
	bar      *bar
	button   *widget.Button
	pause    *widget.Button
	more     *widget.Button
	again    *widget.Button
	view     fyne.CanvasObject
}

func newTransferRow(u *UI, t *transfer) *transferRow {
	r := &transferRow{ui: u, locale: u.locale, transfer: t, title: widget.NewLabel(t.title), bar: newBar(), mark: widget.NewIcon(t.sign)}
	r.title.Truncation = fyne.TextTruncateEllipsis
	r.title.TextStyle.Bold = true
	r.line = newNote("…")
	r.button = widget.NewButton("", func() {
		if t.over {
			t.in.dismiss(t)
			return
		}
		t.stopping = true
		t.cancel()
		r.update()
	})
	r.pause = widget.NewButton(u.t("transfer.pause"), func() {
		t.stopping, t.paused = true, true
		t.cancel()
		r.update()
	})
	r.more = widget.NewButton(u.t("transfer.show"), r.showProblems)
	r.again = widget.NewButton("", func() {
		t.in.dismiss(t)
		t.again()
	})
	r.again.Importance = widget.HighImportance
	mark := container.NewCenter(container.NewGridWrap(fyne.NewSquareSize(22), r.mark))
	r.view = beside(200, container.NewBorder(nil, nil, mark, nil, container.New(tightLayout{}, r.title, r.bar, r.line)), r.more, r.again, r.pause, r.button)
	r.update()
	return r
}

func (r *transferRow) update() {
	t := r.transfer
	setText(r.line, t.line(r.ui))
	color := t.trouble().color()
	if s := r.line.Segments[0].(*widget.TextSegment); s.Style.ColorName != color {
		s.Style.ColorName = color
		r.line.Refresh()
	}
	r.mark.SetResource(t.picture())
	r.bar.set(t.fraction())
	was := r.shape()
	visible(r.bar, !t.over || t.paused)
	visible(r.pause, !t.over && !t.stopping)
	visible(r.more, t.over && len(t.problems)+len(t.notes) > 0)
	visible(r.again, t.over && t.again != nil)
	r.again.SetText(t.againTo)
	label := r.ui.t("transfer.cancel")
	if t.over {
		label = r.ui.t("transfer.dismiss")
	}
	r.button.SetText(label)
	enable(r.button, t.over || !t.stopping)
	if r.shape() != was && t.in.seen != nil {
		t.in.seen() // so that everything around finds its place
	}
}

// shape is what the size of the row depends on.
func (r *transferRow) shape() string {
	return fmt.Sprint(r.bar.Visible(), r.pause.Visible(), r.more.Visible(), r.again.Visible(), r.again.Text, r.button.Text)
}

// showProblems lists the files that did not go through, and what keepers did.
func (r *transferRow) showProblems() {
	u, t := r.ui, r.transfer
	const most = 200 // a list that nobody reads to its end must not fill the memory
	var b strings.Builder
	for i, p := range t.problems {
		if i == most {
			b.WriteString("…\n")
			break
		}
		b.WriteString(u.t("transfer.blamed", i18n.A{"name": shownName(string(p.Path)), "why": spelled(u.locale, p.Said, u.opt.Now())}) + "\n")
	}
	for _, n := range t.notes {
		b.WriteString(n + "\n")
	}
	text := widget.NewLabel(strings.TrimSpace(b.String()))
	text.Wrapping = fyne.TextWrapWord
	text.Selectable = true
	d := dialog.NewCustom(t.title, u.t("dialog.close"), container.NewVScroll(text), u.win)
	size := u.win.Canvas().Size()
	d.Resize(fyne.NewSize(min(size.Width-40, 620), min(size.Height-40, 380)))
	u.show(d)
}

func visible(o fyne.CanvasObject, show bool) {
	if show {
		o.Show()
	} else {
		o.Hide()
	}
}

// tightLayout stacks texts closer than a box does: their own inner padding is
// distance enough.
type tightLayout struct{}

const tight = 12 // how far a line moves up into the padding of the one above

func (tightLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	y := float32(0)
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		h := o.MinSize().Height
		inset := float32(0)
		if _, ok := o.(*bar); ok {
			inset = theme.InnerPadding()
		}
		o.Resize(fyne.NewSize(s.Width-2*inset, h))
		o.Move(fyne.NewPos(inset, y))
		y += h - tight/2
	}
}

func (tightLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	var m fyne.Size
	n := 0
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		s := o.MinSize()
		m.Width = max(m.Width, s.Width)
		m.Height += s.Height
		n++
	}
	return m.SubtractWidthHeight(0, tight/2*float32(max(n-1, 0)))
}
