// SPDX-License-Identifier: MPL-2.0

package recovery_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/internal/tree"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/identity"
)

const testTime = 8 * time.Minute

// program is the one under test: $PREEZM_BIN, else built once.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(e2e.Main(&program, testing.Short(), m.Run))
}

// world is an owner who only runs commands, and keepers that serve.
type world struct {
	*testing.T
	ctx   context.Context
	fleet *e2e.Fleet
	dir   string
	words string // a file
	src   string
}

func newWorld(t *testing.T, keepers int) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("starts many processes")
	}
	t.Setenv("PREEZM_KEYCHAIN", "off")
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	t.Cleanup(cancel)
	w := &world{T: t, ctx: ctx, dir: t.TempDir()}
	var err error
	w.fleet, err = e2e.NewFleet(ctx, e2e.FleetOptions{Binary: program, Dir: w.dir, Keepers: keepers})
	w.must(err)
	t.Cleanup(func() {
		if err := w.fleet.Close(); err != nil {
			t.Error(err)
		}
	})
	w.words = filepath.Join(w.dir, "words.txt")
	w.must(os.WriteFile(w.words, []byte(w.wordsOf(w.fleet.Owner)), 0o600))
	w.src = filepath.Join(w.dir, "src")
	for i := range 40 {
		w.write(fmt.Sprintf("letters/%02d.txt", i), []byte(strings.Repeat(fmt.Sprint("letter ", i, "\n"), i*50)))
	}
	photo := make([]byte, 9_000_000)
	rand.Read(photo)
	w.write("photos/big.jpg", photo)
	w.write("empty", nil)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// wordsOf are those of a home's owner.
func (w *world) wordsOf(h *e2e.Home) string {
	w.Helper()
	words, err := e2e.Words(h.Dir)
	w.must(err)
	return words
}

func (w *world) write(name string, b []byte) {
	w.Helper()
	path := filepath.Join(w.src, name)
	w.must(os.MkdirAll(filepath.Dir(path), 0o755))
	w.must(os.WriteFile(path, b, 0o644))
}

// destroy takes the owner's home away.
func (w *world) destroy() {
	w.Helper()
	w.must(os.RemoveAll(w.fleet.Owner.Dir))
}

func (w *world) fresh(name string) *e2e.Home {
	return &e2e.Home{Binary: program, Dir: filepath.Join(w.dir, name)}
}

func (w *world) recoverArgs(from *e2e.Home) []string {
	return []string{"recover", "--words-file", w.words, "--from", from.About().Addresses[0], "--listen", e2e.Loopback(), "--no-discovery"}
}

// same brings everything back and compares it with the source.
func (w *world) same(h *e2e.Home) {
	w.Helper()
	to := filepath.Join(w.T.TempDir(), "back")
	w.must(h.Must(w.ctx, nil, "get", "/", "--to", to))
	want, err := tree.Scan(w.ctx, w.src)
	w.must(err)
	_, err = want.Compare(w.ctx, filepath.Join(to, "src"))
	w.must(err)
}

func TestAnyKeeperBringsItBack(t *testing.T) {
	w := newWorld(t, 5)
	w.must(w.fleet.Owner.Must(w.ctx, nil, "put", w.src))
	// One keeper misses the newer copy, and is asked first later.
	w.must(w.fleet.Keepers[2].Kill())
	w.write("letters/later.txt", []byte("one more"))
	w.must(w.fleet.Owner.Must(w.ctx, nil, "put", w.src))
	w.must(w.fleet.Keepers[2].Start(w.ctx))
	w.destroy()
	{
		h := w.fresh("old-copy")
		r, err := h.Run(w.ctx, append(w.recoverArgs(w.fleet.Keepers[2]), "--json")...)
		w.must(err)
		if r.Code != 0 || !bytes.Contains(r.Stderr, []byte("keeper3 shows an older copy")) {
			t.Errorf("exit %d: %s", r.Code, r.Stderr)
		}
		w.same(h)
	}
	// Two are away, and each of the others is asked first once.
	w.must(w.fleet.Keepers[0].Kill())
	w.must(w.fleet.Keepers[3].Kill())
	for _, i := range []int{1, 2, 4} {
		h := w.fresh(fmt.Sprint("new", i))
		var r node.Recovered
		w.must(h.Must(w.ctx, &r, w.recoverArgs(w.fleet.Keepers[i])...))
		if r.Files != 43 || r.Of != 5 || r.Keepers != 3 {
			t.Errorf("through keeper %d: %+v", i+1, r)
		}
		w.same(h)
	}
	// The new machine is the owner: it keeps, removes, and the others come to
	// know it when they are back.
	h := w.fresh("new4")
	w.must(w.fleet.Keepers[0].Start(w.ctx))
	w.must(w.fleet.Keepers[3].Start(w.ctx))
	w.write("letters/last.txt", []byte("from the new machine"))
	w.must(h.Must(w.ctx, nil, "put", w.src))
	var st engine.Status
	w.must(h.Must(w.ctx, &st, "status"))
	for _, k := range st.Keepers {
		if !k.Online {
			t.Errorf("%s does not let the new machine in: %s", k.Name, k.Text)
		}
	}
	w.same(h)
	w.must(h.Must(w.ctx, nil, "rm", "--now", "src/photos"))
}

// Grants come back too: listed, known to the custodians, and withdrawn from the
// new machine.
func TestGrantsComeBack(t *testing.T) {
	w := newWorld(t, 4)
	owner := w.fleet.Owner
	w.must(owner.Must(w.ctx, nil, "put", w.src))
	for i := range 3 {
		w.must(owner.Must(w.ctx, nil, "custodians", "add", fmt.Sprintf("keeper%d", i+1)))
	}
	brand := w.fresh("brand")
	w.must(brand.Init(w.ctx, "desk", ""))
	var card node.BrandInfo
	w.must(brand.Must(w.ctx, &card, "brand", "init", "--name", "ACME", "--label", "desk 1"))
	var own node.BrandInfo // the owner has a company too, which must not be lost
	w.must(owner.Must(w.ctx, &own, "brand", "init", "--name", "Bakery"))
	var granted node.Granted
	w.must(owner.Must(w.ctx, &granted, "grant", card.Card, "src/letters/03.txt", "--for", "48h", "--purpose", "a test", "--via", "keeper4"))
	w.must(brand.Must(w.ctx, nil, "grants", "received", granted.Ticket))
	w.destroy()

	h := w.fresh("new")
	var back node.Recovered
	w.must(h.Must(w.ctx, &back, w.recoverArgs(w.fleet.Keepers[0])...))
	var office node.BrandInfo
	w.must(h.Must(w.ctx, &office, "brand", "card"))
	if back.Brand == nil || office.Key != own.Key || !office.Office {
		t.Errorf("the company: %+v, %+v; was %s", back.Brand, office, own.Key)
	}
	var list node.GrantList
	w.must(h.Must(w.ctx, &list, "grants"))
	if len(list.Grants) != 1 || list.Grants[0].ID != granted.ID {
		t.Fatalf("grants: %+v", list)
	}
	var cs []node.Custodian
	w.must(h.Must(w.ctx, &cs, "custodians"))
	if len(cs) != 3 {
		t.Errorf("custodians: %+v", cs)
	}
	open := func() e2e.Result {
		r, err := brand.Run(w.ctx, "open", granted.ID, "--to", w.TempDir())
		w.must(err)
		return r
	}
	if r := open(); r.Code != 0 {
		t.Errorf("before it is withdrawn: %s", r.Stderr)
	}
	w.must(h.Must(w.ctx, nil, "revoke", granted.ID))
	if r := open(); r.Code == 0 {
		t.Error("it opens after it was withdrawn on the new machine")
	}
}

func TestWrongWordsAndStrangers(t *testing.T) {
	w := newWorld(t, 2)
	w.must(w.fleet.Owner.Must(w.ctx, nil, "put", w.src))
	words := strings.Fields(w.wordsOf(w.fleet.Owner))
	w.destroy()
	run := func(words []string, want string) {
		t.Helper()
		w.must(os.WriteFile(w.words, []byte(strings.Join(words, " ")), 0o600))
		r, err := w.fresh("wrong").Run(w.ctx, w.recoverArgs(w.fleet.Keepers[0])...)
		w.must(err)
		if r.Code != 1 || !bytes.Contains(r.Stderr, []byte(want)) {
			t.Errorf("exit %d, %s; want %q", r.Code, r.Stderr, want)
		}
		if bytes.Contains(r.Stdout, []byte(words[3])) || bytes.Contains(r.Stderr, []byte(words[3])) {
			t.Error("it printed a word")
		}
	}
	typo := append([]string{}, words...)
	typo[6] = "zzzz"
	run(typo, "word 7")
	run(words[:23], "23 words")
	var other [32]byte
	rand.Read(other[:])
	foreign, err := identity.WordsOf(other, identity.English)
	w.must(err)
	run(foreign, "does not know you")
}

// Killed at any moment, the same command goes on.
func TestKilledAndRepeated(t *testing.T) {
	w := newWorld(t, 3)
	w.must(w.fleet.Owner.Must(w.ctx, nil, "put", w.src))
	w.destroy()
	h := w.fresh("new")
	wait := 5 * time.Millisecond
	killed := 0
	for ; ; wait += 15 * time.Millisecond {
		cmd := h.Command(w.ctx, w.recoverArgs(w.fleet.Keepers[killed%3])...)
		w.must(cmd.Start())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			w.must(err)
		case <-time.After(wait):
			w.must(cmd.Process.Kill())
			<-ended
			killed++
			if _, err := os.Stat(filepath.Join(h.Dir, "home.json")); err != nil {
				continue
			}
		}
		break
	}
	t.Logf("killed %d times", killed)
	if killed < 3 {
		t.Error("it was too fast to be killed")
	}
	w.same(h)
}
