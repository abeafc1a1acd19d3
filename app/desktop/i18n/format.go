// SPDX-License-Identifier: MPL-2.0

package i18n

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Size writes a number of bytes in decimal units, as disks are sold and as
// today's desktops count: three digits at most, so columns stay narrow.
func (l *Locale) Size(bytes int64) string {
	if bytes < 1000 {
		return l.N("unit.bytes", bytes)
	}
	value, unit := float64(bytes), 0
	for value >= 999.5 && unit < 5 {
		value /= 1000
		unit++
	}
	names := strings.Split(l.T("unit.names"), " ")
	return l.decimal(value) + "\u00a0" + names[min(unit-1, len(names)-1)]
}

// Speed writes bytes per second.
func (l *Locale) Speed(perSecond float64) string {
	return l.T("unit.speed", A{"size": l.Size(int64(max(perSecond, 0)))})
}

// decimal gives two significant digits below ten, whole numbers above, with
// the language's decimal mark.
func (l *Locale) decimal(v float64) string {
	if v >= 9.95 {
		return l.Number(int64(math.Round(v)))
	}
	s := strconv.FormatFloat(v, 'f', 1, 64)
	s = strings.TrimSuffix(s, ".0")
	return strings.Replace(s, ".", l.T("unit.decimal"), 1)
}

// Duration writes a stretch of time with one or two units, rounded so that a
// countdown does not jitter.
func (l *Locale) Duration(d time.Duration) string {
	switch s := int64(math.Round(d.Seconds())); {
	case s < 1:
		return l.N("unit.seconds", 1)
	case s < 60:
		return l.N("unit.seconds", s)
	case s < 3600:
		return l.N("unit.minutes", (s+30)/60)
	case s < 24*3600:
		minutes := (s + 30) / 60
		if minutes%60 == 0 {
			return l.N("unit.hours", minutes/60)
		}
		return l.N("unit.hours", minutes/60) + " " + l.N("unit.minutes", minutes%60)
	default:
		return l.N("unit.days", (s+12*3600)/(24*3600))
	}
}

// Countdown writes what is left of a time, in two units and rounded down: it
// must never promise more than there is.
func (l *Locale) Countdown(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	switch {
	case s < 60:
		return l.N("unit.seconds", s)
	case s < 3600:
		return l.N("unit.minutes", s/60) + " " + l.N("unit.seconds", s%60)
	case s < 24*3600:
		return l.N("unit.hours", s/3600) + " " + l.N("unit.minutes", s/60%60)
	}
	days := l.N("unit.days", s/(24*3600))
	if hours := s / 3600 % 24; hours > 0 && s < 14*24*3600 {
		return days + " " + l.N("unit.hours", hours)
	}
	return days
}

// Moment writes a date with its time, as a promise needs it.
func (l *Locale) Moment(t, now time.Time) string {
	t = t.In(now.Location())
	return l.T("date.moment", A{"day": l.Date(t), "time": t.Format("15:04")})
}

// When writes a moment as people speak of it seen from now: today and its
// neighbours by name, else the date. Both are shown in now's time zone.
func (l *Locale) When(t, now time.Time) string {
	t = t.In(now.Location())
	clock := A{"time": t.Format("15:04")}
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch {
	case t.IsZero():
		return "–"
	case t.Before(midnight.AddDate(0, 0, -1)):
	case t.Before(midnight):
		return l.T("date.yesterday", clock)
	case t.Before(midnight.AddDate(0, 0, 1)):
		return l.T("date.today", clock)
	case t.Before(midnight.AddDate(0, 0, 2)):
		return l.T("date.tomorrow", clock)
	}
	return l.Date(t)
}

// Date writes the day of t in its own time zone, with the month as a word:
// 03/04 means two days to two people.
func (l *Locale) Date(t time.Time) string {
	months := strings.Split(l.T("date.months"), " ")
	month := t.Month().String()
	if len(months) == 12 {
		month = months[t.Month()-1]
	}
	return l.T("date.day", A{"day": strconv.Itoa(t.Day()), "month": month, "year": strconv.Itoa(t.Year())})
}
