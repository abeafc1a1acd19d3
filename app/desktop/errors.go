// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers/said"
)

// gone tells whether an error means that the node is no longer there: it says
// so, it broke off, or nobody is at its local socket.
func gone(err error) bool {
	var dial *net.OpError
	return errors.Is(err, node.ErrNotServing) || errors.Is(err, node.ErrNoAnswer) ||
		errors.As(err, &dial) && dial.Op == "dial" && dial.Net == "unix"
}

// say turns an error into words for people, with the remedy where there is one.
func (u *UI) say(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.Canceled):
		return u.t("error.cancelled")
	case errors.Is(err, errRate):
		return u.t("error.rate")
	case errors.Is(err, errCount):
		return u.t("error.count")
	case errors.Is(err, errPeriod):
		return u.t("error.period")
	}
	return spelled(u.locale, said.By(err), u.opt.Now())
}

// spelled is what the node says, in the person's language. What has no words of
// its own is shown as it is: a sentence in English helps more than none.
func spelled(l *i18n.Locale, n said.Note, now time.Time) string { return spell(l, n, now, false) }

func spell(l *i18n.Locale, n said.Note, now time.Time, reason bool) string {
	a := i18n.A{}
	for name, v := range n.Args {
		a[name] = valueOf(l, name, v, now)
	}
	if n.Why != nil {
		a["why"] = spell(l, *n.Why, now, true)
	}
	if words, ok := l.Said(n.Code, reason, a); ok {
		return words
	}
	return shownName(n.Text)
}

// valueOf is a value as people write it, by what its name says that it is.
func valueOf(l *i18n.Locale, name, v string, now time.Time) any {
	switch name {
	case "at":
		if at, err := time.Parse(time.RFC3339, v); err == nil {
			return l.Moment(at, now)
		}
	case "span":
		if d, err := time.ParseDuration(v); err == nil {
			return l.Duration(d)
		}
	case "n", "least", "most", "all", "told", "rate", "typed", "needed", "width", "height", "number", "end", "percent":
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return n
		}
	case "kind", "kept":
		switch v {
		case engine.File.String():
			return l.T("kind.file")
		case engine.Folder.String():
			return l.T("kind.folder")
		case engine.Symlink.String():
			return l.T("kind.link")
		}
	}
	return shownName(v)
}

// capital begins a line of its own with a large letter.
func capital(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[size:]
}
