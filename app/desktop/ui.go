// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/dialog"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/assets"
)

// every is how often the window asks anew what it shows.
const every = 15 * time.Second

// Options is what the window needs to know of the world; tests fix all of it.
type Options struct {
	Version  string
	Home     string
	Hostname string            // proposed as this machine's name
	Locales  []string          // the system's languages, most wanted first
	Now      func() time.Time  // nil is time.Now
	Toolkit  func(lang string) // tells the toolkit's own dialogs the language; may be nil
	do       func(func())      // nil is fyne.Do
}

// UI is the window and what it knows. Its fields belong to the window's
// thread; goroutines get at them by events only.
type UI struct {
	app   fyne.App
	win   fyne.Window
	host  Host
	opt   Options
	prefs prefs

	pump *pump
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	locale    *i18n.Locale
	node      Node
	about     node.About
	health    *health // nil until known
	trouble   error   // why there is no node
	frame     *frame  // nil while there is no node
	transfers transfers
	asking    dialog.Dialog // the one shown last; nil before
}

// New makes the window and shows in it what there is: the Welcome screen, or
// the home that is being opened. Start begins the work.
func New(app fyne.App, host Host, opt Options) (*UI, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.do == nil {
		opt.do = fyne.Do
	}
	u := &UI{app: app, host: host, opt: opt, prefs: prefs{app.Preferences()}, pump: newPump(opt.do)}
	u.ctx, u.stop = context.WithCancel(context.Background())
	u.transfers.ui = u
	if err := u.speak(); err != nil {
		return nil, err
	}
	app.SetIcon(appIcon())
	app.Settings().SetTheme(palette{u.prefs.scheme()})
	u.win = app.NewWindow("Preezm")
	u.win.SetMaster()
	u.win.SetPadded(false)
	u.win.Resize(fyne.NewSize(1024, 700))
	u.win.CenterOnScreen()
	u.win.SetOnDropped(func(_ fyne.Position, uris []fyne.URI) { u.dropped(uris) })
	u.win.SetCloseIntercept(u.askToClose)
	u.keys()
	if host.Exists() {
		u.showOpening()
	} else {
		u.showWelcome()
	}
	return u, nil
}

// Start runs the pump and the clock, and opens the home if there is one.
func (u *UI) Start() {
	u.wg.Go(func() { u.pump.run(u.ctx) })
	u.wg.Go(u.watch)
	if u.host.Exists() {
		u.open(nil)
	}
}

// Close ends all work and waits for it, and closes the node. It is called
// when the window is gone.
func (u *UI) Close() error {
	u.stop()
	u.wg.Wait()
	return u.host.Close()
}

// watch passes on what happens without being asked: time, and lost nodes.
func (u *UI) watch() {
	clock := time.NewTicker(every)
	defer clock.Stop()
	for {
		select {
		case <-u.ctx.Done():
			return
		case err := <-u.host.Lost():
			u.pump.post(u.ctx, func() { u.lost(err) })
		case <-clock.C:
			u.pump.post(u.ctx, u.refresh)
		}
	}
}

// work runs f off the window's thread, and what it returns, if anything, on it.
func (u *UI) work(f func(ctx context.Context) func()) {
	u.wg.Go(func() {
		if event := f(u.ctx); event != nil {
			u.pump.post(u.ctx, event)
		}
	})
}

// speak loads the language of the preferences.
func (u *UI) speak() error {
	lang := u.prefs.language()
	if lang == "" {
		lang = i18n.Pick(u.opt.Locales...)
	}
	l, err := i18n.Load(assets.Catalogs, "i18n", lang)
	if err != nil {
		return fmt.Errorf("the window's words: %w", err)
	}
	u.locale = l
	if u.opt.Toolkit != nil {
		u.opt.Toolkit(lang)
	}
	return nil
}

// open gets a node and shows its home. Then runs once the home is shown; nil
// is nothing.
func (u *UI) open(then func()) {
	u.work(func(ctx context.Context) func() {
		n, err := u.host.Open(ctx)
		if err != nil {
			return func() { u.failedToOpen(err) }
		}
		return func() {
			u.node, u.trouble = n, nil
			u.showHome("files")
			u.refresh()
			if then != nil {
				then()
			}
		}
	})
}

func (u *UI) failedToOpen(err error) {
	u.node, u.frame, u.trouble = nil, nil, err
	u.showFailure()
}

// lost is called when the node went away under the window.
func (u *UI) lost(err error) {
	if u.node == nil {
		return
	}
	if err == nil {
		err = node.ErrNotServing
	}
	u.failedToOpen(err)
}

// heard looks at an answer's error for signs that the node is gone.
func (u *UI) heard(err error) {
	if gone(err) {
		u.lost(fmt.Errorf("%w: %w", node.ErrNotServing, err))
	}
}

// refresh asks the node anew for what may have changed.
func (u *UI) refresh() {
	n, f := u.node, u.frame
	if n == nil || f == nil {
		return
	}
	u.work(func(ctx context.Context) func() {
		about, err := n.About(ctx)
		if err != nil {
			return func() { u.heard(err) }
		}
		return func() {
			if u.frame == f && !reflect.DeepEqual(u.about, about) {
				u.about = about
				f.named(about)
			}
		}
	})
	u.askHealth()
	// The list is long and is read anew when the health says that something
	// changed.
	if f.front != screen(f.files) {
		f.front.refresh()
	}
}

// askHealth asks for the sentence of health.
func (u *UI) askHealth() {
	n, f := u.node, u.frame
	if n == nil || f == nil {
		return
	}
	u.work(func(ctx context.Context) func() {
		h, err := readHealth(ctx, n, u.locale)
		if err != nil {
			return func() { u.heard(err) }
		}
		return func() {
			if u.frame != f || u.health != nil && *u.health == h {
				return
			}
			known := u.health != nil
			u.health = &h
			f.files.setHealth(h)
			if known && f.front == screen(f.files) {
				f.files.refresh()
			}
		}
	})
}

// setLanguage takes effect at once; "" is the system's.
func (u *UI) setLanguage(lang string) {
	u.prefs.setLanguage(lang)
	if err := u.speak(); err != nil {
		fyne.LogError("language", err)
		return
	}
	u.health = nil
	u.showHome("settings")
	u.askHealth()
}

// setScheme takes effect at once.
func (u *UI) setScheme(s scheme) {
	u.prefs.setScheme(s)
	u.app.Settings().SetTheme(palette{s})
}

// t and n are the window's words.
func (u *UI) t(key string, args ...i18n.A) string { return u.locale.T(key, args...) }
func (u *UI) n(key string, n int64, args ...i18n.A) string {
	return u.locale.N(key, n, args...)
}

// prefs are the choices that belong to the person, not to a home: they are
// there before any home is.
type prefs struct{ store fyne.Preferences }

func (p prefs) language() string {
	lang := p.store.String("language")
	for _, known := range i18n.Languages() {
		if lang == known {
			return lang
		}
	}
	return ""
}

func (p prefs) setLanguage(lang string) { p.store.SetString("language", lang) }

func (p prefs) scheme() scheme {
	switch s := scheme(p.store.String("theme")); s {
	case schemeLight, schemeDark:
		return s
	}
	return schemeSystem
}

func (p prefs) setScheme(s scheme) { p.store.SetString("theme", string(s)) }
