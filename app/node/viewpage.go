// SPDX-License-Identifier: MPL-2.0

package node

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/preezm/preezm/engine/brand"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers/said"
)

// policies of what a browser may do with a page. A granted file may do nothing:
// no script, no form, no request to anywhere else.
const (
	pagePolicy = "default-src 'none'; style-src 'nonce-%[1]s'; script-src 'nonce-%[1]s'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	filePolicy = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)

// ServeHTTP answers the browser.
func (v *view) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	// Another name for this address is another site's (DNS rebinding); a path
	// without the secret is a guess.
	rest, ok := strings.CutPrefix(r.URL.Path, "/"+v.token+"/")
	if !ok || r.Host != v.host {
		http.NotFound(w, r)
		return
	}
	rc := http.NewResponseController(w)
	until := func(d time.Duration) {
		if err := rc.SetWriteDeadline(time.Now().Add(d)); err != nil {
			v.n.log.Debug("bound an answer", "err", err)
		}
	}
	if v.ended() {
		until(viewTime)
		v.say(w, http.StatusGone, v.gone())
		return
	}
	// Whatever is being sent at the end of the grant is cut there.
	until(v.end.Sub(v.n.now()))
	first, second, _ := strings.Cut(rest, "/")
	switch {
	case rest == "" && r.Method == http.MethodGet:
		v.page(w)
	case first == "look" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		id, _, _ := strings.Cut(second, "/")
		v.look(w, r, id)
	case (r.Method == http.MethodPost || r.Method == http.MethodGet) && meant(r) && v.fromHere(r):
		i, err := strconv.Atoi(first)
		if err != nil || i < 1 || i > len(v.r.Names.Names) {
			http.NotFound(w, r)
			return
		}
		v.open(w, r, i-1)
	default:
		http.NotFound(w, r)
	}
}

// meant refuses what a browser fetches before anybody clicks: an opening counts.
// The page has buttons for the same reason; a link is for whoever knows it.
func meant(r *http.Request) bool {
	return r.Header.Get("Sec-Purpose") == "" && r.Header.Get("Purpose") == "" && r.Header.Get("X-Moz") == ""
}

// fromHere refuses a form of another site that guessed the secret.
func (v *view) fromHere(r *http.Request) bool {
	o, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	// Without a referrer a browser's own form has the origin "null".
	return (o == "" || o == "null" || o == "http://"+v.host) && site != "cross-site" && site != "same-site"
}

// open asks the custodians for one file, and leads to it.
func (v *view) open(w http.ResponseWriter, r *http.Request, i int) {
	look, err := v.b.Look(r.Context(), v.r, i, v.n.dialGateway)
	if err != nil {
		why := said.By(err)
		// The headers are for the window, which says more than a page does.
		var no *brand.RefusedError
		var waiting *brand.WaitingError
		switch {
		case errors.As(err, &no):
			why = brand.Said(no.Reason)
			w.Header().Set(HeaderRefused, string(no.Reason))
		case errors.As(err, &waiting):
			why = said.As("view-waiting", "{n} of the {needed} custodians needed have agreed, and the others do not answer now",
				"n", strconv.Itoa(waiting.Have), "needed", strconv.Itoa(waiting.Need))
			w.Header().Set(HeaderAgreed, strconv.Itoa(waiting.Have))
			w.Header().Set(HeaderNeeded, strconv.Itoa(waiting.Need))
		}
		v.say(w, http.StatusForbidden, said.Given(why, "view-not-now", "This cannot be opened now: {why}"))
		return
	}
	l, ok := v.keep(look)
	if !ok {
		if err := look.Close(); err != nil {
			v.n.log.Warn("close a look", "err", err)
		}
		v.say(w, http.StatusGone, v.gone())
		return
	}
	// The name is for the browser's window and for saving.
	http.Redirect(w, r, "/"+v.token+"/look/"+l.id+"/"+url.PathEscape(path.Base("/"+look.Name)), http.StatusSeeOther)
}

// look sends what was opened, any part of it and as often as the browser wants.
func (v *view) look(w http.ResponseWriter, r *http.Request, id string) {
	l := v.find(id)
	if l == nil {
		v.say(w, http.StatusGone, said.As("view-gone", "This is not open any more. Open it again from the list: the custodians are then asked anew."))
		return
	}
	h := w.Header()
	kind := mime.TypeByExtension(path.Ext(l.Name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	h.Set("Content-Type", kind)
	if kind == "application/pdf" {
		h.Set("Content-Security-Policy", filePolicy) // a browser's own viewer does not run in a sandbox
	} else {
		h.Set("Content-Security-Policy", "sandbox; "+filePolicy)
	}
	counted := &counter{ReadSeeker: l.Reader(r.Context())}
	http.ServeContent(w, r, "", time.Time{}, counted)
	if counted.read > 0 || l.Size == 0 {
		if err := l.Seen(); err != nil {
			v.n.log.Warn("note that a file was looked at", "err", err)
		}
	}
	if counted.err != nil && r.Context().Err() == nil {
		v.n.log.Warn("show a file", "err", counted.err) // the browser's answer stays short
	}
}

// counter tells whether anything was read.
type counter struct {
	io.ReadSeeker
	read int64
	err  error
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.ReadSeeker.Read(p)
	c.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// gone is what is said once the grant has ended.
func (v *view) gone() said.Note {
	return said.As("view-over", "The grant has ended, {at}. Nothing of it is open here any more.", "at", v.end.Format(time.RFC3339))
}

// words are a note in the language of the view.
func (v *view) words(n said.Note) string { return v.locale.Spell(n, v.n.now()) }

// say answers with a sentence.
func (v *view) say(w http.ResponseWriter, status int, note said.Note) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Language", v.locale.Lang())
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	fmt.Fprintln(w, v.words(note))
}

// page lists the files and counts the time down.
func (v *view) page(w http.ResponseWriter) {
	nonce := secret()
	w.Header().Set("Content-Security-Policy", fmt.Sprintf(pagePolicy, nonce))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	left := v.end.Sub(v.n.now())
	err := v.html.Execute(w, struct {
		Nonce, Lang, Grant, Brand, Left, Time, Day, Until, Click string
		Millis                                                   int64
		Files, Notice                                            []string
	}{
		nonce, v.locale.Lang(), ticket.ShortID(v.r.Ticket.Grant.Body.ID), v.who,
		v.words(said.As("view-left", "Time left:")), v.locale.Countdown(left), v.words(said.As("view-day", "d")),
		v.words(said.As("view-until", "until {at}", "at", v.end.Format(time.RFC3339))),
		v.words(said.As("view-click", "Each click asks the owner's custodians and is shown to the owner.")),
		left.Milliseconds(), v.r.Names.Names, strings.Split(v.r.Ticket.Grant.Body.Notice, "\n"),
	})
	if err != nil {
		v.n.log.Debug("show a view", "err", err)
	}
}

func viewPage() (*template.Template, error) {
	return template.New("view").Funcs(template.FuncMap{
		"next": func(i int) int { return i + 1 },
	}).Parse(viewText)
}

// viewText counts by the time left that the page was sent with: the browser's
// own clock may be wrong. Without a script it asks again each second.
const viewText = `<!doctype html><html lang="{{.Lang}}"><head><meta charset="utf-8"><title>{{.Grant}}</title>
<noscript><meta http-equiv="refresh" content="1"></noscript>
<style nonce="{{.Nonce}}">body{font:16px sans-serif;max-width:40em;margin:3em auto;padding:0 1em}form{margin:.4em 0}small{color:#555}</style></head>
<body><h1>{{.Grant}}</h1><p>{{.Brand}}</p><p>{{.Left}} <strong id="left" role="timer" data-ms="{{.Millis}}" data-day="{{.Day}}">{{.Time}}</strong>, {{.Until}}</p>
{{range $i, $f := .Files}}<form method="post" action="{{next $i}}/open" target="_blank" rel="noopener noreferrer"><button>{{$f}}</button></form>
{{end}}<p>{{.Click}}</p>
{{range .Notice}}<p><small>{{.}}</small></p>{{end}}
<script nonce="{{.Nonce}}">
const left = document.getElementById("left"), end = performance.now() + Number(left.dataset.ms);
const two = n => String(n).padStart(2, "0");
function show() {
  const s = Math.ceil((end - performance.now()) / 1000);
  if (s <= 0) { location.reload(); return; }
  const d = Math.floor(s / 86400);
  left.textContent = (d ? d + "\u00a0" + left.dataset.day + " " : "") + two(Math.floor(s / 3600) % 24) + ":" + two(Math.floor(s / 60) % 60) + ":" + two(s % 60);
  setTimeout(show, 250);
}
show();
document.addEventListener("visibilitychange", () => { if (!document.hidden) location.reload(); });
</script></body></html>
`
