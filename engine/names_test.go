// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLocalNames(t *testing.T) {
	for _, tc := range []struct{ goos, name, want string }{
		{"linux", "a:b\\c*\x01\xff. ", "a:b\\c*\x01\xff. "},
		{"linux", "CON", "CON"},
		{"darwin", "été", "été"},
		{"darwin", "a:b", "a%3Ab"},
		{"darwin", "caf\xe9", "caf%E9"},
		{"windows", "a:b", "a%3Ab"},
		{"windows", `q?<>|"*\`, "q%3F%3C%3E%7C%22%2A%5C"},
		{"windows", "tab\there", "tab%09here"},
		{"windows", "end.", "end%2E"},
		{"windows", "end ", "end%20"},
		{"windows", "con", "%63on"},
		{"windows", "Com1.txt", "%43om1.txt"},
		{"windows", "company", "company"},
		{"windows", "\xff", "%FF"},
	} {
		if got := namesFor(tc.goos).local("", tc.name); got != tc.want {
			t.Errorf("%s: %q became %q, want %q", tc.goos, tc.name, got, tc.want)
		}
	}
}

// Where "A" and "a" are one name, both files must come back.
func TestLocalNamesStayApart(t *testing.T) {
	for _, goos := range []string{"windows", "darwin"} {
		n := namesFor(goos)
		seen := map[string]string{}
		for _, name := range []string{"readme", "README", "Readme", "readme", "rEADME", "a:b", "A:b"} {
			got := n.local("/d", name)
			key := strings.ToLower(got)
			if other, ok := seen[key]; ok && other != name {
				t.Errorf("%s: %q and %q both became %q", goos, other, name, got)
			}
			seen[key] = name
			if again := n.local("/d", name); again != got {
				t.Errorf("%s: %q became %q, then %q", goos, name, got, again)
			}
		}
		if got := n.local("/other", "README"); got != "README" {
			t.Errorf("%s: a name was changed for one in another folder: %q", goos, got)
		}
	}
}

func FuzzLocalNames(f *testing.F) {
	f.Add("a:b")
	f.Add("CON.txt ")
	f.Add(strings.Repeat("\xff", 200))
	f.Fuzz(func(t *testing.T, name string) {
		if !validPath(name) || strings.Contains(name, "/") || len(name) > 255 {
			return
		}
		got := namesFor("windows").local("", name)
		if got == "" || len(got) > 255 || !utf8.ValidString(got) || strings.ContainsAny(got, "<>:\"/\\|?*\x00\x1f") ||
			strings.HasSuffix(got, ".") || strings.HasSuffix(got, " ") {
			t.Fatalf("%q became %q", name, got)
		}
	})
}

func TestValidPath(t *testing.T) {
	for p, want := range map[string]bool{
		"a": true, "a/b": true, "\xff": true, "...": true, "a/..b": true, " ": true,
		"": false, "/": false, "/a": false, "a/": false, "a//b": false, ".": false, "..": false, "a/../b": false, "a/.": false, "a\x00": false,
	} {
		if validPath(p) != want {
			t.Errorf("validPath(%q) = %v", p, !want)
		}
	}
}
