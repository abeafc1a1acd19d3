// SPDX-License-Identifier: MPL-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/witness"
)

const (
	deliverTime = 5 * time.Second // a custodian may take, before a letter waits
	// waitTime is how long a letter waits after its brand asked last. What a
	// custodian releases later would count as an opening, though nobody has the
	// request's one-time key any more.
	waitTime = time.Minute
	// keepTime is how long one waits whose brand has written its request down:
	// as long as custodians take it.
	keepTime      = custody.MaxRequestAge * time.Second
	maxWaiting    = 1024     // letters
	maxHeld       = 32 << 20 // bytes of them
	maxGuestShare = 128      // letters of one guest
	maxCollected  = 64       // answers given at once
)

// letter is one that waits, or its answer that does. It is in gateway.db too.
type letter struct {
	guest   peers.DeviceID
	of      granted
	mailbox custody.Key
	raw     []byte
	until   int64
	reply   []byte
}

// letter brings one to its custodian; when that does not answer and the brand
// waits, it is tried again later.
func (g *Gateway) letter(ctx context.Context, guest peers.DeviceID, raw []byte, wait time.Duration) (*Delivery, error) {
	l, err := custody.ReadLetter(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", peers.ErrRefused, err)
	}
	s, err := g.stay(guest, func(s *stay) bool { return s.grant.Body.ID == l.GrantID })
	if err != nil {
		return nil, err
	}
	to := s.contact(l.Mailbox)
	if to == nil {
		return nil, fmt.Errorf("%w (no such mailbox)", peers.ErrRefused)
	}
	id := custody.Hash(sha256.Sum256(raw))
	g.mu.Lock()
	w := g.waiting[id]
	if w != nil && w.reply != nil {
		err := g.drop(id)
		g.mu.Unlock()
		return &Delivery{Reply: w.reply}, err
	}
	g.mu.Unlock()
	// One that waits already was counted when it came.
	if w == nil && !g.allowLetter(guest, s, l.Mailbox) {
		busy, err := custody.Marshal(witness.Reply{Reason: custody.Busy})
		return &Delivery{Reply: busy}, err
	}
	reply, err := s.deliver(ctx, to, raw)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		return &Delivery{Reply: reply}, g.drop(id)
	}
	now := g.cfg.Now()
	until := min(now.Add(wait).Unix(), s.grant.Body.NotAfter)
	switch old := g.waiting[id]; {
	case wait == 0 || now.Unix() >= until:
		err = g.drop(id)
	case old != nil && wait > waitTime:
		err = nil // its time began when it came first
	case old != nil:
		if err = nil; until > old.until {
			old.until = until
			err = g.store.putLetter(id, old)
		}
	default:
		err = g.keep(id, s, &letter{guest: guest, of: s.of(), mailbox: l.Mailbox, raw: raw, until: until})
	}
	// Why it could not be delivered would tell who the custodian is.
	return &Delivery{Waiting: wait > 0, Reply: []byte{}}, err
}

// drop forgets a letter. The caller holds the lock.
func (g *Gateway) drop(id custody.Hash) error {
	if g.waiting[id] == nil {
		return nil
	}
	delete(g.waiting, id)
	return g.store.dropLetter(id)
}

// keep lets a letter wait, with the plan that leads to its custodian, if there
// is room: without, the brand has to ask again. The caller holds the lock.
func (g *Gateway) keep(id custody.Hash, s *stay, l *letter) error {
	held, share := len(l.raw), 0
	for _, w := range g.waiting {
		if held += len(w.raw) + len(w.reply); w.guest == l.guest {
			share++
		}
	}
	if len(g.waiting) >= maxWaiting || held > maxHeld || share >= maxGuestShare {
		return nil
	}
	if err := g.store.putPlan(l.of, s.row(), s.grant.Body.NotAfter, false); err != nil {
		return err
	}
	if err := g.store.putLetter(id, l); err != nil {
		return err
	}
	g.waiting[id] = l
	return nil
}

// Collecting asks for the answers that wait for a guest under a grant.
type Collecting struct {
	Grant custody.Hash `cbor:"1,keyasint"`
}

// Collected are answers to letters, each a custodian's; More says that there are
// others. Each is given once: should it get lost, its custodian repeats it to the
// same request.
type Collected struct {
	Replies [][]byte `cbor:"1,keyasint"`
	More    bool     `cbor:"2,keyasint"`
}

// collect gives a guest the answers to what it, and nobody else, has sent.
func (g *Gateway) collect(guest peers.DeviceID, raw []byte) (*Collected, error) {
	var q Collecting
	if err := custody.Unmarshal(raw, &q); err != nil {
		return nil, fmt.Errorf("%w: %w", peers.ErrRefused, err)
	}
	s, err := g.stay(guest, func(s *stay) bool { return s.grant.Hash == q.Grant })
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	out := &Collected{Replies: [][]byte{}}
	for id, w := range g.waiting {
		if w.guest != guest || w.of != s.of() || w.reply == nil {
			continue
		}
		if len(out.Replies) == maxCollected {
			out.More = true
			break
		}
		out.Replies = append(out.Replies, w.reply)
		if err := g.drop(id); err != nil { // custodians give it again
			return nil, err
		}
	}
	return out, nil
}

func (s *stay) deliver(ctx context.Context, to *ticket.Contact, raw []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, deliverTime)
	defer cancel()
	if to.Device == s.g.cfg.Device {
		if s.g.cfg.Witness == nil {
			return nil, peers.ErrNoCustodian
		}
		return s.g.cfg.Witness.Answer(ctx, "letter", s.g.cfg.Device, raw)
	}
	return s.visit(to).Letter(ctx, raw)
}

// todo is a waiting letter on its way.
type todo struct {
	id custody.Hash
	l  *letter
	s  *stay
	to *ticket.Contact
}

// Tick tries the waiting letters again, and forgets what waited too long. Each
// custodian gets its letters one after the other until one cannot be delivered;
// one that sleeps holds the others up in nothing.
func (g *Gateway) Tick(ctx context.Context) error {
	now := g.cfg.Now().Unix()
	g.mu.Lock()
	g.sweep(now)
	by := map[peers.DeviceID][]todo{}
	for id, w := range g.waiting {
		if now >= w.until {
			delete(g.waiting, id)
			continue
		}
		if w.reply != nil {
			continue
		}
		s := g.standing(w.of)
		if s == nil {
			continue
		}
		if to := s.contact(w.mailbox); to != nil {
			by[to.Device] = append(by[to.Device], todo{id, w, s, to})
		}
	}
	err := g.store.sweep(now)
	g.mu.Unlock()
	var wg sync.WaitGroup
	for _, list := range by {
		wg.Go(func() {
			for _, t := range list {
				reply, err := t.s.deliver(ctx, t.to, t.l.raw)
				if err != nil {
					return
				}
				g.answered(t, reply)
			}
		})
	}
	wg.Wait()
	return err
}

// answered notes the answer to a letter that still waits.
func (g *Gateway) answered(t todo, reply []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting[t.id] != t.l {
		return
	}
	t.l.reply = reply
	// Unwritten, it is asked for again after a restart, and given again.
	if err := g.store.putLetter(t.id, t.l); err != nil {
		g.cfg.Logger.Warn("keep an answer", "err", err)
	}
}
