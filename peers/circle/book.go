// SPDX-License-Identifier: MPL-2.0

package circle

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/vault"
)

const (
	tokenLabel = "preezm/v1/invite-token"
	// DefaultInvite is how long an invite is good when nobody says otherwise.
	DefaultInvite = 24 * time.Hour
	// MaxInvite is the longest an invite can be good.
	MaxInvite = 30 * 24 * time.Hour
	// maxInvites bounds the invites that are open or were used lately.
	maxInvites = 64
	// usedGrace keeps a used invite for a device whose answer got lost.
	usedGrace = 24 * time.Hour
	// seenEvery is how old LastSeen on disk may get: it is not worth an
	// fsync for each hello.
	seenEvery = time.Hour
	// hearEvery is how often at most what a device says of itself is written.
	hearEvery = time.Minute
)

// invite is an invite as it is stored: without its token.
type invite struct {
	Hash    [32]byte        `json:"-"`
	HashHex string          `json:"token_sha256"`
	Expires time.Time       `json:"expires"`
	UsedBy  *peers.DeviceID `json:"used_by,omitempty"`
	Words   []byte          `json:"words,omitempty"` // a Pairing, once it is used
}

// end is when the invite is good for nothing more.
func (i invite) end() time.Time {
	if i.UsedBy != nil {
		return i.Expires.Add(usedGrace)
	}
	return i.Expires
}

// Book is the circle on disk. It is safe for concurrent use by one process;
// the lock on the home folder keeps others out.
type Book struct {
	path string
	box  *vault.Box // nil: plain
	now  func() time.Time

	mu       sync.Mutex
	peers    []Peer // in the order they were added
	invites  []invite
	accounts []Account                    // who is behind them; see accounts.go
	own      []byte                       // the list of this person's own machines
	saved    map[peers.DeviceID]time.Time // LastSeen as on disk
	told     map[peers.DeviceID]time.Time // when what Hear noted was written last
	dirty    bool                         // the disk lacks something
}

// Open reads the plain circle at path; a missing file is an empty circle.
func Open(path string) (*Book, error) { return OpenIn(nil, path) }

// OpenIn reads the circle at path in box; a missing file is an empty circle.
func OpenIn(box *vault.Box, path string) (*Book, error) {
	b := &Book{path: path, box: box, now: time.Now, saved: make(map[peers.DeviceID]time.Time), told: make(map[peers.DeviceID]time.Time)}
	if err := b.load(); err != nil {
		return nil, fmt.Errorf("open circle: %w", err)
	}
	return b, nil
}

// Peers returns everybody, in the order they joined.
func (b *Book) Peers() []Peer {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Peer, len(b.peers))
	for i, p := range b.peers {
		out[i] = p.clone()
	}
	return out
}

// Peer returns one device of the circle.
func (b *Book) Peer(id peers.DeviceID) (Peer, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.index(id); i >= 0 {
		return b.peers[i].clone(), true
	}
	return Peer{}, false
}

// Devices returns the IDs of everybody; cheaper than Peers.
func (b *Book) Devices() []peers.DeviceID {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]peers.DeviceID, len(b.peers))
	for i := range b.peers {
		out[i] = b.peers[i].Device
	}
	return out
}

// Has says whether a device is in the circle; cheaper than Peer.
func (b *Book) Has(id peers.DeviceID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.index(id) >= 0
}

// Put adds a device, or replaces what is known of it. A zero Added becomes
// now, or stays what it was.
func (b *Book) Put(p Peer) error {
	p, err := p.clean()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	next, err := b.with(p)
	if err != nil {
		return err
	}
	return b.commit(next, b.invites)
}

// with is the peers with p among them.
func (b *Book) with(p Peer) ([]Peer, error) {
	next := slices.Clone(b.peers)
	i := b.index(p.Device)
	if p.Added.IsZero() {
		p.Added = b.now().UTC().Truncate(time.Second)
		if i >= 0 {
			p.Added = b.peers[i].Added
		}
	}
	switch {
	case i >= 0:
		next[i] = p
		return next, nil
	case len(next) >= MaxPeers:
		return nil, ErrTooManyPeers
	}
	return append(next, p), nil
}

// Update changes one device in place. It returns ErrUnknownPeer when there is
// no such device; change cannot alter the device ID. Nothing is written when
// nothing changed.
func (b *Book) Update(id peers.DeviceID, change func(*Peer)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.update(id, change, false)
}

// Hear is Update for what the device says of itself, which it could say anew a
// thousand times a second. It counts at once, but reaches the disk at most once
// a minute for each device, or with the next other change: after a crash the
// device says it again.
func (b *Book) Hear(id peers.DeviceID, change func(*Peer)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	lazy := now.Sub(b.told[id]) < hearEvery
	if !lazy {
		b.told[id] = now
	}
	return b.update(id, change, lazy)
}

// Flush writes what Hear and Seen have not written yet.
func (b *Book) Flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.dirty {
		return nil
	}
	return b.commit(b.peers, b.invites)
}

func (b *Book) update(id peers.DeviceID, change func(*Peer), lazy bool) error {
	i := b.index(id)
	if i < 0 {
		return fmt.Errorf("%s %w", id.Short(), ErrUnknownPeer)
	}
	p := b.peers[i].clone()
	change(&p)
	p.Device = id
	p, err := p.clean()
	if err != nil {
		return err
	}
	if p.equal(b.peers[i]) {
		return nil
	}
	next := slices.Clone(b.peers)
	next[i] = p
	if lazy {
		b.peers, b.dirty = next, true
		return nil
	}
	return b.commit(next, b.invites)
}

// Seen notes that a device was heard of just now. It reaches the disk at most
// once an hour, or with the next other change.
func (b *Book) Seen(id peers.DeviceID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.index(id)
	if i < 0 {
		return fmt.Errorf("%s %w", id.Short(), ErrUnknownPeer)
	}
	now := b.now().UTC().Truncate(time.Second)
	b.peers[i].LastSeen = now
	b.dirty = true
	if now.Sub(b.saved[id]) < seenEvery {
		return nil
	}
	return b.commit(b.peers, b.invites)
}

// Remove takes a device out of the circle, and with it the invite it came
// with, which would let it in again; one that is not in it is no error. Its
// open connections are cut by rpc.Service.Remove, which calls this.
func (b *Book) Remove(id peers.DeviceID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.index(id)
	if i < 0 {
		return nil
	}
	invites := slices.DeleteFunc(slices.Clone(b.invites), func(inv invite) bool {
		return inv.UsedBy != nil && *inv.UsedBy == id
	})
	delete(b.told, id)
	return b.commitAll(b.marked(id, true), slices.Delete(slices.Clone(b.peers), i, i+1), invites)
}

// NewInvite makes an invite from self (its device, name and addresses) that
// is good for ttl; zero is DefaultInvite.
func (b *Book) NewInvite(self Invite, ttl time.Duration) (Invite, error) {
	if ttl == 0 {
		ttl = DefaultInvite
	}
	if ttl < time.Second || ttl > MaxInvite {
		return Invite{}, fmt.Errorf("an invite is good for between a second and %d days", int(MaxInvite.Hours()/24))
	}
	if self.Device == (peers.DeviceID{}) {
		return Invite{}, errors.New("an invite needs a device ID")
	}
	inv := Invite{
		Device: self.Device, Name: CleanName(self.Name), Addresses: CleanAddresses(self.Addresses), Servers: CleanServers(self.Servers),
	}
	rand.Read(inv.Token[:]) // never fails, as crypto/rand documents

	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	// Rounded up to the second that a code can hold.
	inv.Expires = time.Unix(now.Add(ttl+time.Second-1).Unix(), 0)
	kept := b.unexpired(now)
	if len(kept) >= maxInvites {
		return Invite{}, fmt.Errorf("there are %d open invites already; wait until some expire", maxInvites)
	}
	kept = append(kept, invite{Hash: hashToken(inv.Token), Expires: inv.Expires.UTC()})
	if err := b.commit(b.peers, kept); err != nil {
		return Invite{}, err
	}
	return inv, nil
}

// Redeem uses an invite of this device, self, up and puts device into the circle, both or neither;
// note fills in what is known of it, or changes it when it is there already.
// A second time succeeds for the same device, whose answer may have been
// lost, until a day after the invite's end. ErrInviteUsed (by another, or one
// that was removed), ErrInviteExpired and ErrInviteUnknown are the refusals.
func (b *Book) Redeem(token [16]byte, self, device peers.DeviceID, note func(*Peer)) (Peer, error) {
	h := hashToken(token)
	if b.invited(h) < 0 {
		return Peer{}, ErrInviteUnknown
	}
	// It takes a moment, which others need not wait for.
	words, err := NewPairing(self, device, token)
	if err != nil {
		return Peer{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.invitedLocked(h)
	if found < 0 {
		return Peer{}, ErrInviteUnknown
	}
	inv, known := b.invites[found], b.index(device)
	switch {
	case inv.UsedBy != nil && (*inv.UsedBy != device || known < 0):
		return Peer{}, ErrInviteUsed
	case !b.now().Before(inv.end()):
		return Peer{}, ErrInviteExpired
	}
	p := Peer{}
	if known >= 0 {
		p = b.peers[known].clone()
	}
	note(&p)
	p.Device = device
	if p, err = p.clean(); err != nil {
		return Peer{}, err
	}
	next, err := b.with(p)
	if err != nil {
		return Peer{}, err
	}
	invites := slices.Clone(b.invites)
	invites[found].UsedBy, invites[found].Words = &device, words[:]
	if err := b.commitAll(b.marked(device, false), next, invites); err != nil {
		return Peer{}, err
	}
	return b.peers[b.index(device)].clone(), nil
}

// invited finds an invite by the hash of its token, or gives -1.
func (b *Book) invited(h [32]byte) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.invitedLocked(h)
}

func (b *Book) invitedLocked(h [32]byte) int {
	found := -1
	for i := range b.invites { // all of them: the time taken tells nothing
		if subtle.ConstantTimeCompare(b.invites[i].Hash[:], h[:]) == 1 {
			found = i
		}
	}
	return found
}

// MayJoin says whether device could redeem an invite at now: an open one, or
// again the one it used, whose answer got lost.
func (b *Book) MayJoin(device peers.DeviceID, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, inv := range b.invites {
		if (inv.UsedBy == nil || *inv.UsedBy == device) && now.Before(inv.end()) {
			return true
		}
	}
	return false
}

// Pending says whether an unused invite is still good at now.
func (b *Book) Pending(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, inv := range b.invites {
		if inv.UsedBy == nil && now.Before(inv.Expires) {
			return true
		}
	}
	return false
}

func (b *Book) index(id peers.DeviceID) int {
	return slices.IndexFunc(b.peers, func(p Peer) bool { return p.Device == id })
}

// unexpired returns the invites worth remembering.
func (b *Book) unexpired(now time.Time) []invite {
	var out []invite
	for _, inv := range b.invites {
		if now.Before(inv.end()) {
			out = append(out, inv)
		}
	}
	return out
}

// commit writes the new state and takes it over only when it is on disk.
func (b *Book) commit(next []Peer, invites []invite) error {
	if err := b.save(next, invites); err != nil {
		return fmt.Errorf("save circle: %w", err)
	}
	b.peers, b.invites, b.dirty = next, invites, false
	for _, p := range next {
		b.saved[p.Device] = p.LastSeen
	}
	return nil
}

func hashToken(token [16]byte) [32]byte {
	return sha256.Sum256(append([]byte(tokenLabel), token[:]...))
}

func (p Peer) clone() Peer {
	p.Addresses, p.Servers = slices.Clone(p.Addresses), slices.Clone(p.Servers)
	p.Sign, p.KEM = slices.Clone(p.Sign), slices.Clone(p.KEM)
	return p
}

func (p Peer) equal(q Peer) bool {
	return p.Device == q.Device && p.Name == q.Name && slices.Equal(p.Addresses, q.Addresses) &&
		p.Keeper == q.Keeper && p.Quota == q.Quota && p.Added.Equal(q.Added) && p.LastSeen.Equal(q.LastSeen) &&
		bytes.Equal(p.Sign, q.Sign) && bytes.Equal(p.KEM, q.KEM) && p.Witness == q.Witness && p.Person == q.Person && p.House == q.House && slices.Equal(p.Servers, q.Servers)
}
