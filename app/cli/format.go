// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"golang.org/x/text/width"
)

// printable makes a name from a disk, a catalog or a peer fit for a terminal:
// what a terminal would act on or a reader would not see (control and
// formatting characters, line separators, bytes that are not UTF-8) is
// written as an escape. In a name that needs escapes backslashes are doubled,
// so that no two such names look alike.
func printable(s string) string {
	if !needsEscape(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case shown(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		i += n
	}
	return b.String()
}

func needsEscape(s string) bool {
	for i, r := range s {
		if !shown(r) {
			return true
		}
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return true
			}
		}
	}
	return false
}

// shown says whether a terminal shows r as a mark or a plain space. Joiners
// are let through: scripts and emoji need them and they move no cursor.
func shown(r rune) bool {
	return r == ' ' || r == '\u200c' || r == '\u200d' || unicode.IsPrint(r) || unicode.Is(unicode.Zs, r)
}

// oneLine makes text from an error safe and keeps it on one line.
func oneLine(s string) string {
	return printable(strings.ReplaceAll(strings.TrimSpace(s), "\n", "; "))
}

// columns gives the width of s in a terminal, in cells.
func columns(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case width.LookupRune(r).Kind() == width.EastAsianWide, width.LookupRune(r).Kind() == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// cut shortens s to at most cells columns, marking that it did.
func cut(s string, cells int) string {
	if columns(s) <= cells {
		return s
	}
	var b strings.Builder
	n := 1 // the mark
	for _, r := range s {
		w := columns(string(r))
		if n+w > cells {
			break
		}
		n += w
		b.WriteRune(r)
	}
	if cells < 1 {
		return ""
	}
	return b.String() + "…"
}

// size writes bytes in SI units.
func size(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// count writes "1 file", "1,234 files".
func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(n) + " " + many
}

// rate writes bytes per second, empty when time or bytes are too few to tell.
func rate(n int64, d time.Duration) string {
	if d < 10*time.Millisecond || n < 1_000_000 {
		return ""
	}
	return size(int64(float64(n)/d.Seconds())) + "/s"
}

// took writes a duration as precisely as a person wants it.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	// Thirty days less a second are no 29.
	h := int(d.Round(time.Hour).Hours())
	if days, more := h/24, h%24; days < 10 && more > 0 {
		return fmt.Sprintf("%d days %d h", days, more)
	}
	return fmt.Sprintf("%d days", (h+12)/24)
}

// clock writes a time in the reader's zone.
func clock(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04")
}

// machines writes "1 machine", "3 machines".
func machines(n int) string { return count(int64(n), "machine", "machines") }

// table lays rows out in aligned columns. A column whose heading starts with
// '>' is aligned to the right.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print(w io.Writer) error {
	right := make([]bool, len(t.head))
	head := make([]string, len(t.head))
	for i, h := range t.head {
		head[i], right[i] = strings.CutPrefix(h, ">")
	}
	wide := make([]int, len(head))
	all := append([][]string{head}, t.rows...)
	for _, row := range all {
		for i, c := range row {
			wide[i] = max(wide[i], columns(c))
		}
	}
	var b strings.Builder
	for _, row := range all {
		var line strings.Builder
		for i, c := range row {
			pad := strings.Repeat(" ", wide[i]-columns(c))
			if i > 0 {
				line.WriteString("  ")
			}
			if right[i] {
				line.WriteString(pad + c)
			} else {
				line.WriteString(c + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
