// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/ticket"
)

// dropped is called when files fall onto the window, on whatever screen.
func (u *UI) dropped(uris []fyne.URI) {
	if u.frame == nil {
		return
	}
	var sources []string
	for _, uri := range uris {
		if uri.Scheme() == "file" {
			sources = append(sources, filepath.FromSlash(uri.Path()))
		}
	}
	switch {
	case len(sources) == 0:
	case len(sources) == 1 && u.tookCode(sources[0]):
	default:
		u.goTo("files")
		u.put(sources)
	}
}

// maxCode bounds the files that are looked at for a code or a receipt.
const maxCode = consent.MaxReceipt

// tookCode takes a file with a company's card, a ticket or the like for what it
// is: nobody drops one in order to keep it. A receipt one may want to keep: it is
// checked on all screens but Files. A large ticket is chosen by name.
func (u *UI) tookCode(file string) bool {
	ending := strings.ToLower(filepath.Ext(file))
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() || info.Size() > maxText || info.Size() > maxCode && ending != ".ticket" {
		return false
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	text := strings.TrimSpace(string(raw))
	switch {
	case strings.HasPrefix(text, ticket.Prefix):
		u.goTo("received")
		u.frame.pages["received"].(*received).take(text)
	case strings.HasPrefix(text, consent.ConsentPrefix), strings.HasPrefix(text, consent.RefusalPrefix):
		u.goTo("received")
		u.frame.pages["received"].(*received).take(text)
	case strings.HasPrefix(text, "{") && strings.Contains(text, receiptMark) && u.frame.front != screen(u.frame.files):
		u.showReceipt("", raw)
	case strings.HasPrefix(text, consent.RequestPrefix), strings.HasPrefix(text, consent.CountersignPrefix):
		u.goTo("access")
		u.frame.pages["access"].(*access).asks.take(text)
	case isCard(text):
		if g := u.frame.granting; g == nil || u.frame.front != screen(g) {
			u.grantPage(nil)
		}
		u.frame.granting.card.SetText(text)
	default:
		return false
	}
	return true
}

func isCard(text string) bool {
	_, err := readCard(text)
	return err == nil
}

// put keeps local files and folders, in the folder that is shown.
func (u *UI) put(sources []string) {
	n, into := u.node, u.frame.files.folder
	title := u.titleOf(filepath.Base(sources[0]), len(sources))
	u.transfers.start(theme.UploadIcon(), title, func(ctx context.Context, progress func(engine.Progress)) (outcome, error) {
		r, err := n.Put(ctx, engine.PutOptions{Sources: sources, Into: into}, progress)
		if r == nil {
			return outcome{}, err
		}
		done := outcome{summary: u.putSummary(r), problems: r.Problems}
		for _, note := range r.Notes {
			done.notes = append(done.notes, spelled(u.locale, note, u.opt.Now()))
		}
		return done, err
	}, func(t *transfer) {
		switch {
		case errors.Is(t.err, engine.ErrNoKeepers):
			t.againTo, t.again = u.t("circle.invite"), func() { u.goTo("circle"); u.invite() }
		case t.err != nil:
			// What is kept already is not sent again, so this resumes.
			t.againTo, t.again = u.t("transfer.again"), func() { u.put(sources) }
		}
		u.changed()
	})
}

// titleOf names what a transfer is about: the first of its files, and how
// many more.
func (u *UI) titleOf(first string, count int) string {
	if count == 1 {
		return shownName(first)
	}
	return u.n("transfer.and-more", int64(count-1), i18n.A{"name": shownName(first)})
}

// putSummary says in one line what a put did. It is called off the window's
// thread: it reads the locale only.
func (u *UI) putSummary(r *engine.PutReport) string {
	l := u.locale
	if r.Files > 0 && r.Unchanged == r.Files {
		return l.N("transfer.unchanged", r.Files)
	}
	parts := []string{l.N("transfer.put-done", r.Files-failed(r.Problems), i18n.A{"size": l.Size(r.Bytes)}), l.N("transfer.on-machines", int64(r.Keepers))}
	if r.Debt > 0 {
		parts = append(parts, l.N("health.debt", r.Debt))
	}
	return join(parts...)
}

// failed counts the files that were not kept or not brought back.
func failed(problems []engine.Problem) int64 {
	var n int64
	for _, p := range problems {
		if p.Failed {
			n++
		}
	}
	return n
}

// askForFile and askForFolder are the way in without drag and drop.
func (u *UI) askForFile() {
	u.fileDialog(dialog.NewFileOpen(func(r fyne.URIReadCloser, err error) {
		if err != nil || r == nil {
			return
		}
		uri := r.URI()
		if err := r.Close(); err != nil {
			fyne.LogError("close", err)
		}
		u.dropped([]fyne.URI{uri})
	}, u.win), u.t("files.add-file"), u.t("files.add-yes"))
}

func (u *UI) askForFolder() {
	u.fileDialog(dialog.NewFolderOpen(func(folder fyne.ListableURI, err error) {
		if err == nil && folder != nil {
			u.dropped([]fyne.URI{folder})
		}
	}, u.win), u.t("files.add-folder"), u.t("files.add-yes"))
}

// askWhereTo brings files back into a folder of the person's choice.
func (u *UI) askWhereTo(names []engine.Path) {
	if len(names) == 0 {
		return
	}
	u.fileDialog(dialog.NewFolderOpen(func(folder fyne.ListableURI, err error) {
		if err == nil && folder != nil && u.frame != nil {
			u.get(engine.GetOptions{Names: names, To: filepath.FromSlash(folder.Path())})
		}
	}, u.win), u.t("files.save"), u.t("files.save-here"))
}

func (u *UI) fileDialog(d *dialog.FileDialog, title, confirm string) {
	d.SetTitleText(title)
	d.SetView(dialog.ListView) // names are cut in the other one
	d.SetConfirmText(confirm)
	d.SetDismissText(u.t("dialog.cancel"))
	u.show(d) // before Resize: there is nothing to resize until it is shown
	size := u.win.Canvas().Size()
	d.Resize(fyne.NewSize(min(size.Width-60, 860), min(size.Height-60, 600)))
}

// get brings files back into a local folder.
func (u *UI) get(o engine.GetOptions) {
	n := u.node
	title := u.t("transfer.to", i18n.A{"what": u.titleOf(path.Base(string(o.Names[0])), len(o.Names)), "to": shownName(o.To)})
	u.transfers.start(theme.DownloadIcon(), title, func(ctx context.Context, progress func(engine.Progress)) (outcome, error) {
		r, err := n.Get(ctx, o, progress)
		if r == nil {
			return outcome{}, err
		}
		done := outcome{summary: u.locale.N("transfer.get-done", r.Files, i18n.A{"size": u.locale.Size(r.Bytes)}), problems: r.Problems}
		for _, as := range r.Renamed {
			done.notes = append(done.notes, u.locale.T("transfer.renamed", i18n.A{"name": shownName(string(as.Path)), "as": as.As}))
		}
		for _, b := range r.Blamed {
			done.notes = append(done.notes, u.t("transfer.blamed", i18n.A{"name": shownName(b.Name), "why": u.locale.Reason(b.Said, u.opt.Now())}))
		}
		return done, err
	}, func(t *transfer) {
		switch {
		case errors.Is(t.err, engine.ErrExists):
			o.Overwrite, o.Resume = true, false
			t.againTo, t.again = u.t("transfer.replace"), func() { u.get(o) }
		case t.err != nil:
			o.Resume = true // leaves alone what this one brought
			t.againTo, t.again = u.t("transfer.again"), func() { u.get(o) }
		}
	})
}

// askToRemove deletes after a question.
func (u *UI) askToRemove(items []item) {
	if len(items) == 0 {
		return
	}
	text := u.n("remove.text", int64(len(items)), i18n.A{"name": items[0].name})
	d := dialog.NewCustomConfirm(u.n("remove.title", int64(len(items))), u.t("remove.yes"), u.t("dialog.cancel"),
		u.fit(440, newNote(text)),
		func(yes bool) {
			if yes && u.frame != nil {
				u.remove(pathsOf(items))
			}
		}, u.win)
	d.SetConfirmImportance(widget.DangerImportance)
	u.show(d)
}

func (u *UI) remove(names []engine.Path) {
	n := u.node
	u.work(func(ctx context.Context) func() {
		_, err := n.Remove(ctx, names)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("remove.failed"), err)
			}
			if u.frame != nil {
				u.frame.files.picked.clear()
			}
			u.changed()
		}
	})
}

// changed reads anew after the home changed.
func (u *UI) changed() {
	if u.frame == nil {
		return
	}
	u.frame.files.all = nil
	u.frame.files.refresh()
	u.frame.files.askTwice()
	u.askHealth()
}

// tell shows an error that has no better place.
func (u *UI) tell(title string, err error) {
	u.show(dialog.NewCustom(title, u.t("dialog.close"), u.fit(420, newNote(u.say(err))), u.win))
}

// shownName is a local name fit for a line on screen.
func shownName(name string) string { return i18n.Printable(name) }
