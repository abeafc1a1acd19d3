// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"crypto/rand"
	"errors"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

// A further machine of the owner, such as one that was brought back from the
// words, reads the log and withdraws; machines of others do neither.
func TestFurtherMachineOfTheOwnerSpeaks(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	root := custody.KeyOf(w.Root)
	var further, others, removed peers.DeviceID
	for _, d := range []*peers.DeviceID{&further, &others, &removed} {
		rand.Read(d[:])
	}
	h.opts.Person = func(d peers.DeviceID) (custody.Key, bool) {
		switch d {
		case further:
			return root, true
		case others:
			return custody.Key{1}, true
		}
		return custody.Key{}, false
	}
	h.restart()
	if _, err := (Client{as{h.svc, further}}).Log(t.Context(), root, 0); err != nil {
		t.Errorf("a further machine asks for the log: %v", err)
	}
	for who, d := range map[string]peers.DeviceID{"another person's": others, "one nobody vouches for": removed} {
		if _, err := (Client{as{h.svc, d}}).Log(t.Context(), root, 0); !errors.Is(err, peers.ErrNoCustodian) {
			t.Errorf("%s machine asks for the log: %v", who, err)
		}
	}
}
