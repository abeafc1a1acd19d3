// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"path"
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
	"github.com/preezm/preezm/engine"
)

// searchRest is how long the keyboard must rest before a search looks: a
// search walks through every file of the home.
const searchRest = 120 * time.Millisecond

// manyFiles is from how many on the memory of a listing is given back at once.
const manyFiles = 20_000

// files is the Files screen: what is kept, folder by folder or found by name.
type files struct {
	ui *UI

	// The model.
	folder    engine.Path
	query     string
	all       []item // of every folder, for search; nil until asked for
	shown     []item
	loaded    bool
	by        column
	down      bool // descending
	picked    selection
	twice     []engine.Conflict // names that two machines put at once
	gathering bool              // a list of all is on its way
	asked     int               // counts questions, so that late answers are known as such
	debounce  *time.Timer

	// The view.
	healthMark  *widget.Icon
	healthWords *widget.RichText
	healthLine  *widget.RichText
	trail       *fyne.Container
	entry       *widget.Entry
	header      []*widget.Button
	twiceBar    *panel
	twiceWords  *fyne.Container
	list        *widget.List
	table       fyne.CanvasObject
	empty       *emptyState
	banner      *panel
	details     *widget.Button
	trash       *widget.Button
	low         bool // the window has no room for all of the banner
	actions     *fyne.Container
	actionText  *widget.Label
	transferBox *panel
	root        fyne.CanvasObject
	columns     columns
}

func newFiles(u *UI) *files {
	f := &files{ui: u, columns: measureColumns(u.locale, u.opt.Now())}

	f.healthMark = widget.NewIcon(gradeNone.icon())
	f.healthWords = newHeading(u.t("health.asking"))
	f.healthWords.Wrapping = fyne.TextWrapWord
	f.healthLine = newNote("")
	f.healthLine.Hide()
	mark := container.New(layout.NewCustomPaddedLayout(0, 0, 4, 8), container.NewCenter(container.NewGridWrap(fyne.NewSquareSize(32), f.healthMark)))
	f.details = widget.NewButton(u.t("care.details"), func() { u.goTo("care") })
	f.details.Importance = widget.LowImportance
	f.banner = newCard(beside(260, container.NewBorder(nil, nil, mark, nil, container.New(tightLayout{}, f.healthWords, f.healthLine)), f.details))

	add := widget.NewButtonWithIcon(u.t("files.add-file"), theme.ContentAddIcon(), func() { u.askForFile() })
	add.Importance = widget.HighImportance
	addFolder := widget.NewButtonWithIcon(u.t("files.add-folder"), theme.FolderNewIcon(), func() { u.askForFolder() })
	f.entry = widget.NewEntry()
	f.entry.SetPlaceHolder(u.t("files.search"))
	f.entry.SetIcon(theme.SearchIcon())
	f.entry.OnChanged = f.typed
	f.trash = widget.NewButtonWithIcon(u.t("trash.open"), theme.DeleteIcon(), u.showTrash)
	tools := beside(150, f.entry, add, addFolder, f.trash)
	f.trail = container.NewHBox()

	f.list = widget.NewList(func() int { return len(f.shown) },
		func() fyne.CanvasObject { return newFileRow(u.locale, f.columns, u.opt.Now) },
		f.fill)
	f.list.HideSeparators = true
	f.list.OnSelected = func(i widget.ListItemID) { // by keyboard
		f.list.Unselect(i)
		f.pick(i, false, false)
	}
	f.table = newTable(f)
	f.empty = newEmptyState(u)
	body := newPanel(colorSurface, 12, container.NewStack(f.table, f.empty.view))
	body.outline, body.wide = true, true

	f.actionText = widget.NewLabel("")
	save := widget.NewButtonWithIcon(u.t("files.save"), theme.DownloadIcon(), func() { u.askWhereTo(pathsOf(f.picked.of(f.shown))) })
	remove := widget.NewButtonWithIcon(u.t("files.delete"), theme.DeleteIcon(), func() { u.askToRemove(f.picked.of(f.shown)) })
	none := widget.NewButtonWithIcon("", theme.CancelIcon(), f.unpick)
	none.Importance = widget.LowImportance
	grant := widget.NewButtonWithIcon(u.t("files.grant"), icon("key", theme.ColorNameForeground), func() { u.grantPage(pathsOf(f.picked.of(f.shown))) })
	f.actions = beside(-1, container.NewHBox(none, f.actionText), save, grant, remove)
	f.actions.Hide()

	u.transfers.list = container.NewVBox()
	f.transferBox = newCard(u.transfers.list)

	f.twiceWords = container.NewVBox()
	choose := widget.NewButton(u.t("twice.choose"), func() { u.chooseVersion(f.twice[0].Path) })
	choose.Importance = widget.HighImportance
	f.twiceBar = newPanel(colorSurface, 12, beside(230, f.twiceWords, choose))
	f.twiceBar.outline = true
	f.twiceBar.Hide()
	top := container.NewVBox(f.banner, f.twiceBar, tools, f.trail)
	bottom := container.NewVBox(f.actions, f.transferBox)
	f.root = container.NewBorder(top, bottom, nil, nil, body)
	u.transfers.seen = func() {
		visible(f.transferBox, len(u.transfers.all) > 0)
		f.room()
		f.root.Refresh()
	}
	u.transfers.show()
	f.showTrail()
	f.showRows()
	return f
}

func (f *files) view() fyne.CanvasObject { return f.root }

// setLow leaves away, in a low window, what Health says as well.
func (f *files) setLow(low bool) {
	f.low = low
	f.room()
}

// room shows as much above and below the list as there is room for.
func (f *files) room() {
	visible(f.details, !f.low)
	visible(f.trash, !f.low) // it is in Health as well
	visible(f.healthLine, !f.low && textOf(f.healthLine) != "")
	more := f.actions.Visible() || f.transferBox.Visible() || f.twiceBar.Visible()
	if u := f.ui; u.frame != nil && u.frame.alert != nil {
		more = more || u.frame.alert.view.Visible()
	}
	visible(f.banner, !f.low || !more)
}

// refresh reads the folder anew, or all there is when a search is on.
func (f *files) refresh() {
	n := f.ui.node
	switch {
	case n == nil:
	case f.query != "":
		f.gather(n)
	default:
		f.asked++
		asked, folder, shown := f.asked, f.folder, f.shown
		by, down := f.by, f.down
		f.ui.work(func(ctx context.Context) func() {
			items, err := listItems(ctx, n, engine.ListOptions{Folder: folder, Health: true}, shown)
			order(items, by, down)
			return func() {
				switch {
				case err != nil:
					f.listFailed(asked, err)
				case asked == f.asked: // and no newer question is on its way
					f.show(items, by, down)
					f.giveBack(len(items))
				}
			}
		})
	}
}

// gather lists all there is, and looks through it for what is searched by then.
// However many letters are typed meanwhile, it does so once at a time: a list
// may be long.
func (f *files) gather(n Node) {
	if f.gathering {
		return
	}
	f.gathering = true
	before := f.all
	if before == nil {
		before = f.shown
	}
	many := len(before) > manyFiles
	f.ui.work(func(ctx context.Context) func() {
		if many {
			debug.FreeOSMemory()
		}
		items, err := listItems(ctx, n, engine.ListOptions{Recursive: true, Health: true}, before)
		return func() {
			f.gathering = false
			switch {
			case f.query == "": // it is over
			case err != nil:
				f.listFailed(f.asked, err)
			default:
				f.all = items
				f.search(f.query)
			}
			f.giveBack(len(items))
		}
	})
}

// giveBack returns memory after a long listing: what the answer was made from
// is many times the size of what stays, and is not needed again soon.
func (f *files) giveBack(count int) {
	if count > manyFiles {
		f.ui.work(func(context.Context) func() { debug.FreeOSMemory(); return nil })
	}
}

// listFailed goes back to the top when the folder is gone, and leaves the
// rest of what is shown.
func (f *files) listFailed(asked int, err error) {
	if asked != f.asked {
		return
	}
	f.ui.heard(err)
	if isNotFound(err) && f.folder != "" {
		f.open("")
	}
}

// show takes the rows to show, ordered by what the list was ordered by when they
// were asked for: a long list takes longer than the window can stand still.
func (f *files) show(items []item, by column, down bool) {
	if by != f.by || down != f.down {
		order(items, f.by, f.down)
	}
	if f.loaded && slices.EqualFunc(items, f.shown, func(a, b item) bool { return a.shownEntry == b.shownEntry || *a.shownEntry == *b.shownEntry }) {
		return
	}
	f.shown, f.loaded = items, true
	f.showRows()
}

// typed is called for every letter in the search field.
func (f *files) typed(query string) {
	query = strings.TrimSpace(query)
	if query == f.query {
		return
	}
	f.query = query
	f.asked++
	asked := f.asked
	if f.debounce != nil {
		f.debounce.Stop()
	}
	u := f.ui
	f.debounce = time.AfterFunc(searchRest, func() {
		u.pump.post(u.ctx, func() {
			switch {
			case asked != f.asked:
			case f.query != "" && f.all != nil:
				f.search(f.query)
			default:
				f.refresh()
			}
		})
	})
	if query == "" {
		f.all = nil // so that the next search sees what came since
	}
}

// search looks through what the last listing brought.
func (f *files) search(query string) {
	f.asked++
	asked, all := f.asked, f.all
	by, down := f.by, f.down
	f.ui.work(func(context.Context) func() {
		found := search(all, query)
		order(found, by, down)
		return func() {
			if asked == f.asked {
				f.show(found, by, down)
			}
		}
	})
}

// open goes into a folder.
func (f *files) open(folder engine.Path) {
	f.folder, f.query, f.all, f.loaded = folder, "", nil, false
	f.entry.SetText("")
	f.picked.clear()
	f.showTrail()
	f.root.Refresh()
	f.list.ScrollToTop()
	f.refresh()
}

// sortBy is a click on a column's head.
func (f *files) sortBy(c column) {
	if f.by == c {
		f.down = !f.down
	} else {
		f.by, f.down = c, c == bySize || c == byDate
	}
	f.showHeader()
	by, down, shown := f.by, f.down, f.shown
	f.ui.work(func(context.Context) func() {
		sorted := slices.Clone(shown)
		order(sorted, by, down)
		return func() {
			// Unless other rows came meanwhile: they are in order.
			if len(shown) == len(f.shown) && (len(shown) == 0 || &shown[0] == &f.shown[0]) && by == f.by && down == f.down {
				f.shown = sorted
				f.showRows()
			}
		}
	})
}

func (f *files) pick(i int, toggle, extend bool) {
	f.picked.pick(f.shown, i, toggle, extend)
	f.showActions()
	f.list.Refresh()
}

func (f *files) unpick() {
	f.picked.clear()
	f.showActions()
	f.list.Refresh()
}

// enter is a double click, or the return key: folders open, and files open in
// the program that the system has for them.
func (f *files) enter(i int) {
	if i >= len(f.shown) {
		return
	}
	if it := f.shown[i]; it.Kind == engine.Folder {
		f.open(it.Path)
	} else {
		f.ui.openFile(it.Path)
	}
}

func (f *files) fill(i widget.ListItemID, o fyne.CanvasObject) {
	if i >= len(f.shown) {
		return
	}
	row, it := o.(*fileRow), f.shown[i]
	row.onPick = func(toggle, extend bool) { f.pick(i, toggle, extend) }
	row.onOpen = func() { f.enter(i) }
	row.onMenu = f.menu
	row.twice = f.isTwice(it.Path)
	row.set(it, f.ui.health, f.query != "", f.picked.picked[it.Path])
}

// menu offers what can be done with the picked rows.
func (f *files) menu(at fyne.Position) {
	u, picked := f.ui, f.picked.of(f.shown)
	if len(picked) == 0 {
		return
	}
	var items []*fyne.MenuItem
	add := func(words string, do func()) { items = append(items, fyne.NewMenuItem(words, do)) }
	one := picked[0]
	if len(picked) == 1 {
		add(u.t("files.open"), func() {
			if one.Kind == engine.Folder {
				f.open(one.Path)
			} else {
				u.openFile(one.Path)
			}
		})
	}
	add(u.t("files.save"), func() { u.askWhereTo(pathsOf(picked)) })
	if len(picked) == 1 && one.Kind != engine.Folder {
		add(u.t("files.versions"), func() { u.showVersions(one.Path) })
	}
	if len(picked) == 1 && f.isTwice(one.Path) {
		add(u.t("twice.menu"), func() { u.chooseVersion(one.Path) })
	}
	add(u.t("files.grant"), func() { u.grantPage(pathsOf(picked)) })
	if len(picked) == 1 {
		add(u.t("files.history"), func() { u.historyOf(one.name) })
	}
	items = append(items, fyne.NewMenuItemSeparator())
	add(u.t("files.delete"), func() { u.askToRemove(picked) })
	widget.ShowPopUpMenuAtPosition(fyne.NewMenu("", items...), u.win.Canvas(), at)
}

func (f *files) setHealth(h health) {
	f.healthMark.SetResource(h.grade.icon())
	setText(f.healthWords, h.sentence)
	setText(f.healthLine, h.detail)
	f.room()
	f.showRows() // the empty state depends on whether there are keepers
	f.root.Refresh()
}

// showTrail shows the way from the top to this folder.
func (f *files) showTrail() {
	f.trail.Objects = nil
	visible(f.trail, f.folder != "")
	if f.folder == "" {
		return
	}
	step := func(name string, to engine.Path) {
		b := widget.NewButton(name, func() { f.open(to) })
		b.Importance = widget.LowImportance
		f.trail.Add(b)
	}
	step(f.ui.t("nav.files"), "")
	parts := strings.Split(string(f.folder), "/")
	for i, part := range parts {
		f.trail.Add(widget.NewLabel("›"))
		name := ellipsize(shownName(part), 180, theme.TextSize(), fyne.TextStyle{})
		step(name, engine.Path(path.Join(parts[:i+1]...)))
	}
	f.trail.Refresh()
}

// showRows shows the list, or what to do when it is empty.
func (f *files) showRows() {
	isEmpty := f.loaded && len(f.shown) == 0
	visible(f.table, !isEmpty)
	visible(f.empty.view, isEmpty)
	if isEmpty {
		f.empty.show(f.query, f.folder != "")
	}
	f.showHeader()
	f.showActions()
	f.list.Refresh()
}

// showActions shows what is picked and what can be done with it.
func (f *files) showActions() {
	picked := f.picked.of(f.shown)
	height := func() float32 {
		if !f.actions.Visible() {
			return 0
		}
		return f.actions.MinSize().Height
	}
	before := height()
	visible(f.actions, len(picked) > 0)
	f.room()
	if len(picked) > 0 {
		var size int64
		for _, it := range picked {
			size += it.Size
		}
		f.actionText.SetText(f.ui.n("files.picked", int64(len(picked)), i18n.A{"size": f.ui.locale.Size(size)}))
		f.actions.Refresh() // longer words need more room
	}
	for range 2 { // its width is known after the first time
		if now := height(); now != before {
			before = now
			f.root.Refresh()
		}
	}
}
