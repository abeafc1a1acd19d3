// SPDX-License-Identifier: MPL-2.0

package shardlist

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	mrand "math/rand/v2"
	"reflect"
	"testing"

	"github.com/preezm/preezm/peers"
)

func id(t Tag, n uint64) (x peers.ShardID) {
	rand.Read(x[:])
	Join(&x, t, n)
	return x
}

var (
	tagA, tagB, tagC = Tag{1}, Tag{2}, Tag{3}
	me, it           = peers.DeviceID{1}, peers.DeviceID{2}
)

func TestListSaysWhatItKnows(t *testing.T) {
	b := NewBuilder([]Tag{tagA, tagB}, nil)
	for n := uint64(1); n <= 20; n++ {
		b.Add(id(tagA, n), n < 5 || n == 10 || n > 17 && n < 20)
	}
	b.Add(id(tagB, 7), false)
	b.Add(id(tagC, 1), true) // an epoch nobody wrote down: a name from before there were any
	l := b.List(me, it, 9)
	for n, want := range map[uint64]Verdict{
		1: Needed, 4: Needed, 5: Unneeded, 9: Unneeded, 10: Needed, 11: Unneeded, 18: Needed, 19: Needed, 20: Unneeded, 21: Unknown, 1 << 60: Unknown,
	} {
		if got := l.Says(id(tagA, n)); got != want {
			t.Errorf("of %d: %d, want %d", n, got, want)
		}
	}
	if l.Says(id(tagB, 7)) != Unneeded || l.Says(id(tagB, 8)) != Unknown || l.Says(id(tagC, 1)) != Unknown || len(l.Epochs) != 2 {
		t.Errorf("%+v", l)
	}
}

// Of the epochs of the owner's other machines a list says what is needed only.
func TestListKeepsWhatIsForeign(t *testing.T) {
	b := NewBuilder([]Tag{tagA}, []Tag{tagB})
	b.Add(id(tagA, 1), false)
	b.Add(id(tagB, 5), true)
	b.Add(id(tagB, 7), false)
	l := b.List(me, it, 1)
	for n, want := range map[uint64]Verdict{4: Unknown, 5: Needed, 6: Unknown, 7: Unknown} {
		if got := l.Says(id(tagB, n)); got != want {
			t.Errorf("of %d: %d, want %d", n, got, want)
		}
	}
	if l.Says(id(tagA, 1)) != Unneeded {
		t.Error("of its own it says nothing")
	}
}

func TestListTravels(t *testing.T) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := NewBuilder([]Tag{tagA, tagB}, nil)
	r := mrand.New(mrand.NewPCG(1, 2))
	for n := uint64(1); n < 300; n++ {
		b.Add(id(tagA, n), r.IntN(3) == 0)
		b.Add(id(tagB, n<<40), n%2 == 0)
	}
	l := b.List(me, it, 77)
	raw, err := l.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(raw, me, it, pub)
	if err != nil || !reflect.DeepEqual(got, l) {
		t.Fatalf("%v", err)
	}
	if again, err := Stored(raw); err != nil || !reflect.DeepEqual(again, l) {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"another's key":  second(Parse(raw, me, it, other)),
		"no key":         second(Parse(raw, me, it, nil)),
		"another owner":  second(Parse(raw, it, it, pub)),
		"another keeper": second(Parse(raw, me, me, pub)),
		"a part":         second(Parse(raw[:len(raw)-1], me, it, pub)),
	} {
		if !errors.Is(err, ErrList) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range raw {
		raw[i] ^= 1
		if _, err := Parse(raw, me, it, pub); err == nil {
			t.Fatalf("byte %d may be changed", i)
		}
		raw[i] ^= 1
	}
}

func second(_ *List, err error) error { return err }

// A list that would be too long speaks of fewer epochs, never wrongly.
func TestLongListSaysLess(t *testing.T) {
	b := NewBuilder([]Tag{tagA, tagB}, nil)
	for n := uint64(1); n < 4*MaxRanges; n++ {
		b.Add(id(tagA, n), n%2 == 0)
	}
	b.Add(id(tagB, 1), true)
	b.Add(id(tagB, 2), false)
	l := b.List(me, it, 1)
	if l.Says(id(tagA, 3)) != Unknown || l.Says(id(tagB, 1)) != Needed || l.Says(id(tagB, 2)) != Unneeded {
		t.Errorf("%d epochs", len(l.Epochs))
	}
}

func FuzzStored(f *testing.F) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	b := NewBuilder([]Tag{tagA}, nil)
	b.Add(id(tagA, 3), true)
	b.Add(id(tagA, 9), false)
	raw, err := b.List(me, it, 1).Sign(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, in []byte) {
		l, err := Stored(in)
		if err != nil {
			return
		}
		for _, e := range l.Epochs {
			for _, r := range e.Keep {
				if l.Says(id(e.Tag, r.Lo)) != Needed || l.Says(id(e.Tag, r.Hi)) != Needed {
					t.Fatalf("%+v does not keep what it says", l)
				}
			}
			if e.Upto < 1<<64-1 && l.Says(id(e.Tag, e.Upto+1)) == Unneeded {
				t.Fatal("it speaks of more than it knows")
			}
		}
	})
}
