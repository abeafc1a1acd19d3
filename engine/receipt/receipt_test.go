// SPDX-License-Identifier: MPL-2.0

package receipt

import (
	"crypto/ed25519"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

var (
	giver     = peers.DeviceID{1}
	person    = key(2)
	taker     = custody.KeyOf(person)
	machine   = key(1)
	machinePK = machine.Public().(ed25519.PublicKey)
)

func key(n byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(append(make([]byte, 31), n)) }

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

func sign(t testing.TB, k ed25519.PrivateKey, s Statement) []byte {
	t.Helper()
	raw, err := Sign(k, s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func joined(t testing.TB, taker, giver []byte) []byte {
	t.Helper()
	raw, err := Join(taker, giver)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestPair(t *testing.T) {
	s, err := Next(nil, giver, taker, 7, 1000)
	if err != nil {
		t.Fatal(err)
	}
	more, elsewhere := s, s
	more.Bytes++
	elsewhere.Taker = custody.KeyOf(key(3))
	good := joined(t, sign(t, person, s), sign(t, machine, s))
	if p, err := ReadPair(good, machinePK); err != nil || p.Statement != s {
		t.Fatalf("%+v, %v", p, err)
	}
	if p, err := Reread(good); err != nil || p.Statement != s {
		t.Fatalf("%+v, %v", p, err)
	}
	for why, raw := range map[string][]byte{
		"the wrong way round":                   joined(t, sign(t, machine, s), sign(t, person, s)),
		"two statements":                        joined(t, sign(t, person, s), sign(t, machine, more)),
		"another machine for the giver":         joined(t, sign(t, person, s), sign(t, key(3), s)),
		"a machine of the taker for the person": joined(t, sign(t, key(3), s), sign(t, machine, s)),
		"another person than the one it names":  joined(t, sign(t, person, elsewhere), sign(t, machine, elsewhere)),
		"nobody for the taker":                  joined(t, []byte{}, sign(t, machine, s)),
		"something after the end":               append(slices.Clone(good), 0),
	} {
		if _, err := ReadPair(raw, machinePK); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func FuzzReadPair(f *testing.F) {
	s, _ := Next(nil, giver, taker, 7, 1000)
	f.Add(joined(f, sign(f, person, s), sign(f, machine, s)))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ReadPair(b, machinePK)
		if err == nil && p.Check() != nil {
			t.Error("a receipt that contradicts itself")
		}
		if again, rerr := Reread(b); err == nil && (rerr != nil || again.Statement != p.Statement) {
			t.Errorf("read again: %v", rerr)
		}
		_, _ = Read(b)
	})
}

// Where a row parted all choose the same, whichever they heard of first.
func TestNewer(t *testing.T) {
	pair := func(seq, total uint64, to int64, raw byte) *Pair {
		return &Pair{Statement{Seq: seq, Total: total, To: to}, []byte{raw}}
	}
	order := []*Pair{pair(1, 9, 9, 9), pair(2, 0, 9, 9), pair(2, 1, 1, 9), pair(2, 1, 2, 1), pair(2, 1, 2, 2), pair(3, 0, 0, 0)}
	for i, a := range order {
		if !Newer(a, nil) {
			t.Errorf("%d is not newer than none", i)
		}
		for j, b := range order {
			if got := Newer(a, b); got != (i > j) {
				t.Errorf("%d newer than %d: %v", i, j, got)
			}
		}
	}
}
