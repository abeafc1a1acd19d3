// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

// helperForm asks whom to bring back, and for the helpers' codes.
func (w *welcome) helperForm(form *fyne.Container) {
	u := w.ui
	w.owner = widget.NewEntry()
	w.owner.SetPlaceHolder(u.t("welcome.owner-example"))
	w.owner.SetText(u.prefs.store.String("welcome.owner"))
	w.owner.OnChanged = func(s string) { u.prefs.store.SetString("welcome.owner", s); w.check() }
	w.code = widget.NewMultiLineEntry()
	w.code.SetMinRowsVisible(3)
	w.code.Wrapping = fyne.TextWrapBreak
	w.code.SetPlaceHolder(u.t("circle.code"))
	form.Add(newNote(u.t("welcome.helpers-note")))
	form.Add(newWideHeading(u.t("welcome.owner")))
	form.Add(w.owner)
	form.Add(newWideHeading(u.t("welcome.helper-codes")))
	form.Add(w.code)
}

// askHelpers does what the helpers let it do now. The same button goes on.
func (w *welcome) askHelpers() {
	u := w.ui
	setup := Setup{Name: strings.TrimSpace(w.name.Text), Offer: offers()[int(w.offer.Value)]}
	owner, codes := strings.TrimSpace(w.owner.Text), strings.Fields(w.code.Text)
	ctx, cancel := context.WithCancel(u.ctx)
	w.cancel = cancel
	w.working(true)
	joined := container.NewVBox()
	show := func(name string, words map[string][]string) {
		u.pump.post(ctx, func() {
			joined.Add(newNote(u.t("welcome.joined-helper", i18n.A{"name": shownName(name), "words": strings.Join(words[u.locale.Lang()], "  ")})))
		})
	}
	u.work(func(context.Context) func() {
		defer cancel()
		help, err := u.host.ByHelpers(ctx, setup, owner, codes, show, func(p engine.Progress) {
			u.pump.post(ctx, func() { w.progress(p) })
		})
		var opened Node
		if err == nil && help.Recovered != nil {
			opened, err = u.host.Open(ctx)
		}
		return func() {
			w.opened, w.cancel = opened, nil
			w.working(false)
			if help != nil {
				w.showHelp(help, joined)
			}
			switch {
			case err != nil:
				w.failed(err)
			case opened != nil:
				w.made()
			default:
				w.start.SetText(u.t("welcome.ask-again"))
				w.page.Refresh()
			}
		}
	})
}

// showHelp shows how far each helper is.
func (w *welcome) showHelp(h *node.Help, joined *fyne.Container) {
	u := w.ui
	if len(h.Helpers) > 0 {
		w.code.SetText("") // they are joined
	}
	box := container.NewVBox()
	for _, r := range helpLines(u.locale, h, u) {
		box.Add(spoken(r))
	}
	box.Add(joined)
	w.compared.Objects = []fyne.CanvasObject{newCard(box)}
	w.compared.Refresh()
	w.page.Refresh()
}

// helpLines say how far a recovery by helpers is.
func helpLines(l *i18n.Locale, h *node.Help, u *UI) []remark {
	var out []remark
	add := func(g grade, words string) { out = append(out, remark{g, words}) }
	now := u.opt.Now()
	if h.Need == 0 {
		add(gradeFragile, l.T("welcome.no-helper"))
	} else {
		add(gradeNone, l.N("welcome.helpers-agreed", int64(h.Agreed), i18n.A{"need": h.Need, "given": h.Given, "all": h.Of}))
	}
	for _, k := range h.Helpers {
		a := i18n.A{"name": shownName(k.Name)}
		switch {
		case !k.Why.IsZero():
			a["why"] = l.Reason(k.Why, now)
			add(gradeLost, l.T("welcome.helper-trouble", a))
		case k.State == "asked":
			a["words"] = strings.Join(k.Words[l.Lang()], "  ")
			add(gradeFragile, l.T("welcome.helper-asked", a))
		case k.State == "agreed":
			a["when"] = l.Moment(k.Until, now)
			add(gradeSafe, l.T("welcome.helper-agreed", a))
		case k.State == "given":
			add(gradeSafe, l.T("welcome.helper-given", a))
		case k.State == "vetoed":
			add(gradeLost, l.T("welcome.helper-vetoed", a))
		default:
			add(gradeLost, l.T("welcome.helper-refused", a))
		}
	}
	for _, name := range h.Bad {
		add(gradeLost, l.T("welcome.helper-bad", i18n.A{"name": shownName(name)}))
	}
	return out
}
