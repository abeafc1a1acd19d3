// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2/test"
	"github.com/makiuchi-d/gozxing"
	qrreader "github.com/makiuchi-d/gozxing/qrcode"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/peers/said"
)

func openAccess(t *testing.T, n *fakeNode) (*bench, *access) {
	t.Helper()
	b := newHome(t, n)
	b.goTo("access")
	a := b.frame.pages["access"].(*access)
	b.settle("the grants are shown", func() bool { return a.loaded && !a.asking })
	return b, a
}

func TestGrantCards(t *testing.T) {
	b, a := openAccess(t, lending())
	b.reads("2 companies can open 3 files now · 1 never opened its own · 1 ends within a week")
	b.reads("Never opened: it can still be fully withdrawn.")
	b.reads("Opened 4 times, last today 10:25 by expert: a copy may exist.")
	b.reads("No opening is known; 1 of 3 custodians has told so far.")
	b.reads("1 of 2 custodians needed knows: not certain yet.")
	b.reads("3 custodians decide, 2 must agree each time: Bibliothèque, Cellar NAS, Office.")
	b.reads("today 10:25: expert opened Insurance contract.pdf (3 custodians agreed)")
	if b.shows("claims desk 1") {
		t.Error("all openings are shown at once")
	}
	b.press("Show 1 more")
	b.reads("claims desk 1")
	if want := "g-12c4d0e7"; a.list[0].ID != want {
		t.Errorf("%s comes first, want the one that ends first", a.list[0].ID)
	}
}

// A clock is told the time when it shows another, not each second for 25 days.
func TestClocksWait(t *testing.T) {
	b, _ := openAccess(t, lending())
	in := func(left time.Duration) *clock { return newClock(b.UI, time.Time{}, noon.Add(left), "over") }
	for _, c := range []struct {
		of    clocks
		want  time.Duration
		count bool
	}{
		{nil, 0, false},
		{clocks{in(-time.Second).started()}, 0, false},
		{clocks{in(25*day + 90*time.Second)}, 30 * time.Second, true},
		{clocks{in(25*day + 90*time.Second), in(3*time.Hour + 10*time.Second), in(-time.Second).started()}, 10 * time.Second, true},
		{clocks{in(25 * day), in(59 * time.Minute)}, 0, true},
		{clocks{newClock(b.UI, noon.Add(2*time.Hour+time.Second), noon.Add(day), "over")}, time.Second, true},
	} {
		if got, ok := c.of.wait(noon); got != c.want || ok != c.count {
			t.Errorf("%v, %v; want %v, %v", got, ok, c.want, c.count)
		}
	}
}

// The countdown lives while it can be seen, and only then; at the end the card
// changes by itself.
func TestCountdownLives(t *testing.T) {
	b, a := openAccess(t, lending())
	clock := noon
	b.opt.Now = func() time.Time { return clock }
	b.reads("47 min 12 s left")
	if !b.alive.Load() {
		t.Error("the clock stands still")
	}
	clock = clock.Add(13 * time.Second)
	b.tick()
	b.reads("46 min 59 s left")
	b.goTo("files")
	if b.alive.Load() {
		t.Error("a hidden clock goes on")
	}
	b.goTo("access")
	b.hide()
	if b.alive.Load() {
		t.Error("a clock in a hidden window goes on")
	}
	b.settle("the answers are there", func() bool { return !a.asking })
	b.refresh()
	if a.asking {
		t.Error("custodians are asked for a screen that cannot be seen")
	}
	b.showWindow()
	if !a.asking {
		t.Error("the screen stays old when it is seen again")
	}
	if !b.alive.Load() {
		t.Error("the clock does not go on after it was hidden")
	}
	clock = noon.Add(47*time.Minute + 12*time.Second)
	b.tick()
	b.reads("1 company can open 2 files now")
	if b.shows("46 min") {
		t.Error("the end was missed")
	}
}

func TestWithdraw(t *testing.T) {
	n := lending()
	b, _ := openAccess(t, n)
	b.press("Withdraw")
	b.reads("Notaire Lefèvre & associés can open nothing more")
	b.reads("Never opened: it can still be fully withdrawn.")
	b.press("Cancel")
	if len(n.revoked) > 0 {
		t.Fatal("withdrawn without a yes")
	}
	b.press("Withdraw")
	b.press("Withdraw") // in the dialog
	b.settle("it is withdrawn", func() bool { return b.shows("1 company can open 2 files now") })
	if len(n.revoked) != 1 || n.revoked[0].ID != "g-12c4d0e7" {
		t.Fatalf("withdrew %+v", n.revoked)
	}
	b.reads("was until 14 Mar 2026, 12:47")
	b.press("Tell the others again")
	b.settle("enough know", func() bool { return b.shows("Never opened, and fully withdrawn.") })
	b.reads("Certain: 2 of 3 custodians know.")
}

func TestExtendShowsTheNewTicket(t *testing.T) {
	n := lending()
	b, _ := openAccess(t, n)
	b.press("Extend")
	b.press("Extend") // in the dialog
	b.settle("the ticket is shown", func() bool { return b.shows("The ticket for the company") })
	if len(n.extended) != 1 || !n.extended[0].Until.Equal(noon.Add(30*day)) {
		t.Errorf("extended %+v", n.extended)
	}
	b.press("Copy the code")
	if b.app.Clipboard().Content() != "preezm-ticket1-longer" {
		t.Error("the ticket is not copied")
	}
}

// A document with another name on this computer takes the place of the one
// that was granted.
func TestReplace(t *testing.T) {
	n := lending()
	var kept string
	n.put = func(_ context.Context, o engine.PutOptions, _ func(engine.Progress)) (*engine.PutReport, error) {
		raw, err := os.ReadFile(o.Sources[0])
		kept = string(o.Into) + "/" + filepath.Base(o.Sources[0]) + ": " + string(raw)
		return &engine.PutReport{}, err
	}
	b, a := openAccess(t, n)
	from := filepath.Join(t.TempDir(), "new.jpg")
	if err := os.WriteFile(from, []byte("corrected"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.replace("g-7f3a9b21", "Photos/Été à la mer.jpg", from)
	b.settle("the ticket is shown", func() bool { return b.shows("The ticket for the company") })
	if kept != "Photos/Été à la mer.jpg: corrected" || !slices.Equal(n.refreshed, []string{"g-7f3a9b21"}) {
		t.Errorf("kept %q, issued anew %v", kept, n.refreshed)
	}
}

func TestProofIsSaved(t *testing.T) {
	b, _ := openAccess(t, lending())
	to := filepath.Join(t.TempDir(), "proof.zip")
	b.saveTo("proof", to, func(ctx context.Context) ([]byte, error) { return b.node.Proof(ctx, "g-7f3a9b21") })
	b.settle("it is saved", func() bool { return b.shows("Saved as proof.zip.") })
	if raw, err := os.ReadFile(to); err != nil || string(raw) != "PK bundle" {
		t.Errorf("%q, %v", raw, err)
	}
}

func TestChooseCustodians(t *testing.T) {
	n := lending()
	n.custodians = n.custodians[:1]
	b, a := openAccess(t, n)
	b.press("Add custodians")
	b.settle("the machines are shown", func() bool { return b.shows("Who decides for you?") })
	b.reads("Custodian already")
	b.tickBox("Office")
	b.press("Ask them")
	b.settle("it agreed", func() bool { return len(a.custodians) == 2 })
	if len(n.asked) != 1 || n.asked[0] != n.members[3].Device.String() {
		t.Errorf("asked %v", n.asked)
	}
}

// Everything is said before anything is signed, and nothing can be signed
// before all is decided.
func TestGranting(t *testing.T) {
	n := lending()
	b, _ := openAccess(t, n)
	b.press("Grant access")
	g := b.frame.granting
	b.settle("the machines are known", func() bool { return g.draft.via != nil })
	b.reads("The company is missing.")
	g.card.SetText("preezm-brand1-nonsense")
	b.reads("This is not a complete card.")
	if !g.sign.Disabled() {
		t.Error("it can be signed with a damaged card")
	}
	g.brands.SetSelectedIndex(0)
	b.reads("The files are missing.")
	g.choose([]engine.Path{"Photos", "Insurance contract.pdf"})
	b.settle("the folder's files are known", func() bool { return len(g.draft.files) == 2 })
	for _, want := range []string{"Before you sign", "ACME Insurance", "Its key: 9f3a 11c0 2b77 45de…", "2 files · 5.3 MB", "• Photos/Été à la mer.jpg",
		"13 Apr 2026, 12:00 (30 days from now)", "As often as it likes until then", "2 of 3 custodians must agree to each opening",
		"The address of Hallway PC, and no other",
		"After this date ACME Insurance can no longer open it here. If ACME Insurance opened it before, it may have kept a copy. You will see each opening."} {
		b.reads(want)
	}
	g.opens.SetSelectedIndex(1)
	b.reads("Each file 1 time at most")
	g.period.choice.SetSelectedIndex(len(g.period.spans))
	b.reads("For how long is missing, or longer than you allow in the settings.")
	g.period.other.SetText("2 h")
	b.reads("14 Mar 2026, 14:00 (2 h from now)")
	b.tickBox("Let me send newer versions later")
	b.press("Sign and grant")
	b.settle("the ticket is shown", func() bool { return b.shows("The ticket for the company") })
	want := node.GrantOrder{Brand: "9f3a11c02b7745de8812aa", Names: []engine.Path{"Photos", "Insurance contract.pdf"}, Until: noon.Add(2 * time.Hour),
		Opens: 1, Follow: true, Via: []string{n.members[0].Device.String()}}
	if got := n.orders[0]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("ordered %+v\nwant %+v", got, want)
	}
	b.reads("it is too long for a QR code")
}

func TestNothingIsGrantedWithoutCustodians(t *testing.T) {
	n := lending()
	n.custodians = nil
	b, _ := openAccess(t, n)
	b.press("Grant access")
	b.settle("it is known", func() bool { return b.shows("First choose who decides.") })
	b.press("Choose custodians")
	b.settle("the machines are shown", func() bool { return b.shows("Who decides for you?") })
}

func TestPickFilesForAGrant(t *testing.T) {
	b, _ := openAccess(t, lending())
	b.press("Grant access")
	b.press("Choose files…")
	b.settle("the files are listed", func() bool { return b.shows("Taxes/") })
	b.reads("0 chosen")
	b.tickBox("Insurance contract.pdf")
	b.reads("1 chosen")
	b.press("Choose")
	b.settle("it is chosen", func() bool { return len(b.frame.granting.draft.files) == 1 })
}

func TestPeriods(t *testing.T) {
	for text, want := range map[string]time.Duration{"2h": 2 * time.Hour, " 10 J ": 10 * day, "45 min": 45 * time.Minute, "3w": 21 * day, "90 s": 90 * time.Second,
		"": 0, "h": 0, "-3 d": 0, "0 d": 0, "3 months": 0, "999999999999 d": 0, "5": 0} {
		if got, ok := parsePeriod(text); got != want && ok || ok != (want > 0) {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
}

func TestQRCodesRead(t *testing.T) {
	for _, text := range []string{"preezm1-abcde-fghij", strings.Repeat("preezm-brand1-é", 50)} {
		img := qrPicture(text)
		bits, err := gozxing.NewBinaryBitmapFromImage(img)
		if err != nil {
			t.Fatal(err)
		}
		got, err := qrreader.NewQRCodeReader().Decode(bits, nil)
		if err != nil || got.GetText() != text {
			t.Errorf("read %v, %v", got, err)
		}
	}
	if newQR(strings.Repeat("x", maxQR+1)) != nil {
		t.Error("a code too dense to be read")
	}
}

func openReceived(t *testing.T, n *fakeNode) (*bench, *received) {
	t.Helper()
	b := newHome(t, n)
	b.goTo("received")
	r := b.frame.pages["received"].(*received)
	b.settle("the tickets are shown", func() bool { return r.loaded })
	return b, r
}

func TestSetUpACompany(t *testing.T) {
	b, r := openReceived(t, family())
	b.reads("This home is no company’s")
	entries := b.entries()
	entries[0].SetText("ACME Insurance")
	entries[1].SetText("claims desk 2")
	b.press("Set up")
	b.settle("it is a company", func() bool { return r.brand != nil })
	b.reads("This machine: claims desk 2 · Key: 9f3a 11c0 2b77 45de…")
	b.press("Our card")
	b.press("Copy the code")
	if !strings.HasPrefix(b.app.Clipboard().Content(), "preezm-brand1-") {
		t.Error("the card is not copied")
	}
}

func TestTickets(t *testing.T) {
	n := company()
	b, r := openReceived(t, n)
	r.ticket.SetText("preezm-ticket1-bad")
	b.settle("it is refused", func() bool { return b.shows("This ticket is for another company") })
	r.ticket.SetText("preezm-ticket1-good")
	b.settle("it is kept", func() bool { return len(r.list) == 3 })
	if r.ticket.Text != "" {
		t.Error("the field is not cleared")
	}
	file := filepath.Join(t.TempDir(), "a.ticket")
	if err := os.WriteFile(file, []byte("preezm-ticket1-good2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.goTo("files")
	b.drop(file)
	b.settle("the dropped one is kept", func() bool { return len(r.list) == 4 })
	if b.frame.front != screen(r) || len(n.puts) > 0 {
		t.Error("a ticket was kept as a file")
	}

	// What is larger than any ticket is not read into memory to find out.
	if err := os.Truncate(file, maxText+1); err != nil {
		t.Fatal(err)
	}
	b.goTo("files")
	b.drop(file)
	b.settle("the large one is kept as a file", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return len(n.puts) == 1 })
}

func TestOpeningShowsWhoAgreed(t *testing.T) {
	n := company()
	step := make(chan func(func(engine.Progress)) error)
	n.open = func(ctx context.Context, o node.OpenOrder, progress func(engine.Progress)) (*node.OpenReport, error) {
		for {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case f := <-step:
				if err := f(progress); err != nil {
					return &node.OpenReport{Refused: "revoked", Signed: 2}, err
				}
			}
		}
	}
	b, r := openReceived(t, n)
	b.press("Save…")
	b.reads("A saved copy stays on this machine after the end.")
	b.press("Cancel")
	r.save("g-7f3a9b21", []string{"Insurance contract.pdf"}, "/tmp/case")
	step <- func(p func(engine.Progress)) error {
		p(engine.Progress{Stage: engine.StageAsk, Files: 2, TotalFiles: 3})
		return nil
	}
	b.settle("two agreed", func() bool { return b.shows("2 of 3 agreed · waiting for 1 more") })
	b.press("Cancel")
	b.settle("it is cancelled", func() bool { return b.shows("Cancelled.") })
	r.save("g-7f3a9b21", nil, "/tmp/case")
	step <- func(func(engine.Progress)) error { return node.ErrGrantRefused }
	b.settle("it is refused", func() bool {
		return b.shows("Refused: the owner has withdrawn the grant (2 custodians signed this).")
	})
	if o := n.opens[0]; o.Wait != 72*time.Hour || o.To != "/tmp/case" || o.Grant != "g-7f3a9b21" {
		t.Errorf("opened %+v", o)
	}
}

func TestViewer(t *testing.T) {
	var picture bytes.Buffer
	img := image.NewNRGBA(image.Rect(0, 0, 8, 6))
	img.Set(2, 2, color.White)
	if err := png.Encode(&picture, img); err != nil {
		t.Fatal(err)
	}
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		switch r.URL.Path {
		case "/t/1/letter.txt":
			fmt.Fprint(w, "Dear Sir,\r\nyours\x1b[2J")
		case "/t/2/photo.png":
			w.Write(picture.Bytes())
		case "/t/3/asleep.txt":
			w.Header().Set(node.HeaderAgreed, "1")
			w.Header().Set(node.HeaderNeeded, "3")
			w.WriteHeader(http.StatusForbidden)
		case "/t/4/gone.txt":
			w.Header().Set(node.HeaderRefused, "revoked")
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(server.Close)
	n := company()
	n.viewURL = server.URL + "/t/"
	b, _ := openReceived(t, n)
	g := &node.Received{ID: "g-1", NotAfter: noon.Add(time.Hour)}
	for _, name := range []string{"letter.txt", "photo.png", "asleep.txt", "gone.txt", "deed.pdf"} {
		g.Files = append(g.Files, node.ReceivedFile{Name: name})
	}
	show := func(i int, want string) {
		t.Helper()
		ended := len(n.ended)
		b.look(g, i)
		b.settle(want, func() bool { return b.shows(want) })
		b.press("Close")
		await(t, "the view has ended", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return len(n.ended) > ended })
	}
	show(0, "Dear Sir, yours\uFFFD[2J")
	show(2, "1 of 3 agreed · waiting for 2 more")
	show(3, "Refused: the owner has withdrawn the grant.")
	before := asked
	show(4, "Show in the browser")
	if asked != before {
		t.Error("a file that cannot be shown here was opened all the same")
	}
	f, err := shownFrom(picture.Bytes())
	if err != nil || f.picture == nil || f.picture.Bounds().Dx() != 8 {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := shownFrom([]byte{0xff, 0xfe, 0}); err == nil {
		t.Error("bytes are shown as text")
	}
}

// The view closes by itself when the grant ends.
func TestViewerClosesWithTheGrant(t *testing.T) {
	b, _ := openReceived(t, company())
	clock := noon
	b.opt.Now = func() time.Time { return clock }
	b.look(&node.Received{ID: "g-1", NotAfter: noon.Add(2 * time.Second), Files: []node.ReceivedFile{{Name: "a.txt"}}}, 0)
	b.reads("2 s left")
	b.goTo("files") // by the keyboard; no other clock is on this screen
	b.hide()
	if !b.alive.Load() {
		t.Error("the clock of the view stands still")
	}
	clock = noon.Add(2 * time.Second)
	b.tick()
	if b.win.Canvas().Overlays().Top() != nil {
		t.Error("it is still open")
	}
	if b.alive.Load() {
		t.Error("the clock goes on after the end")
	}
}

func openActivity(t *testing.T, n *fakeNode) (*bench, *activity) {
	t.Helper()
	b := newHome(t, n)
	b.readLogs()
	a := b.frame.pages["activity"].(*activity)
	b.settle("the logs are read", func() bool { return a.loaded })
	return b, a
}

func TestActivity(t *testing.T) {
	b, a := openActivity(t, lending())
	if got := b.frame.items["activity"].unread; got != 4 {
		t.Errorf("%d unread, want 4", got)
	}
	b.goTo("activity")
	b.settle("all is read", func() bool { return b.frame.items["activity"].unread == 0 })
	for _, want := range []string{"10 events, the newest first", "ACME Insurance opened Insurance contract.pdf (expert)",
		"Notaire Lefèvre & associés asked for Taxes/2025.pdf (étude); 1 custodian said yes, too few",
		"Garage du Centre was refused Letter to the landlord.odt: the owner has withdrawn the grant",
		"Withdrawal from Garage du Centre: 1 custodian knows", "2 custodians forgot the keys of a past day"} {
		b.reads(want)
	}
	if !slices.IsSortedFunc(a.shown, func(x, y happening) int { return y.At.Compare(x.At) }) {
		t.Error("not sorted by time")
	}
	a.of = kindOpened
	a.filter()
	if len(a.shown) != 3 {
		t.Errorf("%d openings", len(a.shown))
	}
	a.query = "CLAIMS ete"
	a.filter()
	if len(a.shown) != 1 || !strings.Contains(a.shown[0].Text, "Été à la mer.jpg") {
		t.Errorf("found %+v", a.shown)
	}
	a.query = "nobody"
	a.filter()
	b.reads("Nothing like that happened.")
}

// What the page of grants shows of an opening is in the activity at once, and so
// is its notice, not with the next look at the logs.
func TestAnOpeningIsToldOfWhenItIsSeen(t *testing.T) {
	n := lending()
	b, a := openActivity(t, n)
	before := len(a.all)
	b.goTo("access")
	g := b.frame.pages["access"].(*access)
	b.settle("the grants are shown", func() bool { return g.loaded })
	n.mu.Lock()
	seen := n.granted[0]
	seen.Openings = append(slices.Clone(seen.Openings), grants.Opening{At: noon})
	n.granted[0] = seen
	for i, who := range []string{"Cellar NAS", "Office"} {
		n.lines = append(n.lines, grants.Line{Custodian: who, Seq: uint64(90 + i), At: noon, Kind: "release", Grant: seen.ID, Path: "new.pdf", Request: "r9"})
	}
	n.mu.Unlock()
	b.refresh()
	b.settle("it is in the activity", func() bool { return len(a.all) == before+1 })
}

func TestVerifyNamesTheFirstBadEntry(t *testing.T) {
	n := lending()
	b, _ := openActivity(t, n)
	b.goTo("activity")
	b.press("Verify")
	b.settle("it is good", func() bool { return b.shows("Good: 3 logs, 23 entries in unbroken chains.") })
	n.mu.Lock()
	n.checked[2] = grants.Checked{Custodian: "Office", Entries: 13, Why: said.As("of-later", "entry 11 was changed")}
	n.mu.Unlock()
	b.press("Verify")
	b.settle("it is bad", func() bool {
		return b.shows("The log of Office is not what it told before: entry 11 was changed")
	})
}

func TestExport(t *testing.T) {
	_, a := openActivity(t, lending())
	a.shown[0].Brand = "=cmd|' /C calc'!A0"
	raw, err := exportCSV(a.shown)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil || len(rows) != 11 || rows[1][4] != "'=cmd|' /C calc'!A0" {
		t.Errorf("%v, %v", rows, err)
	}
	raw, err = exportJSON(a.shown)
	if err != nil {
		t.Fatal(err)
	}
	var back []happening
	if err := json.Unmarshal(raw, &back); err != nil || len(back) != 10 || back[3].Kind != "grant" {
		t.Errorf("%v, %v", back, err)
	}
	if raw, err := exportJSON(nil); err != nil || string(raw) != "[]\n" {
		t.Errorf("%q, %v", raw, err)
	}
}

func TestNotices(t *testing.T) {
	n := lending()
	n.granted[0].NotAfter = noon.Add(5 * time.Hour)
	b, a := openActivity(t, n)
	b.prefs.store.SetStringList("told", nil)
	b.prefs.store.SetInt("announced:"+b.opt.Home, int(noon.Add(-27*time.Hour).Unix()))
	test.AssertNotificationSent(t, nil, func() {
		b.prefs.want(noticeOpened, false)
		b.prefs.want(noticeEnding, false)
		b.announce(a.all, a.grants)
	})
	b.prefs.want(noticeOpened, true)
	b.prefs.store.SetInt("announced:"+b.opt.Home, int(noon.Add(-27*time.Hour).Unix()))
	notified(t, "ACME Insurance opened Insurance contract.pdf (expert), and 1 more opening", func() { b.announce(a.all, a.grants) })
	test.AssertNotificationSent(t, nil, func() { b.announce(a.all, a.grants) })
	b.prefs.want(noticeEnding, true)
	b.prefs.store.SetStringList("told", nil)
	notified(t, "The access of ACME Insurance ends in 5 h 0 min.", func() { b.announce(a.all, a.grants) })
	test.AssertNotificationSent(t, nil, func() { b.announce(a.all, a.grants) })
}
