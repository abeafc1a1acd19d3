// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/preezm/preezm/app/desktop/i18n"
	"github.com/preezm/preezm/assets"
	"github.com/preezm/preezm/engine/brand"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// What a view's answer tells beside its text when a file cannot be opened now.
const (
	HeaderRefused = "Preezm-Refused" // the custodians' reason, a custody.Reason
	HeaderAgreed  = "Preezm-Agreed"  // so many custodians agreed
	HeaderNeeded  = "Preezm-Needed"  // of so many that must
)

const (
	// viewTime bounds how long a view's listener waits for a request's header.
	viewTime = 10 * time.Second
	// viewBuffer is how much of an answer may be on its way to the browser.
	viewBuffer = 64 << 10
	// lingers is how long a view says that its grant has ended.
	lingers = time.Minute
	// A look that nobody turns to for idleLook is closed, and of more than
	// maxLooks the one that was opened first: their keys are in memory.
	idleLook = 10 * time.Minute
	maxLooks = 8
)

// views are the running views of a home.
type views struct {
	mu   sync.Mutex
	open map[string]*view
}

// view shows one received grant to a browser on this machine until its end.
// Every look at a file is an opening of its own, for which the custodians are
// asked; nothing is written to the disk, and the keys go with the look.
type view struct {
	n      *Node
	b      *brand.Brand
	who    string // this machine, as owners see it
	r      *brand.Received
	token  string
	host   string
	end    time.Time
	srv    *http.Server
	html   *template.Template
	locale *i18n.Locale
	stop   *time.Timer // at the end of the grant
	close  *time.Timer // some time after it
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	over  bool
	looks []*looking // oldest first
}

// looking is a file that is being looked at.
type looking struct {
	*brand.Look
	id   string
	idle *time.Timer
}

// View starts to show a received grant on a loopback address with a secret in
// its path. It ends with the grant, with EndView, or with the node.
func (n *Node) View(ctx context.Context, o ViewOrder) (View, error) {
	b, err := n.openBrand()
	if err != nil {
		return View{}, err
	}
	r, err := n.find(ctx, b, o.Grant)
	if err != nil {
		return View{}, err
	}
	end := time.Unix(r.Ticket.Grant.Body.NotAfter, 0)
	left := end.Sub(n.now())
	if left <= 0 {
		return View{}, said.Wrap(ErrGrantRefused, "view-ended", "{why}: it ended {at}", "at", end.Format(time.RFC3339))
	}
	html, err := viewPage()
	if err != nil {
		return View{}, err
	}
	locale, err := i18n.Load(assets.Catalogs, "i18n", i18n.Pick(o.Lang))
	if err != nil {
		return View{}, fmt.Errorf("the words of a view: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return View{}, err
	}
	v := &view{n: n, b: b, who: b.Name + " / " + b.Label, r: r, token: secret(), host: l.Addr().String(), end: end, html: html, locale: locale, done: make(chan struct{})}
	v.ctx, v.cancel = context.WithCancel(context.WithoutCancel(ctx))
	v.srv = &http.Server{
		Handler: v, ReadHeaderTimeout: viewTime, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return v.ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			// What lies in the system's buffers at the end still arrives.
			if t, ok := c.(*net.TCPConn); ok {
				if err := t.SetWriteBuffer(viewBuffer); err != nil {
					n.log.Debug("a small buffer for a view", "err", err)
				}
			}
			return ctx
		},
	}
	v.stop = time.AfterFunc(left, v.finish)
	v.close = time.AfterFunc(left+lingers, func() { v.srv.Close() })
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

func secret() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// finish ends what is shown: whatever is under way is cut, and the keys are
// cleared. The end is to the second.
func (v *view) finish() {
	v.mu.Lock()
	v.over = true
	looks := v.looks
	v.looks = nil
	v.mu.Unlock()
	v.cancel() // before the looks: one that fetches holds its own
	for _, l := range looks {
		v.forget(l)
	}
}

// forget closes a look that is on the list no more.
func (v *view) forget(l *looking) {
	l.idle.Stop()
	if err := l.Close(); err != nil {
		v.n.log.Warn("keep a request that nobody saw the answer of", "err", err)
	}
}

// ended says whether the grant has ended, by the clock and not only by a timer,
// which a machine that slept runs late.
func (v *view) ended() bool {
	v.mu.Lock()
	over := v.over
	v.mu.Unlock()
	if !over && !v.n.now().Before(v.end) {
		v.finish()
		return true
	}
	return over
}

// keep puts a look on the list, unless the grant has ended meanwhile.
func (v *view) keep(look *brand.Look) (*looking, bool) {
	l := &looking{Look: look, id: secret()}
	v.mu.Lock()
	if v.over {
		v.mu.Unlock()
		return nil, false
	}
	l.idle = time.AfterFunc(idleLook, func() { v.drop(l) })
	v.looks = append(v.looks, l)
	var old *looking
	if len(v.looks) > maxLooks {
		old, v.looks = v.looks[0], v.looks[1:]
	}
	v.mu.Unlock()
	if old != nil {
		v.forget(old)
	}
	return l, true
}

func (v *view) drop(l *looking) {
	v.mu.Lock()
	for i := range v.looks {
		if v.looks[i] == l {
			v.looks = append(v.looks[:i:i], v.looks[i+1:]...)
			break
		}
	}
	v.mu.Unlock()
	v.forget(l)
}

// find gives a look by its secret.
func (v *view) find(id string) *looking {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, l := range v.looks {
		if l.id == id {
			l.idle.Reset(idleLook)
			return l
		}
	}
	return nil
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
	v.close.Stop()
	v.finish()
	err := v.srv.Close()
	<-v.done
	v.b.Close()
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

func (n *Node) dialGateway(d peers.DeviceID, name string, addresses []string, pass []byte) brand.Gateway {
	return n.visit(d, name, addresses, pass)
}
