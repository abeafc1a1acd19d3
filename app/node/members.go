// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/brand"
	"github.com/preezm/preezm/peers"
)

// MemberAPI is the part of API about an organisation that has several machines:
// its office's side and a member's.
type MemberAPI interface {
	// InviteMember makes a code for one machine to become a member with a role.
	InviteMember(ctx context.Context, role string) (MemberInvite, error)
	// JoinBrand makes this home a member with a code. The office must answer.
	JoinBrand(ctx context.Context, code string) (BrandInfo, error)
	// BrandMembers lists the members; only the office knows them.
	BrandMembers(ctx context.Context) ([]BrandMember, error)
	// RevokeMember shuts a member out, by its role, name or device.
	RevokeMember(ctx context.Context, who string) (BrandMember, error)
}

// MemberInvite is a code that makes one machine a member, once.
type MemberInvite struct {
	Code    string    `json:"code"`
	Role    string    `json:"role"`
	Expires time.Time `json:"expires"`
}

// BrandMember is a member as its office knows it.
type BrandMember struct {
	Device   peers.DeviceID `json:"device"`
	Label    string         `json:"label"` // its role, as owners see it
	Name     string         `json:"name"`  // as the machine calls itself
	State    string         `json:"state"` // certified, ended or revoked
	Joined   time.Time      `json:"joined"`
	Until    time.Time      `json:"until"` // of its certificate
	LastSeen time.Time      `json:"last_seen"`
}

// The states of a member.
const (
	Certified      = "certified"
	MemberEnded    = "ended"
	MemberShutOut  = "revoked"
	syncEvery      = 10 * time.Minute
	showListWithin = 5 * time.Second
)

// company is what a home keeps in memory of the organisation it is a machine of.
type company struct {
	members *brand.Register

	mu     sync.Mutex
	synced time.Time                 // when a member asked its office last
	told   map[peers.DeviceID]uint64 // gateways to the list of revoked members they saw
}

// office answers members: rpc.Office.
type office struct{ n *Node }

// Inviting implements rpc.Office.
func (o office) Inviting() bool { return o.n.company.members.Inviting(o.n.now()) }

// Member implements rpc.Office.
func (o office) Member(d peers.DeviceID) bool { return o.n.company.members.Member(d) }

// Answer implements rpc.Office.
func (o office) Answer(ctx context.Context, verb string, from peers.DeviceID, raw []byte) ([]byte, error) {
	b, err := o.n.openBrand()
	if err != nil {
		o.n.log.Warn("a member asks", "err", err)
		return nil, peers.ErrRefused
	}
	defer b.Close()
	return b.Answer(ctx, o.n.company.members, verb, from, o.n.addresses(), raw)
}

// reach prepares a connection to the office.
func (n *Node) reach(d peers.DeviceID, addresses []string) brand.Line {
	return n.visit(d, "the office", addresses, nil)
}

// InviteMember makes a code for a member.
func (n *Node) InviteMember(ctx context.Context, role string) (MemberInvite, error) {
	b, err := n.openBrand()
	if err != nil {
		return MemberInvite{}, err
	}
	defer b.Close()
	if err := n.settle(ctx); err != nil {
		return MemberInvite{}, err
	}
	code, expires, err := b.Invite(n.company.members, role, n.addresses())
	return MemberInvite{Code: code, Role: role, Expires: expires}, err
}

// JoinBrand makes this home a member.
func (n *Node) JoinBrand(ctx context.Context, code string) (BrandInfo, error) {
	b, err := brand.Join(ctx, brand.Joining{
		Box: n.ownerBox, Dir: filepath.Join(n.home, brandFolder), Name: n.settings.Name, Sign: n.keys.Sign, Device: n.device, Now: n.now, Reach: n.reach,
	}, code)
	if err != nil {
		return BrandInfo{}, err
	}
	defer b.Close()
	if _, err := b.Sync(ctx); err != nil {
		n.log.Warn("get the office's tickets", "err", err) // later
	}
	return n.Brand(ctx)
}

// BrandMembers lists the members.
func (n *Node) BrandMembers(context.Context) ([]BrandMember, error) {
	b, err := n.openBrand()
	if err != nil {
		return nil, err
	}
	defer b.Close()
	all, err := b.Members(n.company.members)
	out := []BrandMember{}
	for _, m := range all {
		out = append(out, n.brandMember(m))
	}
	return out, err
}

func (n *Node) brandMember(m brand.Member) BrandMember {
	out := BrandMember{
		Device: m.Device, Label: m.Label, Name: m.Name, State: Certified,
		Joined: time.Unix(m.Joined, 0), Until: time.Unix(m.Until, 0), LastSeen: time.Unix(m.Seen, 0),
	}
	switch {
	case m.Revoked != 0:
		out.State = MemberShutOut
	case n.now().Unix() >= m.Until:
		out.State = MemberEnded
	}
	return out
}

// RevokeMember shuts a member out, and tells the gateways that answer.
func (n *Node) RevokeMember(ctx context.Context, who string) (BrandMember, error) {
	b, err := n.openBrand()
	if err != nil {
		return BrandMember{}, err
	}
	defer b.Close()
	m, err := b.Revoke(n.company.members, who)
	if err != nil {
		return BrandMember{}, err
	}
	n.showList(ctx, b)
	return n.brandMember(m), nil
}

// showList tells gateways who was shut out. Those that do not answer hear it
// from the next machine that opens something, or later from here.
func (n *Node) showList(ctx context.Context, b *brand.Brand) {
	n.company.mu.Lock()
	defer n.company.mu.Unlock()
	if n.company.told == nil {
		n.company.told = map[peers.DeviceID]uint64{}
	}
	ctx, cancel := context.WithTimeout(ctx, showListWithin)
	defer cancel()
	if err := b.ShowList(ctx, n.dialGateway, n.company.told); err != nil {
		n.log.Debug("tell gateways who was shut out", "err", err)
	}
}

// brandErrands is what an organisation's machine does by itself: a member asks
// its office what is new, an office tells gateways who was shut out.
func (n *Node) brandErrands(ctx context.Context) {
	b, err := n.openBrand()
	if err != nil {
		return // no organisation's, or not to be read: commands say it
	}
	defer b.Close()
	if b.Office() {
		n.showList(ctx, b)
		return
	}
	n.company.mu.Lock()
	due := n.now().Sub(n.company.synced) >= syncEvery
	if due {
		n.company.synced = n.now()
	}
	n.company.mu.Unlock()
	if !due {
		return
	}
	if _, err := b.Sync(ctx); err != nil && ctx.Err() == nil {
		n.log.Debug("ask the office what is new", "err", err)
	}
}
