// SPDX-License-Identifier: MPL-2.0

package grants_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/custody"
)

// TestMembers: two machines of a company beside its office, all real processes.
func TestMembers(t *testing.T) {
	w := newWorld(t)
	office := w.brand
	w.must(office.Start(w.ctx))
	t.Cleanup(func() {
		if err := office.Kill(); err != nil {
			t.Error(err)
		}
	})
	desk := func(name, role string) *e2e.Home {
		t.Helper()
		h := &e2e.Home{Binary: office.Binary, Dir: filepath.Join(w.dir, name)}
		w.must(h.Init(w.ctx, name, ""))
		var in node.MemberInvite
		w.must(office.Must(w.ctx, &in, "brand", "member", "invite", "--role", role))
		var b node.BrandInfo
		w.must(h.Must(w.ctx, &b, "brand", "join", in.Code))
		if b.Office || b.Label != role || b.Until.Before(time.Now().Add(29*24*time.Hour)) {
			t.Fatalf("joined as %+v", b)
		}
		return h
	}
	two, three := desk("desk2", "claims desk 2"), desk("desk3", "claims desk 3")
	g := w.grant("papers/letter.txt", "--for", "1h", "--via", "keeper1")
	w.must(office.Must(w.ctx, nil, "grants", "received", g.Ticket))

	open := func(h *e2e.Home, args ...string) e2e.Result {
		t.Helper()
		r, err := h.Run(w.ctx, append([]string{"open", g.ID, "--to", filepath.Join(t.TempDir(), "to")}, args...)...)
		w.must(err)
		return r
	}
	for _, h := range []*e2e.Home{two, three} {
		if r := open(h); r.Code != 0 {
			t.Fatalf("a member opens: exit status %d: %s", r.Code, r.Stderr)
		}
	}
	seen := map[string]bool{}
	for _, o := range w.info(g.ID).Openings {
		seen[o.Who] = true
	}
	if !seen["ACME / claims desk 2"] || !seen["ACME / claims desk 3"] || len(seen) != 2 {
		t.Errorf("the owner sees %v", seen)
	}
	var all []node.BrandMember
	w.must(office.Must(w.ctx, &all, "brand", "member", "list"))
	if len(all) != 2 || all[0].State != node.Certified || all[0].LastSeen.IsZero() {
		t.Errorf("the office lists %+v", all)
	}
	if r, err := two.Run(w.ctx, "brand", "member", "list"); err != nil || r.Code != 1 {
		t.Errorf("a member lists members: exit status %d (%v)", r.Code, err)
	}

	t.Run("TicketsOfAMember", func(t *testing.T) {
		handed := w.grant("papers/letter.txt", "--for", "1h")
		w.must(three.Must(w.ctx, nil, "grants", "received", handed.Ticket))
		w.must(two.Must(w.ctx, nil, "open", handed.ID, "--to", filepath.Join(t.TempDir(), "x")))
	})

	t.Run("OfficeOff", func(t *testing.T) {
		once := w.grant("papers/letter.txt", "--for", "1h", "--opens", "1")
		w.must(two.Must(w.ctx, nil, "grants", "received", once.Ticket))
		w.must(office.Kill())
		to := filepath.Join(t.TempDir(), "x")
		r, err := two.Run(w.ctx, "open", once.ID, "--to", to)
		w.must(err)
		if r.Code != 1 || !strings.Contains(string(r.Stderr), "office cannot be reached") {
			t.Fatalf("exit status %d: %s", r.Code, r.Stderr)
		}
		w.must(office.Start(w.ctx))
		w.must(two.Must(w.ctx, nil, "open", once.ID, "--to", to))
	})

	t.Run("Revoked", func(t *testing.T) {
		var m node.BrandMember
		w.must(office.Must(w.ctx, &m, "brand", "member", "revoke", "claims desk 2"))
		if m.State != node.MemberShutOut {
			t.Errorf("%+v", m)
		}
		// The office refuses at once, whatever is asked.
		if r := open(two); r.Code != 1 || !strings.Contains(string(r.Stderr), "has shut it out") {
			t.Errorf("exit status %d: %s", r.Code, r.Stderr)
		}
		if r := open(three); r.Code != 0 {
			t.Errorf("the other member: exit status %d: %s", r.Code, r.Stderr)
		}
	})
}

// TestOpenIsKilled: an opening that waits is killed, and the next one takes what
// the custodians gave the first: it counts once.
func TestOpenIsKilled(t *testing.T) {
	w := newWorld(t)
	g := w.grant("papers/letter.txt", "--for", "1h", "--via", "keeper1", "--via", "keeper2", "--opens", "1")
	w.must(w.brand.Must(w.ctx, nil, "grants", "received", g.Ticket))
	for _, k := range w.fleet.Keepers[2:] {
		w.must(k.Kill())
	}
	to := filepath.Join(t.TempDir(), "opened")
	cmd := w.brand.Command(w.ctx, "open", g.ID, "--to", to, "--wait", "72h")
	errs, err := cmd.StderrPipe()
	w.must(err)
	w.must(cmd.Start())
	told := make([]byte, 0, 1<<10)
	for !bytes.Contains(told, []byte("2 of 3 agreed, waiting for one more")) {
		buf := make([]byte, 512)
		n, err := errs.Read(buf)
		told = append(told, buf[:n]...)
		if err != nil {
			t.Fatalf("it said %q and ended: %v", told, err)
		}
	}
	w.must(cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	// The first gateway goes, two custodians with it; the others come.
	w.must(w.fleet.Keepers[0].Kill())
	for _, k := range w.fleet.Keepers[2:] {
		w.must(k.Start(w.ctx))
	}
	w.must(w.brand.Must(w.ctx, nil, "open", g.ID, "--to", to, "--wait", "60s"))
	if got, err := os.ReadFile(filepath.Join(to, "letter.txt")); err != nil || !bytes.Equal(got, w.letter) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	// Three have counted it, so with all awake too few are left to agree again.
	w.must(w.fleet.Keepers[0].Start(w.ctx))
	if r, _ := w.open(g.Ticket, "--wait", "60s"); r.Code != 1 || !strings.Contains(string(r.Stderr), "as often as the owner allowed") {
		t.Errorf("a second time: exit status %d: %s", r.Code, r.Stderr)
	}
	w.must(w.fleet.Keepers[0].Kill())
	w.must(w.fleet.Keepers[1].Kill())
	r, _ := w.open(g.Ticket)
	if r.Code != 1 || !strings.Contains(string(r.Stderr), "gateway 1 of the grant") || !strings.Contains(string(r.Stderr), "gateway 2 of the grant") {
		t.Errorf("with both gateways off: exit status %d: %s", r.Code, r.Stderr)
	}
}

// TestView looks at a file in a browser's place.
func TestView(t *testing.T) {
	w := newWorld(t)
	g := w.grant("papers/photo.bin", "--for", "1h", "--via", "keeper1", "--opens", "2")
	cmd, v, err := w.view(g)
	w.must(err)
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	do := func(method, url string, change func(*http.Request)) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(w.ctx, method, url, nil)
		w.must(err)
		if change != nil {
			change(req)
		}
		resp, err := browser.Do(req)
		w.must(err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		w.must(err)
		return resp, b
	}
	resp, page := do(http.MethodGet, v.URL, nil)
	if resp.StatusCode != http.StatusOK || !bytes.Contains(page, []byte("photo.bin")) || !bytes.Contains(page, []byte("may have kept a copy")) {
		t.Errorf("the list: %d %s", resp.StatusCode, page)
	}
	csp := resp.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || !regexp.MustCompile(`data-ms="\d+"`).Match(page) {
		t.Errorf("policy %q, no countdown in %s", csp, page)
	}
	open := func() string {
		t.Helper()
		resp, b := do(http.MethodPost, v.URL+"1/open", nil)
		if resp.StatusCode != http.StatusSeeOther {
			t.Fatalf("open: %d %s", resp.StatusCode, b)
		}
		return "http://" + resp.Request.URL.Host + resp.Header.Get("Location")
	}
	look := open()
	for range 3 {
		if resp, b := do(http.MethodGet, look, nil); resp.StatusCode != http.StatusOK || !bytes.Equal(b, w.photo) {
			t.Errorf("the file: %d, %d bytes", resp.StatusCode, len(b))
		}
	}
	for _, at := range []int{0, 1_000_000, 4_999_990} {
		resp, b := do(http.MethodGet, look, func(r *http.Request) { r.Header.Set("Range", fmt.Sprintf("bytes=%d-", at)) })
		if resp.StatusCode != http.StatusPartialContent || !bytes.Equal(b, w.photo[at:]) {
			t.Errorf("from %d: %d, %d bytes", at, resp.StatusCode, len(b))
		}
	}
	if csp := func() string { r, _ := do(http.MethodHead, look, nil); return r.Header.Get("Content-Security-Policy") }(); !strings.Contains(csp, "sandbox") {
		t.Errorf("what is in the file may do %q", csp)
	}
	if n := len(w.info(g.ID).Openings); n != 1 {
		t.Errorf("the owner sees %d openings of one look", n)
	}
	again := open() // each click asks anew
	if n := len(w.info(g.ID).Openings); n != 2 {
		t.Errorf("the owner sees %d openings of two clicks", n)
	}
	if resp, b := do(http.MethodGet, again, nil); resp.StatusCode != http.StatusOK || !bytes.Equal(b, w.photo) {
		t.Errorf("the second look: %d, %d bytes", resp.StatusCode, len(b))
	}
	if resp, b := do(http.MethodPost, v.URL+"1/open", nil); resp.StatusCode != http.StatusForbidden || !bytes.Contains(b, []byte("as often as")) {
		t.Errorf("a third click: %d %s", resp.StatusCode, b)
	}
	for _, bad := range []string{"2/open", "0/open", "x/open", "look/" + strings.Repeat("0", 32) + "/photo.bin"} {
		method := http.MethodPost
		if strings.HasPrefix(bad, "look") {
			method = http.MethodGet
		}
		if resp, _ := do(method, v.URL+bad, nil); resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusGone {
			t.Errorf("%s: %d", bad, resp.StatusCode)
		}
	}
	for _, header := range [][2]string{{"Sec-Purpose", "prefetch"}, {"Sec-Fetch-Site", "cross-site"}} {
		resp, _ := do(http.MethodGet, v.URL+"1/photo.bin", func(r *http.Request) { r.Header.Set(header[0], header[1]) })
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s opens: %d", header, resp.StatusCode)
		}
	}
	if resp, _ := do(http.MethodPost, v.URL+"1/open", func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }); resp.StatusCode != http.StatusNotFound {
		t.Errorf("another site's form: %d", resp.StatusCode)
	}
	if resp, _ := do(http.MethodGet, strings.Replace(v.URL, v.Token, strings.Repeat("0", 32), 1), nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("without the secret: %d", resp.StatusCode)
	}
	if resp, _ := do(http.MethodGet, v.URL, func(r *http.Request) { r.Host = "evil.example" }); resp.StatusCode != http.StatusNotFound {
		t.Errorf("under another name: %d", resp.StatusCode)
	}
	if !strings.HasPrefix(v.URL, "http://127.0.0.1:") {
		t.Errorf("it listens at %s", v.URL)
	}
	w.must(cmd.Process.Kill())
	_ = cmd.Wait() // it was killed

	// It ends by itself, with the grant.
	w.briefly(func(g *node.Granted) bool {
		cmd, v, err := w.view(g)
		if err != nil && w.over(g) {
			return false
		}
		w.must(err)
		waitUntil(t, g.NotAfter)
		w.must(cmd.Wait())
		if _, err := http.Get(v.URL); err == nil {
			t.Error("it is still there after the end")
		}
		return true
	}, "papers/photo.bin", "--via", "keeper1")
}

// view lets the brand look at a grant, and gives the command that shows it.
func (w *world) view(g *node.Granted) (cmd *exec.Cmd, v node.View, err error) {
	w.Helper()
	w.must(w.brand.Must(w.ctx, nil, "grants", "received", g.Ticket))
	cmd = w.brand.Command(w.ctx, "view", g.ID, "--json")
	out, err := cmd.StdoutPipe()
	w.must(err)
	w.must(cmd.Start())
	if err = json.NewDecoder(out).Decode(&v); err != nil {
		_ = cmd.Wait() // it ended without a word
	}
	return cmd, v, err
}

// over tells whether a grant has ended.
func (w *world) over(g *node.Granted) bool { return !time.Now().Before(g.NotAfter) }

// briefly makes a grant that ends soon and has it tried. On a busy machine it may
// end before all was tried that belongs before its end: try says so with false,
// and gets a longer one.
func (w *world) briefly(try func(g *node.Granted) bool, args ...string) {
	w.Helper()
	for last := 4 * time.Second; last < 3*time.Minute; last *= 3 {
		if g := w.grant(append(args[:len(args):len(args)], "--for", last.String())...); try(g) {
			return
		}
		w.Logf("%s were too short", last)
	}
	w.Fatal("no grant was long enough")
}

// TestNoticeIsEverywhere: what a grant does not prevent is said before it is
// signed, with the ticket, and to programs.
func TestNoticeIsEverywhere(t *testing.T) {
	w := newWorld(t)
	var info node.BrandInfo
	w.must(w.brand.Must(w.ctx, &info, "brand", "card"))
	r, err := w.fleet.Owner.Run(w.ctx, "grant", info.Card, "papers/letter.txt", "--for", "1h", "--via", "keeper1")
	w.must(err)
	said := string(r.Stderr)
	if at := strings.Index(said, custody.NoticeEN); at < 0 || !strings.Contains(said, custody.NoticeFR) || at > strings.Index(said, "may open") {
		t.Errorf("before it is signed: %s", said)
	}
	g := w.grant("papers/letter.txt", "--for", "1h")
	if g.Notice != custody.Notice || w.info(g.ID).Notice != custody.Notice {
		t.Errorf("to the owner's programs: %q", g.Notice)
	}
	r, err = w.brand.Run(w.ctx, "grants", "received", g.Ticket)
	w.must(err)
	if !strings.Contains(string(r.Stderr), custody.NoticeEN) || !strings.Contains(string(r.Stderr), custody.NoticeFR) {
		t.Errorf("with the ticket: %s", r.Stderr)
	}
	var list []node.Received
	w.must(w.brand.Must(w.ctx, &list, "grants", "received"))
	if len(list) != 1 || list[0].Notice != custody.Notice {
		t.Errorf("to the brand's programs: %+v", list)
	}
}

// TestViewSaysThatItEnded: with the command gone, the machine that serves shows
// the page to the end, cuts what it sends there, and says why afterwards.
func TestViewSaysThatItEnded(t *testing.T) {
	w := newWorld(t)
	w.must(w.brand.Start(w.ctx))
	t.Cleanup(func() {
		if err := w.brand.Kill(); err != nil {
			t.Error(err)
		}
	})
	slow := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return c, err
	}}}
	w.briefly(func(g *node.Granted) bool {
		cmd, v, err := w.view(g)
		if err != nil && w.over(g) {
			return false
		}
		w.must(err)
		w.must(cmd.Process.Kill())
		_ = cmd.Wait()                                  // it was killed
		resp, err := slow.Post(v.URL+"1/open", "", nil) // which leads on to the file
		if w.over(g) {
			if err == nil {
				w.must(resp.Body.Close())
			}
			return false
		}
		w.must(err)
		look := resp.Request.URL.String()
		// A browser that reads slowly gets nothing after the end.
		n := 0
		buf := make([]byte, 64<<10)
		for {
			m, err := resp.Body.Read(buf)
			n += m
			if err != nil {
				break
			}
			if n > 100_000 {
				waitUntil(t, g.NotAfter.Add(100*time.Millisecond))
			}
		}
		w.must(resp.Body.Close())
		if n >= len(w.photo) {
			t.Errorf("all %d bytes came, most of them after the end", n)
		}
		for _, url := range []string{v.URL, look, v.URL + "1/photo.bin"} {
			resp, err := http.Get(url)
			w.must(err)
			b, err := io.ReadAll(resp.Body)
			w.must(errors.Join(err, resp.Body.Close()))
			if resp.StatusCode != http.StatusGone || !bytes.Contains(b, []byte("has ended")) {
				t.Errorf("after the end: %d %s", resp.StatusCode, b)
			}
		}
		return true
	}, "papers/photo.bin", "--via", "keeper1")
}
