// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/preezm/preezm/engine"
)

// printJSON writes v as the one document of this command.
func (a *app) printJSON(v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := a.out.Write(escapeJSON(buf.Bytes()))
	return err
}

// escapeJSON writes what a terminal would act on as \u escapes, which JSON
// allows and encoding/json only does for the ASCII ones.
func escapeJSON(doc []byte) []byte {
	out := make([]byte, 0, len(doc))
	for len(doc) > 0 {
		r, n := utf8.DecodeRune(doc)
		switch {
		case r == '\n' || shown(r):
			out = append(out, doc[:n]...)
		case r < 0x10000:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		}
		doc = doc[n:]
	}
	return out
}

// say writes one line of a result.
func (a *app) say(format string, args ...any) error {
	_, err := fmt.Fprintf(a.out, format+"\n", args...)
	return err
}

// note writes one line beside the result, on standard error.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.err, format+"\n", args...)
}

// terminal gives the file behind w when that is a terminal that can redraw a
// line.
func (a *app) terminal(w io.Writer) (*os.File, bool) {
	f, ok := w.(*os.File)
	if !ok || a.getenv("TERM") == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return nil, false
	}
	return f, true
}

// Colours of health, as SGR codes.
const (
	green  = "32"
	yellow = "33"
	red    = "31"
)

// paint colours text for the result stream when it is a terminal, and the
// person does not object (NO_COLOR, see no-color.org).
func (a *app) paint(sgr, text string) string {
	if a.getenv("NO_COLOR") != "" || runtime.GOOS == "windows" {
		return text
	}
	if _, ok := a.terminal(a.out); !ok {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

// named says what is wrong with a machine. Errors of the network begin with its
// name already.
func named(name, text string) string {
	return printable(name) + ": " + oneLine(strings.TrimPrefix(text, name+": "))
}

// maxListed is how many single problems a person is shown.
const maxListed = 40

// problems tells what happened to single files on standard error and gives
// how many of them failed. Raw names are filled in for the JSON view.
func (a *app) problems(ps []engine.Problem, failed string) int {
	bad := 0
	for i := range ps {
		p := &ps[i]
		p.RawPath = p.Path.Bytes()
		word := "note"
		if p.Failed {
			bad++
			word = failed
		}
		if i < maxListed {
			a.note("%s: %s: %s", word, printable(string(p.Path)), oneLine(p.Said.Text))
		}
	}
	if more := len(ps) - maxListed; more > 0 {
		a.note("... and %s; --json tells them all", count(int64(more), "more", "more"))
	}
	return bad
}

// blamed tells which keepers failed, and how.
func (a *app) blamed(bs []engine.Blame) {
	for _, b := range bs {
		word := "note"
		if b.Lied {
			word = "warning"
		}
		times := ""
		if b.Count > 1 {
			times = fmt.Sprintf(" (%s)", count(b.Count, "time", "times"))
		}
		a.note("%s: %s (%s): %s%s", word, printable(b.Name), b.Device.Short(), oneLine(strings.TrimPrefix(b.Said.Text, b.Name+": ")), times)
	}
}
