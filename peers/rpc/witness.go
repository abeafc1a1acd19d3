// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
)

// Keys are a device's public keys, for documents.
type Keys struct {
	Sign []byte // Ed25519
	KEM  []byte // X-Wing
}

// Witness is a custodian of time-limited keys, package witness; rpc carries
// its messages and knows only their sizes.
type Witness interface {
	// Answer answers a message of a device of the circle. The error is one
	// of package peers, or stays here.
	Answer(ctx context.Context, verb string, from peers.DeviceID, raw []byte) ([]byte, error)
	// Fellow reports whether a device that is not in the circle may gossip:
	// one owner named both as custodians.
	Fellow(device peers.DeviceID) bool
}

// maxWitness bounds the messages of one kind that are held at once, of letters,
// other messages to custodians, letters to carry on and chunks: each may be a
// megabyte, and a device may have many connections.
const maxWitness = 32

// maxLetter is the size of the largest message, in bytes, either way.
const maxLetter = 1 << 20

// witnessLimit is how large a request may be; 0: there is no such verb.
func witnessLimit(verb string) int64 {
	switch verb {
	case "letter", "status", "gossip":
		return maxLetter
	case "appoint":
		return 256 << 10
	case "revoke":
		return 8 << 10
	case "log", "evidence", "revoked":
		return 1 << 10
	}
	return 0
}

func (v *server) witness(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	return v.witnessVerb(w, r, r.PathValue("verb"), from)
}

// gossip lets a fellow custodian who is not in the circle say one verb.
func (v *server) gossip(verb string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := connOf(r)
		if c == nil || !v.fellow(c.Device()) {
			v.fail(w, r, peers.ErrRefused)
			return
		}
		if err := v.witnessVerb(w, r, verb, c.Device()); err != nil {
			v.fail(w, r, err)
		}
	}
}

func (v *server) fellow(d peers.DeviceID) bool {
	return v.s.cfg.Witness != nil && v.s.cfg.Witness.Fellow(d)
}

func (v *server) witnessVerb(w http.ResponseWriter, r *http.Request, verb string, from peers.DeviceID) error {
	limit := witnessLimit(verb)
	if v.s.cfg.Witness == nil || limit == 0 {
		return peers.ErrNoCustodian
	}
	if r.ContentLength < 0 || r.ContentLength > limit {
		return fmt.Errorf("%w: %d bytes", errMessage, r.ContentLength)
	}
	// What brands send has room of its own: however many letters come, a
	// withdrawal finds a place.
	room := v.news
	if verb == "letter" {
		room = v.letters
	}
	leave, err := enter(room)
	if err != nil {
		return err
	}
	defer leave()
	raw := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(v.body(w, r), raw); err != nil {
		return fmt.Errorf("%w: body: %w", errMessage, err)
	}
	answer, err := v.s.cfg.Witness.Answer(r.Context(), verb, from, raw)
	if err != nil {
		return err
	}
	v.write(w, http.StatusOK, answer)
	return nil
}

// Peer is a device of the circle, to ask things of; circle.ErrUnknownPeer.
func (s *Service) Peer(id peers.DeviceID) (*Client, error) {
	if !s.cfg.Book.Has(id) {
		return nil, fmt.Errorf("%s %w", id.Short(), circle.ErrUnknownPeer)
	}
	return s.client(id), nil
}

// Fellow is another custodian at these addresses, to gossip with; one of the
// circle is asked as such. The same Client each time while they stay the same
// and it is asked for now and then.
func (s *Service) Fellow(id peers.DeviceID, addresses []string) *Client {
	if s.cfg.Book.Has(id) {
		return s.client(id)
	}
	addresses = given(addresses)
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetFellows(now)
	f := s.fellows[id]
	if f == nil || !slices.Equal(f.addresses, addresses) {
		if f != nil {
			f.c.close()
		}
		l := newLink(s, id, func() []string { return addresses })
		l.may = s.told
		f = &fellow{c: &Client{s: s, device: id, link: l}, addresses: addresses}
		s.fellows[id] = f
	}
	f.asked = now
	return f.c
}

// fellow is a machine outside the circle: a custodian, or a keeper of somebody
// whom this device takes care for.
type fellow struct {
	c         *Client
	addresses []string
	asked     time.Time // when somebody wanted it last
}

// forgetFellows lets go of those that nobody wanted for a while and that have no
// connection: they come from others' lists, which change for ever. The lock is
// held.
func (s *Service) forgetFellows(now time.Time) {
	if now.Sub(s.swept) < s.cfg.times.fellow/8 {
		return
	}
	s.swept = now
	for id, f := range s.fellows {
		if now.Sub(f.asked) >= s.cfg.times.fellow && f.c.link.idle() {
			f.c.close()
			delete(s.fellows, id)
		}
	}
}

// Witness asks the device as a custodian. The bytes are those of package
// witness, both ways.
func (c *Client) Witness(ctx context.Context, verb string, raw []byte) ([]byte, error) {
	if limit := witnessLimit(verb); limit == 0 || int64(len(raw)) > limit {
		return nil, c.wrap(fmt.Errorf("%w (a %s of %d bytes)", peers.ErrRefused, verb, len(raw)))
	}
	b, err := c.link.post(ctx, pathWitness+verb, raw, maxLetter)
	return b, c.wrap(err)
}
