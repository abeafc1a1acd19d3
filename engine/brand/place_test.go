// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/preezm/preezm/engine/ticket"
)

// TestHostileNames: what a person calls a file decides nothing about where the
// company's machine puts it, nor hides what it is.
func TestHostileNames(t *testing.T) {
	long := strings.Repeat("é", 300) + ".pdf"
	for name, want := range map[string]string{
		"lease.pdf":               "lease.pdf",
		"Bail (été) 日本.pdf":       "Bail (été) 日本.pdf",
		"../../etc/passwd":        "_.._.._etc_passwd",
		"/etc/passwd":             "_etc_passwd",
		`C:\Windows\x.dll`:        "C__Windows_x.dll",
		"..":                      "file 1",
		" ":                       "file 1",
		".bash_profile":           "_.bash_profile",
		".opening-0123-1":         "_.opening-0123-1",
		"invoice\u202efdp.exe":    "invoice_fdp.exe",
		"\u2066x\u2069.pdf":       "_x_.pdf",
		"a\x00b\x1b[2J\x7f\u009b": "a_b_[2J__",
		"con":                     "_con",
		"LPT1.txt":                "_LPT1.txt",
		"Console.txt":             "Console.txt",
		"trailing. ":              "trailing",
		"bad\xffbyte":             "bad_byte",
		long:                      strings.Repeat("é", 98) + ".pdf",
	} {
		got := localName(name, 0)
		if got != want {
			t.Errorf("%q is put at %q, want %q", name, got, want)
		}
		if !utf8.ValidString(got) || got != filepath.Base(got) {
			t.Errorf("%q is no name of a file", got)
		}
	}
	// Many of one long name find room, before anybody is asked.
	to := t.TempDir()
	r := &Received{Names: &ticket.Names{Names: []string{long, long, strings.ToUpper(long)}}}
	paths, err := r.targets([]int{0, 1, 2}, to)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range paths {
		if err := os.WriteFile(p, nil, 0o600); err != nil || filepath.Dir(p) != to || seen[strings.ToLower(p)] {
			t.Errorf("%q: %v", p, err)
		}
		seen[strings.ToLower(p)] = true
	}
}
