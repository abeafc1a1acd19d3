// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
)

// settings is the Settings screen.
type settings struct {
	ui    *UI
	about *fyne.Container
	room  *widget.RichText
	root  fyne.CanvasObject
}

func newSettings(u *UI) *settings {
	s := &settings{ui: u, about: container.New(layout.NewFormLayout()), room: newNote(" ")}
	languages := languageChoice(u)
	schemes := []scheme{schemeSystem, schemeLight, schemeDark}
	themes := newChoice([]string{u.t("settings.system"), u.t("settings.light"), u.t("settings.dark")},
		slices.Index(schemes, u.prefs.scheme()), func(i int) { u.setScheme(schemes[i]) })

	look := newCard(container.NewVBox(
		newHeading(u.t("settings.look")),
		setting(u.t("settings.language"), languages),
		setting(u.t("settings.theme"), themes),
	))
	storage := newCard(container.NewVBox(newHeading(u.t("settings.storage")), s.room))
	about := newCard(container.NewVBox(newHeading(u.t("settings.about")), s.about, newNote(u.t("settings.licence"))))
	s.root = container.NewBorder(newTitle(u.t("nav.settings")), nil, nil, nil,
		container.NewVScroll(container.NewVBox(look, storage, about)))
	return s
}

func (s *settings) view() fyne.CanvasObject { return s.root }

// refresh has nothing to ask: UI.refresh brings what the node says of itself.
func (s *settings) refresh() {}

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
	return container.NewBorder(nil, nil, container.New(widthLayout{130}, label), nil, control)
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
