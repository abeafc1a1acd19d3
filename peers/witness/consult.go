// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"context"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

// consultTime is how long a custodian that is about to agree waits for what the
// fellows know of a withdrawal: check 14.
const consultTime = 500 * time.Millisecond

// askedAge is how long what the fellows said of a grant is good: a brand that
// opens fifty files one after the other has them asked a few times. A withdrawal
// that one of them learns is told on at once as well.
const askedAge = 200 * time.Millisecond

// consulted is about which grant the fellows were asked last, and when.
type consulted struct {
	grant custody.Hash
	at    time.Time
}

// RevokedQuery asks a fellow for the withdrawal of one grant.
type RevokedQuery struct {
	Owner custody.Key  `cbor:"1,keyasint"`
	Grant custody.Hash `cbor:"2,keyasint"`
}

// RevokedAnswer is it, signed; empty when the fellow knows of none.
type RevokedAnswer struct {
	Revocation []byte `cbor:"1,keyasint"`
}

// Revoked answers a fellow that is about to agree.
func (s *Service) Revoked(ctx context.Context, from peers.DeviceID, raw []byte) ([]byte, error) {
	if !s.limit.Allow(byAsker, from, perAsker, s.o.Now()) {
		return nil, refused(errTooMany)
	}
	var q RevokedQuery
	if err := custody.Unmarshal(raw, &q); err != nil {
		return nil, refused(err)
	}
	o, err := s.listen(ctx, from, q.Owner)
	if err != nil {
		return nil, err
	}
	defer o.mu.Unlock()
	a := RevokedAnswer{Revocation: []byte{}}
	if o.revoked[q.Grant] {
		list, err := s.store.raws(ctx, "SELECT raw FROM revoked WHERE owner = ? AND grant_hash = ?", o.root[:], q.Grant[:])
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			a.Revocation = list[0]
		}
	}
	return custody.Marshal(a)
}

// near remembers which fellows answered last. One that did not is not waited
// for again before a round of gossip reaches it: a machine that is gone costs
// one opening half a second, and not each.
type near struct {
	mu   sync.Mutex
	devs map[peers.DeviceID]bool
}

func (n *near) set(d peers.DeviceID, answers bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.devs == nil {
		n.devs = map[peers.DeviceID]bool{}
	}
	if answers {
		n.devs[d] = true
	} else {
		delete(n.devs, d)
	}
}

func (n *near) has(d peers.DeviceID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.devs[d]
}

// consult asks the fellows that can be reached whether a grant was withdrawn,
// all at once, and learns what they know. Without o.mu held.
func (s *Service) consult(ctx context.Context, o *owner, grant custody.Hash) {
	find := s.find.Load()
	if find == nil {
		return // it does not run: there is nobody to ask
	}
	begin := time.Now()
	o.mu.Lock()
	known := o.asked.grant == grant && begin.Sub(o.asked.at) < askedAge
	var fellows []Member
	if o.panel != nil {
		fellows = o.panel.Body.Members
	}
	o.mu.Unlock()
	if known {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, consultTime)
	defer cancel()
	var wg sync.WaitGroup
	for _, m := range fellows {
		d := peers.DeviceID(m.Device)
		if d == s.o.Device || !s.near.has(d) {
			continue
		}
		c := (*find)(d, m.Addresses)
		if c == nil {
			continue
		}
		wg.Go(func() {
			a, err := Client{c}.revoked(ctx, RevokedQuery{Owner: o.root, Grant: grant})
			if err != nil {
				s.near.set(d, false)
				s.log.Debug("ask for withdrawals", "fellow", d.Short(), "error", err)
				return
			}
			if len(a.Revocation) == 0 {
				return
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			if err := s.fresh(ctx, o); err == nil {
				err = s.learn(ctx, o, &News{Revocations: [][]byte{a.Revocation}})
				if err != nil {
					s.log.Warn("a fellow's withdrawal is not in order", "fellow", d.Short(), "error", err)
				}
			}
		})
	}
	wg.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = consulted{grant, begin}
}
