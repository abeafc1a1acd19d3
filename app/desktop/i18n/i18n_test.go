// SPDX-License-Identifier: MPL-2.0

package i18n_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/assets"
)

func load(t *testing.T, lang string) *i18n.Locale {
	t.Helper()
	l, err := i18n.Load(assets.Catalogs, "i18n", lang)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// Both languages have the same keys, with the same values to fill in, and a
// form for every plural category their grammar has.
func TestCatalogsAgree(t *testing.T) {
	en, fr := load(t, "en").Texts(), load(t, "fr").Texts()
	for key := range en {
		if fr[key] == nil {
			t.Errorf("fr.json lacks %q", key)
		}
	}
	for key := range fr {
		if en[key] == nil {
			t.Errorf("en.json lacks %q", key)
		}
	}
	holes := func(s string) []string {
		found := placeholder.FindAllString(s, -1)
		slices.Sort(found)
		return slices.Compact(found)
	}
	for key, forms := range en {
		if fr[key] == nil {
			continue
		}
		if (forms["one"] != "") != (fr[key]["one"] != "") {
			t.Errorf("%q is a plural in one language only", key)
		}
		want := holes(forms["other"])
		for lang, texts := range map[string]map[string]string{"en": forms, "fr": fr[key]} {
			if got := holes(texts["other"]); !slices.Equal(got, want) {
				t.Errorf("%s %q fills in %v, want %v", lang, key, got, want)
			}
			for category, text := range texts {
				for _, hole := range holes(text) {
					if !slices.Contains(want, hole) {
						t.Errorf("%s %q (%s) fills in %s, the other forms do not", lang, key, category, hole)
					}
				}
			}
		}
	}
}

// French sets a space that does not break before two-part punctuation and
// inside guillemets; a line must not begin with a question mark.
func TestFrenchSpacing(t *testing.T) {
	wrong := regexp.MustCompile(` [:;!?»]|« `)
	for key, forms := range load(t, "fr").Texts() {
		for _, text := range forms {
			if wrong.MatchString(text) {
				t.Errorf("%q has a breaking space: %q", key, text)
			}
			if strings.Contains(text, "'") {
				t.Errorf("%q has a typewriter apostrophe: %q", key, text)
			}
		}
	}
}

func TestPlurals(t *testing.T) {
	fsys := fstest.MapFS{}
	text := `{"files": {"one": "{n} one", "many": "{n} many", "other": "{n} other"}}`
	for _, lang := range i18n.Languages() {
		fsys["c/"+lang+".json"] = &fstest.MapFile{Data: []byte(text)}
	}
	for _, c := range []struct {
		lang string
		n    int64
		want string
	}{
		{"en", 0, "0 other"}, {"en", 1, "1 one"}, {"en", 2, "2 other"}, {"en", 1_000_000, "1,000,000 other"}, {"en", -1, "-1 one"},
		{"fr", 0, "0 one"}, {"fr", 1, "1 one"}, {"fr", 2, "2 other"}, {"fr", 1_000_000, "1\u00a0000\u00a0000 many"},
		{"fr", 1_000_001, "1\u00a0000\u00a0001 other"}, {"fr", 5_000_000_000, "5\u00a0000\u00a0000\u00a0000 many"},
	} {
		l, err := i18n.Load(fsys, "c", c.lang)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.N("files", c.n); got != c.want {
			t.Errorf("%s %d: %q, want %q", c.lang, c.n, got, c.want)
		}
	}
}

// What is filled in is never read as a text itself.
func TestFillIsNotRepeated(t *testing.T) {
	l := load(t, "en")
	if got := l.T("files.empty-search-title", i18n.A{"query": "{query} {n}"}); got != "Nothing is called “{query} {n}”" {
		t.Errorf("got %q", got)
	}
	if got := l.T("no.such.key"); got != "[no.such.key]" {
		t.Errorf("got %q", got)
	}
}

func TestBadCatalogs(t *testing.T) {
	for name, text := range map[string]string{
		"no object":        `[]`,
		"twice":            `{"a": "x", "a": "y"}`,
		"no other":         `{"a": {"one": "x"}}`,
		"unknown category": `{"a": {"other": "x", "lots": "y"}}`,
		"a number":         `{"a": 3}`,
		"cut short":        `{"a": "x"`,
	} {
		if _, err := i18n.Load(fstest.MapFS{"c/en.json": {Data: []byte(text)}}, "c", "en"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPick(t *testing.T) {
	for _, c := range []struct {
		wanted []string
		want   string
	}{
		{nil, "en"}, {[]string{"C"}, "en"}, {[]string{""}, "en"}, {[]string{"fr_CA.UTF-8"}, "fr"}, {[]string{"fr-BE"}, "fr"},
		{[]string{"fr_FR@euro"}, "fr"}, {[]string{"de_DE", "fr_FR"}, "fr"}, {[]string{"en_GB", "fr_FR"}, "en"}, {[]string{"sr_RS"}, "en"},
	} {
		if got := i18n.Pick(c.wanted...); got != c.want {
			t.Errorf("%v: %s, want %s", c.wanted, got, c.want)
		}
	}
}

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		bytes  int64
		en, fr string
	}{
		{0, "0 bytes", "0 octet"}, {1, "1 byte", "1 octet"}, {999, "999 bytes", "999 octets"},
		{1000, "1\u00a0KB", "1\u00a0Ko"}, {1_240_000, "1.2\u00a0MB", "1,2\u00a0Mo"}, {9_960_000, "10\u00a0MB", "10\u00a0Mo"},
		{999_400, "999\u00a0KB", "999\u00a0Ko"}, {999_600, "1\u00a0MB", "1\u00a0Mo"}, {5_300_000_000, "5.3\u00a0GB", "5,3\u00a0Go"},
		{9_000_000_000_000_000_000, "9,000\u00a0PB", "9\u00a0000\u00a0Po"},
	} {
		if got := load(t, "en").Size(c.bytes); got != c.en {
			t.Errorf("en %d: %q, want %q", c.bytes, got, c.en)
		}
		if got := load(t, "fr").Size(c.bytes); got != c.fr {
			t.Errorf("fr %d: %q, want %q", c.bytes, got, c.fr)
		}
	}
}

func TestDurations(t *testing.T) {
	l := load(t, "en")
	for d, want := range map[time.Duration]string{
		0: "1 s", 42 * time.Second: "42 s", 59*time.Minute + 40*time.Second: "60 min", 90 * time.Second: "2 min",
		2 * time.Hour: "2 h", 125 * time.Minute: "2 h 5 min", 36 * time.Hour: "2 days",
	} {
		if got := l.Duration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// The words of a moment depend on the day where the reader is, not on how
// many hours ago it was.
func TestWhen(t *testing.T) {
	paris := time.FixedZone("Paris", 3600)
	now := time.Date(2026, time.March, 14, 0, 30, 0, 0, paris)
	l := load(t, "fr")
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{now.Add(-20 * time.Minute), "aujourd’hui à 00:10"},
		{now.Add(-40 * time.Minute), "hier à 23:50"},
		{now.Add(-23 * time.Hour), "hier à 01:30"},
		{now.Add(-25 * time.Hour), "12 mars 2026"},
		{now.Add(24 * time.Hour), "demain à 00:30"},
		{now.Add(48 * time.Hour), "16 mars 2026"},
		{time.Date(2026, time.March, 13, 23, 10, 0, 0, time.UTC), "aujourd’hui à 00:10"},
		{time.Time{}, "–"},
	} {
		if got := l.When(c.at, now); got != c.want {
			t.Errorf("%v: %q, want %q", c.at, got, c.want)
		}
	}
}

func TestLanguagesLoad(t *testing.T) {
	for _, lang := range i18n.Languages() {
		if l := load(t, lang); l.Lang() != lang {
			t.Errorf("%s speaks %s", lang, l.Lang())
		}
	}
	if _, err := i18n.Load(assets.Catalogs, "i18n", "xx"); err == nil {
		t.Error("a language without a catalog loads")
	}
	if n := len(slices.Collect(maps.Keys(load(t, "en").Texts()))); n < 50 {
		t.Errorf("only %d texts", n)
	}
}
