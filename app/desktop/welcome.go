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
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/identity"
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

// way is how somebody begins.
type way string

const (
	wayNone    way = ""
	wayNew     way = "new"
	wayJoin    way = "join"
	wayRecover way = "recover"
	wayHelpers way = "helpers" // back by helpers
	wayDevice  way = "device"  // one more machine of the same person
)

// welcome is the first screen of a new home: one of three ways to begin, then
// what that way needs to know. What was chosen and typed is there again when
// the window is closed and opened, but for invites and words: these are
// secrets.
type welcome struct {
	ui  *UI
	way way

	name     *widget.Entry
	offer    *widget.Slider
	amount   *widget.Label
	code     *widget.Entry
	words    *widget.Entry
	owner    *widget.Entry // whom the helpers know
	from     *widget.Entry
	page     *fyne.Container
	trouble  *widget.RichText
	state    *widget.RichText
	compared *fyne.Container // words that another machine shows too
	start    *widget.Button
	later    *widget.Button
	stop     *widget.Button
	opened   Node // the home is made and open, only joining failed
	joined   node.Member
	cancel   context.CancelFunc
	busy     bool
}

// showWelcome shows the first screen, where it was left.
func (u *UI) showWelcome() *welcome {
	w := &welcome{ui: u, way: way(u.prefs.store.String("welcome.way"))}
	u.frame = nil
	switch w.way {
	case wayNew, wayJoin, wayRecover, wayHelpers, wayDevice:
		w.ask()
	default:
		w.way = wayNone
		w.choose()
	}
	return w
}

// column sets the page in the middle of the window.
func (u *UI) column(page fyne.CanvasObject) {
	column := container.New(narrowLayout{welcomeWidth}, container.New(layout.NewCustomPaddedLayout(14, 10, 12, 12), page))
	u.win.SetContent(container.NewVScroll(column))
}

// choose shows the three ways.
func (w *welcome) choose() {
	u := w.ui
	pick := func(to way, picture fyne.Resource, title, text string) fyne.CanvasObject {
		return newChoiceCard(u, picture, title, text, func() { w.take(to) })
	}
	u.column(container.NewVBox(
		container.NewCenter(iconOf(appIcon(), 64)),
		newWideTitle(u.t("welcome.title")),
		container.New(&wideLayout{ui: u, width: welcomeWidth - 24}, centred(newNote(u.t("welcome.text")))),
		pick(wayNew, icon("circle", theme.ColorNamePrimary), u.t("welcome.create"), u.t("welcome.create-text")),
		pick(wayJoin, icon("invite", theme.ColorNamePrimary), u.t("welcome.join"), u.t("welcome.join-text")),
		pick(wayDevice, tinted(theme.ComputerIcon(), theme.ColorNamePrimary), u.t("welcome.device"), u.t("welcome.device-text")),
		pick(wayRecover, tinted(theme.HistoryIcon(), theme.ColorNamePrimary), u.t("welcome.recover"), u.t("welcome.recover-text")),
		container.NewHBox(languagePicker(u, func() { u.showWelcome() })),
	))
}

// take goes one of the ways, or back to the choice.
func (w *welcome) take(to way) {
	w.ui.prefs.store.SetString("welcome.way", string(to))
	w.ui.showWelcome()
}

// ask shows what the chosen way needs to know.
func (w *welcome) ask() {
	u := w.ui
	w.trouble, w.state = newTrouble(), newNote("")
	w.state.Hide()
	w.compared = container.NewVBox()
	w.name = widget.NewEntry()
	w.name.SetText(u.prefs.store.StringWithFallback("welcome.name", u.opt.Hostname))
	w.name.OnChanged = func(s string) { u.prefs.store.SetString("welcome.name", s); w.check() }
	w.amount = widget.NewLabel("")
	w.offer = widget.NewSlider(0, float64(len(offers())-1))
	w.offer.OnChanged = func(v float64) {
		u.prefs.store.SetInt("welcome.offer", int(v))
		w.amount.SetText(u.t("welcome.amount", i18n.A{"size": u.locale.Size(offers()[int(v)])}))
	}
	at := u.prefs.store.IntWithFallback("welcome.offer", defaultOffer)
	w.offer.Value = float64(min(max(at, 0), len(offers())-1))
	w.offer.OnChanged(w.offer.Value)
	w.code = widget.NewEntry()
	w.code.SetPlaceHolder(u.t("circle.code"))
	w.code.OnChanged = func(string) { w.check() }
	w.code.OnSubmitted = func(string) { w.begin() }
	w.words = widget.NewMultiLineEntry()
	w.words.Wrapping = fyne.TextWrapWord
	w.words.SetMinRowsVisible(3)
	w.words.SetPlaceHolder(u.t("welcome.words-example"))
	w.words.OnChanged = func(string) { w.check() }
	w.from = widget.NewEntry()
	w.from.SetPlaceHolder(u.t("welcome.from-example"))

	w.start = widget.NewButton(u.t("welcome.start"), w.begin)
	w.start.Importance = widget.HighImportance
	w.later = widget.NewButton(u.t("welcome.later"), func() { w.enter() })
	w.later.Hide()
	w.stop = widget.NewButton(u.t("dialog.cancel"), func() {
		if w.cancel != nil {
			w.cancel()
		}
	})
	w.stop.Hide()
	back := widget.NewButtonWithIcon(u.t("welcome.back"), theme.NavigateBackIcon(), func() { w.take(wayNone) })

	title, form := u.t("welcome.create"), container.NewVBox()
	switch w.way {
	case wayJoin:
		title = u.t("welcome.join")
		form.Add(newWideHeading(u.t("welcome.code")))
		form.Add(w.code)
	case wayDevice:
		title = u.t("welcome.device")
		w.code.SetPlaceHolder("my-device-…")
		form.Add(newWideHeading(u.t("welcome.device-code")))
		form.Add(w.code)
		form.Add(newNote(u.t("welcome.device-note")))
	case wayHelpers:
		title = u.t("welcome.helpers")
		w.helperForm(form)
	case wayRecover:
		title = u.t("welcome.recover")
		lost := widget.NewButton(u.t("welcome.words-lost"), func() { w.take(wayHelpers) })
		lost.Importance = widget.LowImportance
		form.Add(container.NewBorder(nil, nil, nil, lost, newWideHeading(u.t("welcome.words"))))
		form.Add(w.words)
		form.Add(newWideHeading(u.t("welcome.from")))
		form.Add(w.from)
		form.Add(newNote(u.t("welcome.from-note")))
	}
	form.Add(newWideHeading(u.t("welcome.name")))
	form.Add(w.name)
	form.Add(newWideHeading(u.t("welcome.offer")))
	form.Add(container.NewBorder(nil, nil, nil, container.New(widthLayout{90}, w.amount), w.offer))
	form.Add(container.New(&wideLayout{ui: u, width: welcomeWidth - 56}, newNote(u.t("welcome.offer-note"))))
	w.page = container.NewVBox(
		container.NewCenter(iconOf(appIcon(), 48)),
		newWideTitle(title),
		w.compared, newCard(form), // what has to be read out or compared comes first
		w.trouble, w.state,
		container.NewBorder(nil, nil, back, container.NewHBox(w.stop, w.later, w.start)),
	)
	u.column(w.page)
	w.check()
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
			u.healthChanged() // the tray speaks too
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
	ready := strings.TrimSpace(w.name.Text) != ""
	switch w.way {
	case wayJoin, wayDevice:
		ready = ready && strings.TrimSpace(w.code.Text) != ""
	case wayHelpers:
		ready = ready && strings.TrimSpace(w.owner.Text) != ""
	case wayRecover:
		ready = ready && len(identity.SplitWords(w.words.Text)) == identity.WordCount
	}
	enable(w.start, ready && !w.busy)
}

// begin makes the home, opens it, and joins. Each step that is done stays
// done: after a failure the same button goes on from there.
func (w *welcome) begin() {
	if w.busy || w.start.Disabled() {
		return
	}
	u := w.ui
	if w.way == wayHelpers && w.opened == nil {
		w.askHelpers()
		return
	}
	setup := Setup{Name: strings.TrimSpace(w.name.Text), Offer: offers()[int(w.offer.Value)]}
	code := ""
	switch w.way {
	case wayJoin:
		code = strings.TrimSpace(w.code.Text)
	case wayDevice:
		setup.Device = strings.TrimSpace(w.code.Text)
	case wayRecover:
		master, _, err := identity.MasterOf(identity.SplitWords(w.words.Text))
		if err != nil {
			w.failed(err)
			return
		}
		setup.Master, setup.From = &master, strings.TrimSpace(w.from.Text)
	}
	opened := w.opened
	ctx, cancel := context.WithCancel(u.ctx)
	w.cancel = cancel
	w.working(true)
	show := func(other string, words map[string][]string) {
		u.pump.post(ctx, func() { w.showDeviceWords(other, words[u.locale.Lang()]) })
	}
	u.work(func(context.Context) func() {
		defer cancel()
		n, err := prepare(ctx, u.host, opened, setup, show, func(p engine.Progress) {
			u.pump.post(ctx, func() { w.progress(p) })
		})
		var joined node.Member
		if err == nil && code != "" {
			joined, err = n.Join(ctx, code)
		}
		return func() {
			w.opened, w.joined, w.cancel = n, joined, nil
			w.working(false)
			if err != nil {
				w.failed(err)
				return
			}
			w.made()
		}
	})
}

func (w *welcome) failed(err error) {
	setText(w.trouble, w.ui.say(err))
	visible(w.later, w.opened != nil)
	w.page.Refresh()
}

// progress shows how far a recovery is.
func (w *welcome) progress(p engine.Progress) {
	if w.busy {
		u := w.ui
		setText(w.state, u.t("welcome.recovering", i18n.A{"done": u.locale.Size(p.Bytes), "total": u.locale.Size(p.TotalBytes)}))
		w.page.Refresh()
	}
}

// showDeviceWords shows what the other machine shows too; the answer is given
// there.
func (w *welcome) showDeviceWords(other string, words []string) {
	u := w.ui
	w.compared.Objects = []fyne.CanvasObject{newCard(container.NewVBox(newNote(u.t("welcome.device-words", i18n.A{"name": shownName(other)})), wordsPanel(words)))}
	w.compared.Refresh()
	w.page.Refresh()
}

// prepare makes and opens the home unless that is done.
func prepare(ctx context.Context, host Host, opened Node, setup Setup, show Showing, progress func(engine.Progress)) (Node, error) {
	if opened != nil {
		return opened, nil
	}
	err := host.Init(ctx, setup, show, progress)
	if err != nil && !errors.Is(err, node.ErrHomeExists) {
		return nil, err
	}
	return host.Open(ctx)
}

func (w *welcome) working(busy bool) {
	w.busy = busy
	setText(w.trouble, "")
	setText(w.state, "")
	w.compared.Objects = nil
	visible(w.stop, busy && (w.way == wayRecover || w.way == wayHelpers || w.way == wayDevice))
	if busy {
		w.start.SetText(w.ui.t("welcome.working"))
	} else {
		w.start.SetText(w.ui.t("welcome.start"))
	}
	w.check()
}

// made goes on once the home is there: who has words has them, others get
// theirs now.
func (w *welcome) made() {
	u := w.ui
	u.node = w.opened
	for _, key := range []string{"welcome.way", "welcome.name", "welcome.offer", "welcome.owner"} {
		u.prefs.store.RemoveValue(key)
	}
	next := func() { w.enter() }
	if w.way == wayHelpers {
		w.enter()
		u.inform(u.t("welcome.helped-title"), newNote(u.t("welcome.helped")))
		return
	}
	if w.way == wayRecover || w.way == wayDevice {
		next()
		return
	}
	show := func() { u.showMyWords(next) }
	if words := w.joined.Words[u.locale.Lang()]; len(words) > 0 {
		u.showWords(shownName(w.joined.Name), words, func(same bool) {
			if !same {
				u.dismiss(w.joined.Device)
			}
			show()
		}, show)
		return
	}
	show()
}

// enter goes into the home that is open.
func (w *welcome) enter() {
	u := w.ui
	u.node = w.opened
	u.showHome("files")
	u.refresh()
}

// newChoiceCard is a way to begin: a button, and a sentence below it.
func newChoiceCard(u *UI, picture fyne.Resource, title, text string, tapped func()) fyne.CanvasObject {
	button := widget.NewButtonWithIcon(title, picture, tapped)
	button.Alignment = widget.ButtonAlignLeading
	return newCard(container.New(tightLayout{}, button, container.New(&wideLayout{ui: u, width: welcomeWidth - 60}, newNote(text))))
}
