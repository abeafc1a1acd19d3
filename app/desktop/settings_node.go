// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/watch"
)

// showWatched lists the folders that are put as they change.
func (s *settings) showWatched(list []watch.State) {
	if s.watched.Objects != nil && reflect.DeepEqual(list, s.states) {
		return
	}
	u := s.ui
	s.states = list
	s.watched.Objects = []fyne.CanvasObject{}
	for _, w := range list {
		name := widget.NewLabel(shownName(w.Dir))
		name.TextStyle.Bold = true
		name.Truncation = fyne.TextTruncateEllipsis
		line := newNote(watchWords(u.locale, &w, u))
		line.Wrapping, line.Truncation = fyne.TextWrapOff, fyne.TextTruncateEllipsis
		pause := widget.NewButton(u.t("transfer.pause"), func() {
			s.change(func(ctx context.Context, n Node) error {
				_, err := n.PauseWatch(ctx, node.PauseOrder{Dir: w.Dir, Pause: w.Phase != watch.Paused})
				return err
			})
		})
		if w.Phase == watch.Paused {
			pause.SetText(u.t("transfer.resume"))
		}
		stop := widget.NewButton(u.t("settings.unwatch"), func() {
			u.confirm(u.t("settings.unwatch"), u.t("settings.unwatch"), widget.HighImportance, newNote(u.t("settings.unwatch-text", i18n.A{"folder": shownName(w.Dir)})), func() {
				s.change(func(ctx context.Context, n Node) error {
					_, err := n.Unwatch(ctx, w.Dir)
					return err
				})
			})
		})
		s.watched.Add(beside(200, container.New(tightLayout{}, name, line), pause, stop))
	}
	s.watched.Refresh()
}

// watchWords says how far a watched folder is.
func watchWords(l *i18n.Locale, w *watch.State, u *UI) string {
	switch {
	case w.Phase == watch.Paused:
		return l.T("transfer.paused")
	case !w.Problem.IsZero():
		return capital(spelled(l, w.Problem, u.opt.Now()))
	case w.Pending > 0:
		return l.N("settings.watch-pending", w.Pending)
	case w.LastPut.IsZero():
		return l.T("settings.watch-looking")
	}
	return l.T("settings.watch-done", i18n.A{"when": l.When(w.LastPut, u.opt.Now())})
}

// change does something to the node's settings and shows them anew.
func (s *settings) change(do func(ctx context.Context, n Node) error) {
	u, n := s.ui, s.ui.node
	u.work(func(ctx context.Context) func() {
		err := do(ctx, n)
		return func() {
			if err != nil {
				u.heard(err)
				u.tell(u.t("settings.not-changed"), err)
			}
			s.refresh()
		}
	})
}

// askWatch lets the person choose a folder to watch.
func (s *settings) askWatch() {
	u := s.ui
	u.fileDialog(dialog.NewFolderOpen(func(folder fyne.ListableURI, err error) {
		if err == nil && folder != nil && u.frame != nil {
			s.watch(filepath.FromSlash(folder.Path()))
		}
	}, u.win), u.t("settings.watch"), u.t("dialog.choose"))
}

func (s *settings) watch(dir string) {
	s.change(func(ctx context.Context, n Node) error {
		_, err := n.Watch(ctx, watch.Folder{Dir: dir})
		return err
	})
}

// showNet says how this machine is reached.
func (s *settings) showNet(r *node.NetReport) {
	u := s.ui
	s.ways.Objects = nil
	online := 0
	for _, p := range r.Peers {
		if p.Online {
			online++
		}
	}
	g := gradeSafe
	if online < len(r.Peers) {
		g = gradeFragile
	}
	if len(r.Peers) == 0 {
		g = gradeNone
	}
	s.ways.Add(statement(g, u.n("settings.reached", int64(online), i18n.A{"all": len(r.Peers)})))
	if len(r.Addresses) > 0 {
		s.ways.Add(newNote(u.t("settings.reached-at", i18n.A{"addresses": strings.Join(r.Addresses, ", ")})))
	}
	if r.Mapped != "" {
		s.ways.Add(newNote(u.t("settings.mapped", i18n.A{"port": r.Mapped})))
	}
	for _, server := range r.Servers {
		words := u.t("settings.server-works", i18n.A{"address": shownName(server.Address)})
		grade := gradeSafe
		if !server.Works {
			grade, words = gradeFragile, u.t("settings.server-fails", i18n.A{"address": shownName(server.Address), "why": spelled(u.locale, server.Why, u.opt.Now())})
		}
		drop := widget.NewButtonWithIcon("", theme.DeleteIcon(), func() {
			s.change(func(ctx context.Context, n Node) error {
				_, err := n.UseServer(ctx, node.ServerOrder{Address: server.Address, Drop: true})
				return err
			})
		})
		drop.Importance = widget.LowImportance
		visible(drop, !server.Own)
		s.ways.Add(container.NewBorder(nil, nil, nil, container.NewCenter(drop), statement(grade, words)))
	}
	for _, note := range r.Advice {
		s.ways.Add(newNote(spelled(u.locale, note, u.opt.Now())))
	}
	s.ways.Refresh()
}

// askServer begins to use a relay of a friend.
func (s *settings) askServer() {
	u := s.ui
	entry := widget.NewEntry()
	entry.SetPlaceHolder("relay.example.org:24931")
	u.confirm(u.t("settings.server"), u.t("dialog.save"), widget.HighImportance, container.NewVBox(newNote(u.t("settings.server-text")), entry), func() {
		s.change(func(ctx context.Context, n Node) error {
			_, err := n.UseServer(ctx, node.ServerOrder{Address: strings.TrimSpace(entry.Text)})
			return err
		})
	})
}

// rates is the card of bandwidth, by the clock too.
type rates struct {
	ui       *UI
	now      node.LimitsView
	known    bool
	down, up *widget.Entry
	times    *widget.Entry
	lan      *widget.Check
	metered  *widget.Check
	battery  *widget.Entry
	state    *widget.RichText
	trouble  *widget.RichText
	view     fyne.CanvasObject
}

func newRates(u *UI) *rates {
	r := &rates{ui: u, down: widget.NewEntry(), up: widget.NewEntry(), battery: widget.NewEntry(), state: newNote(" "), trouble: newTrouble()}
	r.times = widget.NewMultiLineEntry()
	r.times.SetMinRowsVisible(2)
	r.down.SetPlaceHolder(u.t("rates.no-limit"))
	r.up.SetPlaceHolder(u.t("rates.no-limit"))
	r.times.SetPlaceHolder(u.t("rates.times-example"))
	r.lan = widget.NewCheck(u.t("rates.lan"), nil)
	r.metered = widget.NewCheck(u.t("rates.metered"), nil)
	save := widget.NewButton(u.t("dialog.save"), r.save)
	r.view = newCard(container.NewVBox(
		newWideHeading(u.t("rates.title")), r.state,
		setting(u.t("rates.down"), r.down),
		setting(u.t("rates.up"), r.up),
		setting(u.t("rates.times"), r.times),
		newNote(u.t("rates.times-note")),
		r.lan, r.metered,
		setting(u.t("rates.battery"), r.battery),
		r.trouble,
		container.NewHBox(save),
	))
	return r
}

// show shows the limits in force. What the person is typing stays.
func (r *rates) show(v node.LimitsView) {
	u := r.ui
	words := u.t("rates.none-now")
	if v.DownNow > 0 || v.UpNow > 0 {
		words = u.t("rates.now", i18n.A{"down": rateWords(u.locale, v.DownNow), "up": rateWords(u.locale, v.UpNow)})
	}
	if !v.Resting.IsZero() {
		words = join(words, u.t("rates.resting", i18n.A{"why": spelled(u.locale, v.Resting, u.opt.Now())}))
	}
	setText(r.state, words)
	if r.known && reflect.DeepEqual(v.Limits, r.now.Limits) {
		return
	}
	r.now, r.known = v, true
	r.down.SetText(rateText(v.Down))
	r.up.SetText(rateText(v.Up))
	r.times.SetText(strings.Join(v.Schedule, "\n"))
	r.lan.SetChecked(v.LAN)
	r.metered.SetChecked(v.Metered)
	r.battery.SetText(strconv.Itoa(v.BatteryBelow))
}

func rateWords(l *i18n.Locale, bytes int64) string {
	if bytes == 0 {
		return l.T("rates.no-limit")
	}
	return l.Speed(float64(bytes))
}

// rateText and readRate write bytes a second as the schedule does: 500k, 2M.
func rateText(bytes int64) string {
	switch {
	case bytes == 0:
		return ""
	case bytes%1_000_000 == 0:
		return strconv.FormatInt(bytes/1_000_000, 10) + "M"
	case bytes%1000 == 0:
		return strconv.FormatInt(bytes/1000, 10) + "k"
	}
	return strconv.FormatInt(bytes, 10)
}

// errRate: what was typed is no speed.
var errRate = errors.New("no rate")

func readRate(text string) (int64, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	if text == "" || text == "-" {
		return 0, nil
	}
	unit := int64(1)
	switch text[len(text)-1] {
	case 'k':
		unit = 1000
	case 'm':
		unit = 1_000_000
	case 'g':
		unit = 1_000_000_000
	}
	if unit > 1 {
		text = text[:len(text)-1]
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 40)
	if err != nil || n < 0 {
		return 0, errRate
	}
	return n * unit, nil
}

// limits reads the fields.
func (r *rates) limits() (node.Limits, error) {
	l := r.now.Limits
	var err error
	if l.Down, err = readRate(r.down.Text); err != nil {
		return l, err
	}
	if l.Up, err = readRate(r.up.Text); err != nil {
		return l, err
	}
	l.Schedule = nil
	for line := range strings.Lines(r.times.Text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if _, err := node.ParseWindow(line); err != nil {
			return l, err
		}
		l.Schedule = append(l.Schedule, line)
	}
	l.LAN, l.Metered = r.lan.Checked, r.metered.Checked
	percent, err := strconv.Atoi(strings.TrimSpace(r.battery.Text))
	switch {
	case err != nil || percent < 0 || percent > 100:
		return l, errRate
	case percent == 0:
		l.Battery = node.NeverPause
	default:
		l.Battery = percent
	}
	return l, nil
}

func (r *rates) save() {
	u, n := r.ui, r.ui.node
	setText(r.trouble, "")
	limits, err := r.limits()
	if err != nil {
		setText(r.trouble, u.say(err))
		u.relayout()
		return
	}
	u.work(func(ctx context.Context) func() {
		v, err := n.SetLimits(ctx, node.LimitsOrder{Limits: limits})
		return func() {
			if err != nil {
				u.heard(err)
				setText(r.trouble, u.say(err))
				u.relayout()
				return
			}
			r.show(v)
			u.mention(u.t("rates.saved"))
		}
	})
}
