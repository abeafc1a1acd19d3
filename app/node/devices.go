// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/backup"
	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/account"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/said"
)

const (
	// pairingTime is how long a code for a further machine is good.
	pairingTime = 10 * time.Minute
	// wrongTokens end a pairing.
	wrongTokens = 10
	// devicePrefix stands before a code, so that nobody takes it for an invite.
	devicePrefix = "my-device-"

	bundleInfo = "preezm/v1/device-bundle"
)

// Errors about own machines.
var (
	// ErrNoPairing: no code for a further machine is good now.
	ErrNoPairing = said.Error("no-pairing", "no machine is being added now: 'preezm device add' begins")
	// errMustServe: adding needs a running node.
	errMustServe = said.Error("must-serve", "'preezm serve' (or the window) must run here while a machine is added")
	// ErrThisDevice: a machine cannot remove itself.
	ErrThisDevice = said.Error("this-device", "this is the machine you are on: remove it from another one")
	// ErrNoDevice: no own machine of that name.
	ErrNoDevice = said.Error("no-device", "is not one of your machines")
)

// Device is one of this person's own machines.
type Device struct {
	Device  peers.DeviceID `json:"device"`
	Name    string         `json:"name"`
	This    bool           `json:"this"`
	Added   time.Time      `json:"added"`
	Seen    time.Time      `json:"last_seen,omitzero"` // when its newest copy was made
	Removed time.Time      `json:"removed,omitzero"`
	Stolen  bool           `json:"stolen,omitempty"`
}

// NewDevice is the code with which a further machine joins.
type NewDevice struct {
	Code    string    `json:"code"`
	Expires time.Time `json:"expires"`
}

// DevicePairing is a machine that used the code.
type DevicePairing struct {
	Device peers.DeviceID      `json:"device"`
	Name   string              `json:"name"`
	Words  map[string][]string `json:"words"`
}

// DeviceDecision says whether the machine is this person's.
type DeviceDecision struct {
	Device peers.DeviceID `json:"device"`
	Yes    bool           `json:"yes"`
}

// DeviceRemoval names a machine that is no longer to count.
type DeviceRemoval struct {
	Who    string `json:"who"`
	Stolen bool   `json:"stolen"`
}

// DeviceRemoved is the outcome.
type DeviceRemoved struct {
	Device     peers.DeviceID `json:"device"`
	Name       string         `json:"name"`
	Told       int            `json:"told"` // keepers that refuse it from now on
	Of         int            `json:"of"`
	Custodians int            `json:"custodians_told"`
	CustodianN int            `json:"custodians"`
}

// pairing is the further machine that is awaited, if any. It implements
// rpc.Pairs.
type pairing struct {
	mu      sync.Mutex
	token   [16]byte
	expires time.Time
	wrong   int
	from    *rpc.PairRequest
	device  peers.DeviceID
	changed chan struct{} // closed and replaced at every change
	refused bool
	sealed  []byte
	now     func() time.Time
}

// Open says whether a machine is awaited.
func (p *pairing) Open() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open()
}

func (p *pairing) open() bool { return p.now != nil && p.now().Before(p.expires) }

func (p *pairing) change() {
	if p.changed != nil {
		close(p.changed)
	}
	p.changed = make(chan struct{})
}

// begin awaits a machine with a token.
func (p *pairing) begin(token [16]byte, expires time.Time, now func() time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.token, p.expires, p.now = token, expires, now
	p.wrong, p.from, p.refused, p.sealed = 0, nil, false, nil
	p.change()
}

// Pair implements rpc.Pairs. The first machine with the token is the one.
func (p *pairing) Pair(_ context.Context, from peers.DeviceID, r rpc.PairRequest) (rpc.PairAnswer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open() || p.refused {
		return rpc.PairAnswer{}, peers.ErrRefused
	}
	if subtle.ConstantTimeCompare(r.Token[:], p.token[:]) != 1 {
		if p.wrong++; p.wrong >= wrongTokens {
			p.expires = time.Time{}
			p.change()
		}
		return rpc.PairAnswer{}, peers.ErrRefused
	}
	if len(r.Sign) != ed25519.PublicKeySize {
		return rpc.PairAnswer{}, peers.ErrRefused
	}
	switch {
	case p.from == nil:
		p.from, p.device = &r, from
		p.change()
	case p.device != from:
		return rpc.PairAnswer{}, peers.ErrRefused
	}
	if p.sealed == nil {
		return rpc.PairAnswer{Wait: true}, nil
	}
	return rpc.PairAnswer{Sealed: p.sealed}, nil
}

// bundle is what makes a machine this person's.
type bundle struct {
	Root    [32]byte        `cbor:"1,keyasint"` // of all keys but the words
	List    []byte          `cbor:"2,keyasint"`
	Keepers []backup.Keeper `cbor:"3,keyasint"`
}

func pairInfo(old, fresh peers.DeviceID) []byte {
	return append(append([]byte(bundleInfo), old[:]...), fresh[:]...)
}

// AddDevice awaits a further machine of this person, and gives the code for it.
func (n *Node) AddDevice(ctx context.Context) (NewDevice, error) {
	select {
	case <-n.ready:
	default:
		return NewDevice{}, errMustServe
	}
	if len(n.book.Peers()) == 0 {
		return NewDevice{}, said.Wrap(ErrNoWay, "list-no-way", "the list of your files reaches the new machine through your circle: {why}")
	}
	inv := circle.Invite{Device: n.device, Name: n.settings.Name, Addresses: n.addresses(), Expires: n.now().Add(pairingTime)}
	rand.Read(inv.Token[:]) // never fails
	n.pairing.begin(inv.Token, inv.Expires, n.now)
	return NewDevice{Code: devicePrefix + inv.Code(), Expires: inv.Expires}, ctx.Err()
}

// PairingDevice waits until a machine has used the code.
func (n *Node) PairingDevice(ctx context.Context) (DevicePairing, error) {
	p := &n.pairing
	for {
		p.mu.Lock()
		open, from, device, token, changed := p.open(), p.from, p.device, p.token, p.changed
		left := time.Until(p.expires)
		p.mu.Unlock()
		if !open {
			return DevicePairing{}, ErrNoPairing
		}
		if from != nil {
			w, err := circle.NewPairing(n.device, device, token)
			return DevicePairing{Device: device, Name: from.Name, Words: words(w)}, err
		}
		select {
		case <-ctx.Done():
			return DevicePairing{}, ctx.Err()
		case <-changed:
		case <-time.After(left):
		}
	}
}

// DecideDevice takes the machine that used the code into this person's, or
// sends it away.
func (n *Node) DecideDevice(ctx context.Context, d DeviceDecision) (Device, error) {
	p := &n.pairing
	p.mu.Lock()
	open, from, device := p.open() && !p.refused, p.from, p.device
	p.mu.Unlock()
	if !open || from == nil || device != d.Device {
		return Device{}, ErrNoPairing
	}
	if !d.Yes {
		p.mu.Lock()
		p.refused = true
		p.change()
		p.mu.Unlock()
		return Device{Device: device, Name: from.Name}, nil
	}
	pk, err := hpke.MLKEM768X25519().NewPublicKey(from.KEM)
	if err != nil {
		return Device{}, fmt.Errorf("%s: %w: %w", from.Name, peers.ErrProtocol, err)
	}
	list, err := n.changeMachines(func(ds []peers.DeviceID) []peers.DeviceID { return append(ds, device) })
	if err != nil {
		return Device{}, err
	}
	if err := n.desk.AddDevice(ctx, custody.Key(from.Sign)); err != nil {
		return Device{}, err
	}
	m := catalog.Machine{Device: device, Name: from.Name, Sign: [32]byte(from.Sign), Added: n.now().Unix()}
	if err := n.backups.catalog.PutMachine(ctx, m); err != nil {
		return Device{}, err
	}
	// The new machine begins with what this one knows now.
	if err := n.RenewBackup(ctx, nil); err != nil {
		return Device{}, said.Wrap(err, "list-not-copied", "the list of your files could not be copied for it: {why}")
	}
	n.tellMachines(ctx)
	plain, err := custody.Marshal(bundle{Root: n.backups.owner.Root(), List: list, Keepers: n.whereabouts()})
	if err != nil {
		return Device{}, err
	}
	sealed, err := hpke.Seal(pk, hpke.HKDFSHA256(), hpke.AES256GCM(), pairInfo(n.device, device), plain)
	clear(plain)
	if err != nil {
		return Device{}, err
	}
	p.mu.Lock()
	p.sealed = sealed
	p.mu.Unlock()
	return Device{Device: device, Name: from.Name, Added: time.Unix(m.Added, 0)}, nil
}

// changeMachines signs the next list of this person's machines.
func (n *Node) changeMachines(f func([]peers.DeviceID) []peers.DeviceID) ([]byte, error) {
	s, err := account.Parse(n.book.Own())
	if err != nil {
		return nil, err
	}
	root := n.backups.secrets.RootKey()
	next, err := account.Next(root, &s.Body, f(slices.Clone(s.Body.Devices)), n.now().Unix())
	if err != nil {
		return nil, err
	}
	return next.Raw, n.book.SetOwn(next.Raw)
}

// tellMachines shows the keepers the list of this person's machines, and gives
// how many have it.
func (n *Node) tellMachines(ctx context.Context) (told int) {
	var all []peers.DeviceID
	for _, p := range n.book.Peers() {
		all = append(all, p.Device)
	}
	var mu sync.Mutex
	n.everybody(ctx, all, func(ctx context.Context, c *rpc.Client) {
		if _, err := c.Info(ctx); err == nil {
			mu.Lock()
			defer mu.Unlock()
			told++
		}
	})
	return told
}

// Devices lists this person's machines, this one first and then the oldest,
// those that were removed too.
func (n *Node) Devices(ctx context.Context) ([]Device, error) {
	s, err := account.Parse(n.book.Own())
	if err != nil {
		return nil, err
	}
	known, err := n.backups.catalog.Machines(ctx)
	if err != nil {
		return nil, err
	}
	seen := n.lastHeads(ctx)
	var out []Device
	for _, m := range known {
		d := Device{Device: m.Device, Name: m.Name, This: m.Device == n.device, Added: time.Unix(m.Added, 0), Stolen: m.Stolen, Seen: seen[m.Device]}
		if !s.Body.Has(m.Device) {
			d.Removed = time.Unix(max(m.Removed, m.Added), 0)
		}
		if d.This {
			d.Seen = n.now()
		}
		out = append(out, d)
	}
	for _, id := range s.Body.Devices { // its own catalog has not come yet
		if !slices.ContainsFunc(out, func(d Device) bool { return d.Device == id }) {
			out = append(out, Device{Device: id, Name: id.Short(), This: id == n.device, Seen: seen[id]})
		}
	}
	if i := slices.IndexFunc(out, func(d Device) bool { return d.This }); i > 0 {
		this := out[i]
		out = slices.Insert(slices.Delete(out, i, i+1), 0, this)
	}
	return out, nil
}

// lastHeads asks the keepers when each machine made its newest copy.
func (n *Node) lastHeads(ctx context.Context) map[peers.DeviceID]time.Time {
	out := map[peers.DeviceID]time.Time{}
	heads, _ := n.otherHeads(ctx)
	for _, h := range heads {
		out[h.Device] = time.Unix(h.At, 0)
	}
	return out
}

// otherHeads are the newest heads that the keepers which answer have of each
// machine. most tells that at least half of the keepers answered, and so one of
// any that are more than half; those that are taken for lost do not count.
func (n *Node) otherHeads(ctx context.Context) (out []*backup.Head, most bool) {
	answered := map[peers.DeviceID]bool{}
	best := map[peers.DeviceID]*backup.Head{}
	var mu sync.Mutex
	var all []peers.DeviceID
	for _, p := range n.book.Peers() {
		if p.Keeper {
			all = append(all, p.Device)
		}
	}
	n.everybody(ctx, all, func(ctx context.Context, c *rpc.Client) {
		hs, err := c.Heads(ctx, n.backups.locator, peers.DeviceID{}, 0)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		answered[c.Device()] = true
		for i := range hs {
			if had := best[hs[i].Device]; had != nil && had.Number >= hs[i].Number {
				continue
			}
			h, err := backup.Open(&n.backups.secrets, &hs[i])
			if err != nil {
				n.log.Warn("a keeper gave a head that is not this person's", "keeper", c.Name(), "err", err)
				continue
			}
			best[h.Device] = h
		}
	})
	for _, h := range best {
		out = append(out, h)
	}
	missing, err := n.engine.Missing(ctx)
	if err != nil {
		return out, false
	}
	of := 0
	for _, d := range all {
		if answered[d] || !missing[d] {
			of++
		}
	}
	return out, 2*len(answered) >= of
}

// RemoveDevice takes a machine off the list: keepers refuse it as they hear of
// it, custodians too, and what it signs counts for nothing from then on,
// whatever its date.
func (n *Node) RemoveDevice(ctx context.Context, o DeviceRemoval) (DeviceRemoved, error) {
	var out DeviceRemoved
	all, err := n.Devices(ctx)
	if err != nil {
		return out, err
	}
	d, err := findDevice(all, o.Who)
	if err != nil {
		return out, err
	}
	out.Device, out.Name = d.Device, d.Name
	if _, err := n.changeMachines(func(ds []peers.DeviceID) []peers.DeviceID {
		return slices.DeleteFunc(ds, func(x peers.DeviceID) bool { return x == d.Device })
	}); err != nil {
		return out, err
	}
	if err := n.silence(ctx, d, o.Stolen); err != nil {
		return out, err
	}
	n.backups.engine.SetTogether(n.others())
	if err := n.backups.catalog.DropBackups(ctx, d.Device); err != nil {
		return out, err
	}
	out.Told, out.Of = n.tellMachines(ctx), len(n.book.Peers())
	out.Custodians, out.CustodianN, err = n.shareDevices(ctx)
	return out, err
}

// silence sees to it that what a removed machine signs counts for nothing.
func (n *Node) silence(ctx context.Context, d Device, stolen bool) error {
	known, err := n.backups.catalog.Machines(ctx)
	if err != nil {
		return err
	}
	m := catalog.Machine{Device: d.Device, Name: d.Name, Added: n.now().Unix()}
	i := slices.IndexFunc(known, func(k catalog.Machine) bool { return k.Device == d.Device })
	if i >= 0 {
		m = known[i]
	} else {
		// Its own catalog never came here. Custodians may know it all the same,
		// from itself; its newest backup says which key it signs with.
		heads, _ := n.otherHeads(ctx)
		for _, h := range heads {
			if c, err := custody.Parse[custody.DeviceCert](h.Cert); err == nil && h.Device == d.Device {
				m.Sign = c.Body.Device
			}
		}
	}
	m.Removed, m.Stolen = n.now().Unix(), stolen || m.Stolen
	if err := n.backups.catalog.PutMachine(ctx, m); err != nil {
		return err
	}
	if i >= 0 {
		return n.desk.RemoveDevice(ctx, custody.Key(m.Sign))
	}
	return n.desk.Exclude(ctx, custody.Key(m.Sign))
}

func findDevice(all []Device, who string) (Device, error) {
	var found []Device
	for _, d := range all {
		if strings.EqualFold(d.Name, who) || strings.EqualFold(d.Device.Short(), who) || d.Device.String() == who {
			found = append(found, d)
		}
	}
	// Rather one that is still there than one of that name from before.
	if still := slices.DeleteFunc(slices.Clone(found), func(d Device) bool { return !d.Removed.IsZero() }); len(still) > 0 {
		found = still
	}
	switch {
	case len(found) == 0:
		return Device{}, fmt.Errorf("%q %w: 'preezm device list' shows them", who, ErrNoDevice)
	case len(found) > 1:
		return Device{}, fmt.Errorf("%q are several machines: give the device instead ('preezm device list')", who)
	case found[0].This:
		return Device{}, ErrThisDevice
	}
	return found[0], nil
}

// noteThisMachine writes this machine into the list that the catalog keeps.
func (n *Node) noteThisMachine(ctx context.Context) error {
	all, err := n.backups.catalog.Machines(ctx)
	if err != nil {
		return err
	}
	m := catalog.Machine{Device: n.device, Name: n.settings.Name, Sign: custody.KeyOf(n.keys.Sign), Added: time.Now().Unix()}
	for _, have := range all {
		if have.Device == n.device {
			if m.Added, m.Removed, m.Stolen = have.Added, have.Removed, have.Stolen; m == have { // a removal stays
				return nil
			}
		}
	}
	return n.backups.catalog.PutMachine(ctx, m)
}

// openBundle reads what the other machine handed over.
func openBundle(sealed []byte, key hpke.PrivateKey, old, fresh peers.DeviceID) (*bundle, identity.OwnerKey, error) {
	plain, err := hpke.Open(key, hpke.HKDFSHA256(), hpke.AES256GCM(), pairInfo(old, fresh), sealed)
	if err != nil {
		return nil, identity.OwnerKey{}, fmt.Errorf("%w: %w", peers.ErrProtocol, err)
	}
	defer clear(plain)
	var b bundle
	if err := custody.Unmarshal(plain, &b); err != nil {
		return nil, identity.OwnerKey{}, fmt.Errorf("%w: %w", peers.ErrProtocol, err)
	}
	owner := identity.OwnerOfRoot(b.Root)
	s, err := account.Parse(b.List)
	if err != nil {
		return nil, owner, err
	}
	secrets := owner.Secrets()
	if s.Body.Root != custody.KeyOf(secrets.RootKey()) || !s.Body.Has(fresh) {
		return nil, owner, fmt.Errorf("%w: it is not in its own list", peers.ErrProtocol)
	}
	return &b, owner, nil
}
