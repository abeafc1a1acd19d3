// SPDX-License-Identifier: MPL-2.0

package circle

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/account"
	"github.com/preezm/preezm/peers/said"
)

// Account is what is known of a person of the circle: the newest list of their
// machines, and which of these have shown it on a connection of their own.
type Account struct {
	// ID names the account where shards are counted: the first machine by
	// which this one met the person.
	ID   peers.DeviceID `json:"id"`
	Root []byte         `json:"root"`
	List []byte         `json:"list"` // signed
	// Shown are the machines, past ones too: what they stored stays the
	// person's.
	Shown []peers.DeviceID `json:"shown"`
	// Out are those that were taken out of this circle here: only an invite
	// lets them in again.
	Out []peers.DeviceID `json:"out,omitempty"`

	list *account.Machines
}

// Errors about accounts.
var (
	// ErrOldList: a newer list of that person's machines is known.
	ErrOldList = said.Error("old-list", "is an old list of machines")
	errOther   = errors.New("speaks for another person already")
)

// most shown machines of one account, past ones included.
const maxShown = 4 * account.MaxDevices

func (a *Account) load() error {
	s, err := account.Parse(a.List)
	if err != nil {
		return err
	}
	if !bytes.Equal(a.Root, s.Body.Root[:]) || !slices.Contains(a.Shown, a.ID) || len(a.Shown) > maxShown || len(a.Out) > maxShown {
		return errors.New("an account contradicts itself")
	}
	a.list = &s.Body
	return nil
}

func (a Account) clone() Account {
	a.Root, a.List = slices.Clone(a.Root), slices.Clone(a.List)
	a.Shown, a.Out = slices.Clone(a.Shown), slices.Clone(a.Out)
	return a
}

// Own is the list of this person's own machines, nil before SetOwn.
func (b *Book) Own() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.own)
}

// SetOwn replaces the list of this person's own machines by a newer one; an
// older one is ErrOldList. The same again is no error.
func (b *Book) SetOwn(raw []byte) error {
	s, err := account.Parse(raw)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if bytes.Equal(raw, b.own) {
		return nil
	}
	if len(b.own) > 0 {
		had, err := account.Parse(b.own)
		if err != nil {
			return err
		}
		if had.Body.Root != s.Body.Root {
			return fmt.Errorf("%w: it is another person's", ErrOldList)
		}
		if s.Body.Epoch <= had.Body.Epoch {
			return ErrOldList
		}
	}
	was := b.own
	b.own = slices.Clone(raw)
	if err := b.commit(b.peers, b.invites); err != nil {
		b.own = was
		return err
	}
	return nil
}

// Owner gives the name of the account that a device belongs to: its own when
// it is not known to be one of several.
func (b *Book) Owner(d peers.DeviceID) peers.DeviceID {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.accountOf(d); i >= 0 {
		return b.accounts[i].ID
	}
	return d
}

// ListOf gives the newest list that is known of a device's person.
func (b *Book) ListOf(d peers.DeviceID) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.accountOf(d); i >= 0 {
		return slices.Clone(b.accounts[i].List)
	}
	return nil
}

// Person gives a device's person, if it has said.
func (b *Book) Person(d peers.DeviceID) (root custody.Key, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.accountOf(d); i >= 0 {
		return b.accounts[i].list.Root, true
	}
	return root, false
}

// Machines gives the machines of a device's person that have shown themselves,
// past ones too; only the device when its person is not known.
func (b *Book) Machines(d peers.DeviceID) []peers.DeviceID {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.accountOf(d); i >= 0 {
		return slices.Clone(b.accounts[i].Shown)
	}
	return []peers.DeviceID{d}
}

// MayClaim says whether a stranger could turn out to be a further machine of
// somebody in the circle.
func (b *Book) MayClaim() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.accounts) > 0
}

// Introduce takes the list that a member shows. It returns the members that a
// newer list no longer names: they are out of the circle. An older list than
// the one known is ErrOldList.
func (b *Book) Introduce(d peers.DeviceID, raw []byte) (gone []peers.DeviceID, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.accountOf(d)
	if at >= 0 && bytes.Equal(raw, b.accounts[at].List) {
		return nil, nil
	}
	s, err := account.Parse(raw)
	if err != nil {
		return nil, err
	}
	if b.index(d) < 0 {
		return nil, fmt.Errorf("%s %w", d.Short(), ErrUnknownPeer)
	}
	if at >= 0 && b.accounts[at].list.Root != s.Body.Root {
		return nil, errOther
	}
	next, gone, err := b.take(d, s)
	if err != nil {
		return nil, err
	}
	return gone, b.settle(next, b.peers, gone)
}

// Claim lets a stranger in that a newer, or the newest, list of a person of the
// circle names. note fills in what is known of it. ErrOldList comes with the
// newest list, for the person to sign one that follows it; ErrUnknownPeer when
// nobody of the circle is that person.
func (b *Book) Claim(d peers.DeviceID, raw []byte, note func(*Peer)) (known []byte, gone []peers.DeviceID, err error) {
	s, err := account.Parse(raw)
	if err != nil {
		return nil, nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.accountByRoot(s.Body.Root)
	if i < 0 || !b.inCircle(&b.accounts[i]) || slices.Contains(b.accounts[i].Out, d) {
		return nil, nil, fmt.Errorf("that person %w", ErrUnknownPeer)
	}
	if other := b.accountOf(d); other >= 0 && other != i {
		return nil, nil, errOther
	}
	known = slices.Clone(b.accounts[i].List)
	next, gone, err := b.take(d, s)
	if err != nil {
		return known, nil, err
	}
	p := Peer{Device: d}
	if j := b.index(d); j >= 0 {
		p = b.peers[j].clone()
	} else {
		p.Quota = b.quotaOf(&b.accounts[i])
	}
	note(&p)
	p.Device = d
	if p, err = p.clean(); err != nil {
		return known, nil, err
	}
	ps, err := b.with(p)
	if err != nil {
		return known, nil, err
	}
	return slices.Clone(raw), gone, b.settle(next, ps, gone)
}

// take works out the accounts after device d showed list s, and who leaves.
func (b *Book) take(d peers.DeviceID, s *custody.Signed[account.Machines]) (next []Account, gone []peers.DeviceID, err error) {
	if !s.Body.Has(d) {
		return nil, nil, fmt.Errorf("%s %w", d.Short(), account.ErrNotListed)
	}
	next = slices.Clone(b.accounts)
	i := b.accountByRoot(s.Body.Root)
	if i < 0 {
		if len(next) >= MaxPeers { // of people who left: they may come back as new
			next = slices.DeleteFunc(next, func(a Account) bool { return !b.inCircle(&a) })
		}
		return append(next, Account{ID: d, Root: s.Body.Root[:], List: s.Raw, Shown: []peers.DeviceID{d}, list: &s.Body}), nil, nil
	}
	a := next[i].clone()
	switch {
	case s.Body.Epoch < a.list.Epoch, s.Body.Epoch == a.list.Epoch && !bytes.Equal(s.Raw, a.List):
		return nil, nil, ErrOldList
	}
	a.List, a.list = s.Raw, &s.Body
	if !slices.Contains(a.Shown, d) {
		if len(a.Shown) >= maxShown {
			return nil, nil, fmt.Errorf("%w: too many machines of one person", ErrTooManyPeers)
		}
		a.Shown = append(a.Shown, d)
	}
	for _, o := range a.Shown {
		if !a.list.Has(o) && b.index(o) >= 0 {
			gone = append(gone, o)
		}
	}
	next[i] = a
	return next, gone, nil
}

// settle writes accounts and peers, less those that are gone.
func (b *Book) settle(accounts []Account, ps []Peer, gone []peers.DeviceID) error {
	if len(gone) > 0 {
		ps = slices.DeleteFunc(slices.Clone(ps), func(p Peer) bool { return slices.Contains(gone, p.Device) })
	}
	invites := slices.DeleteFunc(slices.Clone(b.invites), func(inv invite) bool {
		return inv.UsedBy != nil && slices.Contains(gone, *inv.UsedBy)
	})
	return b.commitAll(accounts, ps, invites)
}

// commitAll is commit with the accounts.
func (b *Book) commitAll(accounts []Account, ps []Peer, invites []invite) error {
	was := b.accounts
	b.accounts = accounts
	if err := b.commit(ps, invites); err != nil {
		b.accounts = was
		return err
	}
	return nil
}

// marked is the accounts after a person took a device out of the circle, or let
// it in by an invite.
func (b *Book) marked(d peers.DeviceID, out bool) []Account {
	i := b.accountOf(d)
	if i < 0 || slices.Contains(b.accounts[i].Out, d) == out {
		return b.accounts
	}
	next := slices.Clone(b.accounts)
	a := next[i].clone()
	if out {
		a.Out = append(a.Out, d)
	} else {
		a.Out = slices.DeleteFunc(a.Out, func(o peers.DeviceID) bool { return o == d })
	}
	next[i] = a
	return next
}

// TakenOut says whether the person of this home took a device out of the circle,
// and did not let it in again by an invite.
func (b *Book) TakenOut(d peers.DeviceID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.accountOf(d)
	return i >= 0 && b.index(d) < 0 && slices.Contains(b.accounts[i].Out, d)
}

// inCircle: a person is of the circle while one of their machines is.
func (b *Book) inCircle(a *Account) bool {
	return slices.ContainsFunc(a.Shown, func(d peers.DeviceID) bool { return b.index(d) >= 0 })
}

// quotaOf is the promise to a person, as the machine met first has it.
func (b *Book) quotaOf(a *Account) int64 {
	for _, d := range a.Shown {
		if i := b.index(d); i >= 0 {
			return b.peers[i].Quota
		}
	}
	return 0
}

func (b *Book) accountOf(d peers.DeviceID) int {
	return slices.IndexFunc(b.accounts, func(a Account) bool { return slices.Contains(a.Shown, d) })
}

func (b *Book) accountByRoot(root custody.Key) int {
	return slices.IndexFunc(b.accounts, func(a Account) bool { return a.list.Root == root })
}
