// SPDX-License-Identifier: MPL-2.0

// Package i18n gives the window its words. A catalog is one flat JSON file
// per language: a key and its text, or a key and one text per plural category
// of CLDR ("one", "many", "other"), with {name} where a value goes. It exists
// because the toolkit's own translation follows the system's locale, in words
// and in plural rules, and cannot be told to speak another language; a person
// who picks French in the settings shall have French whatever the system says.
package i18n

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"
)

// Languages are the ones with a catalog, the fallback first.
func Languages() []string { return []string{"en", "fr"} }

// A names the values that go into a text.
type A map[string]any

// text is one entry of a catalog, by plural category; a plain string sits
// under "other".
type text map[string]string

// Locale speaks one language. It is safe for concurrent use.
type Locale struct {
	lang    string
	tag     language.Tag
	texts   map[string]text
	printer *message.Printer
}

// Load reads dir/lang.json. Unknown plural categories, repeated keys and
// texts without "other" are errors, so that a slip is found by the first test
// that loads the file and not by the first person who needs the text.
func Load(fsys fs.FS, dir, lang string) (*Locale, error) {
	raw, err := fs.ReadFile(fsys, dir+"/"+lang+".json")
	if err != nil {
		return nil, fmt.Errorf("language %q: %w", lang, err)
	}
	texts, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("catalog %s.json: %w", lang, err)
	}
	tag, err := language.Parse(lang)
	if err != nil {
		return nil, fmt.Errorf("language %q: %w", lang, err)
	}
	return &Locale{lang: lang, tag: tag, texts: texts, printer: message.NewPrinter(tag)}, nil
}

// parse walks the tokens itself: json.Unmarshal would keep the last of two
// equal keys without a word.
func parse(raw []byte) (map[string]text, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("want one JSON object")
	}
	texts := make(map[string]text)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key := t.(string)
		if _, ok := texts[key]; ok {
			return nil, fmt.Errorf("key %q is there twice", key)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
		if texts[key], err = parseText(value); err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("the object does not end: %w", err)
	}
	return texts, nil
}

func parseText(value json.RawMessage) (text, error) {
	var plain string
	if json.Unmarshal(value, &plain) == nil {
		return text{"other": plain}, nil
	}
	var forms text
	if err := json.Unmarshal(value, &forms); err != nil {
		return nil, errors.New("want a text or an object of plural forms")
	}
	if forms["other"] == "" {
		return nil, errors.New(`has no "other" form`)
	}
	for category := range forms {
		switch category {
		case "zero", "one", "two", "few", "many", "other":
		default:
			return nil, fmt.Errorf("has no plural category %q", category)
		}
	}
	return forms, nil
}

// Lang is the language's code, as in Languages.
func (l *Locale) Lang() string { return l.lang }

// Texts gives the whole catalog, key and plural category to text, for tests
// that compare catalogs with each other and with the program.
func (l *Locale) Texts() map[string]map[string]string {
	all := make(map[string]map[string]string, len(l.texts))
	for key, forms := range l.texts {
		all[key] = maps.Clone(forms)
	}
	return all
}

// T gives the text of key. A missing key gives the key itself in brackets: ugly
// on purpose, and caught by the test that compares keys and catalogs.
func (l *Locale) T(key string, args ...A) string {
	t, ok := l.texts[key]
	if !ok {
		return "[" + key + "]"
	}
	return l.fill(t["other"], args)
}

// N gives the text of key in the plural form that n needs; {n} is n as people
// of this language write it.
func (l *Locale) N(key string, n int64, args ...A) string {
	t, ok := l.texts[key]
	if !ok {
		return "[" + key + "]"
	}
	form, ok := t[l.category(n)]
	if !ok {
		form = t["other"]
	}
	return l.fill(form, append(args[:len(args):len(args)], A{"n": n}))
}

// Said gives the text for a code of what the node says (see package said): as a
// reason within another sentence, where there is one for that, or by itself.
// ok is false for a code without a text and when a value that its text needs is
// missing. A value called n chooses the plural form.
func (l *Locale) Said(code string, reason bool, a A) (words string, ok bool) {
	t, ok := l.texts["said."+code]
	if why := l.texts["why."+code]; reason && why != nil {
		t = why
	}
	if !ok {
		return "", false
	}
	form := t["other"]
	if n, isNumber := a["n"].(int64); isNumber && t[l.category(n)] != "" {
		form = t[l.category(n)]
	}
	for rest := form; ; {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			return l.fill(form, []A{a}), true
		}
		name, _, _ := strings.Cut(after, "}")
		if a[name] == nil {
			return "", false
		}
		rest = after
	}
}

// category is the plural category of the whole number n by CLDR's rules, as
// of CLDR 38: French counts nothing as one ("0 fichier") and has a form of its
// own for whole millions ("1 000 000 de fichiers"), which golang.org/x/text
// does not know yet. A new language brings its rule here.
func (l *Locale) category(n int64) string {
	switch one := n == 1 || n == -1; {
	case one, l.lang == "fr" && n == 0:
		return "one"
	case l.lang == "fr" && n%1_000_000 == 0:
		return "many"
	}
	return "other"
}

// fill puts values in for {name}. What a value holds is never looked at
// again, so a file called "{n}" stays what it is.
func (l *Locale) fill(s string, args []A) string {
	if len(args) == 0 || !strings.Contains(s, "{") {
		return s
	}
	var b strings.Builder
	for {
		open := strings.IndexByte(s, '{')
		if open < 0 {
			break
		}
		end := strings.IndexByte(s[open:], '}')
		if end < 0 {
			break
		}
		b.WriteString(s[:open])
		b.WriteString(l.value(s[open+1:open+end], args))
		s = s[open+end+1:]
	}
	b.WriteString(s)
	return b.String()
}

func (l *Locale) value(name string, args []A) string {
	for _, a := range args {
		switch v := a[name].(type) {
		case nil:
		case string:
			return v
		case int:
			return l.Number(int64(v))
		case int64:
			return l.Number(v)
		default:
			return fmt.Sprint(v)
		}
	}
	return "{" + name + "}"
}

// Number writes n with this language's digit groups.
func (l *Locale) Number(n int64) string { return l.printer.Sprint(number.Decimal(n)) }

// Pick chooses the language that suits best from locale names, most wanted
// first, in any spelling systems use: "fr_CA.UTF-8", "fr-CA", "C".
func Pick(wanted ...string) string {
	var tags []language.Tag
	for _, w := range wanted {
		w, _, _ = strings.Cut(w, ".")
		w, _, _ = strings.Cut(w, "@")
		if tag, err := language.Parse(strings.ReplaceAll(w, "_", "-")); err == nil {
			tags = append(tags, tag)
		}
	}
	all := Languages()
	have := make([]language.Tag, len(all))
	for i, s := range all {
		have[i] = language.Make(s)
	}
	_, i, confidence := language.NewMatcher(have).Match(tags...)
	if confidence == language.No {
		return all[0]
	}
	return all[i]
}
