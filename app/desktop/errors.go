// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"net"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/app/node"
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

// spelled is what the node says, in the person's language.
func spelled(l *i18n.Locale, n said.Note, now time.Time) string { return l.Spell(n, now) }

// capital begins a line of its own with a large letter.
func capital(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[size:]
}
