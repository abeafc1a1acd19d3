// SPDX-License-Identifier: MPL-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

// What guests may ask within a minute. A custodian allows a brand's device 60
// requests a minute, so more letters than that to one custodian are of no use.
// Chunks are up to 4 MiB each; checking one reads whole shards of all keepers.
const (
	guestLetters, grantLetters = 60, 240    // to one mailbox: of a device, under a grant
	guestChunks, grantChunks   = 3000, 6000 // of a device, under a grant
	guestChecks, grantChecks   = 60, 120
)

// Kinds of buckets.
const (
	byGuestLetter = iota
	byGrantLetter
	byGuestChunk
	byGrantChunk
	byGuestCheck
	byGrantCheck
)

// paceEvery is how often one that asks too much looks whether it may go on.
const paceEvery = 50 * time.Millisecond

var errCrowd = fmt.Errorf("%w (too many ask at once)", peers.ErrUnreachable)

func bucket(a, b []byte) [32]byte {
	h := sha256.New()
	h.Write(a)
	h.Write(b)
	return [32]byte(h.Sum(nil))
}

// allowLetter counts a new letter of a guest to a custodian.
func (g *Gateway) allowLetter(guest peers.DeviceID, s *stay, mailbox custody.Key) bool {
	now := g.cfg.Now()
	return g.limit.Allow(byGuestLetter, bucket(guest[:], mailbox[:]), guestLetters, now) &&
		g.limit.Allow(byGrantLetter, bucket(s.grant.Hash[:], mailbox[:]), grantLetters, now)
}

// pace lets a guest wait that fetches faster than its share: a large file takes
// longer then, and does not fail.
func (g *Gateway) pace(ctx context.Context, guest peers.DeviceID, s *stay, check bool) error {
	kinds, most := [2]byte{byGuestChunk, byGrantChunk}, [2]float64{guestChunks, grantChunks}
	if check {
		kinds, most = [2]byte{byGuestCheck, byGrantCheck}, [2]float64{guestChecks, grantChecks}
	}
	for i, name := range [2][32]byte{bucket(guest[:], nil), bucket(s.grant.Hash[:], nil)} {
		for !g.limit.Allow(kinds[i], name, most[i], g.cfg.Now()) {
			timer := time.NewTimer(paceEvery)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return errCrowd
			}
		}
	}
	return nil
}
