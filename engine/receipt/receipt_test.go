// SPDX-License-Identifier: MPL-2.0

package receipt

import (
	"crypto/ed25519"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/preezm/preezm/peers"
)

var giver, taker = peers.DeviceID{1}, peers.DeviceID{2}

func keys(t *testing.T, n byte) (ed25519.PrivateKey, []byte) {
	t.Helper()
	k := ed25519.NewKeyFromSeed(append(make([]byte, 31), n))
	return k, k.Public().(ed25519.PublicKey)
}

// Ten gigabytes for two days are twenty GB-days, however often the two met.
func TestTenGigabytesForTwoDays(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	now := int64(1_800_000_000)
	last, err := Next(nil, giver, taker, 0, now)
	if err != nil {
		t.Fatal(err)
	}
	stored := now + 60
	for now < stored+48*hour {
		now += 1800
		// Who stores something is connected: only later are there gaps.
		if last.Bytes > 0 && rng.IntN(8) == 0 {
			now += rng.Int64N(6 * hour)
		}
		now = min(now, stored+48*hour)
		next, err := Next(&last, giver, taker, 10_000_000_000, now)
		if err != nil {
			t.Fatal(err)
		}
		if err := Agree(&next, &last, 10_000_000_000, now); err != nil {
			t.Fatal(err)
		}
		last = next
	}
	if got := last.GBDays(); math.Abs(got-20) > 0.2 {
		t.Errorf("%v GB-days", got)
	}
}

// After a time of nothing, what comes does not count backwards.
func TestEmptyTime(t *testing.T) {
	a, _ := Next(nil, giver, taker, 0, 1000)
	b, err := Next(&a, giver, taker, 1e9, 1000+100*24*hour)
	if err != nil || b.GBDays() > 1.0/24 {
		t.Errorf("%v GB-days, %v", b.GBDays(), err)
	}
}

func TestAgree(t *testing.T) {
	now := int64(1_800_000_000)
	a, _ := Next(nil, giver, taker, 1e9, now)
	b, _ := Next(&a, giver, taker, 1e9, now+hour)
	if err := Agree(&b, &a, 1e9, now+hour); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Statement)
		last   *Statement
		mine   uint64
		now    int64
		want   error
	}{
		"a larger sum":     {func(s *Statement) { s.Total++ }, &a, 1e9, now + hour, ErrDiffers},
		"far more bytes":   {func(s *Statement) {}, &a, 5e8, now + hour, ErrDiffers},
		"another time":     {func(s *Statement) {}, &a, 1e9, now + 3*hour, ErrDiffers},
		"a number again":   {func(s *Statement) {}, &b, 1e9, now + hour, ErrBehind},
		"a number skipped": {func(s *Statement) { s.Seq++ }, &a, 1e9, now + hour, ErrDiffers},
		"from nothing":     {func(s *Statement) {}, nil, 1e9, now + hour, ErrDiffers},
	} {
		s := b
		c.change(&s)
		if err := Agree(&s, c.last, c.mine, c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Next(&b, giver, taker, 1, now); !errors.Is(err, ErrDiffers) {
		t.Errorf("a clock that went back: %v", err)
	}
	huge := Statement{Giver: giver, Taker: taker, Seq: 1, Bytes: 1 << 60, Total: maxTotal}
	if _, err := Next(&huge, giver, taker, 1<<60, now); err == nil {
		t.Error("the sum overflows")
	}
}

func TestPair(t *testing.T) {
	gk, gp := keys(t, 1)
	tk, tp := keys(t, 2)
	s, err := Next(nil, giver, taker, 7, 1000)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Sign(tk, s)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Sign(gk, s)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := Join(a, b)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadPair(raw, tp, gp)
	if err != nil || p.Statement != s {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := ReadPair(raw, gp, tp); !errors.Is(err, ErrFormat) {
		t.Errorf("the wrong way round: %v", err)
	}
	s.Bytes++
	other, err := Sign(gk, s)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err = Join(a, other); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPair(raw, tp, gp); !errors.Is(err, ErrFormat) {
		t.Errorf("two statements: %v", err)
	}
}

func FuzzReadPair(f *testing.F) {
	k := ed25519.NewKeyFromSeed(make([]byte, 32))
	s, _ := Next(nil, giver, taker, 7, 1000)
	a, _ := Sign(k, s)
	raw, _ := Join(a, a)
	f.Add(raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		pub := k.Public().(ed25519.PublicKey)
		if p, err := ReadPair(b, pub, pub); err == nil && p.Check() != nil {
			t.Error("a receipt that contradicts itself")
		}
	})
}
