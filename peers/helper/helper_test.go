// SPDX-License-Identifier: MPL-2.0

package helper

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hpke"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/helpers"
	"github.com/preezm/preezm/peers"
)

var (
	ownerDevice    = peers.DeviceID{99}
	newcomerDevice = peers.DeviceID{50}
	stranger       = peers.DeviceID{51}
)

// ring is three helpers of one owner, who reach each other in memory.
type ring struct {
	*testing.T
	root ed25519.PrivateKey
	now  time.Time
	all  map[peers.DeviceID]*Service
	open map[peers.DeviceID]func() *Service
	docs [][]byte
	kem  hpke.PrivateKey
	off  map[peers.DeviceID]bool
}

func newRing(t *testing.T) *ring {
	r := &ring{
		T: t, root: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)), now: time.Unix(1_800_000_000, 0),
		all: map[peers.DeviceID]*Service{}, open: map[peers.DeviceID]func() *Service{}, off: map[peers.DeviceID]bool{},
	}
	p := &helpers.Plan{Name: "Anna", Number: 1, Kind: helpers.Root, K: 2, Delay: helpers.DefaultDelay, At: r.now.Unix(), Devices: []peers.DeviceID{ownerDevice}}
	dir := t.TempDir()
	for i := range 4 { // the last one is the owner
		d := peers.DeviceID{byte(i + 1)}
		if i == 3 {
			d = ownerDevice
		}
		key := must(hpke.MLKEM768X25519().GenerateKey())(t)
		if i < 3 {
			p.Keys = append(p.Keys, key.PublicKey().Bytes())
			p.Helpers = append(p.Helpers, helpers.Helper{Device: d, Name: fmt.Sprint("helper", i+1)})
		}
		r.open[d] = func() *Service {
			return must(Open(Options{
				Device: d, KEM: key, Path: filepath.Join(dir, fmt.Sprint(i)), Now: func() time.Time { return r.now }, Logger: slog.New(slog.DiscardHandler),
				Name: func(peers.DeviceID) string { return "" },
				Person: func(d peers.DeviceID) (custody.Key, bool) {
					return custody.KeyOf(r.root), d == ownerDevice
				},
				Own: func() (custody.Key, bool) { return custody.KeyOf(r.root), d == ownerDevice },
			}))(t)
		}
		r.all[d] = r.open[d]()
	}
	r.docs = must(helpers.Split(r.root, p))(t)
	for i, raw := range r.docs {
		if _, err := r.call(ownerDevice, peers.DeviceID{byte(i + 1)}, VerbKeep, raw); err != nil {
			t.Fatal(err)
		}
	}
	r.kem = must(hpke.MLKEM768X25519().GenerateKey())(t)
	return r
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (r *ring) call(from, to peers.DeviceID, verb string, raw []byte) ([]byte, error) {
	if r.off[to] {
		return nil, peers.ErrUnreachable
	}
	return r.all[to].Answer(context.Background(), verb, from, raw)
}

// deliver lets one machine bring what waits, after a restart.
func (r *ring) deliver(from peers.DeviceID) {
	r.Helper()
	r.all[from] = r.open[from]()
	err := r.all[from].Deliver(r.Context(), func(_ context.Context, to peers.DeviceID, _ []string, verb string, raw []byte) ([]byte, error) {
		return r.call(from, to, verb, raw)
	})
	if err != nil {
		r.Fatal(err)
	}
}

func (r *ring) ask(to peers.DeviceID) *Progress {
	r.Helper()
	raw := must(custody.Marshal(Ask{Owner: "anna", Name: "new", KEM: r.kem.PublicKey().Bytes()}))(r.T)
	return must(DecodeProgress(must(r.call(newcomerDevice, to, VerbAsk, raw))(r.T)))(r.T)
}

func (r *ring) fetch(to peers.DeviceID, id ID) *Progress {
	r.Helper()
	return must(DecodeProgress(must(r.call(newcomerDevice, to, VerbFetch, must(EncodeFetch(id))(r.T)))(r.T)))(r.T)
}

func (r *ring) approve(at peers.DeviceID) {
	r.Helper()
	p := r.ask(at)
	w := must(Words(at, newcomerDevice, p.ID, p.Nonce))(r.T).In("fr")
	a, b := Places(p.Nonce)
	must(r.all[at].Approve(p.ID.Short(), [2]string{w[a], w[b]}))(r.T)
}

func TestDelayAndRestart(t *testing.T) {
	r := newRing(t)
	one := peers.DeviceID{1}
	p := r.ask(one)
	if again := r.ask(one); again.ID != p.ID || again.Nonce != p.Nonce || p.State != Asked || p.K != 2 || p.N != 3 {
		t.Fatalf("asked twice: %+v %+v", p, again)
	}
	if got := r.fetch(one, p.ID); got.State != Asked || len(got.Sealed) > 0 {
		t.Fatalf("without a yes: %+v", got)
	}
	r.approve(one)
	r.all[one] = r.open[one]()
	for _, c := range []struct {
		after time.Duration
		want  State
	}{{time.Hour, Agreed}, {-1000 * time.Hour, Agreed}, {71 * time.Hour, Agreed}, {72 * time.Hour, Given}, {0, Given}} {
		r.now = time.Unix(1_800_000_000, 0).Add(c.after)
		got := r.fetch(one, p.ID)
		if got.State != c.want || (len(got.Sealed) > 0) != (c.want == Given) {
			t.Fatalf("after %s: %s", c.after, got.State)
		}
		r.all[one] = r.open[one]()
	}
	if _, err := r.call(stranger, one, VerbFetch, must(EncodeFetch(p.ID))(t)); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("another machine fetches: %v", err)
	}
}

func TestWrongWords(t *testing.T) {
	r := newRing(t)
	one := peers.DeviceID{1}
	p := r.ask(one)
	for i := range maxTries {
		if _, err := r.all[one].Approve(p.ID.Short(), [2]string{"not", "these"}); !errors.Is(err, ErrWrongWords) {
			t.Fatalf("try %d: %v", i+1, err)
		}
		r.all[one] = r.open[one]()
	}
	w := must(Words(one, newcomerDevice, p.ID, p.Nonce))(t).In("en")
	a, b := Places(p.Nonce)
	if _, err := r.all[one].Approve(p.ID.Short(), [2]string{w[a], w[b]}); !errors.Is(err, ErrOver) {
		t.Errorf("the right words after three wrong ones: %v", err)
	}
}

// A veto of the owner's machine, through the one helper it was warned of, reaches
// all; nobody else may forbid anything.
func TestVetoPassesOn(t *testing.T) {
	r := newRing(t)
	one, two, three := peers.DeviceID{1}, peers.DeviceID{2}, peers.DeviceID{3}
	p := r.ask(one)
	r.ask(two)
	r.approve(one)
	r.approve(two)
	r.off[ownerDevice], r.off[three] = true, true
	r.deliver(one)
	r.off[ownerDevice], r.off[three] = false, false
	r.deliver(one) // retried
	for _, d := range []peers.DeviceID{ownerDevice, two, three} {
		if got := r.all[d].Requests(); len(got) == 0 || got[len(got)-1].State != Agreed {
			t.Fatalf("%d was not warned: %+v", d[0], got)
		}
	}
	raw := must(custody.Marshal(vetoMsg{p.ID, custody.KeyOf(r.root)}))(t)
	if _, err := r.call(newcomerDevice, one, VerbVeto, raw); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("anybody may forbid: %v", err)
	}
	must(r.all[ownerDevice].Veto(p.ID.Short()))(t)
	r.deliver(ownerDevice)
	r.deliver(one)
	r.now = r.now.Add(100 * time.Hour)
	for _, d := range []peers.DeviceID{one, two} {
		if got := r.fetch(d, p.ID); got.State != Vetoed {
			t.Errorf("%d gives it: %s", d[0], got.State)
		}
	}
	if got := r.ask(three); got.State != Vetoed {
		t.Errorf("a helper asked after the veto: %s", got.State)
	}
}

func TestKeepRefuses(t *testing.T) {
	r := newRing(t)
	one, two := peers.DeviceID{1}, peers.DeviceID{2}
	if _, err := r.call(stranger, one, VerbKeep, r.docs[0]); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("from another person: %v", err)
	}
	if _, err := r.call(ownerDevice, two, VerbKeep, r.docs[0]); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("another helper's: %v", err)
	}
	if _, err := r.call(ownerDevice, one, VerbKeep, []byte{1}); !errors.Is(err, peers.ErrDamaged) {
		t.Errorf("no document: %v", err)
	}
	for range maxOf {
		r.kem = must(hpke.MLKEM768X25519().GenerateKey())(t)
		r.ask(one)
	}
	raw := must(custody.Marshal(Ask{Owner: "anna", KEM: must(hpke.MLKEM768X25519().GenerateKey())(t).PublicKey().Bytes()}))(t)
	if _, err := r.call(newcomerDevice, one, VerbAsk, raw); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("it may ask for ever: %v", err)
	}
	drop := must(custody.Sign(r.root, helpers.Drop{Owner: custody.KeyOf(r.root), Number: 1, At: 1}))(t)
	if _, err := r.call(stranger, one, VerbDrop, drop.Raw); err != nil || len(r.all[one].Helped()) != 0 {
		t.Errorf("dropped: %v", err)
	}
}

// FuzzAnswer lets anybody say anything.
func FuzzAnswer(f *testing.F) {
	verbs := []string{VerbKeep, VerbDrop, VerbAsk, VerbFetch, VerbAlert, VerbVeto}
	for i := range verbs {
		f.Add(uint8(i), []byte{0xa1, 1, 0x40})
	}
	s, err := Open(Options{
		Path: filepath.Join(f.TempDir(), "s"), Now: time.Now, Logger: slog.New(slog.DiscardHandler), Name: func(peers.DeviceID) string { return "" },
		Person: func(peers.DeviceID) (k custody.Key, ok bool) { return k, true }, Own: func() (k custody.Key, ok bool) { return k, false },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, verb uint8, raw []byte) {
		_, _ = s.Answer(context.Background(), verbs[int(verb)%len(verbs)], stranger, raw)
		_, _ = DecodeProgress(raw)
	})
}
