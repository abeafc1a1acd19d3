// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/dialog"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/assets"
	"github.com/preezm/preezm/engine"
)

// every is how often the window asks anew what it shows.
const every = 15 * time.Second

// logRounds is after how many of these the custodians' logs are read when
// nobody looks at them, for the count of what is new.
const logRounds = 4

// Options is what the window needs to know of the world; tests fix all of it.
type Options struct {
	Version  string
	Home     string
	Hostname string            // proposed as this machine's name
	Locales  []string          // the system's languages, most wanted first
	Now      func() time.Time  // nil is time.Now
	Toolkit  func(lang string) // tells the toolkit's own dialogs the language; may be nil
	Tray     tray              // nil where there is none
	Login    loginStart        // nil where it is not known how to start at login
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

	locale  *i18n.Locale
	node    Node
	about   node.About
	health  *health        // nil until known
	status  *engine.Status // what it was made from
	trouble error          // why there is no node

	healthTook time.Duration // how long the last question for the health took
	healthAt   time.Time     // and when it was answered

	frame     *frame // nil while there is no node
	transfers transfers
	jobs      transfers     // of the home's care, on its own screen
	asking    dialog.Dialog // the one shown last; nil before
	viewing   func(now time.Time)
	alive     atomic.Bool  // a clock on screen counts
	tickAt    atomic.Int64 // when it shows something else, nanoseconds since 1970
	away      bool         // the window cannot be seen
	trayState trayState
	trayWords string
	lent      string // folder of files that other programs show; "" before
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
	u.transfers.ui, u.jobs.ui = u, u
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
	u.trayShows(traySafe)
	if u.host.Exists() {
		u.open(nil)
	}
}

// Close ends all work and waits for it, and closes the node. It is called
// when the window is gone.
func (u *UI) Close() error {
	u.stop()
	u.wg.Wait()
	return errors.Join(u.takeBack(), u.host.Close())
}

// watch passes on what happens without being asked: time, and lost nodes.
func (u *UI) watch() {
	clock, second := time.NewTicker(every), time.NewTicker(time.Second)
	defer clock.Stop()
	defer second.Stop()
	rounds := 0
	for {
		select {
		case <-u.ctx.Done():
			return
		case err := <-u.host.Lost():
			u.pump.post(u.ctx, func() { u.lost(err) })
		case <-second.C:
			if u.alive.Load() && time.Now().UnixNano() >= u.tickAt.Load() {
				u.pump.post(u.ctx, u.tick)
			}
		case <-clock.C:
			rounds++
			if rounds%logRounds == 0 {
				u.pump.post(u.ctx, u.readLogs)
			}
			u.pump.post(u.ctx, u.refresh)
		}
	}
}

// tick lets the clocks on screen go on.
func (u *UI) tick() {
	now := u.opt.Now()
	if u.frame != nil && u.frame.front != nil {
		if s, ok := u.frame.front.(living); ok {
			s.tick(now)
		}
	}
	if u.viewing != nil {
		u.viewing(now)
	}
	u.lives()
}

// lives finds out whether a clock that can be seen counts, and when it shows
// something else: each tick wakes the window's thread for a while.
func (u *UI) lives() {
	on, wait := u.viewing != nil, time.Duration(0) // it ends with its grant, seen or not
	if u.frame != nil && !u.away && !on {
		if s, ok := u.frame.front.(living); ok {
			wait, on = s.wait(u.opt.Now())
		}
	}
	u.tickAt.Store(time.Now().Add(wait).UnixNano())
	u.alive.Store(on)
}

// readLogs asks for what the custodians wrote down, whatever is in front.
func (u *UI) readLogs() {
	if u.frame != nil {
		u.frame.pages["activity"].refresh()
		u.frame.pages["access"].(*access).asks.refresh()
		if u.prefs.wanted(noticeMissing) {
			u.frame.pages["circle"].refresh()
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

// learn asks for something away from the window's thread and shows the answer on
// it. A failure is only heard: the next look may find it.
func learn[T any](u *UI, ask func(ctx context.Context) (T, error), show func(T)) {
	learnOr(u, "", ask, show)
}

// learnOr is learn for what a person did: a failure is told under a title.
func learnOr[T any](u *UI, title string, ask func(ctx context.Context) (T, error), show func(T)) {
	u.work(func(ctx context.Context) func() {
		v, err := ask(ctx)
		if err == nil {
			return func() { show(v) }
		}
		return func() {
			u.heard(err)
			if title != "" {
				u.tell(title, err)
			}
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
		key, err := n.Key(ctx)
		if err != nil {
			return func() { u.failedToOpen(err) }
		}
		return func() {
			u.node, u.trouble = n, nil
			if key.Locked {
				u.showLocked()
				return
			}
			u.showHome("files")
			u.refresh()
			u.readLogs()
			if then != nil {
				then()
			}
		}
	})
}

func (u *UI) failedToOpen(err error) {
	u.node, u.frame, u.trouble = nil, nil, err
	u.uncover()
	u.lives()
	u.trayShows(trayTrouble)
	if errors.Is(err, node.ErrLocked) {
		u.showLocked()
		return
	}
	u.showFailure()
}

// uncover takes away the dialogs and menus that lie over the screen. What they
// offer needs a node.
func (u *UI) uncover() {
	over := u.win.Canvas().Overlays()
	for top := over.Top(); top != nil; top = over.Top() {
		over.Remove(top)
	}
	u.asking, u.viewing = nil, nil
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
	u.healthIfDue()
	f.alert.refresh() // also for a window that cannot be seen: it may have to be forbidden
	if !u.away {
		f.files.askTwice()
	}
	// The list is long and is read anew when the health says that something
	// changed. Nothing else is read for a window that cannot be seen: some of
	// it asks machines of the circle.
	if f.front != screen(f.files) && !u.away {
		f.front.refresh()
	}
}

// quick is a question that may be asked at every turn; a slower one is asked
// again after restFactor times as long as it took, so that looking after many
// files never costs more than one part in restFactor of a core.
const (
	quick      = 50 * time.Millisecond
	restFactor = 200
)

// healthIfDue asks for the health when its turn has come, or at once when a
// machine came or went, which is cheap to find out.
func (u *UI) healthIfDue() {
	if u.healthTook < quick || time.Since(u.healthAt) > restFactor*u.healthTook {
		u.askHealth()
		return
	}
	n, f := u.node, u.frame
	u.work(func(ctx context.Context) func() {
		members, err := n.Circle(ctx, true)
		if err != nil {
			return func() { u.heard(err) }
		}
		return func() {
			if u.frame == f && u.health != nil && absent(members) != u.health.away {
				u.askHealth()
			}
		}
	})
}

// absent counts the keepers that do not answer.
func absent(members []node.Member) int {
	n := 0
	for _, m := range members {
		if m.Keeper && m.Asked && !m.Online {
			n++
		}
	}
	return n
}

// askHealth asks for the sentence of health.
func (u *UI) askHealth() {
	n, f := u.node, u.frame
	if n == nil || f == nil {
		return
	}
	u.work(func(ctx context.Context) func() {
		begin := time.Now()
		h, s, err := readHealth(ctx, n, u.locale)
		took := time.Since(begin)
		if err != nil {
			return func() { u.heard(err) }
		}
		return func() {
			u.healthTook, u.healthAt = took, time.Now()
			if u.frame == f {
				u.status = s
				f.care().show(s)
			}
			if u.frame != f || u.health != nil && *u.health == h {
				return
			}
			known := u.health != nil
			if known && u.health.grade > gradeSafe && h.grade == gradeSafe {
				u.notify(noticeRepaired, h.sentence)
			}
			u.health = &h
			u.healthChanged()
			f.files.setHealth(h)
			f.pages["circle"].(*circleScreen).picture.Refresh() // its sentence is that of the health
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

// seen is up to when the activity of a home was looked at.
func (p prefs) seen(home string) time.Time {
	return time.Unix(int64(p.store.Int("seen:"+home)), 0)
}

func (p prefs) setSeen(home string, at time.Time) { p.store.SetInt("seen:"+home, int(at.Unix())) }

func (p prefs) span(key string, usual time.Duration) time.Duration {
	if d := time.Duration(p.store.Int(key)) * time.Second; d > 0 && d <= 10*longestPeriod {
		return d
	}
	return usual
}

// usual and longest are the periods of a grant.
func (p prefs) usual() time.Duration   { return p.span("grant.usual", usualPeriod) }
func (p prefs) longest() time.Duration { return p.span("grant.longest", longestPeriod) }
