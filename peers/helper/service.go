// SPDX-License-Identifier: MPL-2.0

package helper

import (
	"context"
	"crypto/hpke"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/helpers"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/vault"
)

// Errors a person decides on.
var (
	// ErrNoRequest: there is no such request.
	ErrNoRequest = said.Error("no-request", "there is no such request: 'preezm helpers requests' shows them")
	// ErrWrongWords: the words are not those that the newcomer's screen shows.
	ErrWrongWords = said.Error("wrong-words", "these are not the words on the newcomer's screen")
	// ErrOver: the request was decided already.
	ErrOver = said.Error("request-over", "this request is over")
)

// Options of a Service.
type Options struct {
	Device peers.DeviceID
	KEM    hpke.PrivateKey
	Box    *vault.Box
	Path   string
	// Person gives the root of a device of the circle, Name what it is called,
	// Own the root of this machine's own person.
	Person func(peers.DeviceID) (custody.Key, bool)
	Name   func(peers.DeviceID) string
	Own    func() (custody.Key, bool)
	Now    func() time.Time
	Logger *slog.Logger
}

// Service is a helper's side, and the owner's record of its helpers. Safe for
// concurrent use.
type Service struct {
	o   Options
	mu  sync.Mutex
	now state
}

// Open reads what is kept.
func Open(o Options) (*Service, error) {
	s := &Service{o: o}
	return s, s.load()
}

// Fellow reports whether a device that may be outside the circle may warn and
// forbid: it holds another share of an owner whom this one helps.
func (s *Service) Fellow(d peers.DeviceID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.now.Kept, func(k Kept) bool { return named(k.doc, d) })
}

func named(doc *helpers.Share, d peers.DeviceID) bool {
	return slices.ContainsFunc(doc.Helpers, func(h helpers.Helper) bool { return h.Device == d })
}

// Answer serves a device.
func (s *Service) Answer(_ context.Context, verb string, from peers.DeviceID, raw []byte) ([]byte, error) {
	switch verb {
	case VerbKeep:
		return nil, s.keep(from, raw)
	case VerbDrop:
		return nil, s.drop(raw)
	case VerbAsk:
		return s.ask(from, raw)
	case VerbFetch:
		return s.fetch(from, raw)
	case VerbAlert:
		return nil, s.alert(from, raw)
	case VerbVeto:
		return nil, s.veto(from, raw)
	}
	return nil, peers.ErrUnknown
}

// keep takes a share. One that is not good is refused at once, and what was kept
// stays.
func (s *Service) keep(from peers.DeviceID, raw []byte) error {
	doc, err := helpers.ParseShare(raw)
	if err != nil {
		return fmt.Errorf("%w: %w", peers.ErrDamaged, err)
	}
	if root, ok := s.o.Person(from); !ok || root != doc.Owner || doc.Me().Device != s.o.Device {
		return peers.ErrRefused
	}
	share, err := doc.Open(s.o.KEM)
	if err != nil {
		return fmt.Errorf("%w: %w", peers.ErrDamaged, err)
	}
	return s.change(func(st *state) error {
		if old := st.kept(doc.Owner); old != nil {
			if old.doc.Number > doc.Number || old.doc.Number == doc.Number && old.doc.Set != doc.Set {
				return peers.ErrRefused
			}
			if old.doc.Set == doc.Set {
				return nil
			}
		} else if len(st.Kept) >= maxKept {
			return peers.ErrQuota
		}
		st.Kept = slices.DeleteFunc(st.Kept, func(k Kept) bool { return k.doc.Owner == doc.Owner })
		st.Kept = append(st.Kept, Kept{Raw: raw, Share: share[:], Since: s.o.Now(), doc: doc})
		return nil
	})
}

// drop forgets a share. The document is the owner's, whoever brings it.
func (s *Service) drop(raw []byte) error {
	d, err := helpers.ParseDrop(raw)
	if err != nil {
		return fmt.Errorf("%w: %w", peers.ErrDamaged, err)
	}
	return s.change(func(st *state) error {
		st.Kept = slices.DeleteFunc(st.Kept, func(k Kept) bool { return k.doc.Owner == d.Owner && k.doc.Number <= d.Number })
		return nil
	})
}

// find gives the owner that a newcomer names.
func (st *state) find(who string) (*Kept, State) {
	var out *Kept
	for i := range st.Kept {
		k := &st.Kept[i]
		if strings.EqualFold(k.doc.Name, who) || len(who) >= 8 && strings.HasPrefix(hex.EncodeToString(k.doc.Owner[:]), strings.ToLower(who)) {
			if out != nil {
				return nil, Unclear
			}
			out = k
		}
	}
	if out == nil {
		return nil, Unknown
	}
	return out, Asked
}

func (s *Service) ask(from peers.DeviceID, raw []byte) ([]byte, error) {
	var in Ask
	if err := custody.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", peers.ErrDamaged, err)
	}
	if _, err := hpke.MLKEM768X25519().NewPublicKey(in.KEM); err != nil || len(in.Owner) > 2*maxName {
		return nil, peers.ErrRefused
	}
	s.mu.Lock()
	k, st := s.now.find(in.Owner)
	var have *Request
	if k != nil {
		have = s.now.request(requestID(k.doc.Owner, from, in.KEM))
	}
	s.mu.Unlock()
	if k == nil {
		return custody.Marshal(Progress{State: st})
	}
	doc := k.doc
	if have == nil {
		r := Request{
			ID: requestID(doc.Owner, from, in.KEM), Owner: doc.Owner, Set: doc.Set, From: from,
			Name: circle.CleanName(in.Name), KEM: in.KEM, State: Asked, At: s.o.Now(),
		}
		rand.Read(r.Nonce[:]) // never fails
		err := s.change(func(st *state) error {
			if have = st.request(r.ID); have != nil {
				return nil
			}
			if count(st.Requests, func(o Request) bool { return o.From == from }) >= maxOf || len(st.Requests) >= maxRequests {
				return peers.ErrRefused
			}
			if v := st.vetoed(r.ID); v != nil {
				r.State, r.VetoedBy = Vetoed, v.By
			}
			st.Requests = append(st.Requests, r)
			return nil
		})
		if err != nil {
			return nil, err
		}
		if have == nil {
			have = &r
		}
	}
	return custody.Marshal(progressOf(doc, have))
}

func progressOf(doc *helpers.Share, r *Request) Progress {
	p := Progress{State: r.State, ID: r.ID, Nonce: r.Nonce, Owner: doc.Owner, Name: doc.Name, K: doc.K, N: uint8(len(doc.Helpers))}
	if !r.Until.IsZero() {
		p.Until = r.Until.Unix()
	}
	return p
}

// fetch gives the share when it is time. That it was given is on the disk before
// it leaves. The delay ends at one moment of this machine's clock: a clock that
// goes backwards makes it longer.
func (s *Service) fetch(from peers.DeviceID, raw []byte) ([]byte, error) {
	var in fetchMsg
	if err := custody.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", peers.ErrDamaged, err)
	}
	var p Progress
	err := s.change(func(st *state) error {
		r := st.request(in.ID)
		if r == nil || r.From != from {
			return peers.ErrRefused
		}
		k := st.kept(r.Owner)
		if k == nil || k.doc.Set != r.Set {
			return peers.ErrRefused // another set was made since
		}
		if st.vetoed(r.ID) != nil && r.State != Given {
			r.State = Vetoed
		}
		if r.State == Agreed && !s.o.Now().Before(r.Until) {
			r.State = Given
		}
		p = progressOf(k.doc, r)
		if r.State != Given {
			return nil
		}
		sealed, err := k.doc.Reseal([32]byte(k.Share), r.KEM)
		p.Doc, p.Sealed = k.Raw, sealed
		return err
	})
	if err != nil {
		return nil, err
	}
	return custody.Marshal(p)
}

func count[T any](all []T, is func(T) bool) (n int) {
	for _, v := range all {
		if is(v) {
			n++
		}
	}
	return n
}

// mayVeto: the owner's machines, and whoever holds another share.
func (s *Service) mayVeto(doc *helpers.Share, d peers.DeviceID) (own, ok bool) {
	root, known := s.o.Person(d)
	own = known && root == doc.Owner || slices.Contains(doc.Devices, d)
	return own, own || named(doc, d)
}

// alert takes what a helper says about a request. An owner's machine believes any
// machine of its circle: too many warnings are better than none.
func (s *Service) alert(from peers.DeviceID, raw []byte) error {
	var in alertMsg
	if err := custody.Unmarshal(raw, &in); err != nil {
		return fmt.Errorf("%w: %w", peers.ErrDamaged, err)
	}
	own, isOwn := s.o.Own()
	return s.change(func(st *state) error {
		k := st.kept(in.Owner)
		if !(isOwn && own == in.Owner) && (k == nil || !named(k.doc, from)) {
			return peers.ErrRefused
		}
		if slices.ContainsFunc(st.Alerts, func(a Alert) bool { return a.ID == in.ID && a.By == from }) {
			return nil
		}
		// Nobody can drown a warning of somebody else by many of their own.
		mine := func(a Alert) bool { return a.By == from }
		if count(st.Alerts, mine) >= maxOf {
			i := slices.IndexFunc(st.Alerts, mine)
			st.Alerts = slices.Delete(st.Alerts, i, i+1)
		} else if len(st.Alerts) >= maxAlerts {
			return peers.ErrQuota
		}
		st.Alerts = append(st.Alerts, Alert{
			ID: in.ID, Owner: in.Owner, By: from, Name: circle.CleanName(in.Name), Until: time.Unix(in.Until, 0), At: s.o.Now(),
			Over: st.vetoed(in.ID) != nil,
		})
		s.o.Logger.Warn("somebody wants to bring a person back through their helpers", "request", in.ID.Short(), "agreed", from.Short())
		return nil
	})
}

// veto ends a request for good, and passes an owner's word on to the others.
func (s *Service) veto(from peers.DeviceID, raw []byte) error {
	var in vetoMsg
	if err := custody.Unmarshal(raw, &in); err != nil {
		return fmt.Errorf("%w: %w", peers.ErrDamaged, err)
	}
	return s.change(func(st *state) error {
		k := st.kept(in.Owner)
		if k == nil {
			return peers.ErrRefused
		}
		own, ok := s.mayVeto(k.doc, from)
		if !ok {
			return peers.ErrRefused
		}
		if st.vetoed(in.ID) != nil {
			return nil
		}
		by := "another helper"
		if own {
			by = "a machine of " + k.doc.Name
		}
		s.end(st, in.ID, in.Owner, by)
		if own {
			s.pass(st, k.doc, VerbVeto, raw)
		}
		return nil
	})
}

// end marks a request as forbidden.
func (s *Service) end(st *state, id ID, owner custody.Key, by string) {
	st.Vetoes = append(st.Vetoes, veto{id, owner, by, s.o.Now()})
	if r := st.request(id); r != nil && r.State != Given && r.State != Refused {
		r.State, r.VetoedBy = Vetoed, by
	}
	for i := range st.Alerts {
		if st.Alerts[i].ID == id {
			st.Alerts[i].Over = true
		}
	}
}

// pass sends a message to the other helpers.
func (s *Service) pass(st *state, doc *helpers.Share, verb string, raw []byte) {
	for _, h := range doc.Helpers {
		if h.Device != s.o.Device {
			st.send(letter{To: h.Device, Addresses: h.Addresses, Verb: verb, Raw: raw, At: s.o.Now()})
		}
	}
}
