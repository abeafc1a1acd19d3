// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/transport"
)

// ErrSelf says that an invite came from this very device.
var ErrSelf = said.Error("own-invite", "this invite was made on this device; use it on the other one")

// Join redeems an invite: afterwards both devices are in each other's circle
// and keep for each other. Repeating it after an error is safe. It returns
// circle.ErrInvite* for what is wrong with the invite.
func (s *Service) Join(ctx context.Context, inv circle.Invite) (circle.Peer, error) {
	switch {
	case inv.Device == s.cfg.Identity.Device():
		return circle.Peer{}, ErrSelf
	case !time.Now().Before(inv.Expires):
		return circle.Peer{}, circle.ErrInviteExpired
	}
	// A link of its own: the device is not in the circle yet, and as a guest
	// this connection is good for nothing else.
	addresses := slices.Concat(inv.Addresses, s.lookUp(ctx, inv))
	l := newLink(s, inv.Device, func() []string { return addresses })
	defer l.close()
	var a joinAnswer
	_, err := l.call(ctx, pathJoin, joinMsg{
		Token: inv.Token[:], Name: circle.CleanName(s.cfg.Name()), Version: s.cfg.Version,
		Addresses: circle.CleanAddresses(s.Addresses()), Keys: s.keys(), Own: s.cfg.Book.Own(),
	}, maxSmall, &a)
	if err != nil {
		if errors.Is(err, peers.ErrRefused) {
			err = fmt.Errorf("%w: it may be used up or expired; ask for a new one (%w)", circle.ErrInviteUnknown, err)
		}
		return circle.Peer{}, fmt.Errorf("join %s: %w", circle.CleanName(inv.Name), err)
	}
	learned := circle.Learned(a.Addresses, l.local())
	if len(learned) == 0 {
		learned = inv.Addresses
	}
	p, err := s.admit(inv.Device, a.Name, learned, a.Keys)
	if err != nil {
		return circle.Peer{}, fmt.Errorf("join %s: %w", circle.CleanName(inv.Name), err)
	}
	s.introduced(inv.Device, a.Own)
	s.client(inv.Device).forgive()
	return p, nil
}

// lookUp asks the discovery servers of an invite where its device is now: it
// may have moved since.
func (s *Service) lookUp(ctx context.Context, inv circle.Invite) (addresses []string) {
	for _, server := range inv.Servers {
		if circle.IsRelay(server) {
			continue
		}
		g, err := s.cfg.Identity.NewGlobal(server)
		if err != nil {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, lookUpTime)
		addresses = append(addresses, circle.Learned(g.Find(asking, inv.Device), false)...)
		cancel()
		g.Close()
	}
	return addresses
}

// lookUpTime bounds a question to a discovery server while somebody waits.
const lookUpTime = 3 * time.Second

// join is the other side of Join.
func (v *server) join(w http.ResponseWriter, r *http.Request) {
	c := connOf(r)
	if c == nil {
		v.fail(w, r, peers.ErrRefused)
		return
	}
	var in joinMsg
	if err := v.read(w, r, maxJoin, &in); err != nil {
		v.fail(w, r, err)
		return
	}
	var token [16]byte
	if copy(token[:], in.Token) != len(token) || len(in.Token) != len(token) {
		v.fail(w, r, errMessage)
		return
	}
	if _, err := v.s.cfg.Book.Redeem(token, v.s.cfg.Identity.Device(), c.Device(), joined(in.Name, circle.Learned(in.Addresses, local(c)), in.Keys)); err != nil {
		v.fail(w, r, err)
		return
	}
	v.s.log.Info("a device joined", "device", c.Device().Short())
	v.s.introduced(c.Device(), in.Own)
	v.answer(w, http.StatusOK, joinAnswer{
		Name: circle.CleanName(v.s.cfg.Name()), Version: v.s.cfg.Version,
		Addresses: circle.CleanAddresses(v.s.Addresses()), Keys: v.s.keys(), Own: v.s.cfg.Book.Own(),
	})
}

// joined notes what a device that joins says of itself.
func joined(name string, addresses []string, keys *keysMsg) func(*circle.Peer) {
	return func(p *circle.Peer) {
		p.Name, p.Keeper = circle.CleanName(name), true
		p.LastSeen = time.Now().UTC().Truncate(time.Second)
		if len(addresses) > 0 {
			p.Addresses = addresses
		}
		keys.into(p)
	}
}

// admit puts the device that invited this one into the circle, or renews what
// is known of it.
func (s *Service) admit(id peers.DeviceID, name string, addresses []string, keys *keysMsg) (circle.Peer, error) {
	p, _ := s.cfg.Book.Peer(id)
	p.Device = id
	joined(name, addresses, keys)(&p)
	if err := s.cfg.Book.Put(p); err != nil {
		return circle.Peer{}, err
	}
	p, ok := s.cfg.Book.Peer(id)
	if !ok {
		return circle.Peer{}, fmt.Errorf("%s %w", id.Short(), circle.ErrUnknownPeer)
	}
	return p, nil
}

// local says whether the other end is on this machine, so that its loopback
// addresses mean something here. A relay on this machine does not count: whoever
// is behind it may be anywhere.
func local(c *transport.Conn) bool { return c.Route() == transport.SameMachine }

// local says whether the link leads to this machine.
func (l *link) local() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return transport.RouteOf(l.last) == transport.SameMachine
}

// heard notes what a member said of itself, and that it is there. The
// addresses are Learned ones.
func (s *Service) heard(id peers.DeviceID, name string, addresses []string, keys *keysMsg) {
	err := s.cfg.Book.Hear(id, func(p *circle.Peer) {
		p.Name = circle.CleanName(name)
		if len(addresses) > 0 {
			p.Addresses = addresses
		}
		keys.into(p)
	})
	if err == nil {
		err = s.cfg.Book.Seen(id)
	}
	if err != nil {
		s.log.Warn("note what a peer said", "device", id.Short(), "error", err)
	}
	if len(addresses) > 0 {
		s.client(id).forgive()
	}
}

// keys is what this device tells of its own keys.
func (s *Service) keys() *keysMsg {
	if len(s.cfg.Keys.Sign) == 0 {
		return nil
	}
	return &keysMsg{Sign: s.cfg.Keys.Sign, KEM: s.cfg.Keys.KEM, Witness: s.cfg.Witness != nil}
}

// into notes what a device said of its keys. The connection proves that it is
// that device which says it. Saying nothing leaves what is known.
func (k *keysMsg) into(p *circle.Peer) {
	if k != nil {
		p.Sign, p.KEM, p.Witness = k.Sign, k.KEM, k.Witness
	}
}
