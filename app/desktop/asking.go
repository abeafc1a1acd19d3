// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"slices"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/ticket"
)

// asking is the form with which a company asks a person for files.
type asking struct {
	ui        *UI
	wants     *widget.Entry // one a line
	sensitive *widget.Check
	purposes  *widget.Entry // one a line
	basis     *widget.Select
	because   *widget.Entry
	retention *widget.Entry
	contact   *widget.Entry
	period    *period
	opens     *widget.Select
	make      *widget.Button
}

// bases are the legal bases, as the form lists them.
func bases() []consent.Basis {
	return []consent.Basis{consent.ByConsent, consent.ByContract, consent.ByObligation, consent.ByInterest}
}

// openCounts are how often files may be opened, to choose from.
func openCounts() []uint32 { return []uint32{0, 1, 3, 10} }

// lines gives the lines of a text that say something.
func lines(text string) []string {
	var out []string
	for _, l := range strings.Split(text, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// askPerson shows the form.
func (r *received) askPerson() {
	u := r.ui
	a := &asking{ui: u, wants: widget.NewMultiLineEntry(), purposes: widget.NewMultiLineEntry(), because: widget.NewEntry(),
		retention: widget.NewEntry(), contact: widget.NewEntry(), period: newPeriod(u)}
	a.wants.SetMinRowsVisible(2)
	a.purposes.SetMinRowsVisible(2)
	a.wants.SetPlaceHolder(u.t("ask.wants-example"))
	a.purposes.SetPlaceHolder(u.t("ask.purposes-example"))
	a.because.SetPlaceHolder(u.t("ask.because-example"))
	a.retention.SetPlaceHolder(u.t("ask.retention-example"))
	a.contact.SetPlaceHolder(u.t("ask.contact-example"))
	a.contact.SetText(u.prefs.store.String("ask.contact"))
	a.retention.SetText(u.prefs.store.String("ask.retention"))
	a.sensitive = widget.NewCheck(u.t("ask.sensitive"), nil)
	a.basis = widget.NewSelect([]string{u.t("ask.by-consent"), u.t("ask.by-contract"), u.t("ask.by-obligation"), u.t("ask.by-interest")}, nil)
	a.basis.SetSelectedIndex(0)
	a.opens = widget.NewSelect([]string{u.t("grant.opens-any"), u.n("grant.opens", 1), u.n("grant.opens", 3), u.n("grant.opens", 10)}, nil)
	a.opens.SetSelectedIndex(0)
	var d *dialog.CustomDialog
	a.make = widget.NewButton(u.t("ask.make"), func() { d.Hide(); a.send(r) })
	a.make.Importance = widget.HighImportance
	why := field(u.t("ask.because"), a.because)
	check := func() { a.check(why) }
	for _, e := range []*widget.Entry{a.wants, a.purposes, a.because, a.retention, a.contact} {
		e.OnChanged = func(string) { check() }
	}
	a.basis.OnChanged = func(string) { check() }
	a.period.changed = check
	form := container.NewVBox(newNote(u.t("ask.text")),
		field(u.t("ask.wants"), a.wants), a.sensitive, field(u.t("ask.purposes"), a.purposes),
		field(u.t("ask.basis"), a.basis), why, field(u.t("ask.retention"), a.retention), field(u.t("ask.contact"), a.contact),
		field(u.t("grant.period"), a.period.view), field(u.t("grant.opens-title"), a.opens))
	size := u.win.Canvas().Size()
	d = dialog.NewCustomWithoutButtons(u.t("ask.title"), scrolled(form), u.win)
	d.SetButtons(u.buttons(widget.NewButton(u.t("dialog.cancel"), func() { d.Hide() }), a.make))
	d.Resize(fyne.NewSize(min(size.Width-60, 640), size.Height-60))
	check()
	u.show(d)
}

// explained tells whether a basis has to be explained.
func (a *asking) explained() bool {
	b := bases()[max(a.basis.SelectedIndex(), 0)]
	return b == consent.ByObligation || b == consent.ByInterest
}

// check lets the request be made when it says what it must.
func (a *asking) check(why fyne.CanvasObject) {
	visible(why, a.explained())
	_, ok := a.period.span()
	said := func(e *widget.Entry) bool { return strings.TrimSpace(e.Text) != "" }
	enable(a.make, ok && said(a.wants) && said(a.purposes) && said(a.retention) && said(a.contact) && (said(a.because) || !a.explained()))
}

// answerWithin is how long the person has, the longest there is.
const answerWithin = 30 * day

// order is the request as the node takes it.
func (a *asking) order() node.RequestOrder {
	span, _ := a.period.span()
	o := node.RequestOrder{Life: answerWithin, Request: consent.AccessRequest{
		Basis: bases()[max(a.basis.SelectedIndex(), 0)], Retention: strings.TrimSpace(a.retention.Text), Language: a.ui.locale.Lang(),
		Controller: consent.Controller{Contact: strings.TrimSpace(a.contact.Text)},
		Access:     consent.Access{Seconds: int64(span / time.Second), MaxOpens: openCounts()[max(a.opens.SelectedIndex(), 0)]},
	}}
	if a.explained() {
		o.Request.BasisWhy = strings.TrimSpace(a.because.Text)
	}
	for _, w := range lines(a.wants.Text) {
		o.Request.Kinds = append(o.Request.Kinds, consent.Kind{Text: w, Special: a.sensitive.Checked})
	}
	for _, p := range lines(a.purposes.Text) {
		o.Request.Purposes = append(o.Request.Purposes, consent.Purpose{Text: p})
	}
	return o
}

// send makes the request and shows it, to be sent.
func (a *asking) send(r *received) {
	u, n := a.ui, a.ui.node
	o := a.order()
	u.prefs.store.SetString("ask.contact", o.Request.Controller.Contact)
	u.prefs.store.SetString("ask.retention", o.Request.Retention)
	u.work(func(ctx context.Context) func() {
		s, err := n.BrandRequest(ctx, o)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("ask.title"), err)
				return
			}
			r.refresh()
			u.showRequest(s)
		}
	})
}

// showRequest shows the text of a request, to be sent to the person.
func (u *UI) showRequest(s node.SentRequest) {
	box, copied := u.copyable(s.Text)
	content := container.NewVBox(newNote(u.t("ask.send")), box)
	if code := newQR(s.Text); code != nil {
		content.Add(container.NewCenter(code))
	}
	d := dialog.NewCustomWithoutButtons(s.ID, u.fit(520, content), u.win)
	save := widget.NewButtonWithIcon(u.t("ticket.save"), theme.DocumentSaveIcon(), func() {
		u.saveAs(u.t("ticket.save"), s.ID+".request", func(context.Context) ([]byte, error) { return []byte(s.Text + "\n"), nil })
	})
	d.SetButtons(u.buttons(widget.NewButton(u.t("dialog.close"), d.Hide), save, copied))
	u.show(d)
}

// showSent lists the requests of this machine and how they were answered.
func (r *received) showSent() {
	u := r.ui
	var d *dialog.CustomDialog
	var rows []fyne.CanvasObject
	for _, s := range r.sent {
		g, state := stateWords(u.locale, s.State)
		w, err := readWanted(s.Record)
		if err != nil {
			g, state = gradeLost, u.t("asked.unreadable")
		}
		title := widget.NewLabel(w.kinds())
		title.TextStyle.Bold = true
		title.Truncation = fyne.TextTruncateEllipsis
		parts := []string{state, s.ID, u.locale.When(s.At, u.opt.Now())}
		if s.Reason != "" {
			parts = slices.Insert(parts, 1, shownName(s.Reason))
		}
		line := newNote(join(parts...))
		line.Wrapping, line.Truncation = fyne.TextWrapOff, fyne.TextTruncateEllipsis
		buttons := container.New(&flowLayout{}, widget.NewButton(u.t("ask.show"), func() { d.Hide(); u.showRequest(s) }))
		if s.Countersignature != "" {
			buttons.Add(widget.NewButton(u.t("receipt.line"), func() { d.Hide(); u.showCountersignature(s) }))
			buttons.Add(widget.NewButton(u.t("receipt.show"), func() { d.Hide(); u.fetchReceipt(s.ID, u.node.BrandReceipt) }))
		}
		mark := container.NewCenter(iconOf(g.icon(), 20))
		rows = append(rows, container.NewVBox(container.NewBorder(nil, nil, mark, nil, container.New(tightLayout{}, title, line)),
			container.New(indentLayout{32}, buttons), widget.NewSeparator()))
	}
	text := u.t("ask.sent-text")
	if len(rows) == 0 {
		text = u.t("ask.none-sent")
	}
	d = u.listDialog(u.t("ask.sent"), text, rows)
}

// letters gives the tickets and answers that a text holds, put together where
// they were wrapped.
func letters(text string) []string {
	var out []string
	for _, word := range strings.Fields(text) {
		switch {
		case strings.HasPrefix(word, ticket.Prefix), strings.HasPrefix(word, consent.ConsentPrefix), strings.HasPrefix(word, consent.RefusalPrefix):
			out = append(out, word)
		case len(out) > 0:
			out[len(out)-1] += word
		}
	}
	return out
}

// takeAnswer keeps what a person sent back: a ticket, an answer to a request,
// or both. The ticket goes first: it says whose consent it is. It gives the
// request that was answered last.
func takeAnswer(ctx context.Context, n Node, text string) (answered node.SentRequest, err error) {
	all := letters(text)
	if len(all) == 0 {
		_, err := n.Receive(ctx, text) // which says what is wrong with it
		return answered, err
	}
	answers := slices.DeleteFunc(slices.Clone(all), func(l string) bool { return strings.HasPrefix(l, ticket.Prefix) })
	for _, l := range all {
		if !strings.HasPrefix(l, ticket.Prefix) {
			continue
		}
		if _, err := n.Receive(ctx, l); err != nil {
			return answered, err
		}
	}
	for _, l := range answers {
		if answered, err = n.BrandAnswer(ctx, l); err != nil {
			return answered, err
		}
	}
	return answered, nil
}
