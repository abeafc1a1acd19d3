// SPDX-License-Identifier: MPL-2.0

//go:build linux

package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
)

// window gives the program with its window and with the probe in it.
func window(t *testing.T, ctx context.Context) string {
	t.Helper()
	if file := os.Getenv("PREEZM_WINDOW"); file != "" {
		return file
	}
	out := filepath.Join(t.TempDir(), "preezm")
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "probe", "-o", out, "github.com/preezm/preezm/app/preezm")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the window: %v: %s", err, text)
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestStory is what people do, with the mouse and the keyboard: a first run, a
// folder dropped in, custodians, a machine that is lost, a grant that a company
// opens in a window of its own until it expires, and one that is withdrawn.
func TestStory(t *testing.T) {
	if testing.Short() {
		t.Skip("opens windows")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	binary := window(t, ctx)
	dir := t.TempDir()
	begin := time.Now()
	step := func(what string) { t.Logf("%5.1f s  %s", time.Since(begin).Seconds(), what) }

	owner := newScreen(t, ctx, "owner", filepath.Join(dir, "owner"))
	bus := newBus(t)
	if bus != nil {
		owner.env = append(owner.env, "DBUS_SESSION_BUS_ADDRESS="+bus.address)
	}
	home := &e2e.Home{Binary: binary, Dir: owner.home, Env: owner.env}
	step(fmt.Sprintf("first window after %v", owner.open(binary).Round(10*time.Millisecond)))

	// First run.
	owner.firstRun("study laptop")
	owner.reads("No machine keeps for you yet.")
	step("first run")

	// Three machines join.
	var keepers []*e2e.Home
	for _, name := range []string{"cellar nas", "office", "attic pc"} {
		k := &e2e.Home{Binary: binary, Dir: filepath.Join(dir, strings.ReplaceAll(name, " ", "-")), Env: owner.env}
		// On all addresses: a home that listens on loopback only is of no use
		// to a window, which does not.
		must(t, k.Must(ctx, nil, "init", "--name", name, "--offer", "2G", "--listen", "0.0.0.0:0"))
		must(t, k.Start(ctx))
		t.Cleanup(func() { k.Kill() })
		must(t, e2e.Pair(ctx, home, k))
		keepers = append(keepers, k)
	}
	owner.key("ctrl+2")
	owner.reads("attic pc")
	owner.press("Invite someone")
	owner.reads("preezm1-")
	owner.press("Close")
	step("three machines joined")

	// A folder is dropped in.
	folder := filepath.Join(dir, "Papers")
	must(t, os.Mkdir(folder, 0o700))
	must(t, os.WriteFile(filepath.Join(folder, "letter.txt"), []byte("Dear insurance, the roof is gone."), 0o600))
	must(t, os.WriteFile(filepath.Join(folder, "contract.txt"), []byte("We insure the roof."), 0o600))
	owner.drop(folder)
	owner.reads("2 files kept")
	owner.reads("Everything is safe")
	step("folder kept")

	// Custodians.
	owner.key("ctrl+3")
	owner.press("Choose custodians")
	for _, name := range []string{"cellar nas", "office", "attic pc"} {
		owner.tick(name)
	}
	owner.press("Ask them")
	owner.reads("3 custodians decide, 2 must agree each time")
	step("custodians appointed")

	// A company, in a window of its own.
	brand := newScreen(t, ctx, "brand", filepath.Join(dir, "brand"))
	brand.open(binary)
	brand.firstRun("claims desk 2")
	brand.key("ctrl+4")
	brand.fill("e.g. ACME Insurance", "ACME Insurance")
	brand.press("Set up")
	brand.reads("This machine: claims desk 2")
	var info node.BrandInfo
	company := &e2e.Home{Binary: binary, Dir: brand.home, Env: brand.env}
	must(t, company.Must(ctx, &info, "brand", "card"))
	card := filepath.Join(dir, "acme.card")
	must(t, os.WriteFile(card, []byte(info.Card), 0o600))
	step("a company is set up")

	// A machine is lost.
	must(t, keepers[2].Kill())
	owner.key("ctrl+1")
	owner.reads("2 of 3 machines online")
	step("a machine is lost")

	// A grant: the card is dropped onto the window.
	owner.drop(card)
	owner.reads("Its key: ")
	owner.press("Choose files…")
	owner.tick("letter.txt")
	owner.press("Choose")
	owner.reads("• Papers/letter.txt")
	owner.click("select", "30 days")
	owner.clickLast("text", "Other…")
	typed := time.Now() // what is signed is the moment that the page shows
	owner.fill("e.g. 2 h, 10 d", "45 s")
	owner.reads("After this date ACME Insurance can no longer open it here.")
	owner.press("Sign and grant")
	owner.reads("The ticket for the company")
	owner.press("Close")
	owner.reads("ACME Insurance")
	step("granted for 45 s")

	// The company opens it.
	ticket := filepath.Join(dir, "lease.ticket")
	brand.drop(newestTicket(t, ctx, home, ticket))
	brand.press("View")
	brand.reads("Dear insurance, the roof is gone.")
	brand.press("Close")
	step("opened by the company")
	owner.reads("Opened 1 time")
	step("the owner sees the opening")
	if bus != nil {
		const notice = "Preezm: ACME Insurance opened Papers/letter.txt"
		owner.until("the owner is told of it", func() bool { return bus.told(notice) })
		step("and is told of it by a notice")
	}

	// It expires.
	brand.reads("Ended")
	if early := time.Until(typed.Add(44 * time.Second)); early > 0 { // it ends on a full second
		t.Errorf("it ended %v too early", early)
	}
	owner.reads("No company can open anything now.")
	step("expired in both windows")

	// One that is withdrawn.
	must(t, home.Must(ctx, nil, "grant", "ACME Insurance", "Papers/contract.txt", "--for", "1h"))
	brand.drop(newestTicket(t, ctx, home, filepath.Join(dir, "second.ticket")))
	brand.reads("contract.txt")
	owner.key("ctrl+1")
	owner.key("ctrl+3")
	owner.press("Withdraw")
	owner.reads("can open nothing more under this grant")
	owner.clickLast("button", "Withdraw")
	owner.reads("Certain: 2 of 3 custodians know.")
	step("withdrawn")
	brand.click("button", "View")
	brand.reads("the owner has withdrawn the grant")
	brand.press("Close")
	step("the company is refused")

	// The company asks, and gets what it asked for.
	asked := filepath.Join(dir, "acme.request")
	must(t, company.Must(ctx, nil, "brand", "request", "--wants", "the contract", "--purpose", "settle the claim", "--basis", "contract",
		"--retention", "5 years", "--contact", "privacy@acme.example", "--for", "2h", "-o", asked))
	owner.drop(asked)
	owner.reads("ACME Insurance asks you for files")
	owner.press("Answer…")
	owner.reads("What for 1: settle the claim")
	owner.press("Choose files…")
	owner.tick("contract.txt")
	owner.press("Choose")
	owner.reads("• Papers/contract.txt")
	owner.press("Sign and grant")
	owner.reads("Given to ACME Insurance")
	owner.press("Close")
	step("a request is answered")

	// What is done about the machine that is lost, and what the others prove.
	owner.key("ctrl+6")
	owner.reads("Wait for a machine")
	owner.press("Check now")
	owner.reads("pieces: all good.")
	step("the machines are checked")

	// It is all written down.
	owner.key("ctrl+5")
	owner.reads("ACME Insurance opened Papers/letter.txt (claims desk 2)")
	owner.reads("ACME Insurance was refused Papers/contract.txt: the owner has withdrawn the grant")
	owner.press("Verify")
	owner.reads("in unbroken chains.")
	step("activity verified")
	owner.picture()
	brand.picture()
	for _, s := range []*screen{owner, brand} {
		if strings.Contains(s.log.String(), "Error in Fyne call thread") {
			t.Errorf("%s: another thread reached into the window:\n%s", s.name, s.log.String())
		}
	}
}

// firstRun goes through the first screens: a new circle, and the 24 words, of
// which three are typed back.
func (s *screen) firstRun(name string) {
	s.t.Helper()
	s.press("Start a new circle")
	s.reads("What is this machine called?")
	all, err := s.look()
	must(s.t, err)
	for _, o := range all {
		if o.Kind == "entry" && o.H > 12 {
			s.write(o, name)
			break
		}
	}
	s.press("Start")
	s.reads("Write them down on paper")
	words := s.words()
	s.press("I wrote them down")
	s.reads("Three of your words")
	all, err = s.look()
	must(s.t, err)
	var places []int
	for _, o := range all {
		var at int
		if n, err := fmt.Sscanf(o.Text, "Word %d", &at); n == 1 && err == nil && o.Kind == "label" && !slices.Contains(places, at) {
			places = append(places, at)
		}
	}
	i := 0
	for _, o := range all {
		if o.Kind == "entry" && i < len(places) {
			s.write(o, words[places[i]])
			i++
		}
	}
	s.press("Check")
	s.find("nav", "Activity", false)
}

// words reads the 24 words from the screen, by number, once they stand where
// they belong.
func (s *screen) words() map[int]string {
	s.t.Helper()
	var words map[int]string
	s.until("24 words", func() bool {
		all, err := s.look()
		if err != nil {
			return false
		}
		words = wordsIn(all)
		again, err := s.look()
		return err == nil && len(words) == 24 && maps.Equal(words, wordsIn(again))
	})
	return words
}

func wordsIn(all []seen) map[int]string {
	words := map[int]string{}
	for i := range all {
		at, err := strconv.Atoi(all[i].Text)
		if err != nil || at < 1 || at > 24 {
			continue
		}
		// The word of a number stands right of it, on the same line.
		best := -1
		for j, o := range all {
			if _, err := strconv.Atoi(o.Text); err == nil || o.Kind != "text" || o.X < all[i].X || max(o.Y-all[i].Y, all[i].Y-o.Y) > 12 || strings.Contains(o.Text, " ") {
				continue
			}
			if best < 0 || o.X < all[best].X {
				best = j
			}
		}
		// Before all is laid out, everything is in one place.
		if best >= 0 && all[best].X > all[i].X {
			words[at] = all[best].Text
		}
	}
	return words
}

// newestTicket writes the ticket of the newest grant to a file.
func newestTicket(t *testing.T, ctx context.Context, owner *e2e.Home, file string) string {
	t.Helper()
	var list node.GrantList
	must(t, owner.Must(ctx, &list, "grants"))
	if len(list.Grants) == 0 {
		t.Fatal("no grant was made")
	}
	must(t, os.WriteFile(file, []byte(list.Grants[0].Ticket), 0o600))
	return file
}
