// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers"
)

// home is a custodian's folder and keys; svc is its present life.
type home struct {
	t    *testing.T
	w    *world
	dir  string
	opts Options
	skew int64 // its clock less the true time, seconds
	svc  *Service
	log  custody.Key
}

// world is an owner, a brand and a gateway, and custodians that are real.
type world struct {
	*custodytest.World
	t      *testing.T
	owner  peers.DeviceID // the owner's device, as peers know it
	homes  []*home
	device custody.Key
	set    []byte
	panel  []byte
}

func newWorld(t *testing.T, n int) *world {
	t.Helper()
	w := &world{World: custodytest.New(t, 0), t: t}
	rand.Read(w.owner[:])
	w.device = custody.KeyOf(w.Owner.Device)
	w.set = w.deviceSet(1, []custody.Key{w.device}, nil)
	for range n {
		h := &home{t: t, w: w, dir: t.TempDir(), opts: newKeys(t)}
		h.opts.Now = func() time.Time { return time.Unix(w.Now+h.skew, 0) }
		w.homes = append(w.homes, h)
		h.open()
		t.Cleanup(func() {
			if h.svc != nil {
				h.close()
			}
		})
		h.appoint(w)
	}
	return w
}

func newKeys(t *testing.T) Options {
	t.Helper()
	var o Options
	rand.Read(o.Device[:])
	o.Sign = custodytest.Key(t)
	o.KEM = custodytest.NewKEM(t)
	return o
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *home) open() {
	h.t.Helper()
	var err error
	h.svc, err = Open(h.t.Context(), h.dir, h.opts)
	check(h.t, err)
}

func (h *home) close() {
	h.t.Helper()
	check(h.t, h.svc.Close())
	h.svc = nil
}

// restart is a crash, as far as memory goes: nothing is written at the end.
func (h *home) restart() {
	h.t.Helper()
	check(h.t, h.svc.store.close())
	h.open()
}

// as calls a service as a device.
type as struct {
	s    *Service
	from peers.DeviceID
}

func (a as) Witness(ctx context.Context, verb string, raw []byte) ([]byte, error) {
	return a.s.Answer(ctx, verb, a.from, raw)
}

func (h *home) byOwner() Client { return Client{as{h.svc, h.w.owner}} }

func (h *home) appointing(w *world, generation uint32, now int64) Appointing {
	h.t.Helper()
	a, err := custody.Appoint(w.Root, w.Owner.Custody, custody.Seat(h.opts.Device),
		h.opts.KEM.PublicKey().Bytes(), generation, now)
	check(h.t, err)
	return Appointing{Appointment: a.Raw, DeviceSet: w.set, Panel: w.panel}
}

func (h *home) appoint(w *world) {
	h.t.Helper()
	a, err := h.byOwner().Appoint(h.t.Context(), h.appointing(w, 0, w.Now))
	check(h.t, err)
	h.log = a.LogKey
}

func (w *world) deviceSet(epoch uint64, devices []custody.Key, kept []custody.Hash) []byte {
	w.t.Helper()
	s, err := custody.Sign(w.Root, custody.DeviceSet{
		Root: custody.KeyOf(w.Root), Epoch: epoch, Devices: devices, Kept: kept, At: w.Now,
	})
	check(w.t, err)
	return s.Raw
}

// name makes a panel of all custodians and tells it to them.
func (w *world) name() {
	w.t.Helper()
	var members []Member
	for _, h := range w.homes {
		members = append(members, Member{h.opts.Device, h.log, nil})
	}
	var err error
	w.panel, err = NewPanel(w.Root, 1, members, w.Now)
	check(w.t, err)
	for _, h := range w.homes {
		_, err := h.byOwner().Status(w.t.Context(), News{Owner: custody.KeyOf(w.Root), Panel: w.panel})
		check(w.t, err)
	}
}

func (w *world) seats() []custody.Seat {
	var out []custody.Seat
	for _, h := range w.homes {
		out = append(out, custody.Seat(h.opts.Device))
	}
	return out
}

// grant makes a ticket for seconds from now, of file 1 in version 1.
func (w *world) grant(seconds int64, change func(*custody.Terms)) *custody.Ticket {
	w.t.Helper()
	terms := w.Terms(seconds, 1)
	terms.Custodians = w.seats()
	if change != nil {
		change(&terms)
	}
	g, err := w.Owner.Grant(w.Now, terms)
	check(w.t, err)
	return w.pack(g, 1, 1)
}

func (w *world) pack(g *custody.Signed[custody.Grant], seq, version uint64) *custody.Ticket {
	w.t.Helper()
	p, err := w.Owner.Package(g, w.seats(), w.Brand.KEM.PublicKey().Bytes(), seq,
		[]custody.Item{custodytest.Item(1, version)})
	check(w.t, err)
	t, err := custody.ReadTicket(g.Raw, p.Raw)
	check(w.t, err)
	return t
}

func (w *world) request(t *custody.Ticket) *custody.Opening {
	w.t.Helper()
	o, err := w.Brand.Member.Request(t, custodytest.File(1), w.Now)
	check(w.t, err)
	return o
}

// letter seals a request for one custodian, whose place in the grant is found
// by trying: nobody but the owner can tell.
func (h *home) letter(o *custody.Opening, t *custody.Ticket) []byte {
	h.t.Helper()
	for i := range t.Grant.Body.Custodians {
		raw, err := custody.SealLetter(o.Request.Raw, t.Grant, i)
		check(h.t, err)
		l, err := custody.ReadLetter(raw)
		check(h.t, err)
		for k, c := range h.svc.kept.chains {
			if k.owner == l.Owner && k.generation == l.Generation {
				if _, err := l.Open(c); err == nil {
					return raw
				}
			}
		}
	}
	h.t.Fatal("no letter of the grant is for this custodian")
	return nil
}

// ask brings a request to a custodian through the gateway.
func (h *home) ask(o *custody.Opening, t *custody.Ticket) *Reply {
	h.t.Helper()
	r, err := Client{as{h.svc, h.w.Gateway.Device}}.Letter(h.t.Context(), h.letter(o, t))
	check(h.t, err)
	return r
}

// reason asks and gives why not, or "" for a release that is good.
func (h *home) reason(o *custody.Opening, t *custody.Ticket) custody.Reason {
	h.t.Helper()
	return why(h.t, o, h.ask(o, t))
}

func why(t *testing.T, o *custody.Opening, r *Reply) custody.Reason {
	t.Helper()
	switch {
	case r.Reason != "":
		return r.Reason
	case len(r.Denial) > 0:
		_, why, err := o.Denied(r.Denial)
		check(t, err)
		return why
	}
	check(t, o.Add(r.Release))
	return ""
}

func want(t *testing.T, got, want custody.Reason) {
	t.Helper()
	if got != want {
		t.Fatalf("reason %q, want %q", got, want)
	}
}

// entries reads and verifies a custodian's log, with heads that others know.
func (h *home) entries(seen ...ledger.Witness) []ledger.Entry {
	h.t.Helper()
	root := custody.KeyOf(h.w.Root)
	var records []ledger.Record
	for {
		a, err := h.byOwner().Log(h.t.Context(), root, uint64(len(records)))
		check(h.t, err)
		records = append(records, a.Records...)
		head, err := custody.Parse[ledger.Head](a.Head)
		check(h.t, err)
		if head.Signer != h.log {
			h.t.Fatal("a head by another key")
		}
		if uint64(len(records)) < head.Body.Seq && len(a.Records) > 0 {
			continue
		}
		seen = append(seen, ledger.Witness{Seq: head.Body.Seq, Head: head.Body.Head})
		break
	}
	_, err := ledger.Verify(root, h.log, records, seen...)
	check(h.t, err)
	var out []ledger.Entry
	for _, r := range records {
		e, err := custody.Parse[ledger.Entry](r.Entry)
		check(h.t, err)
		out = append(out, e.Body)
	}
	return out
}

func (h *home) count(kind ledger.Kind) int {
	h.t.Helper()
	n := 0
	for _, e := range h.entries() {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// saveKeys writes a custodian's keys for a child process; loadKeys reads them.
func (h *home) saveKeys() {
	h.t.Helper()
	kem, err := h.opts.KEM.Bytes()
	check(h.t, err)
	b := bytes.Join([][]byte{h.opts.Device[:], h.opts.Sign.Seed(), kem}, nil)
	check(h.t, os.WriteFile(filepath.Join(h.dir, "test.keys"), b, 0o600))
}

func loadKeys(dir string) (Options, error) {
	var o Options
	b, err := os.ReadFile(filepath.Join(dir, "test.keys"))
	if err != nil {
		return o, err
	}
	copy(o.Device[:], b)
	o.Sign = ed25519.NewKeyFromSeed(b[32:64])
	o.KEM, err = hpke.MLKEM768X25519().NewPrivateKey(b[64:])
	return o, err
}
