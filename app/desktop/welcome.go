// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
)

const gigabyte = 1_000_000_000

// offers are the amounts of storage to choose from, in bytes.
func offers() []int64 {
	return []int64{10 * gigabyte, 25 * gigabyte, 50 * gigabyte, 100 * gigabyte, 250 * gigabyte, 500 * gigabyte, 1000 * gigabyte}
}

// welcomeWidth is that of the column the screen is set in.
const welcomeWidth = 580

// defaultOffer is enough for a few friends' photos and little enough for
// today's smallest disks.
const defaultOffer = 2 // index in offers

// welcome is the first screen of a new home: a name, a promise of storage,
// and a circle, new or one that somebody invited to.
type welcome struct {
	ui *UI

	name    *widget.Entry
	offer   *widget.Slider
	amount  *widget.Label
	joining bool
	code    *widget.Entry
	page    *fyne.Container
	trouble *widget.RichText
	start   *widget.Button
	later   *widget.Button
	opened  Node // the home is made and open, only joining failed
	busy    bool
}

// showWelcome shows the first screen.
func (u *UI) showWelcome() *welcome {
	w := &welcome{ui: u, trouble: newTrouble()}
	w.name = widget.NewEntry()
	w.name.SetText(u.opt.Hostname)
	w.name.OnChanged = func(string) { w.check() }
	w.amount = widget.NewLabel("")
	w.offer = widget.NewSlider(0, float64(len(offers())-1))
	w.offer.OnChanged = func(v float64) {
		w.amount.SetText(u.t("welcome.amount", i18n.A{"size": u.locale.Size(offers()[int(v)])}))
	}
	w.offer.SetValue(defaultOffer)
	w.code = widget.NewEntry()
	w.code.SetPlaceHolder(u.t("circle.code"))
	w.code.OnChanged = func(string) { w.check() }
	w.code.OnSubmitted = func(string) { w.begin() }
	w.code.Hide()
	ways := widget.NewRadioGroup([]string{u.t("welcome.create"), u.t("welcome.join")}, nil)
	ways.Required = true
	ways.SetSelected(u.t("welcome.create"))
	ways.OnChanged = func(way string) {
		w.joining = way == u.t("welcome.join")
		visible(w.code, w.joining)
		w.page.Refresh()
		w.check()
	}
	w.start = widget.NewButton(u.t("welcome.start"), w.begin)
	w.start.Importance = widget.HighImportance
	w.later = widget.NewButton(u.t("welcome.later"), func() { w.enter() })
	w.later.Hide()

	form := newCard(container.NewVBox(
		newHeading(u.t("welcome.name")), w.name,
		newHeading(u.t("welcome.offer")),
		container.NewBorder(nil, nil, nil, container.New(widthLayout{90}, w.amount), w.offer),
		container.New(widthLayout{welcomeWidth - 56}, newNote(u.t("welcome.offer-note"))),
		newHeading(u.t("welcome.circle")), ways, w.code,
	))
	languages := languagePicker(u, func() { u.showWelcome() })
	w.page = container.NewVBox(
		container.NewCenter(iconOf(appIcon(), 56)),
		centred(newTitle(u.t("welcome.title"))),
		container.New(widthLayout{welcomeWidth - 24}, centred(newNote(u.t("welcome.text")))),
		form,
		w.trouble,
		container.NewBorder(nil, nil, languages, container.NewHBox(w.later, w.start)),
	)
	column := container.New(narrowLayout{welcomeWidth}, container.New(layout.NewCustomPaddedLayout(14, 10, 12, 12), w.page))
	u.frame = nil
	u.win.SetContent(newPanel(theme.ColorNameBackground, 0, container.NewVScroll(column)))
	w.check()
	return w
}

// languagePicker is the choice of language before there are settings.
func languagePicker(u *UI, changed func()) fyne.CanvasObject {
	box := container.NewHBox()
	for i, lang := range i18n.Languages() {
		b := widget.NewButton([]string{"English", "Français"}[i], func() {
			u.prefs.setLanguage(lang)
			if err := u.speak(); err != nil {
				fyne.LogError("language", err)
			}
			changed()
		})
		b.Importance = widget.LowImportance
		if lang == u.locale.Lang() {
			b.Disable()
		}
		box.Add(b)
	}
	return box
}

// check lets the button be pressed when there is what it needs.
func (w *welcome) check() {
	ready := strings.TrimSpace(w.name.Text) != "" && (!w.joining || strings.TrimSpace(w.code.Text) != "")
	enable(w.start, ready && !w.busy)
}

// begin makes the home, opens it, and joins. Each step that is done stays
// done: after a failure the same button goes on from there.
func (w *welcome) begin() {
	if w.busy || w.start.Disabled() {
		return
	}
	u := w.ui
	setup := Setup{Name: strings.TrimSpace(w.name.Text), Offer: offers()[int(w.offer.Value)]}
	code := ""
	if w.joining {
		code = strings.TrimSpace(w.code.Text)
	}
	opened := w.opened
	w.working(true)
	u.work(func(ctx context.Context) func() {
		n, err := prepare(ctx, u.host, opened, setup)
		if err == nil && code != "" {
			_, err = n.Join(ctx, code)
		}
		return func() {
			w.opened = n
			w.working(false)
			if err != nil {
				setText(w.trouble, u.say(err))
				visible(w.later, n != nil)
				w.page.Refresh()
				return
			}
			w.enter()
		}
	})
}

// prepare makes and opens the home unless that is done.
func prepare(ctx context.Context, host Host, opened Node, setup Setup) (Node, error) {
	if opened != nil {
		return opened, nil
	}
	if err := host.Init(setup); err != nil && !errors.Is(err, node.ErrHomeExists) {
		return nil, err
	}
	return host.Open(ctx)
}

func (w *welcome) working(busy bool) {
	w.busy = busy
	setText(w.trouble, "")
	if busy {
		w.start.SetText(w.ui.t("welcome.working"))
	} else {
		w.start.SetText(w.ui.t("welcome.start"))
	}
	w.check()
}

// enter goes into the home that is open.
func (w *welcome) enter() {
	u := w.ui
	u.node = w.opened
	u.showHome("files")
	u.refresh()
}
