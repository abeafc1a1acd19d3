// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"errors"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
)

// newTable is the list with its heads, which sort.
func newTable(f *files) fyne.CanvasObject {
	u := f.ui
	for c, title := range []string{u.t("files.name"), u.t("files.size"), u.t("files.date"), u.t("files.health")} {
		b := widget.NewButton(title, func() { f.sortBy(column(c)) })
		b.Importance = widget.LowImportance
		b.Alignment = widget.ButtonAlignLeading
		b.IconPlacement = widget.ButtonIconTrailingText
		if column(c) == bySize {
			b.Alignment = widget.ButtonAlignTrailing
		}
		f.header = append(f.header, b)
	}
	head := container.New(headLayout{f.columns}, f.header[0], f.header[1], f.header[2], f.header[3])
	top := container.NewVBox(container.New(layout.NewCustomPaddedLayout(4, 0, 0, 0), head), widget.NewSeparator())
	return container.NewBorder(top, nil, nil, nil, container.New(layout.NewCustomPaddedLayout(2, 6, 0, 0), f.list))
}

// showHeader puts an arrow at the column that orders the list.
func (f *files) showHeader() {
	for c, b := range f.header {
		arrow := fyne.Resource(nil)
		switch {
		case f.by != column(c):
		case f.down:
			arrow = theme.MoveDownIcon()
		default:
			arrow = theme.MoveUpIcon()
		}
		if b.Icon != arrow {
			b.SetIcon(arrow)
		}
	}
}

// headLayout sets the heads over the columns of the rows. A button's text
// starts after its inner padding, so each head moves out by that much.
type headLayout struct{ columns columns }

func (h headLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	name, size, date, health := h.columns.place(s.Width)
	pad := theme.InnerPadding()
	for i, place := range [][2]float32{name, size, date, health} {
		objects[i].Move(fyne.NewPos(place[0]-pad, 0))
		objects[i].Resize(fyne.NewSize(place[1]+2*pad, s.Height))
		visible(objects[i], place[1] >= markSpace)
	}
}

func (h headLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(260, objects[0].MinSize().Height)
}

// emptyState says what to do where there is nothing to see.
type emptyState struct {
	ui     *UI
	sign   *widget.Icon
	title  *widget.RichText
	text   *widget.RichText
	invite *widget.Button
	view   *fyne.Container
}

func newEmptyState(u *UI) *emptyState {
	e := &emptyState{ui: u, sign: widget.NewIcon(nil), title: centred(newHeading(" ")), text: centred(newNote(" "))}
	e.invite = widget.NewButtonWithIcon(u.t("circle.invite"), icon("invite", theme.ColorNameForegroundOnPrimary), func() { u.goTo("circle"); u.invite() })
	e.invite.Importance = widget.HighImportance
	e.view = container.NewStack(container.NewVScroll(container.NewCenter(container.NewVBox(
		container.NewCenter(container.NewGridWrap(fyne.NewSquareSize(56), e.sign)),
		e.title,
		container.New(&wideLayout{ui: u, width: 440}, e.text),
		container.NewCenter(e.invite),
	))))
	return e
}

func (e *emptyState) show(query string, inFolder bool) {
	u := e.ui
	// Without a keeper nothing can be kept: the first step is to invite.
	alone := u.health != nil && u.health.keepers == 0
	visible(e.invite, alone && query == "")
	e.sign.SetResource(icon("drop", theme.ColorNamePrimary))
	switch {
	case query != "":
		e.sign.SetResource(tinted(theme.SearchIcon(), colorQuiet))
		setText(e.title, u.t("files.empty-search-title", i18n.A{"query": ellipsize(shownName(query), 320, theme.TextSize(), fyne.TextStyle{Bold: true})}))
		setText(e.text, u.t("files.empty-search"))
	case inFolder:
		setText(e.title, u.t("files.empty-folder-title"))
		setText(e.text, u.t("files.empty-folder"))
	case alone:
		setText(e.title, u.t("files.empty-title"))
		setText(e.text, u.t("files.empty-alone"))
	default:
		setText(e.title, u.t("files.empty-title"))
		setText(e.text, u.t("files.empty"))
	}
	e.view.Refresh() // the texts may be higher or lower than the ones before
}

func isNotFound(err error) bool {
	return errors.Is(err, engine.ErrNotFound) || errors.Is(err, peers.ErrNotFound)
}
