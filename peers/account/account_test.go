// SPDX-License-Identifier: MPL-2.0

package account

import (
	"crypto/ed25519"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

func root(b byte) ed25519.PrivateKey {
	seed := make([]byte, 32)
	for i := range seed {
		seed[i] = b
	}
	return ed25519.NewKeyFromSeed(seed)
}

func TestNext(t *testing.T) {
	first, err := Next(root(1), nil, []peers.DeviceID{{2}, {1}, {2}}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if b := first.Body; b.Epoch != 1000 || len(b.Devices) != 2 || !b.Has(peers.DeviceID{1}) || b.Has(peers.DeviceID{3}) {
		t.Errorf("%+v", b)
	}
	// The clock went back, and still it is the next one.
	second, err := Next(root(1), &first.Body, []peers.DeviceID{{1}}, 5)
	if err != nil || second.Body.Epoch != 1001 {
		t.Errorf("%+v, %v", second, err)
	}
	if got, err := Parse(first.Raw); err != nil || got.Body.Root != custody.KeyOf(root(1)) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	body := Machines{Root: custody.KeyOf(root(1)), Epoch: 1, Devices: []peers.DeviceID{{1}}}
	foreign, err := custody.Sign(root(2), body)
	if err != nil {
		t.Fatal(err)
	}
	good, err := custody.Sign(root(1), body)
	if err != nil {
		t.Fatal(err)
	}
	cut := good.Raw[:len(good.Raw)-1]
	flipped := append([]byte{}, good.Raw...)
	flipped[len(flipped)-1] ^= 1
	for name, raw := range map[string][]byte{
		"another's": foreign.Raw, "cut": cut, "flipped": flipped, "huge": make([]byte, MaxSize+1), "empty": nil,
	} {
		if _, err := Parse(raw); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for name, bad := range map[string]Machines{
		"nobody":     {Root: body.Root, Epoch: 1},
		"no number":  {Root: body.Root, Devices: body.Devices},
		"unordered":  {Root: body.Root, Epoch: 1, Devices: []peers.DeviceID{{2}, {1}}},
		"twice":      {Root: body.Root, Epoch: 1, Devices: []peers.DeviceID{{1}, {1}}},
		"zero":       {Root: body.Root, Epoch: 1, Devices: []peers.DeviceID{{}}},
		"too many":   {Root: body.Root, Epoch: 1, Devices: make([]peers.DeviceID, MaxDevices+1)},
		"before all": {Root: body.Root, Epoch: 1, Devices: body.Devices, At: -1},
	} {
		if _, err := custody.Sign(root(1), bad); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	s, err := Next(root(1), nil, []peers.DeviceID{{1}, {2}}, 1000)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, err := Parse(raw); err == nil && (s.Signer != s.Body.Root || len(s.Body.Devices) == 0) {
			t.Errorf("took %+v", s)
		}
	})
}
