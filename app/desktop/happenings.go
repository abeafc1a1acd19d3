// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/engine/ledger"
)

// kind is what a happening is about, for the filter.
type kind int

const (
	kindAll kind = iota
	kindOpened
	kindRefused
	kindGranted // and withdrawn: what the person did
	kindErased  // keys that custodians forgot
)

// happening is one line of the activity: what several custodians wrote down
// about the same request is one thing to a person.
type happening struct {
	At         time.Time `json:"at"`
	Kind       string    `json:"kind"`
	Text       string    `json:"text"`
	Grant      string    `json:"grant,omitempty"`
	Brand      string    `json:"brand,omitempty"`
	File       string    `json:"file,omitempty"`
	Device     string    `json:"device,omitempty"`
	Custodians []string  `json:"custodians,omitempty"`
	Entries    []string  `json:"entries,omitempty"` // "custodian #number" in its log

	kind   kind
	enough bool
	folded string
}

// happenings tells the logs and the grants as one list, the newest first and
// by nothing else than time.
func happenings(l *i18n.Locale, lines []grants.Line, list []grants.Info) []happening {
	byID := map[string]*grants.Info{}
	for i := range list {
		byID[list[i].ID] = &list[i]
	}
	var out []*happening
	same := map[string]*happening{}
	for i := range lines {
		e := &lines[i]
		k, ok := map[string]kind{string(ledger.Release): kindOpened, string(ledger.Refuse): kindRefused,
			string(ledger.Revoke): kindGranted, string(ledger.Erase): kindErased}[e.Kind]
		if !ok {
			k = kindAll
		}
		key := e.Kind + "\x00" + cmp.Or(e.Request, e.Grant+"\x00"+e.Detail)
		h := same[key]
		if h == nil {
			h = &happening{At: e.At, Kind: e.Kind, Grant: e.Grant, File: shownName(e.Path), kind: k}
			if g := byID[e.Grant]; g != nil {
				h.Brand = shownName(g.Brand)
			}
			h.Device = shownName(e.Detail)
			same[key] = h
			out = append(out, h)
		}
		if name := shownName(e.Custodian); !slices.Contains(h.Custodians, name) {
			h.Custodians = append(h.Custodians, name)
		}
		h.Entries = append(h.Entries, shownName(e.Custodian)+" #"+strconv.FormatUint(e.Seq, 10))
	}
	for i := range list {
		g := &list[i]
		out = append(out, &happening{At: g.Issued, Kind: "grant", Grant: g.ID, Brand: shownName(g.Brand),
			File: fewNames(l, g.Files, 3), kind: kindGranted})
	}
	slices.SortStableFunc(out, func(a, b *happening) int { return b.At.Compare(a.At) })
	all := make([]happening, len(out))
	for i, h := range out {
		slices.Sort(h.Custodians)
		if g := byID[h.Grant]; g != nil {
			h.enough = len(h.Custodians) >= g.Need
		}
		h.Text = h.words(l)
		h.folded = fold(strings.Join([]string{h.Text, h.Grant, strings.Join(h.Custodians, " ")}, " "))
		all[i] = *h
	}
	return all
}

// words is the happening in plain words.
func (h *happening) words(l *i18n.Locale) string {
	brand, file := h.Brand, h.File
	if brand == "" {
		brand = l.T("activity.some-company")
	}
	if file == "" {
		file = l.T("activity.some-file")
	}
	n := int64(len(h.Custodians))
	a := i18n.A{"brand": brand, "file": file, "who": deviceLabel(l, h.Device)}
	switch h.Kind {
	case "grant":
		return l.T("activity.granted", a)
	case string(ledger.Release):
		if !h.enough {
			return l.N("activity.asked", n, a)
		}
		return l.N("activity.opened", n, a)
	case string(ledger.Refuse):
		reason, times, _ := strings.Cut(h.Device, " x")
		a["why"] = refusal(l, custody.Reason(reason))
		if more, err := strconv.ParseInt(times, 10, 64); err == nil {
			return l.N("activity.refused-more", more, a)
		}
		return l.N("activity.refused", n, a)
	case string(ledger.Revoke):
		return l.N("activity.withdrawn", n, a)
	case string(ledger.Erase):
		return l.N("activity.erased", n)
	case string(ledger.Begin):
		return l.N("activity.begun", n, i18n.A{"names": fewNames(l, h.Custodians, 3)})
	}
	return l.T("activity.other", i18n.A{"what": h.Kind})
}

func (h *happening) picture() fyne.Resource {
	switch {
	case h.kind == kindOpened && h.enough:
		return icon("eye", colorFragile)
	case h.kind == kindOpened:
		return icon("eye", colorQuiet)
	case h.kind == kindRefused:
		return icon("lost", colorLost)
	case h.Kind == "grant":
		return icon("key", theme.ColorNamePrimary)
	case h.kind == kindGranted:
		return tinted(theme.CancelIcon(), colorQuiet)
	case h.kind == kindErased:
		return icon("safe", colorSafe)
	}
	return icon("ledger", colorQuiet)
}

// sift gives what is of a kind and holds every word of the query.
func sift(all []happening, k kind, query string) []happening {
	words := strings.Fields(fold(query))
	var out []happening
	for i := range all {
		h := &all[i]
		if (k == kindAll || h.kind == k) && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(h.folded, w) }) {
			out = append(out, *h)
		}
	}
	return out
}

// unread counts what happened after a moment and was not the person's doing.
func unread(all []happening, seen time.Time) int {
	n := 0
	for i := range all {
		if all[i].At.After(seen) && (all[i].kind == kindOpened || all[i].kind == kindRefused) {
			n++
		}
	}
	return n
}

// exportJSON and exportCSV write the list as it is shown.
func exportJSON(list []happening) ([]byte, error) {
	if list == nil {
		list = []happening{}
	}
	b, err := json.MarshalIndent(list, "", "  ")
	return append(b, '\n'), err
}

func exportCSV(list []happening) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"time", "kind", "text", "grant", "company", "file", "device", "custodians", "entries"}}
	for _, h := range list {
		rows = append(rows, []string{h.At.UTC().Format(time.RFC3339), h.Kind, h.Text, h.Grant, h.Brand, h.File, h.Device,
			strings.Join(h.Custodians, "; "), strings.Join(h.Entries, "; ")})
	}
	for _, row := range rows {
		for i, cell := range row {
			row[i] = plainCell(cell)
		}
	}
	err := w.WriteAll(rows)
	return b.Bytes(), err
}

// plainCell keeps a spreadsheet from taking a company's name for a formula.
func plainCell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
