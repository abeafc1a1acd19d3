// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/preezm/preezm/engine"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain name.txt":   "plain name.txt",
		"ünï 日本 👩‍👩‍👧 é":   "ünï 日本 👩‍👩‍👧 é",
		`back\slash`:       `back\slash`,
		"a\nb":             `a\nb`,
		"a\x1b[2Jb\\":      `a\x1b[2Jb\\`,
		"\xff\xfe":         `\xff\xfe`,
		"a\u202eb":         `a\u202eb`,
		"\u0085\u009b":     `\u0085\u009b`,
		"a\u2028b\u200bc":  `a\u2028b\u200bc`,
		"\U000e0041":       `\U000e0041`,
		"\ufffd is itself": "\ufffd is itself",
		"\r\x00\x7f\t":     `\x0d\x00\x7f\t`,
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// A machine is named once, also where the network has named it already.
func TestNamed(t *testing.T) {
	for text, want := range map[string]string{
		"keeper1: cannot be reached": "keeper1: cannot be reached",
		"cannot be reached":          "keeper1: cannot be reached",
		"keeper10: is another":       "keeper1: keeper10: is another",
		"":                           "keeper1: ",
	} {
		if got := named("keeper1", text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got, want := named("a\nb", "a\nb: cannot\nbe"), `a\nb: cannot; be`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b[31m\xff")
	f.Fuzz(func(t *testing.T, s string) {
		out := printable(s)
		if !utf8.ValidString(out) {
			t.Fatalf("%q: not UTF-8: %q", s, out)
		}
		for _, r := range out {
			if unicode.IsControl(r) {
				t.Fatalf("%q: control character in %q", s, out)
			}
		}
		if columns(cut(out, 20)) > 20 {
			t.Fatalf("%q: cut to %q", s, cut(out, 20))
		}
		var back string
		doc, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(escapeJSON(doc), &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") && utf8.ValidString(s) {
			t.Fatalf("%q: JSON %s gives %q, %v", s, escapeJSON(doc), back, err)
		}
	})
}

func TestColumnsAndCut(t *testing.T) {
	for s, want := range map[string]int{"": 0, "abc": 3, "é": 1, "e\u0301": 1, "日本": 4, "👍": 2} {
		if got := columns(s); got != want {
			t.Errorf("%q takes %d columns, want %d", s, got, want)
		}
	}
	if got := cut("日本語", 4); got != "日…" {
		t.Errorf("cut: %q", got)
	}
	if got := cut("abc", 0); got != "" {
		t.Errorf("cut to nothing: %q", got)
	}
}

func TestTable(t *testing.T) {
	tab := &table{head: []string{"NAME", ">SIZE", "END"}}
	tab.add("日本", "1 B", "x")
	tab.add("a", "10 MB", "")
	var b strings.Builder
	if err := tab.print(&b); err != nil {
		t.Fatal(err)
	}
	want := "NAME   SIZE  END\n日本    1 B  x\na     10 MB\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestTook(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ms", 999 * time.Millisecond: "999 ms", 1500 * time.Millisecond: "1.5 s", 59 * time.Second: "59 s",
		61 * time.Second: "1 min 1 s", 3 * time.Hour: "3 h 0 min", 72 * time.Hour: "3 days", 71 * time.Hour: "2 days 23 h", 720*time.Hour - time.Second: "30 days",
	} {
		if got := took(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestCatalogPath(t *testing.T) {
	for in, want := range map[string]engine.Path{
		"a": "a", "/a//b/": "a/b", "./a/./b": "a/b", "/": "", ".": "", "a/..b": "a/..b", "\xff": "\xff", "...": "...",
	} {
		if got, err := catalogPath(in); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "..", "../a", "a/..", "a/../b", "a\x00b"} {
		if got, err := catalogPath(in); err == nil {
			t.Errorf("%q: taken as %q", in, got)
		}
	}
}

func TestParseDaysAndOffer(t *testing.T) {
	for in, want := range map[string]time.Duration{"": 0, "90m": 90 * time.Minute, "7d": 168 * time.Hour, "300d": 7200 * time.Hour} {
		if got, err := parseDays("--for", in); err != nil || got != want {
			t.Errorf("%q: got %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"0d", "-1d", "d", "1w", "0s", "99999d", "1.5d"} {
		if got, err := parseDays("--for", in); err == nil {
			t.Errorf("%q: taken as %v", in, got)
		}
	}
	for in, want := range map[string]int64{"": 0, "0": -1, "200GB": 200_000_000_000, "1 TiB": 1 << 40, "17": 17} {
		if got, err := parseOffer(in); err != nil || got != want {
			t.Errorf("%q: got %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"lots", "-1", "18 EB", "1e30"} {
		if got, err := parseOffer(in); err == nil {
			t.Errorf("%q: taken as %v", in, got)
		}
	}
}

func TestHeadline(t *testing.T) {
	on, off := engine.KeeperStatus{Online: true}, engine.KeeperStatus{}
	for _, tc := range []struct {
		st   engine.Status
		want string
	}{
		{engine.Status{}, "Nothing is kept yet."},
		{engine.Status{Files: 3, MayLose: 2}, "Everything is safe: any 2 machines may be lost."},
		{engine.Status{Files: 3, MayLose: 1}, "Everything is safe: any 1 machine may be lost."},
		{engine.Status{Files: 3}, "Everything is at risk: no machine may be lost."},
		{engine.Status{Files: 40, Health: []engine.HealthCount{{Files: 37}, {MayLose: 2, Files: 3}}}, "At risk: 1 more loss and 37 files are gone."},
		{engine.Status{Files: 3, MayLose: -1, K: 3, Health: []engine.HealthCount{{MayLose: -1, Files: 2}, {MayLose: 1, Files: 1}}, Keepers: []engine.KeeperStatus{on, off, off, off, off}},
			"2 files cannot be brought back now: 2 of the 3 machines needed are missing."},
		{engine.Status{Files: 1, MayLose: -1, K: 1, Health: []engine.HealthCount{{MayLose: -1, Files: 1}}, Keepers: []engine.KeeperStatus{on}},
			"1 file cannot be brought back now: too few of the machines that keep them answer with their pieces."},
	} {
		if got, _ := headline(&tc.st); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}
