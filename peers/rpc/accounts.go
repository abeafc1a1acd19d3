// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/account"
	"github.com/preezm/preezm/peers/circle"
)

const (
	pathAccount  = "/v1/account"
	pathHeadsPut = "/v1/heads/put"
	pathHeadsGet = "/v1/heads/get"

	maxClaim   = 10 << 10
	maxPutHead = peers.MaxHead + 256
	maxGetHead = 256
	maxHeads   = 64 * (peers.MaxHead + 256)
)

// claimMsg is what a further machine of a person of the circle says, who is not
// let in yet.
type claimMsg struct {
	List      []byte   `cbor:"1,keyasint"`
	Name      string   `cbor:"2,keyasint"`
	Version   string   `cbor:"3,keyasint"`
	Addresses []string `cbor:"4,keyasint"`
	Keys      *keysMsg `cbor:"5,keyasint,omitempty"`
}

// claimAnswer lets it in, or gives the list that it has to follow.
type claimAnswer struct {
	Admitted  bool     `cbor:"1,keyasint"`
	List      []byte   `cbor:"2,keyasint"` // the newest of that person
	Name      string   `cbor:"3,keyasint"`
	Version   string   `cbor:"4,keyasint"`
	Addresses []string `cbor:"5,keyasint"`
	Keys      *keysMsg `cbor:"6,keyasint,omitempty"`
	Own       []byte   `cbor:"7,keyasint,omitempty"` // the answering machine's person
}

type putHeadMsg struct {
	Locator peers.Locator `cbor:"1,keyasint"`
	Number  uint64        `cbor:"2,keyasint"`
	Sealed  []byte        `cbor:"3,keyasint"`
}

type getHeadsMsg struct {
	Locator peers.Locator  `cbor:"1,keyasint"`
	Machine peers.DeviceID `cbor:"2,keyasint"` // zero: the newest of each
	Number  uint64         `cbor:"3,keyasint"` // 0: the newest
}

type headsAnswer struct {
	Heads []peers.Head `cbor:"1,keyasint"`
}

// Heads keeps the heads of members' catalog backups, package heads.
type Heads interface {
	Put(ctx context.Context, from peers.DeviceID, l peers.Locator, number uint64, sealed []byte) error
	Get(ctx context.Context, from peers.DeviceID, l peers.Locator, machine peers.DeviceID, number uint64) ([]peers.Head, error)
}

// introduced takes the list of machines that a member shows, and gives a newer
// one when the member's is old.
func (s *Service) introduced(id peers.DeviceID, list []byte) (newer []byte) {
	if len(list) == 0 {
		return nil
	}
	gone, err := s.cfg.Book.Introduce(id, list)
	for _, d := range gone {
		s.log.Info("a machine is no longer one of its person's", "device", d.Short())
		s.cutOff(d)
	}
	switch {
	case errors.Is(err, circle.ErrOldList):
		return s.cfg.Book.ListOf(id)
	case err != nil:
		s.log.Info("a list of machines was not taken", "from", id.Short(), "error", err)
	}
	return nil
}

// learned takes a newer list of this person's own machines.
func (s *Service) learned(newer []byte) {
	if len(newer) == 0 {
		return
	}
	if err := s.cfg.Book.SetOwn(newer); err != nil && !errors.Is(err, circle.ErrOldList) {
		s.log.Info("a list of own machines was not taken", "error", err)
	}
}

// claim is where a further machine of a person of the circle is let in.
func (v *server) claim(w http.ResponseWriter, r *http.Request) {
	c := connOf(r)
	if c == nil {
		v.fail(w, r, peers.ErrRefused)
		return
	}
	var in claimMsg
	if err := v.read(w, r, maxClaim, &in); err != nil {
		v.fail(w, r, err)
		return
	}
	known, gone, err := v.s.cfg.Book.Claim(c.Device(), in.List, joined(in.Name, circle.Learned(in.Addresses, local(c)), in.Keys))
	for _, d := range gone {
		v.s.cutOff(d)
	}
	a := claimAnswer{
		Admitted: err == nil, List: known, Name: circle.CleanName(v.s.cfg.Name()), Version: v.s.cfg.Version,
		Addresses: circle.CleanAddresses(v.s.Addresses()), Keys: v.s.keys(), Own: v.s.cfg.Book.Own(),
	}
	switch {
	case err == nil:
		v.s.log.Info("a further machine of a person of the circle is in", "device", c.Device().Short())
	case !errors.Is(err, circle.ErrOldList):
		v.s.log.Debug("a machine was not let in", "device", c.Device().Short(), "error", err)
		if !errors.Is(err, circle.ErrTooManyPeers) {
			err = fmt.Errorf("%w: %w", peers.ErrRefused, err)
		}
		v.fail(w, r, err)
		return
	}
	v.answer(w, http.StatusOK, a)
}

// refuse answers all else that a stranger asks for. Its body is not waited for.
func (v *server) refuse(w http.ResponseWriter, _ *http.Request) {
	f := failureOf(peers.ErrRefused)
	w.Header()["Connection"] = []string{"close"}
	v.answer(w, f.status, errorMsg{Code: f.code})
}

// Claimed is what a device answers to a claim.
type Claimed struct {
	Peer circle.Peer
	// List is the newest list of the person that the device knows. With
	// Admitted false the claim must be repeated with one that follows it.
	List     []byte
	Admitted bool
}

// Claim asks a device to let this one in as a further machine of a person it
// knows, whose list this is. peers.ErrRefused when it knows no such person.
func (s *Service) Claim(ctx context.Context, device peers.DeviceID, addresses []string, list []byte) (Claimed, error) {
	l := newLink(s, device, func() []string { return addresses })
	defer l.close()
	var a claimAnswer
	_, err := l.call(ctx, pathAccount, claimMsg{
		List: list, Name: circle.CleanName(s.cfg.Name()), Version: s.cfg.Version,
		Addresses: circle.CleanAddresses(s.Addresses()), Keys: s.keys(),
	}, maxClaim, &a)
	if err != nil {
		return Claimed{}, fmt.Errorf("%s: %w", device.Short(), err)
	}
	if len(a.List) > 0 {
		if _, err := account.Parse(a.List); err != nil {
			return Claimed{}, fmt.Errorf("%s: %w: %w", device.Short(), peers.ErrProtocol, err)
		}
	}
	out := Claimed{List: a.List, Admitted: a.Admitted}
	if !a.Admitted {
		return out, nil
	}
	learned := circle.Learned(a.Addresses, l.local())
	if len(learned) == 0 {
		learned = addresses
	}
	if out.Peer, err = s.admit(device, a.Name, learned, a.Keys); err != nil {
		return out, err
	}
	s.introduced(device, a.Own)
	s.client(device).forgive()
	return out, nil
}

// claimGap is how long a device that did not let this one in is left alone.
const claimGap = 20 * time.Second

// claimAgain tries to be let in by a device of the circle that does not know
// this one yet: it may know another machine of the same person.
func (s *Service) claimAgain(ctx context.Context, id peers.DeviceID) bool {
	own := s.cfg.Book.Own()
	p, ok := s.cfg.Book.Peer(id)
	s.mu.Lock()
	wait := time.Since(s.claimed[id]) < claimGap
	if s.claimed == nil {
		s.claimed = make(map[peers.DeviceID]time.Time)
	}
	s.claimed[id] = time.Now()
	s.mu.Unlock()
	if len(own) == 0 || !ok || wait {
		return false
	}
	c, err := s.Claim(ctx, id, p.Addresses, own)
	if err != nil {
		s.log.Debug("claim", "of", id.Short(), "error", err)
		return false
	}
	if !c.Admitted {
		s.learned(c.List)
	}
	return c.Admitted
}

func (v *server) putHead(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	if v.s.cfg.Heads == nil {
		return peers.ErrRefused
	}
	var in putHeadMsg
	if err := v.read(w, r, maxPutHead, &in); err != nil {
		return err
	}
	if err := v.s.cfg.Heads.Put(r.Context(), from, in.Locator, in.Number, in.Sealed); err != nil {
		return err
	}
	v.done204(w)
	return nil
}

func (v *server) getHeads(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	if v.s.cfg.Heads == nil {
		return peers.ErrRefused
	}
	var in getHeadsMsg
	if err := v.read(w, r, maxGetHead, &in); err != nil {
		return err
	}
	hs, err := v.s.cfg.Heads.Get(r.Context(), from, in.Locator, in.Machine, in.Number)
	if err != nil {
		return err
	}
	v.answer(w, http.StatusOK, headsAnswer{Heads: hs})
	return nil
}

// PutHead gives the device the head of a catalog backup to keep; peers.ErrStale
// when it has a newer one of this machine.
func (c *Client) PutHead(ctx context.Context, l peers.Locator, number uint64, sealed []byte) error {
	return c.wrap(c.call(ctx, pathHeadsPut, putHeadMsg{l, number, sealed}, 0, nil))
}

// Heads asks for heads: the newest of each machine, or of one machine the newest
// not above number (0: the newest).
func (c *Client) Heads(ctx context.Context, l peers.Locator, machine peers.DeviceID, number uint64) ([]peers.Head, error) {
	var a headsAnswer
	if err := c.call(ctx, pathHeadsGet, getHeadsMsg{l, machine, number}, maxHeads, &a); err != nil {
		return nil, c.wrap(err)
	}
	for _, h := range a.Heads {
		if len(h.Sealed) > peers.MaxHead || h.Number == 0 {
			return nil, c.wrap(fmt.Errorf("%w (a bad head)", peers.ErrProtocol))
		}
	}
	return a.Heads, c.wrap(nil)
}
