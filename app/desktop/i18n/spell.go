// SPDX-License-Identifier: MPL-2.0

package i18n

import (
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers/said"
)

// Spell is what the node says, in this language. What has no words of its own is
// shown as it is: a sentence in English helps more than none.
func (l *Locale) Spell(n said.Note, now time.Time) string { return l.spell(n, now, false) }

// Reason is Spell for a place within another sentence.
func (l *Locale) Reason(n said.Note, now time.Time) string { return l.spell(n, now, true) }

func (l *Locale) spell(n said.Note, now time.Time, reason bool) string {
	a := A{}
	for name, v := range n.Args {
		a[name] = l.valueOf(name, v, now)
	}
	if n.Why != nil {
		a["why"] = l.spell(*n.Why, now, true)
	}
	if words, ok := l.Said(n.Code, reason, a); ok {
		return words
	}
	return Printable(n.Text)
}

// valueOf is a value as people write it, by what its name says that it is.
func (l *Locale) valueOf(name, v string, now time.Time) any {
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
	return Printable(v)
}

// Printable keeps control characters out of a line, and what is no text: a file
// name may hold a newline, or the mark that turns text around to hide an ending.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
