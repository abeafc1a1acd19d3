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

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/consent"
)

// receiptMark is in every receipt, and hardly in anything else.
const receiptMark = `"preezm:documents"`

// fetchReceipt asks the node for the receipt of a request and shows it.
func (u *UI) fetchReceipt(id string, get func(ctx context.Context, id string) ([]byte, error)) {
	u.work(func(ctx context.Context) func() {
		raw, err := get(ctx, id)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("receipt.title"), err)
				return
			}
			u.showReceipt(id, raw)
		}
	})
}

// checkReceipt shows whether a file is a receipt that holds.
func (u *UI) checkReceipt() {
	u.pickText(u.t("receipt.check"), func(text string) { u.showReceipt("", []byte(text)) })
}

// showReceipt checks a receipt with nothing but its bytes and shows what it
// says. With an id it is one of this home, and can be saved.
func (u *UI) showReceipt(id string, raw []byte) {
	r, err := consent.ReadReceipt(raw)
	box := container.NewVBox()
	if err != nil {
		box.Add(statement(gradeLost, u.say(err)))
	} else {
		g, words := receiptVerdict(u.locale, r)
		box.Add(statement(g, words))
		facts := container.New(factsLayout{})
		for _, f := range receiptFacts(u.locale, r, u.opt.Now()) {
			small := styled(f.what, widget.RichTextStyle{ColorName: colorQuiet, SizeName: theme.SizeNameCaptionText})
			large := styled(f.is, widget.RichTextStyle{ColorName: theme.ColorNameForeground, SizeName: theme.SizeNameText})
			large.Wrapping = fyne.TextWrapWord
			facts.Add(small)
			facts.Add(large)
		}
		box.Add(container.New(indentLayout{20}, facts))
		box.Add(newNote(u.t("receipt.keys")))
	}
	d := dialog.NewCustomWithoutButtons(u.t("receipt.title"), container.NewVScroll(box), u.win)
	buttons := []fyne.CanvasObject{widget.NewButton(u.t("dialog.close"), d.Hide)}
	if id != "" {
		save := widget.NewButtonWithIcon(u.t("receipt.save"), theme.DocumentSaveIcon(), func() {
			u.saveAs(u.t("receipt.save"), id+".json", func(context.Context) ([]byte, error) { return raw, nil })
		})
		save.Importance = widget.HighImportance
		buttons = append(buttons, save)
	}
	d.SetButtons(u.buttons(buttons...))
	size := u.win.Canvas().Size()
	d.Resize(fyne.NewSize(min(size.Width-40, 620), min(size.Height-40, max(box.MinSize().Height+160, 280), 620)))
	u.show(d)
}

// receiptVerdict says who signed a receipt that holds.
func receiptVerdict(l *i18n.Locale, r *consent.Receipt) (grade, string) {
	switch {
	case r.Revocation != nil:
		return gradeSafe, l.T("receipt.taken-back")
	case r.Countersigned != nil:
		return gradeSafe, l.T("receipt.both")
	}
	return gradeFragile, l.T("receipt.one")
}

type receiptFact struct{ what, is string }

// receiptFacts are what both sides signed, in the order in which it happened.
func receiptFacts(l *i18n.Locale, r *consent.Receipt, now time.Time) []receiptFact {
	var out []receiptFact
	add := func(what string, is ...string) {
		if is = slices.DeleteFunc(is, func(s string) bool { return s == "" }); len(is) > 0 {
			out = append(out, receiptFact{what, join(is...)})
		}
	}
	moment := func(at int64) string { return l.Moment(time.Unix(at, 0), now) }
	c := &r.Request.Body.Controller
	add(l.T("receipt.company"), shownName(c.LegalName), shortKey(c.Root.String()))
	if y := r.Consent; y != nil {
		_, state := stateWords(l, string(y.Body.Decision))
		given := map[consent.Decision][]string{}
		for i, p := range r.Request.Body.Purposes {
			given[y.Body.Purposes[i]] = append(given[y.Body.Purposes[i]], shownName(p.Text))
		}
		var files []string
		for _, f := range y.Body.Files {
			files = append(files, shownName(f))
		}
		add(l.T("receipt.person"), shortKey(y.Body.Person.String()))
		add(l.T("receipt.asked"), moment(r.Request.Body.At))
		add(l.T("receipt.answered"), state, moment(y.Body.At))
		add(l.T("receipt.given"), strings.Join(given[consent.Given], ", "))
		add(l.T("receipt.not-given"), strings.Join(given[consent.Refused], ", "))
		add(l.T("receipt.files"), fewNames(l, files, 12))
		add(l.T("receipt.until"), moment(y.Body.NotAfter))
	} else {
		n := &r.Refusal.Body
		_, state := stateWords(l, string(consent.Refused))
		add(l.T("receipt.person"), shortKey(n.Person.String()))
		add(l.T("receipt.asked"), moment(r.Request.Body.At))
		add(l.T("receipt.answered"), state, moment(n.At), shownName(n.Reason))
	}
	if s := r.Countersigned; s != nil {
		add(l.T("receipt.countersigned"), moment(s.Body.At))
	}
	if s := r.Revocation; s != nil {
		add(l.T("receipt.withdrawn"), moment(s.Body.At))
	}
	return out
}

// showCountersignature shows the line with which the person's receipt becomes
// one that both sides signed.
func (u *UI) showCountersignature(s node.SentRequest) {
	box, copied := u.copyable(s.Countersignature)
	d := dialog.NewCustomWithoutButtons(u.t("receipt.line"), u.fit(520, container.NewVBox(newNote(u.t("receipt.send")), box)), u.win)
	save := widget.NewButtonWithIcon(u.t("ticket.save"), theme.DocumentSaveIcon(), func() {
		u.saveAs(u.t("ticket.save"), s.ID+".countersigned", func(context.Context) ([]byte, error) { return []byte(s.Countersignature + "\n"), nil })
	})
	d.SetButtons(u.buttons(widget.NewButton(u.t("dialog.close"), d.Hide), save, copied))
	u.show(d)
}

// takeCountersignature keeps a company's word that it holds an answer.
func (u *UI) takeCountersignature(text string, done func()) {
	n := u.node
	u.work(func(ctx context.Context) func() {
		r, err := n.TakeCountersignature(ctx, text)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("asked.add"), err)
				return
			}
			u.mention(u.t("receipt.arrived", i18n.A{"brand": shownName(r.Company)}))
			done()
		}
	})
}
