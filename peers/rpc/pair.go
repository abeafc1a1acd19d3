// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
)

const (
	pathPair = "/v1/pair"

	maxPair       = 4 << 10
	maxPairAnswer = 64 << 10
	// pairEvery is how often a new machine asks whether its person agreed.
	pairEvery = time.Second
)

// PairRequest is what a new machine of this person says of itself.
type PairRequest struct {
	Token   [16]byte `cbor:"1,keyasint"`
	Name    string   `cbor:"2,keyasint"`
	Version string   `cbor:"3,keyasint"`
	Sign    []byte   `cbor:"4,keyasint"` // Ed25519
	KEM     []byte   `cbor:"5,keyasint"` // X-Wing; what is handed over is sealed to it
}

// PairAnswer says what became of it.
type PairAnswer struct {
	Wait   bool   `cbor:"1,keyasint"` // the person has not agreed yet
	Sealed []byte `cbor:"2,keyasint"`
}

// Pairs lets new machines of this device's own person in. Errors are those of
// package peers.
type Pairs interface {
	// Open says whether one is awaited now.
	Open() bool
	// Pair answers the machine that is at the other end.
	Pair(ctx context.Context, from peers.DeviceID, r PairRequest) (PairAnswer, error)
}

// pairing says whether a stranger may be a further machine of this person.
func (v *server) pairing() bool { return v.s.cfg.Pairs != nil && v.s.cfg.Pairs.Open() }

func (v *server) pair(w http.ResponseWriter, r *http.Request) {
	c := connOf(r)
	if c == nil || !v.pairing() {
		v.refuse(w, r)
		return
	}
	var in PairRequest
	if err := v.read(w, r, maxPair, &in); err != nil {
		v.fail(w, r, err)
		return
	}
	in.Name = circle.CleanName(in.Name)
	a, err := v.s.cfg.Pairs.Pair(r.Context(), c.Device(), in)
	if err != nil {
		v.fail(w, r, err)
		return
	}
	v.answer(w, http.StatusOK, a)
}

// Pair asks another machine of this person to hand over what makes this one
// theirs too, again and again until the person has agreed there.
// peers.ErrRefused when they did not, or the code is not good any more.
func (s *Service) Pair(ctx context.Context, device peers.DeviceID, addresses []string, r PairRequest) ([]byte, error) {
	l := newLink(s, device, func() []string { return addresses })
	defer l.close()
	r.Name, r.Version = circle.CleanName(s.cfg.Name()), s.cfg.Version
	tick := time.NewTicker(pairEvery)
	defer tick.Stop()
	for {
		var a PairAnswer
		if _, err := l.call(ctx, pathPair, r, maxPairAnswer, &a); err != nil {
			return nil, fmt.Errorf("%s: %w", device.Short(), err)
		}
		if !a.Wait {
			return a.Sealed, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}
