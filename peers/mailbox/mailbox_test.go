// SPDX-License-Identifier: MPL-2.0

package mailbox

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/internal/wire"
)

// world is a circle in which everybody knows everybody.
type world struct {
	t   *testing.T
	now time.Time
	all map[peers.DeviceID]*member
}

type member struct {
	*Box
	w    *world
	id   peers.DeviceID
	cfg  Config
	on   bool
	got  []Letter
	fail error
}

// courier is how one reaches another.
type courier struct{ from, to *member }

var errAway = errors.New("away")

func (c courier) there() error {
	if !c.to.on || !c.from.on {
		return errAway
	}
	return nil
}

func (c courier) PutMail(ctx context.Context, raw []byte) error {
	if err := c.there(); err != nil {
		return err
	}
	return c.to.Keep(ctx, c.from.id, raw)
}

func (c courier) FetchMail(ctx context.Context) ([][]byte, error) {
	if err := c.there(); err != nil {
		return nil, err
	}
	return c.to.Fetch(ctx, c.from.id)
}

func (c courier) TookMail(ctx context.Context, ids [][]byte) error {
	if err := c.there(); err != nil {
		return err
	}
	return c.to.Took(ctx, c.from.id, ids)
}

func newWorld(t *testing.T, n int) (*world, []*member) {
	t.Helper()
	w := &world{t: t, now: time.Unix(2_000_000_000, 0), all: map[peers.DeviceID]*member{}}
	var out []*member
	for i := range n {
		pub, sign, err := ed25519.GenerateKey(rand.Reader)
		w.check(err)
		kem, err := hpke.MLKEM768X25519().GenerateKey()
		w.check(err)
		book, err := circle.Open(filepath.Join(t.TempDir(), "circle.json"))
		w.check(err)
		m := &member{w: w, id: peers.DeviceID{byte(i + 1)}, on: true}
		m.cfg = Config{
			Dir: t.TempDir(), Device: m.id, Sign: sign, KEM: kem, Book: book, Now: func() time.Time { return w.now },
			Peer: func(d peers.DeviceID) (Courier, error) { return courier{m, w.all[d]}, nil },
			Deliver: map[string]func(context.Context, Letter) error{"work": func(_ context.Context, l Letter) error {
				if m.fail == nil {
					m.got = append(m.got, l)
				}
				return m.fail
			}},
		}
		m.open()
		for _, o := range out {
			w.check(o.cfg.Book.Put(circle.Peer{Device: m.id, Name: "m", Sign: pub, KEM: kem.PublicKey().Bytes()}))
			w.check(book.Put(circle.Peer{Device: o.id, Name: "m", Sign: o.cfg.Sign.Public().(ed25519.PublicKey), KEM: o.cfg.KEM.PublicKey().Bytes()}))
		}
		w.all[m.id] = m
		out = append(out, m)
	}
	return w, out
}

func (m *member) open() {
	m.w.t.Helper()
	var err error
	m.Box, err = Open(m.cfg)
	m.w.check(err)
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// A message to one who is away waits at two keepers in a size that tells
// nothing, and is read once, with the sender off, also after restarts.
func TestStoreAndForward(t *testing.T) {
	w, m := newWorld(t, 5)
	sender, recipient := m[0], m[1]
	recipient.on = false
	var files [2][]int64
	for i, n := range []int{300, 2000} {
		body := bytes.Repeat([]byte{'x'}, n)
		s, err := sender.Send(t.Context(), recipient.id, "notice", body, 0)
		w.check(err)
		if s.Delivered || s.Keepers != 2 {
			t.Fatalf("%+v", s)
		}
		for _, k := range m[2:] {
			for _, h := range k.held.all {
				raw, err := os.ReadFile(h.file)
				w.check(err)
				if bytes.Contains(raw, body[:100]) {
					t.Error("a keeper can read it")
				}
				files[i] = append(files[i], h.size)
			}
		}
	}
	if len(files[0]) != 2 || len(files[1]) != 4 || files[1][0] != files[0][0] || files[1][3] != files[0][0] {
		t.Errorf("sizes %v", files)
	}
	sender.on = false
	for _, k := range m {
		k.open() // all restart
	}
	recipient.on = true
	for _, k := range m[2:] {
		w.check(recipient.fetch(t.Context(), k.id))
		w.check(recipient.fetch(t.Context(), k.id))
	}
	in, err := recipient.Inbox()
	w.check(err)
	if len(in) != 2 || len(in[0].Body)+len(in[1].Body) != 2300 || in[0].From != sender.id {
		t.Fatalf("%d letters", len(in))
	}
	for _, k := range m[2:] {
		if n, _ := k.Held(); n != 0 {
			t.Errorf("%d left behind", n)
		}
	}
	// The sender is back and brings it itself: known already.
	sender.on = true
	recipient.open()
	for _, id := range sender.out.ids() {
		if s, err := sender.bring(t.Context(), id, false); err != nil || !s.Delivered {
			t.Errorf("%+v %v", s, err)
		}
	}
	if in, err = recipient.Inbox(); err != nil || len(in) != 2 || len(sender.Outgoing()) != 0 {
		t.Errorf("%d letters, %d on their way, %v", len(in), len(sender.Outgoing()), err)
	}
}

// What cannot be done now is brought again, what was done is not.
func TestDelivered(t *testing.T) {
	w, m := newWorld(t, 3)
	m[1].fail = errors.New("disk trouble")
	s, err := m[0].Send(t.Context(), m[1].id, "work", []byte("1"), 0)
	w.check(err)
	if s.Delivered || s.Keepers != 1 {
		t.Errorf("%+v", s)
	}
	if err := m[1].fetch(t.Context(), m[2].id); err != nil {
		t.Error(err)
	}
	if n, _ := m[2].Held(); n != 1 {
		t.Error("it was taken all the same")
	}
	m[1].fail = nil
	for range 2 {
		w.check(m[1].fetch(t.Context(), m[2].id))
		m[1].open()
	}
	if len(m[1].got) != 1 || string(m[1].got[0].Body) != "1" {
		t.Errorf("%d times", len(m[1].got))
	}
}

// A keeper's disk and patience have limits, for each sender and each recipient.
func TestLimits(t *testing.T) {
	w, m := newWorld(t, 4)
	m[1].on = false
	var full int
	for range burst + 5 {
		raw := w.letter(m[0], m[1], "x", w.now.Add(time.Hour))
		if err := m[2].Keep(t.Context(), m[0].id, raw); errors.Is(err, peers.ErrQuota) {
			full++
		} else {
			w.check(err)
		}
	}
	if full != 5 {
		t.Errorf("%d refused in a burst", full)
	}
	for range 2 * perSender {
		w.now = w.now.Add(refill)
		_ = m[2].Keep(t.Context(), m[0].id, w.letter(m[0], m[1], "x", w.now.Add(time.Hour)))
	}
	if n, _ := m[2].Held(); n != perSender {
		t.Errorf("%d of one sender", n)
	}
	// Another sender still has its places.
	w.check(m[2].Keep(t.Context(), m[3].id, w.letter(m[3], m[1], "x", w.now.Add(time.Hour))))
	// The same one again costs nothing.
	raw := w.letter(m[3], m[1], "x", w.now.Add(time.Hour))
	w.check(m[2].Keep(t.Context(), m[3].id, raw))
	w.check(m[2].Keep(t.Context(), m[3].id, raw))
	if n, _ := m[2].Held(); n != perSender+2 {
		t.Errorf("%d held", n)
	}
	for _, bad := range [][]byte{
		nil, raw[:len(raw)-1], append(bytes.Clone(raw), 0), make([]byte, maxLetter+1),
		w.letter(m[0], m[1], "x", w.now.Add(-time.Second)), w.letter(m[0], m[1], "x", w.now.Add(MaxTime+2*time.Hour)),
	} {
		if err := m[2].Keep(t.Context(), m[3].id, bad); !errors.Is(err, peers.ErrRefused) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
	stranger := &member{id: peers.DeviceID{99}, cfg: m[1].cfg}
	if err := m[2].Keep(t.Context(), m[3].id, w.letter(m[3], stranger, "x", w.now.Add(time.Hour))); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("for a stranger: %v", err)
	}
	// Expired is gone.
	w.now = w.now.Add(2 * time.Hour)
	m[2].open()
	if n, _ := m[2].Held(); n != 0 {
		t.Errorf("%d after their time", n)
	}
}

func (w *world) letter(from, to *member, text string, until time.Time) []byte {
	w.t.Helper()
	c, err := wire.New()
	w.check(err)
	raw, err := seal(c, Letter{ID: newID(), From: from.id, Kind: "notice", At: w.now, Body: []byte(text)}, to.id,
		to.cfg.KEM.PublicKey().Bytes(), from.cfg.Sign, until)
	w.check(err)
	return raw
}

// Nobody writes in another's name, to another than was meant, or into an
// envelope of another time.
func TestForgeries(t *testing.T) {
	w, m := newWorld(t, 3)
	mallory := &member{id: m[0].id, cfg: m[2].cfg} // says that it is m[0]
	if err := m[1].Keep(t.Context(), m[2].id, w.letter(mallory, m[1], "x", w.now.Add(time.Hour))); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("in another's name: %v", err)
	}
	c, err := wire.New()
	w.check(err)
	raw := w.letter(m[0], m[1], "x", w.now.Add(time.Hour))
	var e envelope
	w.check(c.Unmarshal(raw, &e))
	for what, change := range map[string]func(*envelope){
		"later":   func(e *envelope) { e.Until += 10 },
		"another": func(e *envelope) { e.ID = append([]byte{e.ID[0] ^ 1}, e.ID[1:]...) },
		"sealed":  func(e *envelope) { e.Sealed = append(bytes.Clone(e.Sealed[:4095]), e.Sealed[4095]^1) },
	} {
		changed := e
		change(&changed)
		raw, err := c.Marshal(changed)
		w.check(err)
		if err := m[1].Keep(t.Context(), m[0].id, raw); !errors.Is(err, peers.ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.check(m[1].Keep(t.Context(), m[2].id, raw)) // whoever brings it
	if _, err := seal(c, Letter{Body: make([]byte, MaxBody+1)}, m[1].id, nil, m[0].cfg.Sign, w.now); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
	whole, err := seal(c, Letter{From: m[0].id, Body: make([]byte, MaxBody)}, m[1].id, m[1].cfg.KEM.PublicKey().Bytes(), m[0].cfg.Sign, w.now.Add(time.Hour))
	if err != nil || len(whole) > maxLetter {
		t.Errorf("the longest message: %d bytes, %v", len(whole), err)
	}
}

func FuzzOpen(f *testing.F) {
	c, err := wire.New()
	if err != nil {
		f.Fatal(err)
	}
	kem, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		f.Fatal(err)
	}
	_, sign, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	raw, err := seal(c, Letter{Kind: "notice", Body: []byte("x")}, peers.DeviceID{1}, kem.PublicKey().Bytes(), sign, time.Unix(2_000_000_000, 0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := open(c, raw, peers.DeviceID{1}, kem, func(peers.DeviceID) []byte { return sign.Public().(ed25519.PublicKey) })
		if err == nil && len(l.Body) > MaxBody {
			t.Error("a longer message than can be")
		}
	})
}

// What a member has sealed is as little to be trusted as the envelope.
func FuzzInner(f *testing.F) {
	c, err := wire.New()
	if err != nil {
		f.Fatal(err)
	}
	_, sign, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	e, in := envelope{To: make([]byte, 32), ID: make([]byte, 16), Until: 1}, inner{From: make([]byte, 32), Kind: "notice", At: 1, Body: []byte("x")}
	bare, err := c.Marshal(in)
	if err != nil {
		f.Fatal(err)
	}
	in.Sign = ed25519.Sign(sign, append(e.header(signLabel), bare...))
	raw, err := c.Marshal(in)
	if err != nil {
		f.Fatal(err)
	}
	signed := append([]byte{0, 0, 0, byte(len(raw))}, raw...)
	signer := func(peers.DeviceID) []byte { return sign.Public().(ed25519.PublicKey) }
	if _, err := readInner(c, &e, ID{}, signed, signer); err != nil {
		f.Fatal(err)
	}
	f.Add(append(signed, 0, 0))
	f.Add([]byte{0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, plain []byte) {
		l, err := readInner(c, &e, ID{}, plain, signer)
		if err == nil && (l.From != peers.DeviceID{} || l.Kind != "notice" || string(l.Body) != "x") {
			t.Errorf("%+v was never signed", l)
		}
	})
}
