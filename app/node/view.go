// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"mime"
	"net"
	"net/http"
	"path"
	"strconv"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/brand"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
)

// What a view's answer tells beside its text when a file cannot be opened now.
const (
	HeaderRefused = "Preezm-Refused" // the custodians' reason, a custody.Reason
	HeaderAgreed  = "Preezm-Agreed"  // so many custodians agreed
	HeaderNeeded  = "Preezm-Needed"  // of so many that must
)

// viewTime bounds how long a view's listener waits for a request's header.
const viewTime = 10 * time.Second

// views are the running views of a home.
type views struct {
	mu   sync.Mutex
	open map[string]*view
}

// view shows one received grant to a browser on this machine until its end.
// Every look at a file is an opening of its own, and nothing is written down.
type view struct {
	n     *Node
	b     *brand.Brand
	r     *brand.Received
	token string
	host  string
	srv   *http.Server
	html  *template.Template
	stop  *time.Timer
	done  chan struct{}
}

// View starts to show a received grant on a loopback address with a secret in
// its path. It ends with the grant, with EndView, or with the node.
func (n *Node) View(ctx context.Context, grant string) (View, error) {
	b, err := n.openBrand()
	if err != nil {
		return View{}, err
	}
	r, err := b.Find(grant)
	if err != nil {
		return View{}, err
	}
	end := time.Unix(r.Ticket.Grant.Body.NotAfter, 0)
	left := end.Sub(n.now())
	if left <= 0 {
		return View{}, fmt.Errorf("%w: it ended %s", ErrGrantRefused, end.Format(time.DateTime))
	}
	html, err := viewPage()
	if err != nil {
		return View{}, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return View{}, err
	}
	secret := make([]byte, 16)
	rand.Read(secret)
	v := &view{n: n, b: b, r: r, token: hex.EncodeToString(secret), host: l.Addr().String(), html: html, done: make(chan struct{})}
	v.srv = &http.Server{Handler: v, ReadHeaderTimeout: viewTime, MaxHeaderBytes: 16 << 10}
	// Whatever is being shown is cut: the end is to the second.
	v.stop = time.AfterFunc(left, func() { v.srv.Close() })
	n.views.mu.Lock()
	if n.views.open == nil {
		n.views.open = map[string]*view{}
	}
	n.views.open[v.token] = v
	n.views.mu.Unlock()
	go func() {
		defer close(v.done)
		if err := v.srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			n.log.Warn("a view ended", "err", err)
		}
	}()
	return View{Token: v.token, URL: "http://" + v.host + "/" + v.token + "/", Grant: ticket.ShortID(r.Ticket.Grant.Body.ID), NotAfter: end}, nil
}

// EndView ends a view; one that ended already is no error.
func (n *Node) EndView(_ context.Context, token string) (View, error) {
	n.views.mu.Lock()
	v := n.views.open[token]
	delete(n.views.open, token)
	n.views.mu.Unlock()
	if v == nil {
		return View{}, nil
	}
	v.stop.Stop()
	err := v.srv.Close()
	<-v.done
	return View{}, err
}

// endViews ends all of them.
func (n *Node) endViews() error {
	n.views.mu.Lock()
	var tokens []string
	for t := range n.views.open {
		tokens = append(tokens, t)
	}
	n.views.mu.Unlock()
	var errs []error
	for _, t := range tokens {
		_, err := n.EndView(context.Background(), t)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// ServeHTTP answers the browser.
func (v *view) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	// Another name for this address is another site's (DNS rebinding); a path
	// without the secret is a guess.
	rest, ok := cutPrefix(r.URL.Path, "/"+v.token+"/")
	if !ok || r.Host != v.host || r.Method != http.MethodGet {
		http.NotFound(w, r)
		return
	}
	if rest == "" {
		v.page(w)
		return
	}
	first, _ := path.Split(rest)
	i, err := strconv.Atoi(first[:max(len(first)-1, 0)])
	if err != nil || i < 1 || i > len(v.r.Names.Names) {
		http.NotFound(w, r)
		return
	}
	v.file(w, r, i-1)
}

func cutPrefix(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || s[:len(prefix)] != prefix {
		return s, false
	}
	return s[len(prefix):], true
}

// file shows one file. What is in it may do nothing in the browser.
func (v *view) file(w http.ResponseWriter, r *http.Request, i int) {
	h := w.Header()
	const policy = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'"
	begun := false
	err := v.b.Stream(r.Context(), v.r, i, v.n.dialGateway, func(m *ticket.Manifest) (io.Writer, error) {
		begun = true
		kind := mime.TypeByExtension(path.Ext(m.Name))
		if kind == "" {
			kind = "application/octet-stream"
		}
		h.Set("Content-Type", kind)
		if kind == "application/pdf" {
			h.Set("Content-Security-Policy", policy) // a browser's own viewer does not run in a sandbox
		} else {
			h.Set("Content-Security-Policy", "sandbox; "+policy)
		}
		h.Set("Content-Length", strconv.FormatInt(m.Size, 10))
		return w, nil
	})
	if err == nil || begun {
		// An answer that stays short is how the browser hears of the rest.
		return
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	text := "This cannot be opened now: " + err.Error()
	// The headers are for the window, which says it in the person's language.
	var no *brand.RefusedError
	var waiting *brand.WaitingError
	switch {
	case errors.As(err, &no):
		text = "This cannot be opened now: " + no.Error()
		h.Set(HeaderRefused, string(no.Reason))
	case errors.As(err, &waiting):
		h.Set(HeaderAgreed, strconv.Itoa(waiting.Have))
		h.Set(HeaderNeeded, strconv.Itoa(waiting.Need))
	}
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprintln(w, text)
}

func (n *Node) dialGateway(d peers.DeviceID, name string, addresses []string, pass []byte) brand.Gateway {
	return n.visit(d, name, addresses, pass)
}

// page lists the files and counts the time down: without a script, the
// browser asks again each second.
func (v *view) page(w http.ResponseWriter) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	end := time.Unix(v.r.Ticket.Grant.Body.NotAfter, 0)
	var files []string
	files = append(files, v.r.Names.Names...)
	err := v.html.Execute(w, struct {
		Grant, Left, End string
		Files            []string
	}{ticket.ShortID(v.r.Ticket.Grant.Body.ID), end.Sub(v.n.now()).Round(time.Second).String(), end.Format(time.DateTime), files})
	if err != nil {
		v.n.log.Debug("show a view", "err", err)
	}
}

func viewPage() (*template.Template, error) {
	return template.New("view").Funcs(template.FuncMap{
		"next": func(i int) int { return i + 1 },
	}).Parse(viewText)
}

const viewText = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="1">
<title>{{.Grant}}</title><style>body{font:16px sans-serif;max-width:40em;margin:3em auto;padding:0 1em}</style></head>
<body><h1>{{.Grant}}</h1><p>Ends in <strong>{{.Left}}</strong>, at {{.End}}.</p>
<ol>{{range $i, $f := .Files}}<li><a href="{{next $i}}/file" target="_blank" rel="noopener noreferrer">{{$f}}</a></li>{{end}}</ol>
<p>Each click asks the owner's custodians and is shown to the owner.</p></body></html>
`
