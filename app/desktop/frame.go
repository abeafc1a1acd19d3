// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"path"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

// screen is one page of the window.
type screen interface {
	view() fyne.CanvasObject
	refresh() // asks the node anew for what is shown
}

// frame is the window of an open home: the sidebar, and the screen one is on.
type frame struct {
	ui    *UI
	files *files
	front screen

	items map[string]*navItem
	pages map[string]screen
	stage *fyne.Container
	name  *widget.Label
}

// showHome builds the window of an open home and goes to a screen.
func (u *UI) showHome(name string) {
	f := &frame{ui: u, files: newFiles(u), stage: container.NewStack(), name: widget.NewLabel("")}
	f.pages = map[string]screen{"files": f.files, "circle": newCircle(u), "settings": newSettings(u)}
	f.items = map[string]*navItem{
		"files":    newNavItem(u.t("nav.files"), theme.FolderIcon(), func() { u.goTo("files") }),
		"circle":   newNavItem(u.t("nav.circle"), icon("circle", theme.ColorNameForeground), func() { u.goTo("circle") }),
		"settings": newNavItem(u.t("nav.settings"), theme.SettingsIcon(), func() { u.goTo("settings") }),
	}
	f.name.Truncation = fyne.TextTruncateEllipsis
	brand := container.NewHBox(iconOf(appIcon(), 28), newHeading("Preezm"))
	menu := container.NewVBox(
		container.New(layout.NewCustomPaddedLayout(6, 10, 6, 0), brand),
		f.items["files"], f.items["circle"], f.items["settings"],
	)
	machine := container.NewBorder(nil, nil, iconOf(icon("online", colorSafe), 12), nil, f.name)
	side := container.NewBorder(menu, container.New(layout.NewCustomPaddedLayout(0, 0, 10, 0), machine), nil, nil)
	sidebar := newPanel(colorSidebar, 0, container.New(layout.NewCustomPaddedLayout(12, 10, 10, 10), container.New(widthLayout{180}, side)))
	u.frame = f
	f.named(u.about)
	if u.health != nil {
		f.files.setHealth(*u.health)
	}
	page := container.New(layout.NewCustomPaddedLayout(18, 16, 22, 22), f.stage)
	u.win.SetContent(newPanel(theme.ColorNameBackground, 0, container.NewBorder(nil, nil, sidebar, nil, page)))
	u.goTo(name)
}

// goTo brings a screen to the front.
func (u *UI) goTo(name string) {
	f := u.frame
	if f == nil {
		return
	}
	f.front = f.pages[name]
	for n, item := range f.items {
		item.choose(n == name)
	}
	f.stage.Objects = []fyne.CanvasObject{f.front.view()}
	f.stage.Refresh()
	f.front.refresh()
}

// named shows what the node says of itself.
func (f *frame) named(about node.About) {
	f.name.SetText(about.Name)
	if s, ok := f.pages["settings"].(*settings); ok {
		s.setAbout(about)
	}
}

// readHealth asks every keeper whether it answers: the sentence speaks of now.
func readHealth(ctx context.Context, n Node, l *i18n.Locale) (health, error) {
	s, err := n.Status(ctx, engine.StatusOptions{Probe: true})
	if err != nil {
		return health{}, err
	}
	return homeHealth(l, s), nil
}

// showOpening is what is seen while the home is being opened; the time before
// is too short for more.
func (u *UI) showOpening() {
	u.frame = nil
	text := newNote(u.t("open.opening"))
	u.win.SetContent(newPanel(theme.ColorNameBackground, 0, container.NewCenter(container.NewVBox(
		container.NewCenter(iconOf(appIcon(), 72)), container.New(widthLayout{300}, centred(text))))))
}

// showFailure says why there is no node, and offers the way back.
func (u *UI) showFailure() {
	again := widget.NewButton(u.t("open.again"), func() { u.showOpening(); u.open(nil) })
	again.Importance = widget.HighImportance
	quit := widget.NewButton(u.t("open.quit"), u.app.Quit)
	u.win.SetContent(newPanel(theme.ColorNameBackground, 0, container.NewCenter(container.NewVBox(
		container.NewCenter(iconOf(gradeFragile.icon(), 48)),
		container.NewCenter(newTitle(u.t("open.failed"))),
		container.New(widthLayout{520}, centred(newNote(u.say(u.trouble)))),
		container.NewCenter(container.NewHBox(quit, again)),
	))))
}

func centred(t *widget.RichText) *widget.RichText {
	t.Segments[0].(*widget.TextSegment).Style.Alignment = fyne.TextAlignCenter
	return t
}

// askToClose quits, after a question when something is still running.
func (u *UI) askToClose() {
	running := u.transfers.running()
	if running == 0 {
		u.app.Quit()
		return
	}
	u.show(dialog.NewCustomConfirm(u.t("quit.title"), u.t("quit.yes"), u.t("quit.no"),
		container.New(widthLayout{420}, newNote(u.n("quit.text", int64(running)))),
		func(yes bool) {
			if yes {
				u.app.Quit()
			}
		}, u.win))
}

// show shows a dialog and remembers it, for the Escape key.
func (u *UI) show(d dialog.Dialog) {
	u.asking = d
	d.Show()
}

// keys are the ones that work wherever one is: Ctrl+F searches; on the files,
// Delete deletes what is picked, Escape lets go of it and Backspace goes up.
// Escape closes a dialog first.
func (u *UI) keys() {
	c := u.win.Canvas()
	c.AddShortcut(&desktop.CustomShortcut{KeyName: fyne.KeyF, Modifier: fyne.KeyModifierShortcutDefault}, func(fyne.Shortcut) {
		if u.frame != nil {
			u.goTo("files")
			c.Focus(u.frame.files.entry)
		}
	})
	c.SetOnTypedKey(u.typedKey)
}

func (u *UI) typedKey(e *fyne.KeyEvent) {
	if u.win.Canvas().Overlays().Top() != nil {
		if e.Name == fyne.KeyEscape && u.asking != nil {
			u.asking.Hide() // as if it was answered with no
			u.asking = nil
		}
		return
	}
	if u.frame == nil || u.frame.front != screen(u.frame.files) {
		return
	}
	f := u.frame.files
	switch e.Name {
	case fyne.KeyDelete:
		u.askToRemove(f.picked.of(f.shown))
	case fyne.KeyEscape:
		f.unpick()
	case fyne.KeyBackspace:
		if f.folder != "" {
			f.open(parent(f.folder))
		}
	}
}

// parent is the folder a folder is in; "" is the top.
func parent(folder engine.Path) engine.Path {
	if up := path.Dir(string(folder)); up != "." {
		return engine.Path(up)
	}
	return ""
}
