// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/storage"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
)

// noon is the time at which all tests take place.
var noon = time.Date(2026, time.March, 14, 12, 0, 0, 0, time.UTC)

// fakeNode is a home in memory. Its functions, where set, answer in its stead.
type fakeNode struct {
	fakeGrants
	fakeMore
	fakeCare
	fakeHelpers
	fakeAsked
	fakeDevices
	mu      sync.Mutex
	entries []engine.Entry
	listing chan struct{} // when not nil, lists wait for its end
	lists   int           // how many were asked for
	members []node.Member
	status  engine.Status
	puts    []engine.PutOptions
	gets    []engine.GetOptions
	removed []engine.Path
	joined  []string

	put    func(ctx context.Context, o engine.PutOptions, progress func(engine.Progress)) (*engine.PutReport, error)
	get    func(o engine.GetOptions) (*engine.GetReport, error)
	join   func(code string) error
	words  map[string][]string // of Join
	failed error               // of About, List, Status and Circle
}

func (n *fakeNode) About(context.Context) (node.About, error) {
	return node.About{Name: "study laptop", Device: peers.DeviceID{1}, Home: "/home/laptop/.config/preezm", Version: "v0.1.0",
		Addresses: []string{"192.168.1.20:24930"}, Offer: 50 * gigabyte, Kept: 3_200_000_000}, n.trouble()
}

// fail makes everything fail from now on; nil ends that.
func (n *fakeNode) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failed = err
}

func (n *fakeNode) trouble() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failed
}

func (n *fakeNode) Invite(context.Context, node.InviteOptions) (node.Invite, error) {
	return node.Invite{ID: "i1", Code: "preezm1-" + strings.Repeat("abcde-", 22) + "fghij", Expires: noon.Add(24 * time.Hour)}, nil
}

func (n *fakeNode) Join(_ context.Context, code string) (node.Member, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.joined = append(n.joined, code)
	if n.join != nil {
		if err := n.join(code); err != nil {
			return node.Member{}, err
		}
	}
	return node.Member{Name: "tower", Device: peers.DeviceID{9}, Words: n.words}, nil
}

func (n *fakeNode) Circle(context.Context, bool) ([]node.Member, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.members, n.failed
}

func (n *fakeNode) Put(ctx context.Context, o engine.PutOptions, progress func(engine.Progress)) (*engine.PutReport, error) {
	n.mu.Lock()
	n.puts = append(n.puts, o)
	n.mu.Unlock()
	if n.put != nil {
		return n.put(ctx, o, progress)
	}
	return &engine.PutReport{Files: int64(len(o.Sources)), Bytes: 2_500_000, Keepers: 5}, nil
}

func (n *fakeNode) Get(_ context.Context, o engine.GetOptions, _ func(engine.Progress)) (*engine.GetReport, error) {
	n.mu.Lock()
	n.gets = append(n.gets, o)
	n.mu.Unlock()
	if n.get != nil {
		return n.get(o)
	}
	return &engine.GetReport{Files: 1, Bytes: 1000}, nil
}

func (n *fakeNode) ListPages(ctx context.Context, o engine.ListOptions, page func([]engine.Entry) error) error {
	n.mu.Lock()
	n.lists++
	list, err, hold := n.listed(o), n.failed, n.listing
	n.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if len(list) > 0 {
		err = errors.Join(err, page(list))
	}
	return err
}

func (n *fakeNode) listed(o engine.ListOptions) []engine.Entry {
	var list []engine.Entry
	for _, e := range n.entries {
		dir := path.Dir(string(e.Path))
		if dir == "." {
			dir = ""
		}
		if o.Recursive || dir == string(o.Folder) {
			list = append(list, e)
		}
	}
	return list
}

func (n *fakeNode) Remove(_ context.Context, names []engine.Path) (*engine.RemoveReport, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.removed = append(n.removed, names...)
	return &engine.RemoveReport{Files: int64(len(names))}, nil
}

func (n *fakeNode) Status(context.Context, engine.StatusOptions) (*engine.Status, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.status
	return &s, n.failed
}

// family is a home with a bit of everything in it.
func family() *fakeNode {
	at := func(days int) time.Time { return noon.Add(-time.Duration(days)*24*time.Hour - 95*time.Minute) }
	file := func(p string, size int64, days, mayLose int) engine.Entry {
		return engine.Entry{Path: engine.Path(p), Kind: engine.File, Size: size, ModTime: at(days), MayLose: mayLose, Keepers: 4}
	}
	folder := func(p string, size, files int64, days, mayLose int) engine.Entry {
		return engine.Entry{Path: engine.Path(p), Kind: engine.Folder, Size: size, Files: files, ModTime: at(days), MayLose: mayLose, Keepers: 4}
	}
	n := &fakeNode{entries: []engine.Entry{
		folder("Photos", 48_200_000_000, 12_408, 2, 2),
		folder("Taxes", 84_000_000, 61, 40, 2),
		folder("New folder", 0, 0, 0, 0),
		file("Photos/Été à la mer.jpg", 4_100_000, 200, 2),
		file("Insurance contract.pdf", 1_240_000, 0, 2),
		file("Letter to the landlord.odt", 38_400, 1, 1),
		file("Wedding film.mkv", 5_300_000_000, 3, 0),
		file("Old diary with a name so long that no column of any reasonable width can show it at once.txt", 812, 900, -1),
	}}
	member := func(id byte, name string, online bool) node.Member {
		m := node.Member{Device: peers.DeviceID{id}, Name: name, Keeper: true, Asked: true, Online: online, Addresses: []string{"192.0.2.7:24930"},
			LastSeen: at(1), ForMe: 17_900_000_000, ForThem: 640_000_000, Free: 82_000_000_000}
		if online {
			m.Latency, m.LastSeen = 12*time.Millisecond, noon
		}
		return m
	}
	n.members = []node.Member{member(6, "Hallway PC", true), member(2, "Cellar NAS", true), member(3, "Bibliothèque", true), member(4, "Office", true), member(5, "Attic PC", false)}
	n.status = engine.Status{Files: 12_473, Bytes: 53_600_000_000, MayLose: 2,
		Health: []engine.HealthCount{{MayLose: 2, Files: 12_473}}}
	for _, m := range n.members {
		n.status.Keepers = append(n.status.Keepers, engine.KeeperStatus{Device: m.Device, Name: m.Name, Asked: true, Online: m.Online})
	}
	return n
}

// fakeHost gives a fakeNode.
type fakeHost struct {
	node    *fakeNode
	exists  bool
	setups  []Setup
	initErr error
	openErr error
	opened  int
	closed  bool
	lost    chan error
	owner   string
	invites []string
	help    node.Help
	words   map[string][]string // that another machine shows too
}

func (h *fakeHost) Exists() bool { return h.exists }
func (h *fakeHost) Init(_ context.Context, s Setup, show Showing, progress func(engine.Progress)) error {
	h.setups = append(h.setups, s)
	if s.Device != "" {
		show("study laptop", h.words)
	}
	progress(engine.Progress{Bytes: 1000, TotalBytes: 2000})
	return h.initErr
}

func (h *fakeHost) Unlock(_ context.Context, passphrase string) (Node, error) {
	if passphrase != "open sesame" {
		return nil, errors.New("wrong")
	}
	h.node.mu.Lock()
	defer h.node.mu.Unlock()
	h.node.key.Locked = false
	return h.node, nil
}

func (h *fakeHost) Lock(context.Context) (Node, error) {
	h.node.mu.Lock()
	defer h.node.mu.Unlock()
	h.node.key.Locked = true
	return h.node, nil
}

func (h *fakeHost) Open(context.Context) (Node, error) {
	h.opened++
	if h.openErr != nil {
		return nil, h.openErr
	}
	return h.node, nil
}
func (h *fakeHost) Lost() <-chan error { return h.lost }
func (h *fakeHost) Close() error       { h.closed = true; return nil }

// bench is a window under test. The test's goroutine is the window's thread:
// it runs the events itself, in settle, so nothing races.
type bench struct {
	*UI
	t    *testing.T
	host *fakeHost
}

func newBench(t *testing.T, host *fakeHost) *bench { return newBenchIn(t, host, "en", schemeLight) }

func newBenchIn(t *testing.T, host *fakeHost, lang string, s scheme) *bench {
	t.Helper()
	app := test.NewTempApp(t)
	prefs{app.Preferences()}.setScheme(s)
	if host.lost == nil {
		host.lost = make(chan error, 1)
	}
	u, err := New(app, host, Options{Version: "v0.1.0", Home: "/home/laptop/.config/preezm", Hostname: "study laptop",
		Locales: []string{lang}, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	u.win.Resize(fyne.NewSize(1024, 700))
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return &bench{u, t, host}
}

// newHome is a window on a home that is open and loaded.
func newHome(t *testing.T, n *fakeNode) *bench {
	t.Helper()
	b := newBench(t, &fakeHost{node: n, exists: true})
	b.enter()
	return b
}

func (b *bench) enter() {
	b.t.Helper()
	b.open(nil)
	b.settle("the files are listed", func() bool { return b.frame != nil && b.frame.files.loaded && b.health != nil && b.about.Name != "" })
}

// settle runs events until the condition holds.
func (b *bench) settle(what string, holds func() bool) {
	b.t.Helper()
	deadline := time.After(10 * time.Second)
	for !holds() {
		select {
		case event := <-b.pump.events:
			event()
		case <-deadline:
			b.t.Fatalf("never happened: %s", what)
		}
	}
}

// drop lets local files fall onto the window.
func (b *bench) drop(paths ...string) {
	var uris []fyne.URI
	for _, p := range paths {
		uris = append(uris, fileURI(p))
	}
	b.dropped(uris)
}

func fileURI(p string) fyne.URI { return storage.NewFileURI(p) }

// objects are all that can be seen, of the dialog in front if there is one.
func (b *bench) objects() []fyne.CanvasObject {
	var root fyne.CanvasObject = b.win.Content()
	if top := b.win.Canvas().Overlays().Top(); top != nil {
		root = top
	}
	var seen []fyne.CanvasObject
	for _, o := range test.LaidOutObjects(root) {
		if o.Visible() {
			seen = append(seen, o)
		}
	}
	return seen
}

// press taps the button of that name.
func (b *bench) press(name string) {
	b.t.Helper()
	for _, o := range b.objects() {
		if button, ok := o.(*widget.Button); ok && button.Text == name {
			if button.Disabled() {
				b.t.Fatalf("the button %q is disabled", name)
			}
			test.Tap(button)
			return
		}
	}
	b.t.Fatalf("there is no button %q; on screen: %q", name, b.text())
}

// text is everything that can be read.
func (b *bench) text() string {
	var all []string
	for _, o := range b.objects() {
		if t, ok := o.(*canvas.Text); ok && t.Text != "" {
			all = append(all, t.Text)
		}
	}
	return strings.Join(all, "\n")
}

// reads checks that a text is on screen; lines may be broken anywhere.
func (b *bench) reads(want string) {
	b.t.Helper()
	if !b.shows(want) {
		b.t.Errorf("not on screen: %q\non screen: %s", want, b.text())
	}
}

func (b *bench) shows(want string) bool {
	flat := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	return strings.Contains(flat(b.text()), flat(want))
}
