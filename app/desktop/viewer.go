// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"bytes"
	"context"
	"errors"
	"image"
	_ "image/gif"  // shown in the viewer
	_ "image/jpeg" // shown in the viewer
	_ "image/png"  // shown in the viewer
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers/said"
)

// Limits of the viewer: what comes is a stranger's file.
const (
	maxShown  = 64 << 20 // bytes held in memory
	maxPixels = 80 << 20 // of a picture
	maxRead   = 512 << 10
)

// shownFile is a granted file held in memory, for the eye only.
type shownFile struct {
	picture image.Image
	text    string
	link    *url.URL // it can be shown by the browser only
}

// errNotNow: a view was answered with a no.
type errNotNow struct {
	reason     custody.Reason
	have, need int
	text       string // in the window's language
}

func (e *errNotNow) Error() string { return e.text }

// look shows a granted file without writing it anywhere: each look is an
// opening that the owner sees. What the viewer cannot show, a browser shows
// from memory too.
func (u *UI) look(g *node.Received, i int) {
	n := u.node
	name := g.Files[i].Name
	wait := newNote(u.t("received.asking"))
	stage := container.NewStack(container.NewCenter(container.New(&wideLayout{ui: u, width: 360}, centred(wait))))
	c := newClock(u, time.Time{}, g.NotAfter, u.t("access.state.ended")).started()
	foot := container.NewBorder(nil, nil, nil, container.New(widthLayout{150}, container.New(tightLayout{}, c.text, c.small)), newNote(u.t("viewer.note")))
	ctx, cancel := context.WithCancel(u.ctx)
	d := dialog.NewCustom(shownName(name), u.t("dialog.close"), container.NewBorder(nil, foot, nil, nil, stage), u.win)
	d.SetOnClosed(func() {
		cancel()
		stage.Objects = nil
		u.viewing = nil
		u.lives()
	})
	u.viewing = func(now time.Time) {
		if c.tick(now) {
			d.Hide()
		}
	}
	u.lives()
	size := u.win.Canvas().Size()
	d.Resize(fyne.NewSize(min(size.Width-40, 900), min(size.Height-40, 680)))
	u.show(d)
	lang := u.locale.Lang()
	u.work(func(context.Context) func() {
		f, err := fetch(ctx, n, node.ViewOrder{Grant: g.ID, Lang: lang}, i, name)
		return func() {
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				setText(wait, u.whyNot(err))
				stage.Refresh()
				return
			}
			stage.Objects = []fyne.CanvasObject{u.exhibit(f)}
			stage.Refresh()
		}
	})
}

// exhibit is how a file is shown.
func (u *UI) exhibit(f *shownFile) fyne.CanvasObject {
	switch {
	case f.picture != nil:
		view := canvas.NewImageFromImage(f.picture)
		view.FillMode = canvas.ImageFillContain
		return view
	case f.link != nil:
		open := widget.NewButton(u.t("viewer.browser"), func() {
			if err := u.app.OpenURL(f.link); err != nil {
				u.tell(u.t("viewer.browser"), err)
			}
		})
		open.Importance = widget.HighImportance
		return container.NewCenter(container.NewVBox(container.New(&wideLayout{ui: u, width: 420}, centred(newNote(u.t("viewer.cannot")))), container.NewCenter(open)))
	}
	text := widget.NewLabel(f.text)
	text.Wrapping = fyne.TextWrapWord
	return container.NewVScroll(text)
}

func (u *UI) whyNot(err error) string {
	var not *errNotNow
	if errors.As(err, &not) {
		switch {
		case not.reason != "":
			return u.t("received.refused-unsigned", i18n.A{"why": refusal(u.locale, not.reason)})
		case not.need > 0:
			return join(u.n("received.agreed", int64(not.have), i18n.A{"need": not.need}), u.n("received.waiting", int64(not.need-not.have)))
		}
	}
	u.heard(err)
	return u.say(err)
}

// fetch reads a file of a view into memory. The view ends with ctx for files
// that the browser shows, and at once for all others.
func fetch(ctx context.Context, n Node, o node.ViewOrder, i int, name string) (*shownFile, error) {
	v, err := n.View(ctx, o)
	if err != nil {
		return nil, err
	}
	link, err := url.Parse(v.URL + strconv.Itoa(i+1) + "/" + url.PathEscape(name))
	if err == nil {
		var f *shownFile
		if f, err = read(ctx, link); err == nil && f.link != nil {
			context.AfterFunc(ctx, func() { endView(n, v.Token) })
			return f, nil
		} else if err == nil {
			endView(n, v.Token)
			return f, nil
		}
	}
	endView(n, v.Token)
	return nil, err
}

// endView ends a view. One that cannot be ended ends with its grant.
func endView(n Node, token string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := n.EndView(ctx, token); err != nil {
		fyne.LogError("end a view", err)
	}
}

// readable tells by its name whether the viewer can show a file, so that a
// look at another one does not count twice.
func readable(name string) bool {
	name = strings.ToLower(name)
	for _, ending := range []string{".png", ".jpg", ".jpeg", ".gif", ".txt", ".md", ".csv", ".json", ".xml", ".log"} {
		if strings.HasSuffix(name, ending) {
			return true
		}
	}
	return false
}

func read(ctx context.Context, link *url.URL) (*shownFile, error) {
	if !readable(link.Path) {
		return &shownFile{link: link}, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link.String(), nil)
	if err != nil {
		return nil, err
	}
	// No proxy: this is an address of this machine.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxShown+1))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		no := &errNotNow{reason: custody.Reason(resp.Header.Get(node.HeaderRefused)), text: strings.TrimSpace(string(b[:min(len(b), 400)]))}
		no.have, _ = strconv.Atoi(resp.Header.Get(node.HeaderAgreed))
		no.need, _ = strconv.Atoi(resp.Header.Get(node.HeaderNeeded))
		return nil, no
	}
	return shownFrom(b)
}

// shownFrom makes of bytes what can be shown of them.
func shownFrom(b []byte) (*shownFile, error) {
	if len(b) > maxShown {
		return nil, said.Error("view-large", "this file is too large to be shown here: save it instead")
	}
	if c, _, err := image.DecodeConfig(bytes.NewReader(b)); err == nil {
		if c.Width <= 0 || c.Height <= 0 || int64(c.Width)*int64(c.Height) > maxPixels {
			return nil, said.Error("view-picture", "a picture of {width} by {height} is too large to be shown here: save it instead", "width", strconv.Itoa(c.Width), "height", strconv.Itoa(c.Height))
		}
		img, _, err := image.Decode(bytes.NewReader(b))
		return &shownFile{picture: img}, err
	}
	if !utf8.Valid(b) {
		return nil, said.Error("view-kind", "this is no text and no picture: save it instead")
	}
	text := strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return []rune(shownName(string(r)))[0]
	}, strings.ReplaceAll(string(b[:min(len(b), maxRead)]), "\r\n", "\n"))
	return &shownFile{text: text}, nil
}
