// SPDX-License-Identifier: MPL-2.0

package helper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/helpers"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/said"
)

// View is a request as a person sees it: one made here, or one that another helper
// warned of.
type View struct {
	ID       ID
	Owner    string // name
	Newcomer string
	Device   peers.DeviceID // that asks; zero: another helper was asked
	State    State
	At       time.Time
	Until    time.Time
	By       string // who agreed, or forbade it
	Places   [2]int // of the words to ask for, from 1
}

// Requests lists what was asked here, and what others warned of.
func (s *Service) Requests() []View {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []View
	for _, r := range s.now.Requests {
		a, b := Places(r.Nonce)
		out = append(out, View{
			ID: r.ID, Owner: s.owner(r.Owner), Newcomer: r.Name, Device: r.From, State: r.State, At: r.At, Until: r.Until,
			By: r.VetoedBy, Places: [2]int{a + 1, b + 1},
		})
	}
	for _, a := range s.now.Alerts {
		v := View{ID: a.ID, Owner: s.owner(a.Owner), Newcomer: a.Name, State: Agreed, At: a.At, Until: a.Until, By: s.called(a.Owner, a.By)}
		if a.Over {
			v.State = Vetoed
		}
		out = append(out, v)
	}
	return out
}

// owner is what a person is called here.
func (s *Service) owner(root custody.Key) string {
	if k := s.now.kept(root); k != nil {
		return k.doc.Name
	}
	if own, ok := s.o.Own(); ok && own == root {
		return "you"
	}
	return root.String()[:8]
}

// called is what another helper is called.
func (s *Service) called(owner custody.Key, d peers.DeviceID) string {
	if n := s.o.Name(d); n != "" {
		return n
	}
	if k := s.now.kept(owner); k != nil {
		for _, h := range k.doc.Helpers {
			if h.Device == d {
				return h.Name
			}
		}
	}
	return d.Short()
}

// Helped are the owners whose shares are kept here.
func (s *Service) Helped() []Kept {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.now.Kept)
}

// Owner is whom a kept share brings back.
func (k *Kept) Owner() string { return k.doc.Name }

// resolve finds a request by what a person typed.
func (st *state) resolve(text string) (ID, error) {
	var out []ID
	add := func(id ID) {
		if len(text) >= 4 && strings.HasPrefix(id.String(), strings.ToLower(text)) && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	for _, r := range st.Requests {
		add(r.ID)
	}
	for _, a := range st.Alerts {
		add(a.ID)
	}
	if len(out) != 1 {
		return ID{}, ErrNoRequest
	}
	return out[0], nil
}

// Approve is this machine's person agreeing to a request, with the two words that
// the newcomer read out. From here the delay runs, and all others are warned.
func (s *Service) Approve(text string, typed [2]string) (View, error) {
	var wrong error
	var id ID
	err := s.change(func(st *state) error {
		var err error
		if id, err = st.resolve(text); err != nil {
			return err
		}
		r := st.request(id)
		if r == nil {
			return ErrNoRequest
		}
		k := st.kept(r.Owner)
		if r.State == Agreed {
			return nil
		}
		if r.State != Asked || k == nil || k.doc.Set != r.Set {
			return fmt.Errorf("%w (%s)", ErrOver, r.State)
		}
		good, err := s.right(r, typed)
		if err != nil {
			return err
		}
		if !good {
			r.Tries++
			wrong = fmt.Errorf("%w: %d of %d tries", ErrWrongWords, r.Tries, maxTries)
			if r.Tries >= maxTries {
				r.State = Refused
				wrong = fmt.Errorf("%w, for the third time: the request is refused for good", ErrWrongWords)
			}
			return nil
		}
		now := s.o.Now()
		r.State, r.Agreed, r.Until = Agreed, now, now.Add(time.Duration(k.doc.Delay)*time.Second)
		raw, err := custody.Marshal(alertMsg{ID: r.ID, Owner: r.Owner, Name: r.Name, Until: r.Until.Unix()})
		if err != nil {
			return err
		}
		s.warn(st, k.doc, raw)
		return nil
	})
	if err == nil {
		err = wrong
	}
	if err != nil {
		return View{}, err
	}
	return s.view(id)
}

// warn tells the other helpers and the owner's machines.
func (s *Service) warn(st *state, doc *helpers.Share, raw []byte) {
	s.pass(st, doc, VerbAlert, raw)
	for _, d := range doc.Devices {
		st.send(letter{To: d, Verb: VerbAlert, Raw: raw, At: s.o.Now()})
	}
}

func (s *Service) right(r *Request, typed [2]string) (bool, error) {
	w, err := Words(s.o.Device, r.From, r.ID, r.Nonce)
	if err != nil {
		return false, err
	}
	a, b := Places(r.Nonce)
	for _, lang := range []string{"en", "fr"} {
		ws := w.In(lang)
		if strings.EqualFold(ws[a], typed[0]) && strings.EqualFold(ws[b], typed[1]) {
			return true, nil
		}
	}
	return false, nil
}

func (s *Service) view(id ID) (View, error) {
	for _, v := range s.Requests() {
		if v.ID == id {
			return v, nil
		}
	}
	return View{}, ErrNoRequest
}

// Veto is this machine's person forbidding a request, here and everywhere.
func (s *Service) Veto(text string) (View, error) {
	var id ID
	err := s.change(func(st *state) error {
		var err error
		if id, err = st.resolve(text); err != nil {
			return err
		}
		if st.vetoed(id) != nil {
			return nil
		}
		var owner custody.Key
		to := map[peers.DeviceID][]string{}
		if r := st.request(id); r != nil {
			if r.State == Given {
				return fmt.Errorf("%w: the share was given already", ErrOver)
			}
			owner = r.Owner
		}
		for _, a := range st.Alerts {
			if a.ID == id {
				owner = a.Owner
				to[a.By] = nil
			}
		}
		if k := st.kept(owner); k != nil {
			for _, h := range k.doc.Helpers {
				to[h.Device] = h.Addresses
			}
		} else if st.Mine != nil {
			for _, h := range st.Mine.Helpers {
				to[h.Device] = h.Addresses
			}
		}
		raw, err := custody.Marshal(vetoMsg{id, owner})
		if err != nil {
			return err
		}
		s.end(st, id, owner, "you")
		for d, addresses := range to {
			if d != s.o.Device {
				st.send(letter{To: d, Addresses: addresses, Verb: VerbVeto, Raw: raw, At: s.o.Now()})
			}
		}
		return nil
	})
	if err != nil {
		return View{}, err
	}
	return s.view(id)
}

// Mine gives this person's own helpers; ok says whether there are any.
func (s *Service) Mine() (m Mine, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now.Mine == nil {
		return Mine{}, false
	}
	c := s.now.clone()
	return *c.Mine, len(c.Mine.Helpers) > 0
}

// SetMine replaces this person's helpers: docs go to them, in order, and drop to
// those that are no longer among them. It is on the disk before anything is sent.
func (s *Service) SetMine(m Mine, docs [][]byte, gone []peers.DeviceID, drop []byte) error {
	return s.change(func(st *state) error {
		st.Letters = slices.DeleteFunc(st.Letters, func(l letter) bool { return l.Verb == VerbKeep })
		if len(st.Letters)+len(docs)+len(gone) > maxLetters {
			return errors.New("too many messages wait for other machines")
		}
		for i, h := range m.Helpers {
			st.send(letter{To: h.Device, Verb: VerbKeep, Raw: docs[i], At: s.o.Now()})
		}
		for _, d := range gone {
			st.send(letter{To: d, Verb: VerbDrop, Raw: drop, At: s.o.Now()})
		}
		st.Mine = &m
		return nil
	})
}

// Call reaches another machine.
type Call func(ctx context.Context, to peers.DeviceID, addresses []string, verb string, raw []byte) ([]byte, error)

// Deliver tries once to bring every waiting message to its machine.
func (s *Service) Deliver(ctx context.Context, call Call) error {
	s.mu.Lock()
	all := slices.Clone(s.now.Letters)
	s.mu.Unlock()
	type result struct {
		l   letter
		err error
	}
	done := make(chan result, len(all))
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, l := range all {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, callTime)
			defer cancel()
			_, err := call(ctx, l.To, l.Addresses, l.Verb, l.Raw)
			done <- result{l, err}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	var errs []error
	for range all {
		r := <-done
		// Others that do not know this or do not want it will not want it later.
		final := r.err == nil || errors.Is(r.err, peers.ErrDamaged) || errors.Is(r.err, circle.ErrUnknownPeer)
		if !final && r.l.Verb != VerbKeep {
			s.o.Logger.Debug("a message to a helper waits", "verb", r.l.Verb, "to", r.l.To.Short(), "err", r.err)
			continue
		}
		errs = append(errs, s.settle(r.l, r.err, final))
	}
	return errors.Join(errs...)
}

const (
	// callTime bounds one delivery.
	callTime = 10 * time.Second
	// atOnce machines are called.
	atOnce = 16
)

// settle notes what came of a message.
func (s *Service) settle(l letter, err error, final bool) error {
	return s.change(func(st *state) error {
		if final {
			st.Letters = slices.DeleteFunc(st.Letters, func(o letter) bool {
				return o.To == l.To && o.Verb == l.Verb && string(o.Raw) == string(l.Raw)
			})
		}
		if l.Verb != VerbKeep || st.Mine == nil {
			return nil
		}
		for i := range st.Mine.Helpers {
			h := &st.Mine.Helpers[i]
			if h.Device != l.To {
				continue
			}
			h.Problem = said.Note{}
			if err == nil {
				h.Kept = s.o.Now()
			} else {
				h.Problem = said.By(err)
			}
		}
		return nil
	})
}
