// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/brand"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

// received is the Received screen: a company's side of grants.
type received struct {
	clocks
	ui      *UI
	brand   *node.BrandInfo // nil: this home is no company's
	list    []node.Received
	sent    []node.SentRequest
	loaded  bool
	openers map[string]*opener // by grant

	page   *fyne.Container
	cards  *fyne.Container
	ticket *widget.Entry
	bad    *widget.RichText
	root   fyne.CanvasObject
}

func newReceived(u *UI) *received {
	r := &received{ui: u, openers: map[string]*opener{}, page: container.NewVBox(), cards: container.NewVBox(), bad: newTrouble()}
	r.ticket = widget.NewEntry()
	r.ticket.SetPlaceHolder(u.t("received.ticket"))
	r.ticket.OnChanged = func(s string) {
		// A ticket is pasted, never typed: it is taken at once.
		if len(letters(s)) > 0 {
			r.take(s)
		} else if s == "" {
			setText(r.bad, "")
		}
	}
	r.ticket.OnSubmitted = r.take
	r.root = container.NewBorder(newTitle(u.t("nav.received")), nil, nil, nil, scrolled(r.page))
	return r
}

func (r *received) view() fyne.CanvasObject { return r.root }

func (r *received) refresh() {
	u, n := r.ui, r.ui.node
	if n == nil {
		return
	}
	u.work(func(ctx context.Context) func() {
		info, err := n.Brand(ctx)
		if errors.Is(err, brand.ErrNoBrand) {
			return func() { r.show(nil, nil, nil) }
		}
		var list []node.Received
		if err == nil {
			list, err = n.Received(ctx)
		}
		var sent []node.SentRequest
		if err == nil {
			sent, err = n.BrandRequests(ctx)
		}
		if err != nil {
			return func() { u.heard(err); setText(r.bad, u.say(err)) }
		}
		return func() { r.show(&info, list, sent) }
	})
}

func (r *received) show(info *node.BrandInfo, list []node.Received, sent []node.SentRequest) {
	if r.loaded && reflect.DeepEqual(sent, r.sent) && reflect.DeepEqual(info, r.brand) && reflect.DeepEqual(list, r.list) {
		return
	}
	r.brand, r.list, r.sent, r.loaded = info, list, sent, true
	r.build()
}

// build draws the page anew.
func (r *received) build() {
	u := r.ui
	r.page.Objects, r.clocks = nil, nil
	if r.brand == nil {
		r.page.Add(r.setUp())
		r.root.Refresh()
		u.lives()
		return
	}
	name := newHeading(shownName(r.brand.Name))
	facts := []string{u.t("received.label", i18n.A{"label": shownName(r.brand.Label)}), u.t("received.key", i18n.A{"key": shortKey(r.brand.Key)})}
	if !r.brand.Office && !r.brand.Until.IsZero() {
		facts = append(facts, u.t("desks.until", i18n.A{"when": u.locale.When(r.brand.Until, u.opt.Now())}))
	}
	under := newNote(join(facts...))
	card := widget.NewButtonWithIcon(u.t("received.card"), theme.AccountIcon(), r.showCard)
	fromFile := widget.NewButtonWithIcon(u.t("dialog.from-file"), theme.FolderOpenIcon(), func() { u.pickText(u.t("received.ticket-file"), r.take) })
	r.page.Add(newCard(container.NewVBox(
		beside(220, container.New(tightLayout{}, name, under), card),
		beside(200, r.ticket, fromFile),
		r.bad,
		r.tools(),
	)))
	if len(r.list) == 0 {
		r.page.Add(emptyPage(icon("inbox", theme.ColorNamePrimary), u.t("received.empty-title"), u.t("received.empty")))
	}
	for i := range r.list {
		r.page.Add(r.card(&r.list[i]))
	}
	r.root.Refresh()
	u.lives()
}

// tools are what a company does beside opening what it was granted.
func (r *received) tools() fyne.CanvasObject {
	u := r.ui
	box := container.New(&flowLayout{}, widget.NewButtonWithIcon(u.t("ask.title"), theme.MailComposeIcon(), r.askPerson))
	if len(r.sent) > 0 {
		box.Add(widget.NewButton(u.n("ask.sent-count", int64(len(r.sent))), r.showSent))
	}
	if r.brand.Office {
		box.Add(widget.NewButtonWithIcon(u.t("desks.title"), theme.ComputerIcon(), r.showDesks))
	}
	box.Add(widget.NewButtonWithIcon(u.t("receipt.check"), icon("safe", theme.ColorNameForeground), u.checkReceipt))
	return box
}

// tick is part of living.
func (r *received) tick(now time.Time) {
	if r.clocks.tick(now) {
		r.build()
	}
}

// setUp makes this home a company's.
func (r *received) setUp() fyne.CanvasObject {
	u := r.ui
	name, label := widget.NewEntry(), widget.NewEntry()
	name.SetPlaceHolder(u.t("received.name-example"))
	label.SetPlaceHolder(u.t("received.label-example"))
	trouble := newTrouble()
	var begin *widget.Button
	begin = widget.NewButton(u.t("received.begin"), func() {
		n := u.node
		o := node.BrandOptions{Name: strings.TrimSpace(name.Text), Label: strings.TrimSpace(label.Text)}
		begin.Disable()
		u.work(func(ctx context.Context) func() {
			_, err := n.BrandInit(ctx, o)
			return func() {
				begin.Enable()
				if err != nil {
					u.heard(err)
					setText(trouble, u.say(err))
					r.root.Refresh()
					return
				}
				r.refresh()
			}
		})
	})
	begin.Importance = widget.HighImportance
	begin.Disable()
	name.OnChanged = func(s string) { enable(begin, strings.TrimSpace(s) != "") }
	form := newCard(container.NewVBox(
		newWideHeading(u.t("received.set-up")),
		newNote(u.t("received.set-up-text")),
		field(u.t("received.name"), name),
		field(u.t("received.label-title"), label),
		newNote(u.t("received.label-note")),
		trouble,
		container.NewBorder(nil, nil, nil, begin),
	))
	return container.New(narrowLayout{620}, container.NewVBox(
		emptyPage(icon("inbox", theme.ColorNamePrimary), u.t("received.none-title"), u.t("received.none")), form, r.joinForm()))
}

// showCard shows what people need to grant this company files.
func (r *received) showCard() {
	u := r.ui
	box, copied := u.copyable(r.brand.Card)
	content := container.NewVBox(newNote(u.t("received.card-text")), box)
	if code := newQR(r.brand.Card); code != nil {
		content.Add(container.NewCenter(code))
	}
	d := dialog.NewCustomWithoutButtons(u.t("received.card"), u.fit(520, content), u.win)
	card := r.brand.Card
	save := widget.NewButtonWithIcon(u.t("ticket.save"), theme.DocumentSaveIcon(), func() {
		u.saveAs(u.t("received.card"), "preezm.card", func(context.Context) ([]byte, error) { return []byte(card + "\n"), nil })
	})
	d.SetButtons(u.buttons(widget.NewButton(u.t("dialog.close"), d.Hide), save, copied))
	u.show(d)
}

// take keeps a ticket that was pasted, dropped or chosen.
func (r *received) take(text string) {
	u, n := r.ui, r.ui.node
	text = strings.TrimSpace(text)
	if text == "" {
		return
	}
	setText(r.bad, "")
	u.work(func(ctx context.Context) func() {
		answered, err := takeAnswer(ctx, n, text)
		return func() {
			if err != nil {
				u.heard(err)
				setText(r.bad, u.say(err))
				r.root.Refresh()
				return
			}
			r.ticket.SetText("")
			r.refresh()
			if answered.Countersignature != "" {
				u.showCountersignature(answered)
			}
		}
	})
}

// card is one grant that was received.
func (r *received) card(g *node.Received) fyne.CanvasObject {
	u, l, now := r.ui, r.ui.locale, r.ui.opt.Now()
	if g.State == node.Unreadable {
		return newCard(container.NewVBox(statement(gradeLost, u.t("received.unreadable")), newNote(spelled(l, g.Problem, now))))
	}
	open := !now.Before(g.NotBefore) && now.Before(g.NotAfter)
	title := widget.NewLabel(u.t("received.from", i18n.A{"owner": shortKey(g.Owner)}))
	title.TextStyle.Bold = true
	title.Truncation = fyne.TextTruncateEllipsis
	about := []string{g.ID}
	if g.Purpose != "" {
		about = append([]string{shownName(g.Purpose)}, about...)
	}
	if g.Opens > 0 {
		about = append(about, l.N("grant.often", int64(g.Opens)))
	}
	line := newNote(join(about...))
	line.Wrapping, line.Truncation = fyne.TextWrapOff, fyne.TextTruncateEllipsis
	c := newClock(u, g.NotBefore, g.NotAfter, u.t("access.state.ended")).started()
	r.clocks = append(r.clocks, c)
	color := colorQuiet
	if open {
		color = theme.ColorNamePrimary
	}
	top := beside(230, container.NewBorder(nil, nil, container.NewCenter(iconOf(icon("key", color), 22)), nil, container.New(tightLayout{}, title, line)),
		container.New(widthLayout{170}, container.New(tightLayout{}, c.text, c.small)))
	box := container.NewVBox(top)
	for i, f := range g.Files {
		box.Add(container.New(indentLayout{30}, r.file(g, i, f, open)))
	}
	if len(g.Files) > 1 && open {
		all := widget.NewButtonWithIcon(u.t("received.save-all"), theme.DownloadIcon(), func() { r.askWhere(g, nil) })
		box.Add(container.New(indentLayout{36}, container.NewHBox(all)))
	}
	o := r.openers[g.ID]
	if o == nil {
		o = newOpener(u)
		r.openers[g.ID] = o
	}
	if open || o.view.Visible() {
		box.Add(container.New(indentLayout{28}, o.view))
	}
	return newCard(box)
}

func (r *received) file(g *node.Received, i int, f node.ReceivedFile, open bool) fyne.CanvasObject {
	u := r.ui
	name := widget.NewLabel(shownName(f.Name))
	name.Truncation = fyne.TextTruncateEllipsis
	size := newNote(u.locale.Size(f.Size))
	size.Wrapping = fyne.TextWrapOff
	look := widget.NewButtonWithIcon(u.t("received.view"), theme.VisibilityIcon(), func() { u.look(g, i) })
	look.Importance = widget.HighImportance
	save := widget.NewButtonWithIcon(u.t("received.save"), theme.DownloadIcon(), func() { r.askWhere(g, []string{f.Name}) })
	rest := []fyne.CanvasObject{size}
	if open {
		rest = append(rest, look, save)
	}
	return beside(150, container.NewBorder(nil, nil, widget.NewIcon(tinted(theme.FileIcon(), colorQuiet)), nil, name), rest...)
}

// askWhere says what saving means before it is done.
func (r *received) askWhere(g *node.Received, files []string) {
	u := r.ui
	content := newNote(u.t("received.save-text"))
	u.confirm(u.t("received.save-title"), u.t("received.save-yes"), widget.HighImportance, content, func() {
		d := dialog.NewFolderOpen(func(folder fyne.ListableURI, err error) {
			if err == nil && folder != nil && u.frame != nil {
				r.save(g.ID, files, filepath.FromSlash(folder.Path()))
			}
		}, u.win)
		u.fileDialog(d, u.t("received.save"), u.t("files.save-here"))
	})
}

// patience is how long custodians are waited for that are off.
const patience = 72 * time.Hour

// save opens files into a folder, and shows how many custodians agreed.
func (r *received) save(id string, files []string, to string) {
	o := r.openers[id]
	if o == nil || o.running() {
		return
	}
	o.run(node.OpenOrder{Grant: id, Files: files, To: to, Wait: patience})
}

// opener is an opening that is on its way, or how the last one ended.
type opener struct {
	ui     *UI
	cancel context.CancelFunc // nil while nothing runs
	have   int64
	need   int64

	line *widget.RichText
	bar  *bar
	stop *widget.Button
	view *fyne.Container
}

func newOpener(u *UI) *opener {
	o := &opener{ui: u, line: newNote(""), bar: newBar()}
	o.stop = widget.NewButton(u.t("dialog.cancel"), func() {
		if o.cancel != nil {
			o.cancel()
		}
	})
	o.view = container.NewBorder(nil, nil, nil, container.NewCenter(o.stop), container.New(tightLayout{}, o.line, o.bar))
	o.view.Hide()
	return o
}

func (o *opener) running() bool { return o.cancel != nil }

func (o *opener) say(g grade, text string) {
	o.line.Segments[0].(*widget.TextSegment).Style.ColorName = g.color()
	setText(o.line, text)
	o.line.Refresh()
	visible(o.bar, o.running())
	visible(o.stop, o.running())
	visible(o.view, text != "")
	o.ui.relayout()
}

func (o *opener) run(order node.OpenOrder) {
	u, n := o.ui, o.ui.node
	ctx, cancel := context.WithCancel(u.ctx)
	o.cancel = cancel
	o.have, o.need = 0, 0
	o.say(gradeNone, u.t("received.asking"))
	u.work(func(context.Context) func() {
		defer cancel()
		report, err := n.OpenGrant(ctx, order, func(p engine.Progress) {
			u.pump.post(ctx, func() { o.agreed(p.Files, p.TotalFiles) })
		})
		return func() {
			o.cancel = nil
			o.over(report, err, order.To)
		}
	})
}

// agreed shows how many custodians said yes so far.
func (o *opener) agreed(have, need int64) {
	if !o.running() {
		return
	}
	o.have, o.need = have, need
	o.bar.set(float64(have) / float64(max(need, 1)))
	text := o.ui.n("received.agreed", have, i18n.A{"need": need})
	if have < need {
		text = join(text, o.ui.n("received.waiting", need-have))
	}
	o.say(gradeNone, text)
}

func (o *opener) over(report *node.OpenReport, err error, to string) {
	u := o.ui
	switch {
	case err == nil:
		o.say(gradeSafe, u.n("received.opened", int64(len(report.Files)), i18n.A{"folder": shownName(to)}))
	case errors.Is(err, context.Canceled):
		o.say(gradeNone, u.t("error.cancelled"))
	case report != nil && report.Refused != "":
		u.heard(err)
		why := refusal(u.locale, custody.Reason(report.Refused))
		if report.Signed == 0 {
			o.say(gradeLost, u.t("received.refused-unsigned", i18n.A{"why": why}))
		} else {
			o.say(gradeLost, u.n("received.refused", int64(report.Signed), i18n.A{"why": why}))
		}
	case errors.Is(err, peers.ErrUnreachable):
		o.say(gradeLost, u.t("received.unreachable"))
	default:
		u.heard(err)
		o.say(gradeLost, u.say(err))
	}
}

// refusal says a custodian's reason in plain words.
func refusal(l *i18n.Locale, r custody.Reason) string {
	return spelled(l, brand.Said(r), time.Time{})
}
