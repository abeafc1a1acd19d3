// SPDX-License-Identifier: MPL-2.0

package node

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/assets"
	"github.com/preezm/preezm/engine/brand"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers/said"
)

// What a view shows in the browser is in the language that it was opened in.
func TestViewSpeaksTheLanguageOfTheWindow(t *testing.T) {
	html, err := viewPage()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, time.March, 14, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		lang string
		page []string
		over string
		not  string
	}{
		{"en", []string{`lang="en"`, "Time left:", "1 day 2 h", "until 15 Mar 2026, 11:00", "Each click asks", `data-day="d"`, "a&amp;b.pdf"},
			"The grant has ended, 15 Mar 2026, 11:00.", "This cannot be opened now: it does not answer"},
		{"fr", []string{`lang="fr"`, "Il reste", "1 jour 2 h", "jusqu’au 15 mars 2026 à 11:00", "Chaque clic interroge", `data-day="j"`, "a&amp;b.pdf"},
			"L’accès est terminé depuis le 15 mars 2026 à 11:00.", "Ce fichier ne peut pas être ouvert maintenant\u00a0: il ne répond pas"},
	} {
		l, err := i18n.Load(assets.Catalogs, "i18n", c.lang)
		if err != nil {
			t.Fatal(err)
		}
		signed := &custody.Ticket{Grant: &custody.Signed[custody.Grant]{}}
		signed.Grant.Body.Notice = "nothing"
		v := &view{
			n: &Node{now: func() time.Time { return now }}, html: html, locale: l, end: now.Add(26 * time.Hour), who: "ACME / desk 2",
			r: &brand.Received{Ticket: &ticket.Ticket{Ticket: signed}, Names: &ticket.Names{Names: []string{"a&b.pdf"}}},
		}
		w := httptest.NewRecorder()
		v.page(w)
		for _, want := range c.page {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: the page lacks %q:\n%s", c.lang, want, w.Body)
			}
		}
		for _, s := range []struct {
			note said.Note
			want string
		}{{v.gone(), c.over}, {said.Given(said.As("unreachable", "does not answer"), "view-not-now", "{why}"), c.not}} {
			w = httptest.NewRecorder()
			v.say(w, http.StatusGone, s.note)
			if !strings.HasPrefix(w.Body.String(), s.want) || w.Header().Get("Content-Language") != c.lang {
				t.Errorf("%s: %q, want %q (%v)", c.lang, w.Body, s.want, w.Header())
			}
		}
	}
}
