// SPDX-License-Identifier: MPL-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/witness"
)

// numbered is a plan that a test can tell from others.
func (s *scene) numbered(seq uint64) []byte {
	s.Helper()
	return s.plan(func(p *ticket.Plan) {
		p.Seq = seq
		p.Contacts = []ticket.Contact{{Device: self, Addresses: []string{fmt.Sprint(seq)}, Mailbox: s.grant.Body.Mailboxes[0]}}
	})
}

func (s *scene) push(from peers.DeviceID, plan []byte) error {
	s.Helper()
	raw, err := custody.Marshal(Pushed{Grant: s.grant.Raw, Plan: plan})
	s.must(err)
	return s.g.Plan(s.Context(), from, raw)
}

// goesBy is the number of the plan that the guest is served by.
func (s *scene) goesBy() uint64 {
	s.Helper()
	st, err := s.g.stay(guest, func(*stay) bool { return true })
	s.must(err)
	return st.plan.Seq
}

func TestHighestPlanCounts(t *testing.T) {
	s := newScene(t)
	ctx, key := t.Context(), s.w.Brand.Member.Device
	s.refused("a plan of a person nobody introduced", s.push(owner, s.numbered(2)))
	s.introduce()
	expect := func(what string, want uint64) {
		t.Helper()
		if got := s.goesBy(); got != want {
			t.Errorf("%s: it goes by plan %d, want %d", what, got, want)
		}
	}
	s.must(s.g.Present(ctx, guest, s.pass(key, s.numbered(1), nil)))
	expect("from the ticket", 1)
	s.must(s.push(owner, s.numbered(3)))
	expect("pushed while the guest is there", 3)
	s.must(s.push(owner, s.numbered(2)))
	expect("an older one was pushed", 3)
	s.must(s.g.Present(ctx, guest, s.pass(key, s.numbered(1), nil)))
	expect("the guest came again with its old ticket", 3)
	s.open()
	s.must(s.g.Present(ctx, guest, s.pass(key, s.numbered(1), nil)))
	expect("after a restart", 3)
	s.must(s.g.Present(ctx, guest, s.pass(key, s.numbered(4), nil)))
	expect("with a newer ticket", 4)
	for what, err := range map[string]error{
		"by a stranger":      s.push(other, s.numbered(5)),
		"for another device": s.push(owner, s.plan(func(p *ticket.Plan) { p.Seq, p.Gateway = 5, other })),
		"of another grant":   s.push(owner, s.plan(func(p *ticket.Plan) { p.Seq = 5; p.Grant[0]++ })),
		"nonsense":           s.g.Plan(ctx, owner, []byte("x")),
	} {
		s.refused(what, err)
	}
	expect("refused ones", 4)
	s.w.Now += 3600
	s.refused("of a grant that ended", s.push(owner, s.numbered(6)))
}

// asleep is one letter to the gateway's own custodian, which sleeps.
func (s *scene) asleep(w *mute) []byte {
	s.Helper()
	s.introduce()
	s.g.cfg.Witness = w
	s.must(s.g.Present(s.Context(), guest, s.pass(s.w.Brand.Member.Device, s.numbered(1), nil)))
	raw, err := custody.SealLetter([]byte("request"), s.grant, 0)
	s.must(err)
	return raw
}

func (s *scene) bring(verb string, raw []byte) Delivery {
	s.Helper()
	b, err := s.g.Answer(s.Context(), verb, guest, raw)
	s.must(err)
	var d Delivery
	s.must(custody.Unmarshal(b, &d))
	return d
}

// TestLettersOutliveARestart: letter, answer and way, without the guest.
func TestLettersOutliveARestart(t *testing.T) {
	s, w := newScene(t), &mute{}
	raw := s.asleep(w)
	if d := s.bring(VerbKeep, raw); !d.Waiting {
		t.Fatalf("%+v", d)
	}
	s.open()
	s.g.cfg.Witness = w
	s.w.Now += 1800
	s.must(s.g.Tick(t.Context()))
	w.awake = true
	s.must(s.g.Tick(t.Context()))
	s.must(s.g.Tick(t.Context()))
	if w.letters != 1 {
		t.Fatalf("%d letters came to the custodian", w.letters)
	}
	s.open()
	s.g.cfg.Witness = w
	s.must(s.g.Present(t.Context(), guest, s.pass(s.w.Brand.Member.Device, s.numbered(1), nil)))
	ask, err := custody.Marshal(Collecting{Grant: s.grant.Hash})
	s.must(err)
	for _, want := range []int{1, 0} { // once
		b, err := s.g.Answer(t.Context(), VerbCollect, guest, ask)
		s.must(err)
		var c Collected
		s.must(custody.Unmarshal(b, &c))
		if len(c.Replies) != want || want == 1 && string(c.Replies[0]) != "reply" {
			t.Fatalf("collected %q", c.Replies)
		}
	}
	_, err = s.g.Answer(t.Context(), VerbCollect, other, ask)
	s.refused("another guest", err)
	if n := len(s.g.waiting); n != 0 {
		t.Errorf("%d letters are left", n)
	}
}

func TestLettersEndWithTheGrant(t *testing.T) {
	s, w := newScene(t), &mute{}
	s.bring(VerbKeep, s.asleep(w))
	s.w.Now += 3599
	s.open()
	s.g.cfg.Witness = w
	s.must(s.g.Tick(t.Context()))
	if len(s.g.waiting) != 1 {
		t.Fatal("it did not wait until the end")
	}
	s.w.Now++
	w.awake = true
	s.must(s.g.Tick(t.Context()))
	if w.letters != 0 || len(s.g.waiting) != 0 {
		t.Errorf("%d letters came after the end, %d wait on", w.letters, len(s.g.waiting))
	}
	s.open()
	if len(s.g.waiting) != 0 {
		t.Error("it is there again after a restart")
	}
}

func TestLettersTakeBoundedRoom(t *testing.T) {
	s, w := newScene(t), &mute{}
	s.asleep(w)
	busy := 0
	for i := range 2 * guestLetters {
		raw, err := custody.SealLetter([]byte{byte(i)}, s.grant, 0)
		s.must(err)
		d := s.bring(VerbKeep, raw)
		if !d.Waiting {
			r, err := witness.ParseReply(d.Reply)
			if err != nil || r.Reason != custody.Busy {
				t.Fatalf("%+v, %v", r, err)
			}
			busy++
		}
		if i >= guestLetters && i%7 == 0 {
			s.w.Now += 60 // they may go on
		}
	}
	if busy == 0 {
		t.Error("a guest may send as often as it likes")
	}
	if n := len(s.g.waiting); n == 0 || n > maxGuestShare {
		t.Errorf("%d letters of one guest wait", n)
	}
}

// A guest that fetches too fast waits, and is not refused.
func TestChunksArePaced(t *testing.T) {
	s := newScene(t)
	s.introduce()
	st := newStay(s.g, s.grant, &custody.Signed[ticket.Plan]{}, nil)
	for range guestChecks {
		s.must(s.g.pace(t.Context(), guest, st, true))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*paceEvery)
	defer cancel()
	if err := s.g.pace(ctx, guest, st, true); !errors.Is(err, peers.ErrUnreachable) {
		t.Errorf("more checks than a minute's: %v", err)
	}
	s.must(s.g.pace(t.Context(), guest, st, false))
	s.w.Now += ct.Day
	s.must(s.g.pace(t.Context(), guest, st, true))
}
