// SPDX-License-Identifier: MPL-2.0

package heads

import (
	"bytes"
	"errors"
	"testing"

	"github.com/preezm/preezm/peers"
)

func open(t *testing.T, dir string, same map[peers.DeviceID]peers.DeviceID) *Store {
	t.Helper()
	s, err := Open(dir, func(d peers.DeviceID) peers.DeviceID {
		if o, ok := same[d]; ok {
			return o
		}
		return d
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHeads(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	d1, d2, stranger := peers.DeviceID{1}, peers.DeviceID{2}, peers.DeviceID{9}
	same := map[peers.DeviceID]peers.DeviceID{d2: d1}
	s := open(t, dir, same)
	l := peers.Locator{7}
	for n := uint64(1); n <= Kept+5; n++ {
		if err := s.Put(ctx, d1, l, n, []byte{byte(n)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(ctx, d2, l, 3, []byte("of the second")); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(ctx, d1, l, Kept+5, []byte{Kept + 5}); err != nil {
		t.Errorf("the same again: %v", err)
	}
	for name, err := range map[string]error{
		"older":     s.Put(ctx, d1, l, 4, []byte("x")),
		"different": s.Put(ctx, d1, l, Kept+5, []byte("x")),
	} {
		if !errors.Is(err, peers.ErrStale) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"stranger": s.Put(ctx, stranger, l, 99, []byte("x")),
		"huge":     s.Put(ctx, d1, l, 99, make([]byte, peers.MaxHead+1)),
		"nothing":  s.Put(ctx, d1, l, 99, nil),
		"zero":     s.Put(ctx, d1, l, 0, []byte("x")),
	} {
		if !errors.Is(err, peers.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s = open(t, dir, same) // it lasts
	hs, err := s.Get(ctx, d2, l, peers.DeviceID{}, 0)
	if err != nil || len(hs) != 2 {
		t.Fatalf("%+v, %v", hs, err)
	}
	if hs[0].Number != Kept+5 || hs[0].Oldest != 6 || hs[1].Number != 3 {
		t.Errorf("%+v", hs)
	}
	if hs, err = s.Get(ctx, d1, l, d1, 20); err != nil || len(hs) != 1 || !bytes.Equal(hs[0].Sealed, []byte{20}) {
		t.Errorf("%+v, %v", hs, err)
	}
	if hs, err = s.Get(ctx, stranger, l, peers.DeviceID{}, 0); err != nil || len(hs) != 0 {
		t.Errorf("a stranger got %+v, %v", hs, err)
	}
}

func TestNobodyFillsTheDisk(t *testing.T) {
	ctx := t.Context()
	same := map[peers.DeviceID]peers.DeviceID{}
	for i := range byte(100) {
		same[peers.DeviceID{i, 1}] = peers.DeviceID{1}
	}
	s := open(t, t.TempDir(), same)
	for i := range byte(maxLocators) {
		if err := s.Put(ctx, peers.DeviceID{0, 1}, peers.Locator{i}, 1, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(ctx, peers.DeviceID{0, 1}, peers.Locator{maxLocators}, 1, []byte("x")); !errors.Is(err, peers.ErrRefused) {
		t.Errorf("one locator more: %v", err)
	}
	for i := range byte(100) {
		if err := s.Put(ctx, peers.DeviceID{i, 1}, peers.Locator{0}, 1, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if hs, err := s.Get(ctx, peers.DeviceID{1}, peers.Locator{0}, peers.DeviceID{}, 0); err != nil || len(hs) > maxMachines {
		t.Errorf("%d machines, %v", len(hs), err)
	}
}
