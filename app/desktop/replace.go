// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/grants"
)

// askToReplace corrects a document that was granted: a new version takes its
// place, and the company is refused the old one from then on.
func (a *access) askToReplace(g *grants.Info) {
	u := a.ui
	names := make([]string, len(g.Files))
	for i, f := range g.Files {
		names[i] = shownName(f)
	}
	which := widget.NewSelect(names, nil)
	which.SetSelectedIndex(0)
	content := container.NewVBox(newNote(u.t("replace.text", i18n.A{"brand": shownName(g.Brand)})), which)
	u.confirm(u.t("replace.title"), u.t("replace.yes"), widget.HighImportance, content, func() {
		target := engine.Path(g.Files[max(which.SelectedIndex(), 0)])
		u.fileDialog(dialog.NewFileOpen(func(r fyne.URIReadCloser, err error) {
			if err != nil || r == nil {
				return
			}
			from := filepath.FromSlash(r.URI().Path())
			if err := r.Close(); err != nil {
				fyne.LogError("close", err)
			}
			a.replace(g.ID, target, from)
		}, u.win), u.t("replace.title"), u.t("dialog.choose"))
	})
}

// replace keeps a local file under the name of a granted one, and issues the
// grant anew.
func (a *access) replace(id string, target engine.Path, from string) {
	u, n := a.ui, a.ui.node
	u.mention(u.t("replace.working"))
	u.work(func(ctx context.Context) func() {
		made, err := renew(ctx, n, id, target, from)
		return func() {
			u.mention("")
			a.made(made, err, u.t("replace.failed"))
		}
	})
}

func renew(ctx context.Context, n Node, id string, target engine.Path, from string) (made *node.Granted, err error) {
	dir, name := path.Split(string(target))
	source := from
	if filepath.Base(from) != name {
		// The name in the home is that of the source: a copy gets it.
		temp, err := os.MkdirTemp("", "preezm-replace-*")
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
		source = filepath.Join(temp, name)
		if err := copyFile(source, from); err != nil {
			return nil, err
		}
	}
	if _, err := n.Put(ctx, engine.PutOptions{Sources: []string{source}, Into: engine.Path(strings.TrimSuffix(dir, "/"))}, nil); err != nil {
		return nil, err
	}
	return n.Refresh(ctx, id)
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}
