// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/desktop/i18n"
)

// living is a screen with clocks on it. While one of them still counts, it is
// told the time whenever one shows another, if it is in front and the window can
// be seen, and not otherwise.
type living interface {
	tick(now time.Time)
	// wait is how long all clocks show the same; false: none counts any more.
	wait(now time.Time) (time.Duration, bool)
}

// clocks are the ones of a screen.
type clocks []*clock

// wait is part of living.
func (cs clocks) wait(now time.Time) (least time.Duration, counts bool) {
	for _, c := range cs {
		if d, ok := c.wait(now); ok && (!counts || d < least) {
			least, counts = d, true
		}
	}
	return least, counts
}

// tick shows the time on all of them; it tells whether an end has come.
func (cs clocks) tick(now time.Time) (ended bool) {
	for _, c := range cs {
		ended = c.tick(now) || ended
	}
	return ended
}

// clock counts down to the end of a grant.
type clock struct {
	ui    *UI
	from  time.Time // zero: it runs already
	until time.Time
	over  string // what is said afterwards
	rung  bool
	text  *widget.RichText
	small *widget.RichText
}

// newClock is large: how long still; and below it, small, until when.
func newClock(u *UI, from, until time.Time, over string) *clock {
	c := &clock{ui: u, from: from, until: until, over: over}
	c.text = styled(" ", widget.RichTextStyle{ColorName: theme.ColorNameForeground, SizeName: theme.SizeNameSubHeadingText,
		Alignment: fyne.TextAlignTrailing, TextStyle: fyne.TextStyle{Bold: true}})
	c.small = styled(" ", widget.RichTextStyle{ColorName: colorQuiet, SizeName: theme.SizeNameCaptionText, Alignment: fyne.TextAlignTrailing})
	c.tick(u.opt.Now())
	return c
}

// tick shows the time; it tells whether the end has come with this tick.
func (c *clock) tick(now time.Time) (ended bool) {
	l := c.ui.locale
	color := theme.ColorNameForeground
	switch left := c.until.Sub(now); {
	case left <= 0:
		setText(c.text, c.over)
		setText(c.small, l.Moment(c.until, now))
		color = colorQuiet
		ended, c.rung = !c.rung, true
	case now.Before(c.from):
		setText(c.text, c.ui.t("clock.begins", i18n.A{"time": l.Countdown(c.from.Sub(now))}))
		setText(c.small, l.Moment(c.from, now))
		color = colorQuiet
	default:
		setText(c.text, c.ui.t("clock.left", i18n.A{"time": l.Countdown(left)}))
		setText(c.small, c.ui.t("clock.until", i18n.A{"when": l.Moment(c.until, now)}))
		if left < 24*time.Hour {
			color = colorFragile
		}
	}
	if s := c.text.Segments[0].(*widget.TextSegment); s.Style.ColorName != color {
		s.Style.ColorName = color
		c.text.Refresh()
	}
	return ended
}

// wait is how long it shows the same; false: it has rung. Above an hour it shows
// no seconds.
func (c *clock) wait(now time.Time) (time.Duration, bool) {
	left := c.until.Sub(now)
	if now.Before(c.from) {
		left = c.from.Sub(now)
	}
	if left < time.Hour {
		return 0, !c.rung // the next second
	}
	return left % time.Minute, !c.rung
}

// started takes a clock that began after its end for one that has rung.
func (c *clock) started() *clock {
	c.rung = !c.until.After(c.ui.opt.Now())
	return c
}
