// SPDX-License-Identifier: MPL-2.0

// Package gateway is what a keeper does for the brands of its owners: it lets
// a brand's device in that holds a grant, carries its letters to custodians
// and serves the granted chunks, rebuilt from shards, as the ciphertext they
// are. It can read neither. The brand learns nothing of where either comes
// from: the plan that says so is sealed to the gateway.
//
// The same package is the other end: a keeper or custodian that a gateway of
// the same owner asks shows it the owner's permit, since the devices of a
// circle know the owner and not each other.
package gateway

import (
	"context"
	"crypto/hpke"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/durable"
	"github.com/preezm/preezm/peers/rpc"
)

const (
	// clockLeeway is how many seconds a pass may differ from our clock.
	clockLeeway = 600
	// afterwards is how many seconds after a grant's end its brand is still
	// let in, so that the custodians can tell it why it gets nothing.
	afterwards = 86400

	maxPasses = 1024 // of brands, and of gateways
	maxOwners = 256
	// maxRevoked bounds the withdrawals of one owner that are remembered.
	maxRevoked = 1024
	maxFile    = 4 << 20
)

// Config is what a Gateway needs.
type Config struct {
	Path   string // where it remembers owners
	Device peers.DeviceID
	KEM    hpke.PrivateKey
	Member func(peers.DeviceID) bool // whether a device is in the circle
	// Visit asks another device under a permit.
	Visit   func(device peers.DeviceID, name string, addresses []string, pass []byte) *rpc.Visit
	Depot   rpc.Depot   // this device's own shards; may be nil
	Witness rpc.Witness // this device as a custodian; may be nil
	Now     func() time.Time
}

// Gateway implements rpc.Guests. It is safe for concurrent use.
type Gateway struct {
	cfg     Config
	reading chan struct{} // chunks being rebuilt

	mu      sync.Mutex
	owners  map[custody.Key][]peers.DeviceID // as introduced
	revoked map[granted]int64                // until when, in Unix seconds: the grant's end
	stays   map[stayKey]*stay
	permits map[stayKey]*ticket.Permit
	waiting map[custody.Hash]*letter
}

// granted names a grant together with whose it is: owners do not speak for
// each other's.
type granted struct {
	root  custody.Key
	grant custody.Hash
}

type stayKey struct {
	device peers.DeviceID
	granted
}

// file is how the gateway remembers.
type file struct {
	Owners  map[string][]peers.DeviceID `json:"owners"`
	Revoked map[string]map[string]int64 `json:"withdrawn"` // by root and grant
}

// Open reads what was remembered.
func Open(cfg Config) (*Gateway, error) {
	g := &Gateway{
		cfg: cfg, reading: make(chan struct{}, maxReading), owners: map[custody.Key][]peers.DeviceID{}, revoked: map[granted]int64{},
		stays: map[stayKey]*stay{}, permits: map[stayKey]*ticket.Permit{}, waiting: map[custody.Hash]*letter{},
	}
	f, err := os.Open(cfg.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil
	}
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	var in file
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", cfg.Path, err)
	}
	for k, devices := range in.Owners {
		root, err := parse(k)
		if err != nil {
			return nil, fmt.Errorf("%s is damaged: %w", cfg.Path, err)
		}
		g.owners[root] = devices
	}
	for k, grants := range in.Revoked {
		root, err := parse(k)
		for h, until := range grants {
			grant, errGrant := parse(h)
			err = errors.Join(err, errGrant)
			g.revoked[granted{root, custody.Hash(grant)}] = until
		}
		if err != nil {
			return nil, fmt.Errorf("%s is damaged: %w", cfg.Path, err)
		}
	}
	return g, nil
}

// parse reads 32 bytes in hexadecimal.
func parse(s string) (k custody.Key, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(k) {
		return k, errors.New("a name is not 32 bytes")
	}
	return custody.Key(b), nil
}

// change makes owners and revoked what f makes of copies of them, if that can be
// saved. The caller holds the lock.
func (g *Gateway) change(f func()) error {
	owners, revoked := g.owners, g.revoked
	g.owners, g.revoked = maps.Clone(owners), maps.Clone(revoked)
	f()
	err := g.save()
	if err != nil {
		g.owners, g.revoked = owners, revoked
	}
	return err
}

// save writes the file. The caller holds the lock.
func (g *Gateway) save() error {
	out := file{Owners: map[string][]peers.DeviceID{}, Revoked: map[string]map[string]int64{}}
	for k, d := range g.owners {
		out.Owners[k.String()] = d
	}
	for w, until := range g.revoked {
		k := w.root.String()
		if out.Revoked[k] == nil {
			out.Revoked[k] = map[string]int64{}
		}
		out.Revoked[k][w.grant.String()] = until
	}
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	if len(b) > maxFile { // it could not be read any more
		return fmt.Errorf("%w (no room to remember it)", peers.ErrRefused)
	}
	return durable.Replace(g.cfg.Path, b)
}

// known says whether a device was introduced as root's and is in the circle.
// The caller holds the lock.
func (g *Gateway) known(root custody.Key, d peers.DeviceID) bool {
	return slices.Contains(g.owners[root], d) && g.cfg.Member(d)
}

// Statement takes an introduction or a revocation by a member.
func (g *Gateway) Statement(_ context.Context, from peers.DeviceID, raw []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if in, err := custody.Parse[ticket.Intro](raw); err == nil {
		if in.Signer != in.Body.Root || in.Body.Device != from {
			return fmt.Errorf("%w (it introduces somebody else)", peers.ErrRefused)
		}
		if slices.Contains(g.owners[in.Body.Root], from) {
			return nil
		}
		if len(g.owners) >= maxOwners || len(g.owners[in.Body.Root]) >= maxOwners {
			return fmt.Errorf("%w (too many owners)", peers.ErrRefused)
		}
		return g.change(func() { g.introduce(in.Body.Root, from) })
	}
	for root, devices := range g.owners {
		if !slices.Contains(devices, from) {
			continue
		}
		if r, err := custody.CheckRevocation(raw, root); err == nil {
			w := granted{root, r.Body.Grant}
			if g.revoked[w] != 0 {
				return nil
			}
			return g.change(func() { g.revoke(w) })
		}
	}
	return fmt.Errorf("%w (neither an introduction nor a revocation)", peers.ErrRefused)
}

// introduce notes whose device it is: one person's, so that a member takes no
// more room than that of one. What was withdrawn for a person that no device is
// of any more is forgotten, as that person is not served. The caller holds the
// lock.
func (g *Gateway) introduce(root custody.Key, d peers.DeviceID) {
	for k, devices := range g.owners {
		left := slices.DeleteFunc(slices.Clone(devices), func(o peers.DeviceID) bool { return o == d })
		if g.owners[k] = left; len(left) == 0 && k != root {
			delete(g.owners, k)
			maps.DeleteFunc(g.revoked, func(w granted, _ int64) bool { return w.root == k })
		}
	}
	g.owners[root] = append(slices.Clone(g.owners[root]), d)
}

// revoke notes a withdrawal, and forgets those whose grants have ended anyway,
// or that with the nearest end when there is no room. The caller holds the lock.
func (g *Gateway) revoke(w granted) {
	now := g.cfg.Now().Unix()
	until := now + custody.MaxGrantTime // a withdrawal does not say it
	for k, s := range g.stays {
		if k.granted == w {
			until = s.grant.Body.NotAfter
		}
	}
	for k, p := range g.permits {
		if k.granted == w {
			until = p.NotAfter
		}
	}
	maps.DeleteFunc(g.revoked, func(_ granted, until int64) bool { return now >= until })
	n, first := 0, granted{}
	for k, end := range g.revoked {
		if k.root != w.root {
			continue
		}
		if n++; first == (granted{}) || end < g.revoked[first] {
			first = k
		}
	}
	if n >= maxRevoked {
		delete(g.revoked, first)
	}
	g.revoked[w] = max(until, now+1)
}

// Open implements rpc.Guests.
func (g *Gateway) Open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, devices := range g.owners {
		if slices.ContainsFunc(devices, g.cfg.Member) {
			return true
		}
	}
	return false
}

// Known implements rpc.Guests.
func (g *Gateway) Known(d peers.DeviceID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.cfg.Now().Unix()
	for k, s := range g.stays {
		if k.device == d && now < s.grant.Body.NotAfter+afterwards {
			return true
		}
	}
	for k, p := range g.permits {
		if k.device == d && now < p.NotAfter+afterwards {
			return true
		}
	}
	return false
}

// Courier implements rpc.Guests.
func (g *Gateway) Courier(d peers.DeviceID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.cfg.Now().Unix()
	for k, p := range g.permits {
		if k.device == d && now < p.NotAfter+afterwards {
			return true
		}
	}
	return false
}

// Lender implements rpc.Guests.
func (g *Gateway) Lender(d peers.DeviceID, id peers.ShardID) (peers.DeviceID, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.cfg.Now().Unix()
	for k, p := range g.permits {
		if k.device == d && now < p.NotAfter && g.revoked[k.granted] == 0 && g.known(p.Root, p.Owner) && lists(p.Shards, id) {
			return p.Owner, nil
		}
	}
	return peers.DeviceID{}, peers.ErrRefused
}

// lists searches a sorted list of IDs.
func lists(ids []byte, id peers.ShardID) bool {
	lo, hi := 0, len(ids)/32
	for lo < hi {
		mid := (lo + hi) / 2
		switch c := slices.Compare(ids[32*mid:32*mid+32], id[:]); {
		case c == 0:
			return true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return false
}

// Present implements rpc.Guests: a brand's pass, or a gateway's permit.
func (g *Gateway) Present(_ context.Context, d peers.DeviceID, raw []byte) error {
	err := g.presentPermit(d, raw)
	if errors.Is(err, custody.ErrMalformed) {
		err = g.presentPass(d, raw)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", peers.ErrRefused, err)
	}
	return nil
}

func (g *Gateway) presentPermit(d peers.DeviceID, raw []byte) error {
	s, err := custody.Parse[ticket.Permit](raw)
	if err != nil {
		return err
	}
	p := &s.Body
	if p.Gateway != d || p.Holder != g.cfg.Device {
		return errors.New("the permit is for another pair of devices")
	}
	if _, err := custody.Certified(p.Cert, p.Root, s.Signer, custody.OwnerDevice, p.IssuedAt); err != nil {
		return err
	}
	now := g.cfg.Now().Unix()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.known(p.Root, p.Owner) {
		return errors.New("the permit is by nobody of this circle")
	}
	if now >= p.NotAfter+afterwards {
		return errors.New("the permit has ended")
	}
	g.sweep(now)
	if len(g.permits) >= maxPasses {
		return errors.New("too many permits")
	}
	g.permits[stayKey{d, granted{p.Root, p.Grant}}] = p
	return nil
}

func (g *Gateway) presentPass(d peers.DeviceID, raw []byte) error {
	s, err := custody.Parse[ticket.Pass](raw)
	if err != nil {
		return err
	}
	p := &s.Body
	now := g.cfg.Now().Unix()
	if p.Gateway != g.cfg.Device || p.Guest != d {
		return errors.New("the pass is for another pair of devices")
	}
	if p.At < now-clockLeeway || p.At > now+clockLeeway {
		return errors.New("the pass is too old, or the clocks differ")
	}
	grant, err := custody.CheckGrant(p.Grant)
	if err != nil {
		return err
	}
	if _, err := custody.Certified(p.Cert, grant.Body.Grantee, s.Signer, custody.OrgMember, now); err != nil {
		return err
	}
	if now >= grant.Body.NotAfter+afterwards {
		return errors.New("the grant ended long ago")
	}
	if !slices.ContainsFunc(grant.Body.Gateways, func(w custody.Gateway) bool { return w.Device == g.cfg.Device }) {
		return errors.New("this device is no gateway of the grant")
	}
	plan, err := ticket.OpenPlan(p.Plan, g.cfg.KEM, grant, g.cfg.Device)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.known(grant.Body.Owner, plan.Owner) {
		return errors.New("the grant is by nobody of this circle")
	}
	g.sweep(now)
	k := stayKey{d, granted{grant.Body.Owner, grant.Hash}}
	if old := g.stays[k]; old != nil {
		old.close() // a newer plan has other permits
	} else if len(g.stays) >= maxPasses {
		return errors.New("too many guests")
	}
	g.stays[k] = newStay(g, grant, plan)
	if g.revoked[k.granted] > grant.Body.NotAfter { // now it is known
		g.revoked[k.granted] = grant.Body.NotAfter
	}
	return nil
}

// sweep forgets what has ended. The caller holds the lock.
func (g *Gateway) sweep(now int64) {
	for k, s := range g.stays {
		if now >= s.grant.Body.NotAfter+afterwards {
			s.close()
			delete(g.stays, k)
		}
	}
	for k, p := range g.permits {
		if now >= p.NotAfter+afterwards {
			delete(g.permits, k)
		}
	}
}

// Close closes connections to other devices.
func (g *Gateway) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.stays {
		s.close()
	}
}

// stay finds what a guest may ask about.
func (g *Gateway) stay(d peers.DeviceID, match func(*stay) bool) (*stay, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for k, s := range g.stays {
		if k.device == d && match(s) {
			return s, nil
		}
	}
	return nil, peers.ErrRefused
}

// serves says whether a grant's chunks may be served now.
func (g *Gateway) serves(s *stay) bool {
	now := g.cfg.Now().Unix()
	g.mu.Lock()
	defer g.mu.Unlock()
	b := &s.grant.Body
	return now >= b.NotBefore && now < b.NotAfter && g.revoked[granted{b.Owner, s.grant.Hash}] == 0 && g.known(b.Owner, s.plan.Owner)
}
