// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
)

// firm is an office with a register, and machines that can become its members.
type firm struct {
	*scene
	reg  *Register
	off  error               // the office does not answer
	slow func(verb string)   // called before an answer arrives
	said map[string][][]byte // all that it was asked and answered, by verb
}

func newFirm(t *testing.T, custodians int) *firm {
	s := newScene(t, custodians)
	return &firm{scene: s, reg: NewRegister(nil, s.dir), said: map[string][][]byte{}}
}

// machine is a device that is or may become a member.
type machine struct {
	f    *firm
	dir  string
	sign ed25519.PrivateKey
	id   peers.DeviceID
}

func (f *firm) machine(id byte) *machine {
	return &machine{f, filepath.Join(f.TempDir(), "brand"), ct.Key(f.T), peers.DeviceID{id}}
}

type line struct{ m *machine }

func (line) Close() {}

func (l line) Office(ctx context.Context, verb string, raw []byte) ([]byte, error) {
	f := l.m.f
	if f.off != nil {
		return nil, f.off
	}
	answer, err := f.open().Answer(ctx, f.reg, verb, l.m.id, []string{"192.0.2.9:1"}, raw)
	f.said[verb] = append(f.said[verb], raw, answer)
	if slow := f.slow; slow != nil {
		f.slow = nil
		slow(verb)
	}
	return answer, err
}

func (m *machine) reach(peers.DeviceID, []string) Line { return line{m} }

func (m *machine) join(code string) (*Brand, error) {
	return Join(m.f.Context(), Joining{Dir: m.dir, Name: "pc", Sign: m.sign, Device: m.id, Now: m.f.now, Reach: m.reach}, code)
}

func (m *machine) open() *Brand {
	m.f.Helper()
	b, err := Open(m.dir, m.sign, m.id, m.f.now)
	m.f.must(err)
	b.Reach = m.reach
	return b
}

// member makes a machine a member with a role.
func (f *firm) member(id byte, role string) *machine {
	f.Helper()
	m := f.machine(id)
	code, _, err := f.b.Invite(f.reg, role, []string{"192.0.2.9:1"})
	f.must(err)
	_, err = m.join(code)
	f.must(err)
	return m
}

// TestMemberOpensByItself: a ticket that the office received reaches a member,
// which opens it under its own name; the office gives one secret and sees
// nothing of the file.
func TestMemberOpensByItself(t *testing.T) {
	f := newFirm(t, 3)
	m := f.member(2, "claims desk 2")
	r, err := f.b.Receive(t.Context(), f.grant(1, 1, 1))
	f.must(err)
	n, err := m.open().Sync(t.Context())
	f.must(err)
	got, err := m.open().Find(ticket.ShortID(r.Ticket.Grant.Body.ID))
	if err != nil || n != 1 || got.Names.Names[0] != "file 1.txt" {
		t.Fatalf("%d tickets came, %+v, %v", n, got, err)
	}
	if n, err = m.open().Sync(t.Context()); err != nil || n != 0 {
		t.Errorf("%d tickets came again, %v", n, err)
	}
	done, err := m.open().Open(t.Context(), got, nil, t.TempDir(), 0, f.dial, nil)
	f.must(err)
	raw, err := os.ReadFile(done[0].Path)
	f.must(err)
	if want := append(text(1), make([]byte, 10)...); !bytes.Equal(raw, want) {
		t.Error("another file")
	}
	// Who it was is in the custodians' logs.
	for _, rec := range f.w.Custodians[0].Records {
		if !bytes.Contains(rec.Entry, []byte("claims desk 2")) {
			t.Error("the log does not say which desk")
		}
	}
	if len(f.said[VerbLock]) != 2 {
		t.Fatalf("the office was asked for %d locks", len(f.said[VerbLock])/2)
	}
	for _, said := range f.said[VerbLock] {
		if len(said) > 4<<10 || bytes.Contains(said, []byte("file 1.txt")) {
			t.Errorf("the office was told %d bytes", len(said))
		}
	}
	// A ticket that a member got reaches the office, and so all.
	other := f.member(3, "")
	handed, err := other.open().Receive(t.Context(), f.grant(0, 1, 2))
	f.must(err)
	if _, err := f.open().Find(ticket.ShortID(handed.Ticket.Grant.Body.ID)); err != nil {
		t.Error(err)
	}
	if other.open().Label != "pc" {
		t.Errorf("without a role it is called %q", other.open().Label)
	}
	// What a member has: neither the organisation's keys nor a file's.
	root, kem := f.b.root.Seed(), must2(f.b.kem.Bytes())
	f.must(filepath.WalkDir(m.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, root) || bytes.Contains(raw, kem) {
			t.Errorf("%s has a key of the office", path)
		}
		return err
	}))
}

func must2(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// TestOfficeIsOff: a member goes on as long as its certificate lasts, but for
// the second lock; what was agreed meanwhile is not asked for again.
func TestOfficeIsOff(t *testing.T) {
	f := newFirm(t, 3)
	m := f.member(2, "desk")
	_, err := f.b.Receive(t.Context(), f.grant(1, 1, 1))
	f.must(err)
	_, err = m.open().Sync(t.Context())
	f.must(err)
	all, _, err := m.open().All()
	f.must(err)
	f.off = peers.ErrUnreachable
	_, err = m.open().Open(t.Context(), all[0], nil, t.TempDir(), 0, f.dial, nil)
	if !errors.Is(err, ErrOffice) || !errors.Is(err, peers.ErrUnreachable) {
		t.Fatalf("%v, want ErrOffice", err)
	}
	f.off = nil
	before := f.letters
	_, err = m.open().Open(t.Context(), all[0], nil, t.TempDir(), 0, f.dial, nil)
	f.must(err)
	if f.letters != before || f.counted(all[0].Ticket.Grant.Hash, 1) != 1 {
		t.Errorf("%d letters more", f.letters-before)
	}
}

// TestCertificatesAreRenewed: from day 20 on, and not before; a member that did
// not hear its office for 30 days has none that holds.
func TestCertificatesAreRenewed(t *testing.T) {
	f := newFirm(t, 3)
	m := f.member(2, "desk")
	until := func() int64 {
		at, err := m.open().Until()
		f.must(err)
		return at.Unix()
	}
	first := until()
	if first != f.w.Now+30*ct.Day {
		t.Errorf("the first lasts %d seconds", first-f.w.Now)
	}
	step := func(days int64, want bool) {
		t.Helper()
		f.w.Now += days * ct.Day
		before := until()
		if _, err := m.open().Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := until() != before; got != want {
			t.Errorf("%d days later: renewed %v", days, got)
		}
		list, err := f.b.Members(f.reg)
		f.must(err)
		if list[0].Until != until() || list[0].Seen != f.w.Now {
			t.Errorf("the office lists %+v", list[0])
		}
	}
	step(20, false)
	step(1, true)
	step(19, false)
	step(12, true) // late, but the office knows it
	// An opening renews as well, without being told to.
	f.w.Now += 25 * ct.Day
	before := until()
	_, err := m.open().asking(t.Context())
	f.must(err)
	if until() == before {
		t.Error("an opening did not renew it")
	}
	f.off = peers.ErrUnreachable
	f.w.Now += 31 * ct.Day
	for range 31 {
		f.w.Tick()
	}
	f.off = nil
	_, err = f.b.Receive(t.Context(), f.grant(0, 1, 1))
	f.must(err)
	_, err = m.open().Sync(t.Context())
	f.must(err)
}

// TestRevokedMemberGetsNothing: at once from the office, and from custodians
// that saw the list; let in again by a new code.
func TestRevokedMemberGetsNothing(t *testing.T) {
	f := newFirm(t, 3)
	m, other := f.member(2, "desk 2"), f.member(3, "desk 3")
	_, err := f.b.Receive(t.Context(), f.grant(0, 1, 1))
	f.must(err)
	for _, x := range []*machine{m, other} {
		_, err = x.open().Sync(t.Context())
		f.must(err)
	}
	all, _, err := m.open().All()
	f.must(err)
	if _, err := m.open().Open(t.Context(), all[0], nil, t.TempDir(), 0, f.dial, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.b.Revoke(f.reg, "desk 4"); !errors.Is(err, ErrNoMember) {
		t.Errorf("%v, want ErrNoMember", err)
	}
	_, err = f.b.Revoke(f.reg, "desk 2")
	f.must(err)
	first, err := f.b.revoked()
	f.must(err)
	// The office: for everything it is asked.
	var no *OfficeError
	if _, err := m.open().Sync(t.Context()); !errors.As(err, &no) || no.Reason != string(custody.MemberRevoked) {
		t.Errorf("sync: %v", err)
	}
	if _, err := m.open().Open(t.Context(), all[0], nil, t.TempDir(), 0, f.dial, nil); !errors.As(err, &no) {
		t.Errorf("open: %v", err)
	}
	second, err := m.open().askSecondLock(t.Context(), all[0].Ticket.Ticket, &all[0].Ticket.Package.Body.Entries[0])
	if !errors.As(err, &no) || len(second) != 0 {
		t.Errorf("the second lock: %v", err)
	}
	// Custodians: a hostile member, with its last certificate and no list.
	c, err := m.open().cert()
	f.must(err)
	hostile := custody.Member{Device: m.sign, Cert: c.Raw}
	ask := func(c *ct.Custodian) error {
		o, err := hostile.Request(all[0].Ticket.Ticket, ct.File(1), f.w.Now)
		f.must(err)
		_, err = c.Answer(o.Request.Raw, all[0].Ticket.Grant.Body.Gateways[0].Device)
		return err
	}
	f.must(ask(f.w.Custodians[0])) // nobody told this custodian yet
	_, err = other.open().Sync(t.Context())
	f.must(err)
	if _, err := other.open().Open(t.Context(), all[0], nil, t.TempDir(), 0, f.dial, nil); err != nil {
		t.Fatal(err)
	}
	// The two that agreed have seen it; the third may not have been needed.
	refused := 0
	for _, c := range f.w.Custodians {
		var refusal *custody.Refusal
		if err := ask(c); errors.As(err, &refusal) && refusal.Reason == custody.MemberRevoked {
			refused++
		}
	}
	if refused < 2 {
		t.Errorf("%d custodians that saw the list refuse", refused)
	}
	// It comes back.
	code, _, err := f.b.Invite(f.reg, "desk 2", nil)
	f.must(err)
	_, err = m.join(code)
	f.must(err)
	if _, err := m.open().Open(t.Context(), all[0], nil, t.TempDir(), 0, f.dial, nil); err != nil {
		t.Errorf("let in again: %v", err)
	}
	list, err := f.b.revoked()
	if err != nil || list.Body.Number <= first.Body.Number || len(list.Body.Devices) != 0 {
		t.Errorf("the list is %+v, %v", list.Body, err)
	}
}

// TestOlderNewsOfTheOffice: two commands of a member's home hear their office at
// once, and the answer that comes first is the newer one. What it says stays.
func TestOlderNewsOfTheOffice(t *testing.T) {
	f := newFirm(t, 3)
	m := f.member(2, "desk")
	answered, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	f.slow = func(string) {
		close(answered)
		<-goOn
	}
	slow := m.open()
	go func() {
		_, err := slow.Sync(t.Context())
		done <- err
	}()
	<-answered
	_, err := f.b.Revoke(f.reg, "desk")
	f.must(err)
	// It hears that it is shut out, or waits for its turn.
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = m.open().Sync(ctx)
	var no *OfficeError
	heard := errors.As(err, &no)
	if !heard && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beside another: %v", err)
	}
	close(goOn)
	f.must(<-done)
	if heard && !m.open().known().Revoked {
		t.Error("it heard that it is shut out, and an older answer wrote over that")
	}
	if _, err := m.open().Sync(t.Context()); !errors.As(err, &no) || !m.open().known().Revoked {
		t.Errorf("after that: %v, %+v", err, m.open().known())
	}
	// The one that was open all the time goes by what is written.
	if _, err := slow.asking(t.Context()); !errors.As(err, &no) {
		t.Errorf("the one that was open: %v", err)
	}
}

// TestCodes: one machine each, for a day, whole, and for nobody else's office.
func TestCodes(t *testing.T) {
	f := newFirm(t, 3)
	code, expires, err := f.b.Invite(f.reg, "desk", nil)
	f.must(err)
	if !f.reg.Inviting(f.now()) || expires.Sub(f.now()) != 24*time.Hour {
		t.Error("no code is open")
	}
	first := f.machine(2)
	if _, err := first.join(code[:40] + " \n" + code[40:]); err != nil {
		t.Fatal(err)
	}
	if _, err := first.join(code); err != nil {
		t.Errorf("the answer got lost: %v", err)
	}
	var no *OfficeError
	if _, err := f.machine(3).join(code); !errors.As(err, &no) {
		t.Errorf("a second machine: %v", err)
	}
	for name, bad := range map[string]string{
		"cut":     code[:len(code)-1],
		"changed": strings.Replace(code, code[30:31], "A", 1) + "A",
		"empty":   "", "other": "preezm-brand1-AAAA",
	} {
		if _, err := f.machine(4).join(bad); !errors.Is(err, ErrCode) {
			t.Errorf("%s: %v", name, err)
		}
	}
	late, _, err := f.b.Invite(f.reg, "desk", nil)
	f.must(err)
	f.w.Now += 86400
	if _, err := f.machine(5).join(late); !errors.As(err, &no) {
		t.Errorf("a day later: %v", err)
	}
	if f.reg.Inviting(f.now()) {
		t.Error("it is open after its end")
	}
	// The office itself, and a member of another, do not become members.
	another := newFirm(t, 1)
	another.w.Now = f.w.Now
	code, _, err = another.b.Invite(another.reg, "desk", nil)
	f.must(err)
	if _, err := first.join(code); !errors.Is(err, ErrExists) {
		t.Errorf("a member of another company: %v", err)
	}
	if _, err := (&machine{f, f.dir, f.w.Brand.Member.Device, peers.DeviceID{1}}).join(code); !errors.Is(err, ErrExists) {
		t.Errorf("an office: %v", err)
	}
	if _, _, err := first.open().Invite(f.reg, "x", nil); !errors.Is(err, ErrNotOffice) {
		t.Errorf("a member invites: %v", err)
	}
}

// TestOfficeAnswersNobodyElse: strangers, forged requests and other companies'
// grants get nothing.
func TestOfficeAnswersNobodyElse(t *testing.T) {
	f := newFirm(t, 3)
	m := f.member(2, "desk")
	for _, verb := range []string{VerbSync, VerbTicket, VerbLock, VerbHandIn, "x"} {
		if _, err := f.b.Answer(t.Context(), f.reg, verb, peers.DeviceID{9}, nil, []byte{0xa0}); !errors.Is(err, peers.ErrRefused) {
			t.Errorf("%s by a stranger: %v", verb, err)
		}
	}
	another := newFirm(t, 3)
	foreign, err := another.b.Receive(t.Context(), another.grant(0, 1, 1))
	f.must(err)
	var no *OfficeError
	if _, err := m.open().askSecondLock(t.Context(), foreign.Ticket.Ticket, &foreign.Ticket.Package.Body.Entries[0]); !errors.As(err, &no) || no.Reason != reasonGrant {
		t.Errorf("another company's grant: %v", err)
	}
	own, err := f.b.Receive(t.Context(), f.grant(0, 1, 1))
	f.must(err)
	e := own.Ticket.Package.Body.Entries[0]
	e.File = ct.File(9)
	if _, err := m.open().askSecondLock(t.Context(), own.Ticket.Ticket, &e); !errors.As(err, &no) || no.Reason != reasonGrant {
		t.Errorf("a file that was not granted: %v", err)
	}
	f.w.Now += 3600
	if _, err := m.open().askSecondLock(t.Context(), own.Ticket.Ticket, &own.Ticket.Package.Body.Entries[0]); !errors.As(err, &no) || no.Reason != string(custody.Expired) {
		t.Errorf("after the end: %v", err)
	}
	// A request for another office, by another connection, or by nobody.
	code, _, err := f.b.Invite(f.reg, "desk", nil)
	f.must(err)
	in, err := parseCode(code)
	f.must(err)
	key := ct.Key(t)
	for name, q := range map[string]MemberRequest{
		"another connection": {Org: in.Org, Office: in.Office, Device: peers.DeviceID{7}, Token: in.Token},
		"another office":     {Org: in.Org, Office: peers.DeviceID{7}, Device: peers.DeviceID{8}, Token: in.Token},
		"another company":    {Office: in.Office, Device: peers.DeviceID{8}, Token: in.Token},
		"another token":      {Org: in.Org, Office: in.Office, Device: peers.DeviceID{8}},
	} {
		s, err := custody.Sign(key, q)
		f.must(err)
		raw, err := f.b.Answer(t.Context(), f.reg, VerbJoin, peers.DeviceID{8}, nil, s.Raw)
		f.must(err)
		var a joinAnswer
		f.must(custody.Unmarshal(raw, &a))
		if a.Reason == "" || len(a.Cert) > 0 {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// FuzzOffice asks an office anything, as a stranger and as a member.
func FuzzOffice(f *testing.F) {
	for i, verb := range []string{VerbJoin, VerbSync, VerbTicket, VerbLock, VerbHandIn} {
		f.Add(verb, []byte{0xa0}, i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, verb string, raw []byte, stranger bool) {
		x := newFirm(t, 1)
		from := peers.DeviceID{9}
		if !stranger {
			from = x.member(2, "desk").id
		}
		answer, err := x.b.Answer(t.Context(), x.reg, verb, from, nil, raw)
		if err == nil && len(answer) == 0 {
			t.Error("neither an answer nor an error")
		}
		_, _ = parseCode(string(raw))
		var head ticketHead
		_, _ = unframe(raw, &head)
	})
}
