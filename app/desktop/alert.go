// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"reflect"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
)

// alert says on every screen that somebody asks to be brought back by their
// helpers, this person or one whom they help: it may have to be forbidden.
type alert struct {
	ui     *UI
	list   []node.HelperRequest
	loaded bool
	words  *fyne.Container
	view   *panel
}

func newAlert(u *UI) *alert {
	a := &alert{ui: u, words: container.NewVBox()}
	look := widget.NewButton(u.t("alert.look"), a.look)
	look.Importance = widget.HighImportance
	a.view = newPanel(colorSurface, 12, container.New(layout.NewCustomPaddedLayout(2, 2, 4, 6), beside(200, container.NewVBox(layout.NewSpacer(), a.words, layout.NewSpacer()), look)))
	a.view.outline = true
	a.view.Hide()
	return a
}

// pending tells whether a request may still be agreed to or forbidden.
func pending(r *node.HelperRequest) bool { return r.State == "asked" || r.State == "agreed" }

func (a *alert) refresh() {
	u, n := a.ui, a.ui.node
	learn(u, n.HelperRequests, a.show)
}

func (a *alert) show(list []node.HelperRequest) {
	u := a.ui
	if a.loaded && reflect.DeepEqual(list, a.list) {
		return
	}
	a.list, a.loaded = list, true
	a.words.Objects = nil
	for i := range list {
		r := &list[i]
		if !pending(r) {
			continue
		}
		who := u.t("alert.who", i18n.A{"newcomer": shownName(r.Newcomer), "owner": shownName(r.Owner)})
		a.words.Add(statement(gradeFragile, who))
		if u.prefs.once("help:" + r.ID + ":" + r.State) {
			u.notify(noticeHelp, who)
		}
	}
	visible(a.view, len(a.words.Objects) > 0)
	if u.frame != nil {
		u.frame.files.room()
	}
	if u.frame != nil && u.frame.alert == a && u.frame.front != nil {
		u.win.Content().Refresh()
		u.relayout()
	}
}

// alertWords say how far a request is.
func alertWords(l *i18n.Locale, r *node.HelperRequest, now time.Time) (grade, string) {
	a := i18n.A{"by": shownName(r.By)}
	if !r.Until.IsZero() {
		a["when"] = l.Moment(r.Until, now)
	}
	switch {
	case r.State == "asked":
		return gradeFragile, l.T("alert.asked")
	case r.State == "agreed" && r.Here:
		return gradeFragile, l.T("alert.agreed-here", a)
	case r.State == "agreed":
		return gradeFragile, l.T("alert.agreed", a)
	case r.State == "given":
		return gradeSafe, l.T("alert.given")
	case r.State == "refused":
		return gradeNone, l.T("alert.refused")
	case r.By != "":
		return gradeNone, l.T("alert.forbidden-by", a)
	}
	return gradeNone, l.T("alert.forbidden")
}

// look shows all requests and what can be done.
func (a *alert) look() {
	u := a.ui
	var d *dialog.CustomDialog
	var rows []fyne.CanvasObject
	for _, r := range a.list {
		g, words := alertWords(u.locale, &r, u.opt.Now())
		title := widget.NewLabel(u.t("alert.who", i18n.A{"newcomer": shownName(r.Newcomer), "owner": shownName(r.Owner)}))
		title.TextStyle.Bold = true
		title.Wrapping = fyne.TextWrapWord
		buttons := container.NewHBox()
		if r.State == "asked" && r.Here {
			agree := widget.NewButton(u.t("alert.agree"), func() { d.Hide(); a.askWords(r) })
			agree.Importance = widget.HighImportance
			buttons.Add(agree)
		}
		if pending(&r) {
			buttons.Add(widget.NewButton(u.t("alert.forbid"), func() { d.Hide(); a.askToForbid(r) }))
		}
		mark := container.NewCenter(iconOf(g.icon(), 20))
		line := newNote(join(words, r.ID, u.locale.When(r.At, u.opt.Now())))
		rows = append(rows, container.NewVBox(container.NewBorder(nil, nil, mark, nil, container.New(tightLayout{}, title, line)),
			container.New(indentLayout{28}, buttons), widget.NewSeparator()))
	}
	d = u.listDialog(u.t("alert.title"), u.t("alert.text"), rows)
}

// askWords agrees, with two words that the person reads out on the telephone.
func (a *alert) askWords(r node.HelperRequest) {
	u, n := a.ui, a.ui.node
	first, second := widget.NewEntry(), widget.NewEntry()
	content := container.NewVBox(newNote(u.t("alert.words-text", i18n.A{"owner": shownName(r.Owner)})),
		field(u.t("mywords.word", i18n.A{"number": r.Places[0]}), first), field(u.t("mywords.word", i18n.A{"number": r.Places[1]}), second))
	u.confirm(u.t("alert.agree-title"), u.t("alert.agree-yes"), widget.HighImportance, content, func() {
		o := node.ApproveOrder{ID: r.ID, Words: [2]string{strings.TrimSpace(first.Text), strings.TrimSpace(second.Text)}}
		u.work(func(ctx context.Context) func() {
			_, err := n.ApproveRequest(ctx, o)
			return func() { a.answered(err) }
		})
	})
}

// askToForbid forbids a request for good.
func (a *alert) askToForbid(r node.HelperRequest) {
	u, n := a.ui, a.ui.node
	u.confirm(u.t("alert.forbid-title"), u.t("alert.forbid-yes"), widget.DangerImportance, newNote(u.t("alert.forbid-text")), func() {
		u.work(func(ctx context.Context) func() {
			_, err := n.VetoRequest(ctx, r.ID)
			return func() { a.answered(err) }
		})
	})
}

func (a *alert) answered(err error) {
	u := a.ui
	if err != nil {
		u.heard(err)
		u.tell(u.t("alert.title"), err)
	}
	a.refresh()
}
