// SPDX-License-Identifier: MPL-2.0

package grants_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/brand"
	owners "github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/transport"
	"github.com/preezm/preezm/peers/vault"
	"github.com/preezm/preezm/peers/vault/vaulttest"
)

const (
	keepers  = 5
	testTime = 6 * time.Minute
)

// world is everybody, with real processes for all but the owner and the brand,
// who only run commands: the owner is offline whenever a brand opens.
type world struct {
	*testing.T
	ctx    context.Context
	fleet  *e2e.Fleet
	brand  *e2e.Home
	dir    string
	photo  []byte
	letter []byte
}

func newWorld(t *testing.T) *world {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	t.Cleanup(cancel)
	w := &world{T: t, ctx: ctx, dir: t.TempDir(), photo: make([]byte, 5_000_000), letter: []byte("a short letter\n")}
	var err error
	w.fleet, err = e2e.NewFleet(ctx, e2e.FleetOptions{Binary: program, Dir: w.dir, Keepers: keepers})
	w.must(err)
	t.Cleanup(func() {
		if err := w.fleet.Close(); err != nil {
			t.Error(err)
		}
	})
	rand.Read(w.photo)
	src := filepath.Join(w.dir, "papers")
	w.must(os.Mkdir(src, 0o700))
	w.must(os.WriteFile(filepath.Join(src, "photo.bin"), w.photo, 0o600))
	w.must(os.WriteFile(filepath.Join(src, "letter.txt"), w.letter, 0o600))
	w.must(w.fleet.Owner.Must(ctx, nil, "put", src))
	w.must(w.fleet.Owner.Must(ctx, nil, "custodians", "add", "keeper1", "keeper2", "keeper3", "keeper4", "keeper5"))
	w.brand = w.newBrand("acme", "ACME")
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) newBrand(dir, name string) *e2e.Home {
	w.Helper()
	h := &e2e.Home{Binary: w.fleet.Owner.Binary, Dir: filepath.Join(w.dir, dir)}
	w.must(h.Init(w.ctx, dir, ""))
	w.must(h.Must(w.ctx, nil, "brand", "init", "--name", name, "--label", "claims desk 2"))
	return h
}

// grant makes a grant to the brand.
func (w *world) grant(args ...string) *node.Granted {
	w.Helper()
	var info node.BrandInfo
	w.must(w.brand.Must(w.ctx, &info, "brand", "card"))
	var g node.Granted
	w.must(w.fleet.Owner.Must(w.ctx, &g, append([]string{"grant", info.Card}, args...)...))
	return &g
}

// open opens everything under a ticket and gives what the command left.
func (w *world) open(ticket string, args ...string) (e2e.Result, string) {
	w.Helper()
	to := filepath.Join(w.TempDir(), "opened")
	r, err := w.brand.Run(w.ctx, append([]string{"open", ticket, "--to", to}, args...)...)
	w.must(err)
	return r, to
}

func (w *world) opens(ticket string) {
	w.Helper()
	r, to := w.open(ticket)
	if r.Code != 0 {
		w.Fatalf("open: exit status %d: %s", r.Code, r.Stderr)
	}
	for name, want := range map[string][]byte{"photo.bin": w.photo, "letter.txt": w.letter} {
		got, err := os.ReadFile(filepath.Join(to, name))
		w.must(err)
		if !bytes.Equal(got, want) {
			w.Fatalf("%s is not what the owner kept", name)
		}
	}
}

func (w *world) refused(ticket, why string) {
	w.Helper()
	r, to := w.open(ticket)
	if r.Code != 1 || !strings.Contains(string(r.Stderr), why) {
		w.Fatalf("exit status %d, %q; want a refusal with %q", r.Code, r.Stderr, why)
	}
	left, err := os.ReadDir(to)
	if err != nil && !os.IsNotExist(err) || len(left) > 0 {
		w.Fatalf("%d files are there after a refusal (%v)", len(left), err)
	}
}

// info is a grant as its owner sees it.
func (w *world) info(id string) owners.Info {
	w.Helper()
	var l node.GrantList
	w.must(w.fleet.Owner.Must(w.ctx, &l, "grants"))
	for _, g := range l.Grants {
		if g.ID == id {
			return g
		}
	}
	w.Fatalf("the owner does not list %s", id)
	return owners.Info{}
}

func TestGrants(t *testing.T) {
	w := newWorld(t)
	g := w.grant("papers", "--for", "1h", "--via", "keeper1")
	if in := w.info(g.ID); in.State != owners.Open || len(in.Openings) != 0 || in.Need != 3 || in.Custodians != 5 {
		t.Fatalf("a new grant is %+v", in)
	}

	t.Run("Opens", func(t *testing.T) {
		w.opens(g.Ticket)
		in := w.info(g.ID)
		if len(in.Openings) != 2 {
			t.Fatalf("the owner sees %d openings, want 2", len(in.Openings))
		}
		for _, o := range in.Openings {
			if !o.Enough || o.Device != "claims desk 2" || o.Who != "ACME / claims desk 2" {
				t.Errorf("the owner sees %+v", o)
			}
		}
	})

	t.Run("AnotherBrandGetsNothing", func(t *testing.T) {
		thief := w.newBrand("thief", "ACME")
		r, err := thief.Run(w.ctx, "open", g.Ticket, "--to", filepath.Join(t.TempDir(), "x"))
		w.must(err)
		if r.Code != 1 || !strings.Contains(string(r.Stderr), "is for another brand") {
			t.Fatalf("exit status %d: %s", r.Code, r.Stderr)
		}
	})

	t.Run("Ends", func(t *testing.T) {
		w.briefly(func(short *node.Granted) bool {
			if r, _ := w.open(short.Ticket); r.Code != 0 && w.over(short) {
				return false
			} else if r.Code != 0 {
				t.Fatalf("before the end: exit status %d: %s", r.Code, r.Stderr)
			}
			waitUntil(t, short.NotAfter)
			w.refused(short.Ticket, "the grant has ended")
			in := w.info(short.ID)
			if in.State != owners.Ended || len(in.Openings) != 1 || in.Refusals < 3 {
				t.Fatalf("the owner sees %s, %d openings, %d refusals", in.State, len(in.Openings), in.Refusals)
			}
			return true
		}, "papers/letter.txt")
	})

	t.Run("BeginsLater", func(t *testing.T) {
		later := w.grant("papers/letter.txt", "--for", "1h", "--from", time.Now().Add(time.Hour).Format(time.RFC3339))
		w.refused(later.Ticket, "has not begun")
	})

	t.Run("Once", func(t *testing.T) {
		once := w.grant("papers/letter.txt", "--for", "1h", "--opens", "1")
		if r, _ := w.open(once.Ticket); r.Code != 0 {
			t.Fatalf("the first time: exit status %d: %s", r.Code, r.Stderr)
		}
		w.refused(once.Ticket, "as often as the owner allowed")
	})

	t.Run("GoesOn", func(t *testing.T) {
		var more node.Granted
		w.must(w.fleet.Owner.Must(w.ctx, &more, "extend", g.ID, "--for", "2h"))
		if !more.NotAfter.After(g.NotAfter) || more.ID == g.ID {
			t.Fatalf("%s until %v became %s until %v", g.ID, g.NotAfter, more.ID, more.NotAfter)
		}
		w.opens(more.Ticket)
	})

	t.Run("Follows", func(t *testing.T) {
		old := w.grant("papers/letter.txt", "--for", "1h", "--follow")
		r, err := w.fleet.Owner.Run(w.ctx, "refresh", old.ID)
		w.must(err)
		if r.Code != 1 || !strings.Contains(string(r.Stderr), "present versions already") {
			t.Errorf("nothing changed: exit status %d: %s", r.Code, r.Stderr)
		}
		corrected := []byte("a corrected letter\n")
		w.must(os.WriteFile(filepath.Join(w.dir, "papers", "letter.txt"), corrected, 0o600))
		w.must(w.fleet.Owner.Must(w.ctx, nil, "put", filepath.Join(w.dir, "papers")))
		var next node.Granted
		w.must(w.fleet.Owner.Must(w.ctx, &next, "refresh", old.ID))
		w.refused(old.Ticket, "newer ticket")
		r, to := w.open(next.Ticket)
		if r.Code != 0 {
			t.Fatalf("exit status %d: %s", r.Code, r.Stderr)
		}
		if got, err := os.ReadFile(filepath.Join(to, "letter.txt")); err != nil || !bytes.Equal(got, corrected) {
			t.Errorf("opened %q, %v", got, err)
		}
		// A grant that does not follow still opens what it was made for.
		w.opens(g.Ticket)
		if r, err = w.fleet.Owner.Run(w.ctx, "refresh", g.ID); err != nil || r.Code != 1 {
			t.Errorf("a pinned grant: exit status %d (%v)", r.Code, err)
		}
	})

	t.Run("WithTwoDown", func(t *testing.T) {
		w.must(w.fleet.Keepers[3].Kill())
		w.must(w.fleet.Keepers[4].Kill())
		w.opens(g.Ticket)
		var in owners.Info
		w.must(w.fleet.Owner.Must(w.ctx, &in, "revoke", g.ID, "--reason", "no longer needed"))
		if in.State != owners.Revoked || in.Told != 3 || in.Quorum != 3 {
			t.Fatalf("after the withdrawal: %s, %d know, %d must", in.State, in.Told, in.Quorum)
		}
		w.refused(g.Ticket, "withdrawn")
	})

	t.Run("Ledger", func(t *testing.T) {
		var l node.LedgerView
		w.must(w.fleet.Owner.Must(w.ctx, &l, "ledger", "--grant", g.ID))
		kinds := map[string]int{}
		for _, e := range l.Entries {
			kinds[e.Kind]++
		}
		// Two files opened by at least three, twice; three know of the end.
		if kinds["release"] < 12 || kinds["revoke"] != 3 || kinds["refuse"] < 3 {
			t.Errorf("the ledger tells of %v", kinds)
		}
		var checked []owners.Checked
		w.must(w.fleet.Owner.Must(w.ctx, &checked, "verify-ledger"))
		if len(checked) != keepers {
			t.Fatalf("%d logs were checked", len(checked))
		}
	})

	t.Run("Proof", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "lease.zip")
		w.must(w.fleet.Owner.Must(w.ctx, nil, "proof", g.ID, "-o", path))
		// Whoever checks it has nothing but the file.
		stranger := &e2e.Home{Binary: w.fleet.Owner.Binary, Dir: filepath.Join(t.TempDir(), "none")}
		var r struct {
			Openings []struct{ Enough bool }
			Refusals int
			Revoked  *time.Time
			Logs     int
		}
		w.must(stranger.Must(w.ctx, &r, "verify", path))
		if len(r.Openings) != 6 || r.Refusals < 3 || r.Revoked == nil || r.Logs != keepers {
			t.Errorf("the proof says %+v", r)
		}
		raw, err := os.ReadFile(path)
		w.must(err)
		for i := 0; i < 12; i++ {
			bad := bytes.Clone(raw)
			bad[len(bad)*i/12] ^= 1
			w.must(os.WriteFile(path, bad, 0o600))
			if r, err := stranger.Run(w.ctx, "verify", path); err != nil || r.Code != 1 {
				t.Errorf("byte %d changed: exit status %d (%v)", len(bad)*i/12, r.Code, err)
			}
		}
	})
}

// TestLettersWait: with too few custodians awake an opening waits, and goes on
// when one of them wakes.
func TestLettersWait(t *testing.T) {
	w := newWorld(t)
	g := w.grant("papers", "--for", "1h", "--via", "keeper1")
	for _, k := range w.fleet.Keepers[2:] {
		w.must(k.Kill())
	}
	r, _ := w.open(g.Ticket)
	if r.Code != 1 || !strings.Contains(string(r.Stderr), "2 of the 3 custodians needed have agreed") {
		t.Fatalf("with two of five awake: exit status %d: %s", r.Code, r.Stderr)
	}
	// The letters of an opening that gave up do not wait: released later they
	// would count, and help nobody.
	to := filepath.Join(t.TempDir(), "opened")
	cmd := w.brand.Command(w.ctx, "open", g.Ticket, "--to", to, "--wait", "60s")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	w.must(cmd.Start())
	w.must(w.fleet.Keepers[2].Start(w.ctx))
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	if got, err := os.ReadFile(filepath.Join(to, "photo.bin")); err != nil || !bytes.Equal(got, w.photo) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

// waitUntil waits for a moment that a clock decides about.
func waitUntil(t *testing.T, at time.Time) {
	t.Helper()
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// recorder keeps all that a gateway answered.
type recorder struct {
	brand.Gateway
	mu  *sync.Mutex
	all *bytes.Buffer
}

func (r recorder) Ask(ctx context.Context, verb string, raw []byte) ([]byte, error) {
	answer, err := r.Gateway.Ask(ctx, verb, raw)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.Write(answer)
	if err != nil {
		r.all.WriteString(err.Error())
	}
	return answer, err
}

// TestBrandLearnsNothingOfTheCircle reads all that a brand has and gets.
func TestBrandLearnsNothingOfTheCircle(t *testing.T) {
	w := newWorld(t)
	g := w.grant("papers", "--for", "1h", "--via", "keeper1")
	w.must(w.fleet.Keepers[4].Kill()) // what is told of one that is away
	// Not a command: so that what comes through the connection can be read.
	boxes := vaulttest.Boxes(t, w.brand.Dir)
	cert, err := os.ReadFile(filepath.Join(w.brand.Dir, "device.crt"))
	w.must(err)
	key, err := boxes[vault.Machine].ReadFile(filepath.Join(w.brand.Dir, "device.key"), 1<<16)
	w.must(err)
	id, err := transport.ParseIdentity(cert, key)
	w.must(err)
	book, err := circle.OpenIn(boxes[vault.Machine], filepath.Join(w.brand.Dir, "circle.json"))
	w.must(err)
	// As the brand's home does it: who is on this machine only may call others on it.
	service, err := rpc.New(rpc.Config{Identity: id, Book: book, Listen: []string{"127.0.0.1:0"}})
	w.must(err)
	defer service.Close()
	keys, err := identity.OpenDevice(boxes[vault.Machine], w.brand.Dir)
	w.must(err)
	b, err := brand.OpenIn(boxes[vault.Owner], filepath.Join(w.brand.Dir, "brand"), keys.Sign, id.Device(), time.Now)
	w.must(err)
	got, err := b.Receive(w.ctx, g.Ticket)
	w.must(err)
	var mu sync.Mutex
	var all bytes.Buffer
	_, err = b.Open(w.ctx, got, nil, filepath.Join(t.TempDir(), "x"), 0,
		func(d peers.DeviceID, name string, addresses []string, pass []byte) brand.Gateway {
			return recorder{service.Visit(d, name, addresses, pass), &mu, &all}
		}, nil)
	w.must(err)
	if all.Len() < len(w.photo) {
		t.Fatalf("only %d bytes were recorded", all.Len())
	}
	all.WriteString(g.Ticket)
	for _, part := range append(append([][]byte{got.Ticket.Grant.Raw, got.Ticket.Package.Raw}, got.Ticket.Plans...), got.Ticket.Manifests...) {
		all.Write(part)
	}
	w.must(filepath.WalkDir(w.brand.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, box := range boxes {
			if plain, err := box.Open(path, raw); err == nil {
				raw = plain
			}
		}
		all.Write(raw)
		return err
	}))
	for i, k := range w.fleet.Keepers {
		a := k.About()
		secrets := map[string][]byte{
			"name": []byte(a.Name), "device ID": a.Device[:], "device ID as text": []byte(a.Device.String()), "short ID": []byte(a.Device.Short()),
		}
		for _, addr := range a.Addresses {
			secrets["address "+addr] = []byte(addr)
		}
		peer, err := identity.OpenDevice(vaulttest.Boxes(t, k.Dir)[vault.Machine], k.Dir)
		w.must(err)
		secrets["signing key"] = peer.Sign[32:]
		secrets["sealing key"] = peer.KEM.PublicKey().Bytes()
		for what, secret := range secrets {
			if i > 0 && bytes.Contains(all.Bytes(), secret) {
				t.Errorf("the brand has the %s of %s", what, a.Name)
			}
		}
	}
	if a := w.fleet.Keepers[0].About(); !bytes.Contains(all.Bytes(), a.Device[:]) {
		t.Error("the gateway is not found either: the search finds nothing")
	}
}
