// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/preezm/preezm/app/internal/host"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/transport"
)

// Limits is how polite a home is. The zero value has the defaults: no limits
// of bandwidth, no work of its own on a metered network, nor on battery with
// less than [DefaultBattery] percent.
type Limits struct {
	Down     int64    `json:"down,omitempty"` // bytes a second; 0: no limit
	Up       int64    `json:"up,omitempty"`
	Schedule []string `json:"schedule,omitempty"` // see ParseWindow; the first that fits holds
	LAN      bool     `json:"lan,omitempty"`      // they hold in the local network too
	// RepairDown and RepairUp are the rates of what nobody waits for; 0: the
	// defaults, NoLimit.
	RepairDown int64 `json:"repair_down,omitempty"`
	RepairUp   int64 `json:"repair_up,omitempty"`
	// Battery is the charge in percent below which nothing is put, repaired or
	// tidied in the background while on battery; 0: the default, NeverPause.
	Battery int `json:"battery,omitempty"`
	// Metered goes on in the background where the network is metered.
	Metered bool `json:"metered,omitempty"`
}

// The limits of a battery.
const (
	DefaultBattery = 30
	NeverPause     = -1
)

// maxWindows bounds a schedule.
const maxWindows = 32

func (l *Limits) check() error {
	if l.Battery < NeverPause || l.Battery > 100 {
		return fmt.Errorf("%d is not a percentage", l.Battery)
	}
	if l.RepairDown < NoLimit || l.RepairUp < NoLimit {
		return errors.New("a negative rate of repair")
	}
	if len(l.Schedule) > maxWindows {
		return said.Error("schedule-long", "more than {most} lines in a schedule", "most", strconv.Itoa(maxWindows))
	}
	if err := errors.Join(checkRate(l.Down), checkRate(l.Up), checkRate(max(l.RepairDown, 0)), checkRate(max(l.RepairUp, 0))); err != nil {
		return err
	}
	for _, s := range l.Schedule {
		if _, err := ParseWindow(s); err != nil {
			return err
		}
	}
	return nil
}

func checkRate(n int64) error {
	if n < 0 || n > 0 && n < transport.MinRate {
		return said.Error("rate-low", "a limit of {rate} bytes a second is too low: at least {least}, or none", "rate", strconv.FormatInt(n, 10), "least", strconv.Itoa(transport.MinRate))
	}
	return nil
}

// battery is the charge below which the background rests.
func (l *Limits) battery() int {
	switch l.Battery {
	case 0:
		return DefaultBattery
	case NeverPause:
		return 0
	}
	return l.Battery
}

// Window is one line of a schedule.
type Window struct {
	Days     [7]bool // by time.Weekday
	From, To int     // minutes of the day; To before From is of the next day
	Rates    transport.Rates
}

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseWindow reads "[DAYS] HH:MM-HH:MM DOWN/UP": DAYS is like mon-fri or
// sat,sun (none: every day), a rate is bytes a second like 2M or 500k, and "-"
// is no limit.
func ParseWindow(s string) (Window, error) {
	var w Window
	bad := func(why string) (Window, error) {
		return Window{}, said.Error("schedule-line", "\"{line}\" is no line of a schedule ({reason}): write it like \"mon-fri 08:00-18:00 2M/500k\", bytes a second down and up", "line", s, "reason", why)
	}
	f := strings.Fields(s)
	switch len(f) {
	case 2:
		for i := range w.Days {
			w.Days[i] = true
		}
	case 3:
		if !w.readDays(f[0]) {
			return bad("days")
		}
		f = f[1:]
	default:
		return bad("not two or three words")
	}
	from, to, ok := strings.Cut(f[0], "-")
	var ok1, ok2 bool
	w.From, ok1 = minutes(from)
	w.To, ok2 = minutes(to)
	if !ok || !ok1 || !ok2 || w.From == w.To {
		return bad("times")
	}
	down, up, ok := strings.Cut(f[1], "/")
	if !ok {
		return bad("rates")
	}
	var err1, err2 error
	w.Rates.Down, err1 = ParseRate(down)
	w.Rates.Up, err2 = ParseRate(up)
	if err := errors.Join(err1, err2); err != nil {
		return Window{}, err
	}
	return w, nil
}

func (w *Window) readDays(s string) bool {
	for part := range strings.SplitSeq(strings.ToLower(s), ",") {
		from, to, ok := strings.Cut(part, "-")
		if !ok {
			to = from
		}
		a, b := slices.Index(dayNames, from), slices.Index(dayNames, to)
		if a < 0 || b < 0 {
			return false
		}
		for d := a; ; d = (d + 1) % 7 {
			w.Days[d] = true
			if d == b {
				break
			}
		}
	}
	return true
}

func minutes(s string) (int, bool) {
	h, m, ok := strings.Cut(s, ":")
	hours, err1 := strconv.Atoi(h)
	mins, err2 := strconv.Atoi(m)
	if !ok || len(m) != 2 || err1 != nil || err2 != nil || hours < 0 || mins < 0 || mins > 59 || hours*60+mins > 24*60 {
		return 0, false
	}
	return hours*60 + mins, true
}

// ParseRate reads bytes a second like 2M or 500k; "-", "0" and "off" are no
// limit.
func ParseRate(s string) (int64, error) {
	switch s {
	case "-", "0", "off":
		return 0, nil
	}
	n, err := humanize.ParseBytes(strings.TrimSuffix(s, "/s"))
	if err != nil || n > math.MaxInt64 {
		return 0, said.Error("no-rate", "\"{text}\" is no rate: write it like 2M or 500k, bytes a second, or off", "text", s)
	}
	return int64(n), checkRate(int64(n))
}

// holds tells whether the window is open at a time.
func (w *Window) holds(t time.Time) bool {
	now := t.Hour()*60 + t.Minute()
	if w.From < w.To {
		return w.Days[t.Weekday()] && now >= w.From && now < w.To
	}
	return w.Days[t.Weekday()] && now >= w.From || w.Days[(t.Weekday()+6)%7] && now < w.To
}

// rates are the limits of bandwidth at a time.
func (l *Limits) rates(t time.Time) transport.Rates {
	for _, s := range l.Schedule {
		if w, err := ParseWindow(s); err == nil && w.holds(t) {
			return w.Rates
		}
	}
	return transport.Rates{Down: l.Down, Up: l.Up}
}

// limiter holds a node to its limits.
type limiter struct {
	mu     sync.Mutex
	limits Limits
	pacer  *transport.Pacer
	hold   said.Note // why the background rests now; empty: it does not
	// What the system tells; tests put others in their place.
	power   func() host.Battery
	metered func(context.Context) (metered, known bool)
}

func newLimiter(l *Limits, pacer *transport.Pacer) *limiter {
	x := &limiter{pacer: pacer, power: host.Power, metered: host.Metered}
	if l != nil {
		x.limits = *l
	}
	return x
}

// pace holds to the bandwidth of the hour.
func (x *limiter) pace(now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.pacer.Set(x.limits.rates(now), x.limits.LAN)
}

// look compares the limits with the hour and with what the system tells, and
// gives whether it tells of batteries and of metered networks.
func (x *limiter) look(ctx context.Context, now time.Time) (batteryKnown, meteredKnown bool) {
	x.pace(now)
	power := x.power()
	metered, meteredKnown := x.metered(ctx)
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case power.On && power.Percent < x.limits.battery():
		x.hold = said.As("on-battery", "on battery, with {percent} % left", "percent", strconv.Itoa(power.Percent))
	case metered && !x.limits.Metered:
		x.hold = said.As("metered", "the network is metered")
	default:
		x.hold = said.Note{}
	}
	return power.Known, meteredKnown
}

// holding gives why the background rests, or "".
func (x *limiter) holding() string { return x.resting().Text }

func (x *limiter) resting() said.Note {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.hold
}

// limitEvery is how often a serving node looks.
const limitEvery = 30 * time.Second

// keepLimits looks until ctx ends.
func (n *Node) keepLimits(ctx context.Context) {
	tick := time.NewTicker(limitEvery)
	defer tick.Stop()
	for {
		n.limits.look(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
