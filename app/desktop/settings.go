// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/watch"
)

// settings is the Settings screen.
type settings struct {
	ui    *UI
	about *fyne.Container
	room  *widget.RichText
	root  fyne.CanvasObject

	watched *fyne.Container
	states  []watch.State
	rates   *rates
	ways    *fyne.Container
	key     *keyCard
	own     *ownMachines
	helpers *helperCard
}

func newSettings(u *UI) *settings {
	s := &settings{ui: u, about: container.New(layout.NewFormLayout()), room: newNote(" ")}
	languages := languageChoice(u)
	schemes := []scheme{schemeSystem, schemeLight, schemeDark}
	themes := newChoice([]string{u.t("settings.system"), u.t("settings.light"), u.t("settings.dark")},
		slices.Index(schemes, u.prefs.scheme()), func(i int) { u.setScheme(schemes[i]) })

	look := newCard(container.NewVBox(
		newWideHeading(u.t("settings.look")),
		setting(u.t("settings.language"), languages),
		setting(u.t("settings.theme"), themes),
	))
	notices := newCard(container.NewVBox(
		newWideHeading(u.t("settings.notices")),
		noticeBox(u, noticeOpened, u.t("settings.notice-opened")),
		noticeBox(u, noticeEnding, u.t("settings.notice-ending")),
		noticeBox(u, noticeAsked, u.t("settings.notice-asked")),
		noticeBox(u, noticeHelp, u.t("settings.notice-help")),
		noticeBox(u, noticeMissing, u.t("settings.notice-missing")),
		noticeBox(u, noticeRepaired, u.t("settings.notice-repaired")),
	))
	lasting := newCard(container.NewVBox(
		newWideHeading(u.t("settings.grants")),
		setting(u.t("settings.usual"), periodChoice(u, "grant.usual", u.prefs.usual())),
		setting(u.t("settings.longest"), periodChoice(u, "grant.longest", u.prefs.longest())),
	))
	start := newCard(container.NewVBox(newWideHeading(u.t("settings.start")), s.loginBox(), container.NewHBox(
		widget.NewButtonWithIcon(u.t("settings.quit"), theme.LogoutIcon(), u.askToQuit))))
	storage := newCard(container.NewVBox(newWideHeading(u.t("settings.storage")), s.room, newNote(u.t("settings.room-note"))))
	s.watched = container.NewVBox()
	watched := newCard(container.NewVBox(newWideHeading(u.t("settings.watched")), newNote(u.t("settings.watched-text")), s.watched,
		container.NewHBox(widget.NewButtonWithIcon(u.t("settings.watch"), theme.FolderNewIcon(), s.askWatch))))
	s.rates = newRates(u)
	s.key = newKeyCard(u)
	s.own = newOwnMachines(u)
	s.helpers = newHelperCard(u)
	s.ways = container.NewVBox()
	network := newCard(container.NewVBox(newWideHeading(u.t("settings.network")), s.ways,
		container.NewHBox(widget.NewButtonWithIcon(u.t("settings.server"), theme.ContentAddIcon(), s.askServer))))
	about := newCard(container.NewVBox(newWideHeading(u.t("settings.about")), s.about, newNote(u.t("settings.licence")),
		container.NewHBox(widget.NewButton(u.t("settings.licences"), s.showLicences))))
	s.root = container.NewBorder(newTitle(u.t("nav.settings")), nil, nil, nil,
		scrolled(container.NewVBox(look, s.key.view, s.helpers.view, s.own.view, watched, storage, s.rates.view, network, lasting, notices, start, about)))
	return s
}

func (s *settings) view() fyne.CanvasObject { return s.root }

// noticeBox is a notification to have or not.
func noticeBox(u *UI, n notice, words string) fyne.CanvasObject {
	box := widget.NewCheck(words, func(on bool) { u.prefs.want(n, on) })
	box.Checked = u.prefs.wanted(n)
	return box
}

// periodChoice is one of the periods of grants.
func periodChoice(u *UI, key string, now time.Duration) fyne.CanvasObject {
	all := periods()
	if !slices.Contains(all, now) {
		all = append(all, now)
	}
	var names []string
	for _, p := range all {
		names = append(names, u.locale.Duration(p))
	}
	choice := widget.NewSelect(names, nil)
	choice.SetSelectedIndex(slices.Index(all, now))
	choice.OnChanged = func(string) {
		if i := choice.SelectedIndex(); i >= 0 {
			u.prefs.store.SetInt(key, int(all[i]/time.Second))
		}
	}
	return container.NewHBox(choice)
}

// loginBox starts the program when the person logs in, where that is known
// how to.
func (s *settings) loginBox() fyne.CanvasObject {
	u := s.ui
	trouble := newTrouble()
	box := widget.NewCheck(u.t("settings.login"), nil)
	if u.opt.Login == nil {
		box.Disable()
		return container.NewVBox(box, newNote(u.t("settings.login-unknown")))
	}
	on, err := u.opt.Login.Enabled()
	if err != nil {
		setText(trouble, u.say(err))
	}
	box.Checked = on
	box.OnChanged = func(on bool) {
		if err := u.opt.Login.Set(on); err != nil {
			setText(trouble, u.say(err))
			s.root.Refresh()
		}
	}
	return container.NewVBox(box, trouble)
}

// showLicences lists what the program is built from.
func (s *settings) showLicences() {
	u := s.ui
	var b strings.Builder
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			b.WriteString(m.Path + " " + m.Version + "\n")
		}
	}
	text := widget.NewLabel(b.String())
	text.Selectable = true
	scroll := container.NewVScroll(text)
	scroll.SetMinSize(fyne.NewSize(u.wide(520), min(u.win.Canvas().Size().Height-roomAbove, 320)))
	u.inform(u.t("settings.licences"), container.NewVBox(newNote(u.t("settings.licences-text")), scroll))
}

// refresh asks for what changes by itself; UI.refresh brings what the node
// says of itself.
func (s *settings) refresh() {
	u, n := s.ui, s.ui.node
	if n == nil {
		return
	}
	s.own.refresh()
	s.helpers.refresh()
	u.work(func(ctx context.Context) func() {
		states, err := n.Watched(ctx)
		if err != nil {
			return func() { u.heard(err) }
		}
		limits, err := n.Limits(ctx)
		if err != nil {
			return func() { u.heard(err) }
		}
		report, err := n.Net(ctx)
		if err != nil {
			return func() { u.heard(err) }
		}
		key, err := n.Key(ctx)
		if err != nil {
			return func() { u.heard(err) }
		}
		return func() {
			s.showWatched(states)
			s.rates.show(limits)
			s.showNet(report)
			s.key.show(key)
			s.root.Refresh()
		}
	})
}

// languageChoice names each language in itself, so that whoever lost their
// way finds back.
func languageChoice(u *UI) fyne.CanvasObject {
	codes := append([]string{""}, i18n.Languages()...)
	names := []string{u.t("settings.system"), "English", "Français"}
	return newChoice(names, slices.Index(codes, u.prefs.language()), func(i int) { u.setLanguage(codes[i]) })
}

// newChoice is a row of radio buttons, one of them on.
func newChoice(names []string, on int, chosen func(i int)) *widget.RadioGroup {
	r := widget.NewRadioGroup(names, nil)
	r.Horizontal = true
	r.Required = true
	r.SetSelected(names[max(on, 0)])
	r.OnChanged = func(name string) { chosen(slices.Index(names, name)) }
	return r
}

func setting(what string, control fyne.CanvasObject) fyne.CanvasObject {
	label := widget.NewLabel(what)
	if r, ok := control.(*widget.RadioGroup); ok {
		control = container.New(&choiceLayout{}, r)
	}
	return container.New(&settingLayout{}, label, control)
}

// setAbout shows what the node says of itself.
func (s *settings) setAbout(a node.About) {
	u := s.ui
	setText(s.room, u.t("settings.room", i18n.A{"offer": u.locale.Size(a.Offer), "kept": u.locale.Size(a.Kept)}))
	s.about.Objects = nil
	line := func(what, value string) {
		if value == "" {
			return
		}
		v := widget.NewLabel(value)
		v.Selectable = true
		v.Wrapping = fyne.TextWrapBreak
		name := newNote(what)
		name.Wrapping = fyne.TextWrapOff
		s.about.Add(name)
		s.about.Add(v)
	}
	line(u.t("settings.version"), u.opt.Version)
	line(u.t("settings.machine"), shownName(a.Name))
	if a.Home != "" {
		line(u.t("settings.device"), a.Device.String())
	}
	line(u.t("settings.addresses"), strings.Join(a.Addresses, ", "))
	line(u.t("settings.home"), u.opt.Home)
	s.about.Refresh()
}
