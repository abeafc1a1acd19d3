// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/storage"
	"fyne.io/fyne/v2/test"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

func TestWelcomeSpeaksFrench(t *testing.T) {
	b := newBench(t, &fakeHost{node: family()})
	b.press("Français")
	b.reads("Vos fichiers, chez des personnes de confiance")
	if b.prefs.language() != "fr" {
		t.Error("the choice is not kept")
	}
}

func TestDropKeeps(t *testing.T) {
	n := family()
	b := newHome(t, n)
	b.frame.files.open("Photos")
	b.goTo("settings")
	b.dropped([]fyne.URI{storage.NewFileURI("/home/laptop/a b.txt"), webURI(t), storage.NewFileURI("/home/laptop/Été")})
	b.settle("the put is over", func() bool { return len(b.transfers.all) == 1 && b.transfers.all[0].over })
	if b.frame.front != screen(b.frame.files) {
		t.Error("the files are not in front after a drop")
	}
	put := n.puts[0]
	if want := []string{"/home/laptop/a b.txt", "/home/laptop/Été"}; !slices.Equal(put.Sources, want) || put.Into != "Photos" {
		t.Errorf("put %v into %q", put.Sources, put.Into)
	}
	b.reads("a b.txt and 1 more")
	b.reads("2 files kept, 2.5 MB · on 5 machines")
	b.press("Dismiss")
	if len(b.transfers.all) != 0 || b.frame.files.transferBox.Visible() {
		t.Error("the transfer is still there")
	}
}

func TestDropBeforeThereIsAHome(t *testing.T) {
	b := newBench(t, &fakeHost{node: family()})
	b.drop("/home/laptop/a.txt") // must not fall over
	if len(b.transfers.all) > 0 {
		t.Error("a put without a node")
	}
}

func TestProgressAndCancel(t *testing.T) {
	n := family()
	clock := noon
	steps := make(chan engine.Progress)
	n.put = func(ctx context.Context, _ engine.PutOptions, progress func(engine.Progress)) (*engine.PutReport, error) {
		for {
			select {
			case <-ctx.Done():
				return nil, fmt.Errorf("keeping: %w", ctx.Err())
			case p := <-steps:
				progress(p)
			}
		}
	}
	b := newHome(t, n)
	b.opt.Now = func() time.Time { return clock }
	b.drop("/home/laptop/film.mkv")
	b.reads("Starting…")
	step := func(p engine.Progress) {
		t.Helper()
		steps <- p
		b.settle("the progress arrives", func() bool { return b.transfers.all[0].progress == p })
	}
	step(engine.Progress{Stage: engine.StageScan, TotalFiles: 3})
	b.reads("Looking: 3 files found")
	step(engine.Progress{Stage: engine.StagePut, Bytes: 0, TotalBytes: 300_000_000, TotalKnown: true})
	clock = clock.Add(2 * time.Second)
	step(engine.Progress{Stage: engine.StagePut, Bytes: 100_000_000, TotalBytes: 300_000_000, TotalKnown: true})
	b.reads("100 MB of 300 MB · 50 MB/s · 4 s left")
	if got := b.transfers.all[0].row.bar.value; got < 0.33 || got > 0.34 {
		t.Errorf("the bar stands at %v", got)
	}
	asked := false
	b.win.SetCloseIntercept(func() { asked = true })
	b.askToClose()
	b.reads("A transfer is still running.")
	b.press("Keep going")
	if asked {
		t.Error("closed without an answer")
	}
	b.press("Cancel")
	b.reads("Stopping…")
	b.settle("it is over", func() bool { return b.transfers.all[0].over })
	b.reads("Cancelled. Nothing half-done was left behind.")
}

func TestPutWithoutKeepersInvites(t *testing.T) {
	n := &fakeNode{put: func(context.Context, engine.PutOptions, func(engine.Progress)) (*engine.PutReport, error) {
		return nil, engine.ErrNoKeepers
	}}
	b := newHome(t, n)
	b.reads("No machine keeps for you yet. Invite someone to your circle.")
	b.reads("First invite someone to your circle")
	b.drop("/home/laptop/film.mkv")
	b.settle("it is over", func() bool { return b.transfers.running() == 0 })
	b.reads("No machine keeps for you yet. Invite someone first.")
	b.press("Invite someone")
	b.settle("the invite is shown", func() bool { return b.win.Canvas().Overlays().Top() != nil })
	b.reads("Good once, until tomorrow 12:00.")
}

func TestPutWithProblems(t *testing.T) {
	n := family()
	n.put = func(context.Context, engine.PutOptions, func(engine.Progress)) (*engine.PutReport, error) {
		return &engine.PutReport{Files: 3, Bytes: 10, Keepers: 5,
			Problems: []engine.Problem{{Path: "a/b.txt", Said: said.Because(fs.ErrPermission, "unreadable", "cannot be read: {why}"), Failed: true}}}, engine.ErrNotKept
	}
	b := newHome(t, n)
	b.drop("/home/laptop/a")
	b.settle("it is over", func() bool { return b.transfers.running() == 0 })
	b.reads("2 files kept, 10 bytes · on 5 machines · 1 problem")
	b.press("Details")
	b.reads("a/b.txt: cannot be read: access is not allowed")
}

func TestSaveOntoExistingFilesAsks(t *testing.T) {
	n := family()
	n.get = func(o engine.GetOptions) (*engine.GetReport, error) {
		if !o.Overwrite {
			return nil, fmt.Errorf("film.mkv %w", engine.ErrExists)
		}
		return &engine.GetReport{Files: 1, Bytes: 5_300_000_000}, nil
	}
	b := newHome(t, n)
	b.get(engine.GetOptions{Names: []engine.Path{"film.mkv"}, To: "/home/laptop/out"})
	b.settle("it is over", func() bool { return b.transfers.running() == 0 })
	b.reads("There are files of the same name in that folder already.")
	b.press("Replace")
	b.settle("it is over", func() bool { return b.transfers.running() == 0 })
	b.reads("1 file saved, 5.3 GB")
	if !n.gets[1].Overwrite || n.gets[1].To != "/home/laptop/out" {
		t.Errorf("asked for %+v", n.gets[1])
	}
}

// A double click on a file, and the buttons, ask with a dialog.
func TestFileDialogs(t *testing.T) {
	b := newHome(t, family())
	for what, ask := range map[string]func(){
		"Save here": func() { b.askWhereTo([]engine.Path{"Taxes"}) },
		"Add":       b.askForFile,
		"Add ":      b.askForFolder,
	} {
		ask()
		b.reads(strings.TrimSpace(what))
		b.press("Cancel")
	}
	if len(b.transfers.all) > 0 {
		t.Error("a transfer without a choice")
	}
}

func TestSearch(t *testing.T) {
	b := newHome(t, family())
	test.Type(b.frame.files.entry, "ETE mer")
	b.settle("it is found", func() bool { return len(b.frame.files.shown) == 1 })
	b.reads("Été à la mer.jpg")
	b.reads("Photos") // where it is
	b.frame.files.entry.SetText("zebra")
	b.settle("nothing is found", func() bool { return len(b.frame.files.shown) == 0 })
	b.reads("Nothing is called “zebra”")
	b.frame.files.entry.SetText("")
	b.settle("the folder is back", func() bool { return len(b.frame.files.shown) == 7 })
}

func TestFolders(t *testing.T) {
	b := newHome(t, family())
	f := b.frame.files
	row := func(name string) int {
		return slices.IndexFunc(f.shown, func(it item) bool { return it.name == name })
	}
	f.enter(row("Photos"))
	b.settle("the folder is open", func() bool { return len(f.shown) == 1 && f.loaded })
	b.reads("Été à la mer.jpg")
	b.press("Files")
	b.settle("the top is back", func() bool { return len(f.shown) == 7 })
	f.sortBy(bySize)
	b.settle("the largest come first", func() bool { return f.shown[0].name == "Photos" && f.shown[3].name == "Wedding film.mkv" })
	f.sortBy(byHealth)
	b.settle("the worst come first", func() bool { return f.shown[3].MayLose == -1 })
	f.sortBy(byName) // the last of two wins, whichever is done first
	f.sortBy(byName)
	b.settle("the names fall", func() bool {
		return f.shown[3].name == "Wedding film.mkv" && f.shown[6].name == "Insurance contract.pdf"
	})
}

func TestDeleteAsks(t *testing.T) {
	n := family()
	b := newHome(t, n)
	f := b.frame.files
	click := func(i int, modifier fyne.KeyModifier) {
		row := newFileRow(b.locale, f.columns, b.opt.Now)
		f.fill(i, row)
		row.MouseDown(&desktop.MouseEvent{Button: desktop.MouseButtonPrimary, Modifier: modifier})
	}
	click(3, 0)
	click(4, fyne.KeyModifierShortcutDefault)
	b.reads("2 selected, 1.3 MB")
	b.press("Move to trash")
	b.reads("“Insurance contract.pdf” and the others you selected can be restored")
	b.press("Cancel")
	if len(n.removed) > 0 {
		t.Fatal("deleted without a yes")
	}
	b.press("Move to trash")
	b.press("Move to trash") // in the dialog
	b.settle("it is deleted", func() bool { return len(f.picked.picked) == 0 })
	if want := []engine.Path{"Insurance contract.pdf", "Letter to the landlord.odt"}; !slices.Equal(n.removed, want) {
		t.Errorf("deleted %q", n.removed)
	}
}

func TestKeys(t *testing.T) {
	b := newHome(t, family())
	f := b.frame.files
	press := func(k fyne.KeyName) { b.typedKey(&fyne.KeyEvent{Name: k}) }
	f.pick(3, false, false)
	press(fyne.KeyDelete)
	b.reads("Move it to the trash?")
	press(fyne.KeyBackspace) // the dialog has the keys
	press(fyne.KeyEscape)
	if len(f.picked.picked) != 1 || b.win.Canvas().Overlays().Top() != nil {
		t.Error("a key went past the dialog, or Escape does not close it")
	}
	press(fyne.KeyEscape)
	if len(f.picked.picked) != 0 {
		t.Error("Escape does not let go")
	}
	f.pick(slices.IndexFunc(f.shown, func(it item) bool { return it.name == "Photos" }), false, false)
	press(fyne.KeyReturn)
	if f.folder != "Photos" {
		t.Errorf("Return opens %q", f.folder)
	}
	f.open("Photos/2024")
	press(fyne.KeyBackspace)
	if f.folder != "Photos" {
		t.Errorf("Backspace goes to %q", f.folder)
	}
	press(fyne.KeyBackspace)
	press(fyne.KeyBackspace)
	if f.folder != "" {
		t.Errorf("Backspace goes to %q", f.folder)
	}
}

func TestInvite(t *testing.T) {
	b := newHome(t, family())
	b.goTo("circle")
	b.press("Invite someone")
	b.settle("the invite is shown", func() bool { return b.win.Canvas().Overlays().Top() != nil })
	b.press("Copy the code")
	b.reads("Copied")
	if got := b.app.Clipboard().Content(); !strings.HasPrefix(got, "preezm1-abcde-") {
		t.Errorf("the clipboard holds %q", got)
	}
	b.press("Close")
}

func TestJoin(t *testing.T) {
	n := family()
	n.join = func(code string) error {
		if code == "good" {
			return nil
		}
		return fmt.Errorf("tower: %w", peers.ErrUnreachable)
	}
	b := newHome(t, n)
	b.goTo("circle")
	c := b.frame.pages["circle"].(*circleScreen)
	b.settle("the circle is shown", func() bool { return c.loaded })
	b.reads("Online · 12 ms")
	b.reads("Last seen yesterday 10:25")
	c.code.SetText(" bad ")
	b.press("Join")
	b.settle("it failed", func() bool { return textOf(c.trouble) != "" })
	b.reads("The other machine cannot be reached. Is it on, and is Preezm running there?")
	c.code.SetText("good")
	if textOf(c.trouble) != "" {
		t.Error("the error of the last code is still shown")
	}
	b.press("Join")
	b.settle("it worked", func() bool { return c.code.Text == "" })
	if want := []string{"bad", "good"}; !slices.Equal(n.joined, want) {
		t.Errorf("joined with %q", n.joined)
	}
}

func TestLanguageChangesAtOnce(t *testing.T) {
	b := newHome(t, family())
	b.goTo("settings")
	b.setLanguage("fr")
	b.reads("Réglages")
	b.settle("the health is told anew", func() bool { return b.health != nil })
	b.goTo("files")
	b.settle("the files are listed", func() bool { return b.frame.files.loaded })
	b.reads("Tout est en sécurité : 2 appareils, n’importe lesquels, peuvent être perdus.")
	b.reads("Sûr : 1 appareil peut être perdu")
	b.reads("Fragile : aucune perte possible")
	b.setLanguage("")
	b.reads("Settings")
}

// The node dies under the window: it says so and offers the way back.
func TestLostNode(t *testing.T) {
	for name, failure := range map[string]error{
		"it says so":   fmt.Errorf("listing: %w", node.ErrNotServing),
		"broke off":    fmt.Errorf("%w: unexpected EOF", node.ErrNoAnswer),
		"nobody there": fmt.Errorf("running node: %w", &net.OpError{Op: "dial", Net: "unix", Err: errors.New("connection refused")}),
	} {
		t.Run(name, func(t *testing.T) {
			n := family()
			b := newHome(t, n)
			n.fail(failure)
			b.refresh()
			b.settle("the loss is shown", func() bool { return b.frame == nil })
			b.reads("The node that was running this home has stopped.")
			n.fail(nil)
			b.press("Try again")
			b.settle("the home is back", func() bool { return b.frame != nil && b.frame.files.loaded })
		})
	}
}

// What lies over the screen is about the node: it goes with it, and nothing
// can be asked of a node that is not there.
func TestLossTakesDialogsAway(t *testing.T) {
	n := family()
	b := newHome(t, n)
	b.frame.files.pick(0, false, false)
	b.frame.files.menu(fyne.NewPos(10, 10))
	b.showWords("tower", []string{"cat", "goat"}, func(same bool) { t.Error("nobody answered") }, nil)
	n.fail(node.ErrNotServing)
	b.refresh()
	b.settle("the loss is shown", func() bool { return b.frame == nil })
	if b.win.Canvas().Overlays().Top() != nil {
		t.Errorf("there is something over the screen: %q", b.text())
	}
	b.typedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
	b.circleChanged() // an answer that was on its way
}

// Files that came by another way, such as a command, are seen.
func TestFilesFromElsewhere(t *testing.T) {
	n := family()
	b := newHome(t, n)
	n.mu.Lock()
	n.entries = append(n.entries, engine.Entry{Path: "from a command.txt", Kind: engine.File, MayLose: 2, Keepers: 4})
	n.status.Files++
	n.mu.Unlock()
	b.refresh()
	b.settle("the file is seen", func() bool { return len(b.frame.files.shown) == 8 })
	b.reads("from a command.txt")
}

// Another trouble does not throw the person out of the home.
func TestTroubleIsNotLoss(t *testing.T) {
	n := family()
	b := newHome(t, n)
	n.fail(errors.New("the catalog is busy"))
	b.goTo("circle")
	b.goTo("files")
	b.refresh()
	b.wg.Wait() // the answers are in
	n.fail(nil)
	for len(b.pump.events) > 0 {
		(<-b.pump.events)()
	}
	if b.frame == nil {
		t.Fatal("the home is closed")
	}
	b.reads("Photos")
}

func TestHomeCannotBeOpened(t *testing.T) {
	b := newBench(t, &fakeHost{node: family(), exists: true, openErr: errors.New("home.json is damaged")})
	b.reads("Opening your home…")
	b.open(nil)
	b.settle("the failure is shown", func() bool { return b.trouble != nil })
	b.reads("home.json is damaged")
}

// Start and Close with the pump and the clock running, as in the program.
func TestStartAndClose(t *testing.T) {
	app := test.NewTempApp(t)
	host := &fakeHost{node: family(), exists: true, lost: make(chan error, 1)}
	u, err := New(app, host, Options{Locales: []string{"en"}, do: func(f func()) { f() }})
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan struct{})
	u.wg.Go(func() { u.pump.run(u.ctx) })
	u.wg.Go(u.watch)
	u.pump.post(u.ctx, func() { u.open(func() { close(opened) }) })
	select {
	case <-opened:
	case <-time.After(10 * time.Second):
		t.Fatal("never opened")
	}
	host.lost <- errors.New("gone")
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	if !host.closed {
		t.Error("the node is still open")
	}
}

// However fast one types, all files are listed once at a time, and what is
// found is what was typed last.
func TestSearchListsOnceAtATime(t *testing.T) {
	b := newHome(t, family())
	n := b.host.node
	hold := make(chan struct{})
	n.mu.Lock()
	n.listing, n.lists = hold, 0
	n.mu.Unlock()
	lists := func() int {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.lists
	}
	f := b.frame.files
	f.typed("i")
	f.refresh()
	await(t, "a list is asked for", func() bool { return lists() == 1 })
	f.typed("insu")
	f.refresh()
	f.refresh()
	close(hold)
	b.settle("it is found", func() bool { return len(f.shown) == 1 && strings.Contains(f.shown[0].name, "Insurance") })
	if got := lists(); got != 1 {
		t.Errorf("all files were listed %d times", got)
	}
}
