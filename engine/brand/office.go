// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/vault"
)

const (
	membersFile = "members.json"
	listFile    = "revoked.list"
	maxRegister = 4 << 20
	// inviteLife is how long a code is good.
	inviteLife = 24 * time.Hour
	// renewBefore is when a member gets its next certificate: from day 20 on.
	renewBefore = 10 * 86400
	// seenEvery is how exactly it is written down when a member was seen last.
	seenEvery = time.Minute
)

// Errors of an office.
var (
	// ErrNotOffice: only the office can do that.
	ErrNotOffice = said.Error("not-office", "only the company's office can do that, the machine where 'preezm brand init' was run")
	// ErrNoMember: no member is called so.
	ErrNoMember = said.Error("no-member", "is no member, or several are called so")
	errMany     = said.Error("many-members", "too many members or open invitations")
)

// Member is a device of an organisation as its office knows it.
type Member struct {
	Device  peers.DeviceID `json:"device"`
	Key     []byte         `json:"key"` // Ed25519, what is certified
	Label   string         `json:"label"`
	Name    string         `json:"name"` // as the machine calls itself
	Joined  int64          `json:"joined"`
	Until   int64          `json:"until"` // of its certificate
	Seen    int64          `json:"seen"`
	Revoked int64          `json:"revoked,omitempty"` // when; 0: it is not
}

type invite struct {
	Hash    []byte `json:"hash"` // of the token
	Label   string `json:"label"`
	Expires int64  `json:"expires"`
	UsedBy  string `json:"used_by,omitempty"` // the same device may ask again: its answer may be lost
}

// register is members.json.
type register struct {
	Format  int      `json:"format"`
	Members []Member `json:"members"`
	Invites []invite `json:"invites"`
}

// Register is the members of an organisation, at its office. One value stands
// for a home, whatever opens the brand; it is safe for concurrent use.
type Register struct {
	box *vault.Box
	dir string
	mu  sync.Mutex
	now *register
}

// NewRegister prepares the register in a brand's folder. Nothing is read yet.
func NewRegister(box *vault.Box, dir string) *Register { return &Register{box: box, dir: dir} }

// with calls f with the register, and writes what f changed. Called with the
// lock not held.
func (r *Register) with(f func(*register) (changed bool, err error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.load(); err != nil {
		return err
	}
	work := register{Format: 1, Members: slices.Clone(r.now.Members), Invites: slices.Clone(r.now.Invites)}
	changed, err := f(&work)
	if err != nil || !changed {
		return err
	}
	raw, err := json.MarshalIndent(work, "", "  ")
	if err != nil {
		return err
	}
	if err := r.box.Replace(filepath.Join(r.dir, membersFile), raw); err != nil {
		return err
	}
	r.now = &work
	return nil
}

// load reads the file once. The caller holds the lock.
func (r *Register) load() error {
	if r.now != nil {
		return nil
	}
	path := filepath.Join(r.dir, membersFile)
	raw, err := r.box.ReadFile(path, maxRegister)
	if errors.Is(err, fs.ErrNotExist) {
		r.now = &register{Format: 1}
		return nil
	}
	if err != nil {
		return err
	}
	var in register
	if err := json.Unmarshal(raw, &in); err != nil || in.Format != 1 {
		return fmt.Errorf("%s is damaged", path)
	}
	r.now = &in
	return nil
}

// Member reports whether a device is or was a member: one that was shut out is
// told so.
func (r *Register) Member(d peers.DeviceID) bool {
	_, ok := r.find(d)
	return ok
}

func (r *Register) find(d peers.DeviceID) (m Member, ok bool) {
	// What cannot be read knows nobody.
	_ = r.with(func(in *register) (bool, error) {
		if i := slices.IndexFunc(in.Members, func(m Member) bool { return m.Device == d }); i >= 0 {
			m, ok = in.Members[i], true
		}
		return false, nil
	})
	return m, ok
}

// Inviting reports whether a code is open, so that a stranger may come.
func (r *Register) Inviting(now time.Time) (open bool) {
	_ = r.with(func(in *register) (bool, error) {
		open = slices.ContainsFunc(in.Invites, func(i invite) bool { return now.Unix() < i.Expires })
		return false, nil
	})
	return open
}

// Members lists the members, the revoked ones too.
func (b *Brand) Members(r *Register) (out []Member, err error) {
	if b.root == nil {
		return nil, ErrNotOffice
	}
	err = r.with(func(in *register) (bool, error) {
		out = slices.Clone(in.Members)
		return false, nil
	})
	return out, err
}

// Invite makes a code that lets one machine become a member with a role.
func (b *Brand) Invite(r *Register, role string, addresses []string) (code string, expires time.Time, err error) {
	if b.root == nil {
		return "", expires, ErrNotOffice
	}
	if role = strings.TrimSpace(role); len(role) > maxName {
		return "", expires, fmt.Errorf("the role is longer than %d bytes", maxName)
	}
	now := b.now()
	in := invitation{Org: b.org, Name: b.Name, Role: role, Office: b.device, Addresses: addresses[:min(len(addresses), maxAddresses)], Expires: now.Add(inviteLife).Unix()}
	rand.Read(in.Token[:])
	if code, err = in.code(); err != nil {
		return "", expires, err
	}
	err = r.with(func(reg *register) (bool, error) {
		reg.Invites = slices.DeleteFunc(reg.Invites, func(i invite) bool { return now.Unix() >= i.Expires })
		if len(reg.Invites) >= maxInvites || len(reg.Members) >= maxMembers {
			return false, errMany
		}
		reg.Invites = append(reg.Invites, invite{Hash: tokenHash(in.Token), Label: role, Expires: in.Expires})
		return true, nil
	})
	return code, time.Unix(in.Expires, 0), err
}

func tokenHash(t [16]byte) []byte {
	h := sha256.Sum256(append([]byte("preezm/v1/member-token"), t[:]...))
	return h[:]
}

// Revoke shuts a member out, by its role, its name or its device, and signs the
// list that says so.
func (b *Brand) Revoke(r *Register, who string) (m Member, err error) {
	if b.root == nil {
		return m, ErrNotOffice
	}
	err = r.with(func(in *register) (bool, error) {
		var found []int
		for i, o := range in.Members {
			if who == o.Label || who == o.Name || who == o.Device.String() || who == o.Device.Short() {
				found = append(found, i)
			}
		}
		// Several may have had a role one after the other.
		if len(found) > 1 {
			found = slices.DeleteFunc(found, func(i int) bool { return in.Members[i].Revoked != 0 })
		}
		if len(found) != 1 {
			return false, fmt.Errorf("%q %w; 'preezm brand member list' shows them", who, ErrNoMember)
		}
		o := &in.Members[found[0]]
		if o.Revoked == 0 {
			o.Revoked = b.now().Unix()
		}
		m = *o
		// The list first: a crash in between leaves a member that is refused
		// everywhere and listed as one, and the command is repeated.
		return true, b.writeList(in)
	})
	return m, err
}

// writeList signs the list of those shut out whose certificates may still last.
func (b *Brand) writeList(in *register) error {
	old, err := b.revoked()
	if err != nil {
		return err
	}
	l := custody.MemberRevocations{Root: b.org, Number: 1, At: b.now().Unix()}
	if old != nil {
		l.Number = old.Body.Number + 1
	}
	// An office that was brought back from a copy does not know the last number.
	l.Number = max(l.Number, uint64(max(l.At, 1)))
	for _, m := range in.Members {
		if m.Revoked != 0 && l.At < m.Revoked+2*certLife {
			l.Devices = append(l.Devices, custody.Key(m.Key))
		}
	}
	slices.SortFunc(l.Devices, func(a, b custody.Key) int { return bytes.Compare(a[:], b[:]) })
	l.Devices = slices.Compact(l.Devices)
	if len(l.Devices) > custody.MaxRevokedMembers {
		return fmt.Errorf("more than %d members were shut out in the last two months", custody.MaxRevokedMembers)
	}
	s, err := custody.Sign(b.root, l)
	if err != nil {
		return err
	}
	return b.box.Replace(filepath.Join(b.dir, listFile), s.Raw)
}

// ShowList shows the list of revoked members to the gateways of all grants that
// have not ended and are not in told, which maps a gateway to the number of the
// list that it has seen. What did not work is tried again with the next call.
func (b *Brand) ShowList(ctx context.Context, dial Dial, told map[peers.DeviceID]uint64) error {
	if b.root == nil {
		return nil
	}
	list, err := b.revoked()
	if err != nil || list == nil {
		return err
	}
	all, _, err := b.All()
	if err != nil {
		return err
	}
	now := b.now().Unix()
	var errs []error
	for _, r := range all {
		g := &r.Ticket.Grant.Body
		fresh := slices.ContainsFunc(g.Gateways, func(w custody.Gateway) bool { return told[w.Device] < list.Body.Number })
		if now >= g.NotAfter || !fresh {
			continue
		}
		v, err := b.visit(ctx, r, 0, dial)
		if err != nil {
			return err
		}
		for i, w := range g.Gateways {
			if told[w.Device] >= list.Body.Number {
				continue
			}
			if err := v.gws.all[i].Show(ctx); err != nil {
				errs = append(errs, err)
				continue
			}
			told[w.Device] = list.Body.Number
		}
		v.gws.close()
	}
	return errors.Join(errs...)
}

// revoked is the newest list of revoked members here, nil when there is none.
func (b *Brand) revoked() (*custody.Signed[custody.MemberRevocations], error) {
	path := filepath.Join(b.dir, listFile)
	raw, err := b.box.ReadFile(path, maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l, err := custody.CheckMemberRevocations(raw, b.org)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return l, nil
}

// Answer serves a member, or a device that wants to become one. The device from
// has been authenticated by the connection.
func (b *Brand) Answer(ctx context.Context, r *Register, verb string, from peers.DeviceID, addresses []string, raw []byte) ([]byte, error) {
	if b.root == nil {
		return nil, peers.ErrRefused
	}
	if verb == VerbJoin {
		return b.join(r, from, raw)
	}
	m, ok := r.find(from)
	if !ok {
		return nil, peers.ErrRefused
	}
	reason := ""
	if m.Revoked != 0 {
		reason = string(custody.MemberRevoked)
	} else if err := b.saw(r, from); err != nil {
		return nil, err
	}
	switch verb {
	case VerbSync:
		return b.answerSync(r, &m, reason, addresses, raw)
	case VerbTicket:
		return b.answerTicket(reason, raw)
	case VerbLock:
		return b.answerLock(reason, raw)
	case VerbHandIn:
		return b.answerHandIn(ctx, reason, raw)
	}
	return nil, peers.ErrRefused
}

// saw notes that a member was here.
func (b *Brand) saw(r *Register, d peers.DeviceID) error {
	now := b.now().Unix()
	return r.with(func(in *register) (bool, error) {
		i := slices.IndexFunc(in.Members, func(m Member) bool { return m.Device == d })
		if i < 0 || now < in.Members[i].Seen+int64(seenEvery/time.Second) {
			return false, nil
		}
		in.Members[i].Seen = now
		return true, nil
	})
}

// join certifies a machine that shows an open code. One that was a member
// before, or was shut out, is one again.
func (b *Brand) join(r *Register, from peers.DeviceID, raw []byte) ([]byte, error) {
	refuse := func(reason string) ([]byte, error) { return custody.Marshal(joinAnswer{Reason: reason}) }
	q, err := custody.Parse[MemberRequest](raw)
	if err != nil || q.Body.Org != b.org || q.Body.Office != b.device || q.Body.Device != from {
		return refuse(reasonRequest)
	}
	now := b.now().Unix()
	var a joinAnswer
	err = r.with(func(in *register) (bool, error) {
		i := slices.IndexFunc(in.Invites, func(i invite) bool {
			return bytes.Equal(i.Hash, tokenHash(q.Body.Token)) && now < i.Expires && (i.UsedBy == "" || i.UsedBy == from.String())
		})
		if i < 0 {
			a.Reason = reasonCode
			return false, nil
		}
		label := in.Invites[i].Label
		if label == "" {
			label = q.Body.Name
		}
		c, err := b.certify(q.Signer, label)
		if err != nil {
			a.Reason = reasonRequest
			return false, nil
		}
		in.Invites[i].UsedBy = from.String()
		at := slices.IndexFunc(in.Members, func(m Member) bool { return m.Device == from })
		if at < 0 {
			if len(in.Members) >= maxMembers {
				return false, errMany
			}
			in.Members = append(in.Members, Member{Device: from, Joined: now})
			at = len(in.Members) - 1
		}
		was := in.Members[at].Revoked
		in.Members[at] = Member{
			Device: from, Key: q.Signer[:], Label: label, Name: q.Body.Name, Joined: in.Members[at].Joined, Until: c.Body.NotAfter, Seen: now,
		}
		if was != 0 {
			if err := b.writeList(in); err != nil {
				return false, err
			}
		}
		a.Cert = c.Raw
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	if a.Reason == "" {
		if a.Card, _, err = b.Card(); err != nil {
			return nil, err
		}
		l, err := b.revoked()
		if err != nil {
			return nil, err
		}
		if l != nil {
			a.List = l.Raw
		}
	}
	return custody.Marshal(a)
}

// answerSync tells a member what is new, and renews its certificate when it is
// time.
func (b *Brand) answerSync(r *Register, m *Member, reason string, addresses []string, raw []byte) ([]byte, error) {
	var ask syncAsk
	if err := custody.Unmarshal(raw, &ask); err != nil {
		return nil, fmt.Errorf("%w: %w", peers.ErrRefused, err)
	}
	a := syncAnswer{Reason: reason}
	l, err := b.revoked()
	if err != nil {
		return nil, err
	}
	if l != nil && l.Body.Number > ask.List {
		a.List = l.Raw
	}
	if reason != "" {
		return custody.Marshal(a)
	}
	a.Addresses = addresses[:min(len(addresses), maxAddresses)]
	if ask.Until < b.now().Unix()+renewBefore {
		c, err := b.certify(custody.Key(m.Key), m.Label)
		if err != nil {
			return nil, err
		}
		err = r.with(func(in *register) (bool, error) {
			i := slices.IndexFunc(in.Members, func(o Member) bool { return o.Device == m.Device })
			if i < 0 || in.Members[i].Revoked != 0 {
				return false, peers.ErrRefused
			}
			in.Members[i].Until = c.Body.NotAfter
			return true, nil
		})
		if err != nil {
			return nil, err
		}
		a.Cert = c.Raw
	}
	all, _, err := b.All()
	if err != nil {
		return nil, err
	}
	now := b.now().Unix()
	for _, t := range all {
		pair := custodyPair{t.Ticket.Grant.Hash, t.Ticket.Package.Hash}
		if now < t.Ticket.Grant.Body.NotAfter && !slices.Contains(ask.Have, pair) && len(a.Tickets) < maxHave {
			a.Tickets = append(a.Tickets, pair.Grant)
		}
	}
	return custody.Marshal(a)
}

// answerTicket hands a ticket on, with its names opened.
func (b *Brand) answerTicket(reason string, raw []byte) ([]byte, error) {
	var ask ticketAsk
	if err := custody.Unmarshal(raw, &ask); err != nil {
		return nil, fmt.Errorf("%w: %w", peers.ErrRefused, err)
	}
	if reason != "" {
		return frame(ticketHead{Reason: reason}, "")
	}
	all, _, err := b.All()
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		if t.Ticket.Grant.Hash != ask.Grant {
			continue
		}
		text, err := t.Ticket.Text()
		if err != nil {
			return nil, err
		}
		return frame(ticketHead{Names: t.rawNames}, text)
	}
	return frame(ticketHead{Reason: reasonTicket}, "")
}

// answerHandIn keeps a ticket that a member received.
func (b *Brand) answerHandIn(ctx context.Context, reason string, raw []byte) ([]byte, error) {
	if reason != "" {
		return frame(ticketHead{Reason: reason}, "")
	}
	t, err := b.Receive(ctx, string(raw))
	if err != nil {
		return frame(ticketHead{Reason: reasonTicket}, "")
	}
	text, err := t.Ticket.Text() // a newer one may be here
	if err != nil {
		return nil, err
	}
	return frame(ticketHead{Names: t.rawNames}, text)
}

// answerLock gives the second lock of one version under one grant, to a member
// that alone still gets nothing: the custodians have the other lock.
func (b *Brand) answerLock(reason string, raw []byte) ([]byte, error) {
	var ask lockAsk
	if err := custody.Unmarshal(raw, &ask); err != nil {
		return nil, fmt.Errorf("%w: %w", peers.ErrRefused, err)
	}
	if reason != "" {
		return custody.Marshal(lockAnswer{Reason: reason})
	}
	g, err := custody.CheckGrant(ask.Grant)
	if err != nil || g.Body.Grantee != b.org || !slices.Contains(g.Body.Files, ask.File) {
		return custody.Marshal(lockAnswer{Reason: reasonGrant})
	}
	if b.now().Unix() >= g.Body.NotAfter {
		return custody.Marshal(lockAnswer{Reason: string(custody.Expired)})
	}
	second, err := custody.SecondLock(b.kem, g, ask.Enc, ask.File, ask.Version)
	if err != nil {
		return custody.Marshal(lockAnswer{Reason: reasonGrant})
	}
	defer clear(second)
	return custody.Marshal(lockAnswer{Second: second})
}
