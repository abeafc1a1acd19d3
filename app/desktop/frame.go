// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"path"
	"slices"

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
	ui       *UI
	files    *files
	granting *granting // the page on which a grant is made; nil before
	front    screen

	items map[string]*navItem
	pages map[string]screen
	stage *fyne.Container
	name  *widget.Label
	said  *widget.RichText // a remark that needs no answer
	note  *panel
	alert *alert // somebody is being brought back
}

// screens are the ones of the sidebar, from top to bottom.
func screens() []string {
	return []string{"files", "circle", "access", "received", "activity", "care", "settings"}
}

// showHome builds the window of an open home and goes to a screen.
func (u *UI) showHome(name string) {
	f := &frame{ui: u, files: newFiles(u), stage: container.NewStack(), name: widget.NewLabel(""), said: newNote("")}
	f.pages = map[string]screen{"files": f.files, "circle": newCircle(u), "access": newAccess(u), "received": newReceived(u),
		"activity": newActivity(u), "care": newCare(u), "settings": newSettings(u)}
	f.items = map[string]*navItem{}
	names := []string{u.t("nav.files"), u.t("nav.circle"), u.t("nav.access"), u.t("nav.received"), u.t("nav.activity"), u.t("nav.care"), u.t("nav.settings")}
	pictures := []fyne.Resource{theme.FolderIcon(), icon("circle", theme.ColorNameForeground), icon("key", theme.ColorNameForeground),
		icon("inbox", theme.ColorNameForeground), icon("ledger", theme.ColorNameForeground),
		icon("safe", theme.ColorNameForeground), theme.SettingsIcon()}
	f.name.Truncation = fyne.TextTruncateEllipsis
	title := newHeading("Preezm")
	brand := container.NewHBox(iconOf(appIcon(), 28), title)
	head := container.New(layout.NewCustomPaddedLayout(6, 10, 6, 0), brand)
	menu := container.NewVBox(head)
	for i, screen := range screens() {
		f.items[screen] = newNavItem(names[i], pictures[i], func() { u.goTo(screen) })
		menu.Add(f.items[screen])
	}
	machine := container.NewBorder(nil, nil, iconOf(icon("online", colorSafe), 12), nil, f.name)
	foot := container.New(layout.NewCustomPaddedLayout(0, 0, 10, 0), machine)
	side := container.NewBorder(menu, foot, nil, nil)
	sidebar := newPanel(colorSidebar, 0, container.New(layout.NewCustomPaddedLayout(12, 10, 10, 10), side))
	sidebar.wide = true
	u.frame = f
	f.named(u.about)
	if u.health != nil {
		f.files.setHealth(*u.health)
	}
	hide := widget.NewButtonWithIcon("", theme.CancelIcon(), func() { u.mention("") })
	hide.Importance = widget.LowImportance
	f.note = newPanel(colorChosen, 8, container.NewBorder(nil, nil, nil, hide, f.said))
	f.note.Hide()
	f.alert = newAlert(u)
	page := container.New(layout.NewCustomPaddedLayout(18, 16, 22, 22), container.NewBorder(f.alert.view, f.note, nil, nil, f.stage))
	u.win.SetContent(container.New(frameLayout{narrow: func(narrow bool) { visible(title, !narrow) }, low: func(low bool) {
		visible(head, !low)
		visible(foot, !low)
		f.files.setLow(low)
	}}, sidebar, page))
	u.goTo(name)
}

// frameLayout sets the sidebar beside the page; in a narrow window only its
// pictures are shown, and in a low one nothing but what leads to the screens.
type frameLayout struct{ narrow, low func(bool) }

const (
	sidebarWide   = 200
	sidebarNarrow = 64
	narrowWindow  = 780
	lowWindow     = 480
)

func (l frameLayout) Layout(objects []fyne.CanvasObject, s fyne.Size) {
	w := float32(sidebarWide)
	if s.Width < narrowWindow {
		w = sidebarNarrow
	}
	l.narrow(w == sidebarNarrow)
	l.low(s.Height < lowWindow)
	objects[0].Resize(fyne.NewSize(w, s.Height))
	objects[0].Move(fyne.NewPos(0, 0))
	objects[1].Resize(fyne.NewSize(s.Width-w, s.Height))
	objects[1].Move(fyne.NewPos(w, 0))
}

func (frameLayout) MinSize(objects []fyne.CanvasObject) fyne.Size {
	page := objects[1].MinSize()
	return fyne.NewSize(sidebarNarrow+page.Width, max(page.Height, objects[0].MinSize().Height))
}

// goTo brings a screen to the front.
func (u *UI) goTo(name string) {
	if f := u.frame; f != nil {
		f.open(f.pages[name], name)
	}
}

// open shows a screen; item is the line of the sidebar it belongs to.
func (f *frame) open(s screen, item string) {
	f.front = s
	for n, i := range f.items {
		i.choose(n == item)
	}
	f.ui.mention("")
	f.stage.Objects = []fyne.CanvasObject{s.view()}
	f.stage.Refresh()
	f.ui.lives()
	s.refresh()
}

// mention says something that needs no answer; "" takes it away.
func (u *UI) mention(text string) {
	if f := u.frame; f != nil {
		setText(f.said, text)
		if f.note.Visible() != (text != "") {
			visible(f.note, text != "")
			u.relayout()
		}
	}
}

// relayout lets everything find its place after something changed its size.
func (u *UI) relayout() {
	if f := u.frame; f != nil {
		f.front.view().Refresh()
		f.stage.Refresh()
	}
}

// named shows what the node says of itself.
func (f *frame) named(about node.About) {
	f.name.SetText(about.Name)
	if s, ok := f.pages["settings"].(*settings); ok {
		s.setAbout(about)
	}
}

// readHealth asks every keeper whether it answers: the sentence speaks of now.
func readHealth(ctx context.Context, n Node, l *i18n.Locale) (health, *engine.Status, error) {
	s, err := n.Status(ctx, engine.StatusOptions{Probe: true})
	if err != nil {
		return health{}, nil, err
	}
	return homeHealth(l, s), s, nil
}

// showOpening is what is seen while the home is being opened; the time before
// is too short for more.
func (u *UI) showOpening() {
	u.frame = nil
	text := newNote(u.t("open.opening"))
	u.win.SetContent(container.NewCenter(container.NewVBox(
		container.NewCenter(iconOf(appIcon(), 72)), container.New(&wideLayout{ui: u, width: 300}, centred(text)))))
}

// showFailure says why there is no node, and offers the way back.
func (u *UI) showFailure() {
	again := widget.NewButton(u.t("open.again"), func() { u.showOpening(); u.open(nil) })
	again.Importance = widget.HighImportance
	quit := widget.NewButton(u.t("open.quit"), u.app.Quit)
	u.win.SetContent(container.NewCenter(container.NewVBox(
		container.NewCenter(iconOf(gradeFragile.icon(), 48)),
		container.NewCenter(newTitle(u.t("open.failed"))),
		container.New(&wideLayout{ui: u, width: 520}, centred(newNote(u.say(u.trouble)))),
		container.NewCenter(container.NewHBox(quit, again)),
	)))
}

func centred(t *widget.RichText) *widget.RichText {
	t.Segments[0].(*widget.TextSegment).Style.Alignment = fyne.TextAlignCenter
	return t
}

// show shows a dialog and remembers it, for the Escape key.
func (u *UI) show(d dialog.Dialog) {
	u.asking = d
	d.Show()
}

// inform shows something to read.
func (u *UI) inform(title string, content fyne.CanvasObject) {
	u.show(dialog.NewCustom(title, u.t("dialog.close"), u.fit(460, content), u.win))
}

// keys are the ones that work wherever one is: Ctrl+1 to Ctrl+7 go to a
// screen, Ctrl+F searches, Ctrl+W closes the window, Ctrl+Q quits; on the files,
// Return opens what is picked, Delete moves it to the trash, Escape lets go of it and Backspace goes up.
// Escape closes a dialog first.
func (u *UI) keys() {
	c := u.win.Canvas()
	c.AddShortcut(&desktop.CustomShortcut{KeyName: fyne.KeyF, Modifier: fyne.KeyModifierShortcutDefault}, func(fyne.Shortcut) {
		if u.frame != nil {
			u.goTo("files")
			c.Focus(u.frame.files.entry)
		}
	})
	for i, name := range screens() {
		c.AddShortcut(&desktop.CustomShortcut{KeyName: fyne.KeyName('1' + rune(i)), Modifier: fyne.KeyModifierShortcutDefault}, func(fyne.Shortcut) { u.goTo(name) })
	}
	c.AddShortcut(&desktop.CustomShortcut{KeyName: fyne.KeyW, Modifier: fyne.KeyModifierShortcutDefault}, func(fyne.Shortcut) { u.askToClose() })
	c.AddShortcut(&desktop.CustomShortcut{KeyName: fyne.KeyQ, Modifier: fyne.KeyModifierShortcutDefault}, func(fyne.Shortcut) { u.askToQuit() })
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
	if u.frame == nil {
		return
	}
	if g := u.frame.granting; g != nil && u.frame.front == screen(g) && e.Name == fyne.KeyEscape {
		u.goTo("access")
	}
	if u.frame.front != screen(u.frame.files) {
		return
	}
	f := u.frame.files
	switch e.Name {
	case fyne.KeyDelete:
		u.askToRemove(f.picked.of(f.shown))
	case fyne.KeyEscape:
		f.unpick()
	case fyne.KeyReturn, fyne.KeyEnter:
		if picked := f.picked.of(f.shown); len(picked) == 1 {
			f.enter(slices.IndexFunc(f.shown, func(it item) bool { return it.Path == picked[0].Path }))
		}
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
