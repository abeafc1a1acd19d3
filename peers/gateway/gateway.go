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
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/limit"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/vault"
)

const (
	// clockLeeway is how many seconds a pass may differ from our clock.
	clockLeeway = 600
	// afterwards is how many seconds after a grant's end its brand is still
	// let in, so that the custodians can tell it why it gets nothing.
	afterwards = 86400

	maxPasses = 1024 // of brands, and of gateways
	// Nobody's passes take all of these: a brand has few devices at work, and
	// a gateway few grants of one owner. Beyond, the least recently used goes.
	maxPerGrant   = 8  // devices of a brand
	maxPerGrantee = 32 // of a brand, over all grants
	maxPerGateway = 64 // permits of one owner for a gateway
	maxOwners     = 256
	// maxRevoked bounds the withdrawals of one owner that are remembered.
	maxRevoked = 1024
	maxFile    = 4 << 20
	// maxLists bounds the brands whose lists of revoked members are remembered.
	maxLists = 128
)

// Config is what a Gateway needs.
type Config struct {
	Path   string     // where it remembers owners; beside it, ending in .db, what waits
	Box    *vault.Box // seals both; nil: they lie open
	Device peers.DeviceID
	KEM    hpke.PrivateKey
	Member func(peers.DeviceID) bool // whether a device is in the circle
	// Visit asks another device under a permit.
	Visit   func(device peers.DeviceID, name string, addresses []string, pass []byte) *rpc.Visit
	Depot   rpc.Depot   // this device's own shards; may be nil
	Witness rpc.Witness // this device as a custodian; may be nil
	Now     func() time.Time
	Logger  *slog.Logger // nil: silence
}

// Gateway implements rpc.Guests. It is safe for concurrent use.
type Gateway struct {
	cfg     Config
	reading chan struct{} // chunks being rebuilt
	limit   *limit.Limiter
	store   *store

	mu      sync.Mutex
	owners  map[custody.Key][]peers.DeviceID // as introduced
	revoked map[granted]int64                // until when, in Unix seconds: the grant's end
	sets    map[custody.Key]*custody.Signed[custody.DeviceSet]
	members map[custody.Key]*custody.Signed[custody.MemberRevocations]
	stays   map[stayKey]*stay
	permits map[stayKey]*permit
	uses    uint64                   // counts uses of stays and permits
	waiting map[custody.Hash]*letter // in the store too
	// couriers are the ways of letters whose guests are not here.
	couriers map[granted]*stay
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

// Open reads what was remembered. Close it.
func Open(ctx context.Context, cfg Config) (*Gateway, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	g := &Gateway{
		cfg: cfg, reading: make(chan struct{}, maxReading), owners: map[custody.Key][]peers.DeviceID{}, revoked: map[granted]int64{},
		members: map[custody.Key]*custody.Signed[custody.MemberRevocations]{},
		stays:   map[stayKey]*stay{}, permits: map[stayKey]*permit{}, couriers: map[granted]*stay{},
		limit: limit.New(),
	}
	if err := g.read(); err != nil {
		return nil, err
	}
	db := strings.TrimSuffix(cfg.Path, filepath.Ext(cfg.Path)) + ".db"
	var err error
	if g.store, err = openStore(ctx, db, cfg.Box.DBKey(filepath.Base(db))); err != nil {
		return nil, fmt.Errorf("gateway.db: %w", err)
	}
	if g.waiting, err = g.store.letters(ctx); err == nil {
		g.sets, err = g.store.sets(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gateway.db: %w", err), g.store.close())
	}
	return g, nil
}

// read reads the file.
func (g *Gateway) read() error {
	b, err := g.cfg.Box.ReadFile(g.cfg.Path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	var in file
	if err := json.Unmarshal(b, &in); err != nil {
		return fmt.Errorf("%s is damaged: %w", g.cfg.Path, err)
	}
	for k, devices := range in.Owners {
		root, err := parse(k)
		if err != nil {
			return fmt.Errorf("%s is damaged: %w", g.cfg.Path, err)
		}
		g.owners[root] = devices
	}
	for _, raw := range in.Members {
		l, err := custody.Parse[custody.MemberRevocations](raw)
		if err != nil {
			return fmt.Errorf("%s is damaged: %w", g.cfg.Path, err)
		}
		g.members[l.Body.Root] = l
	}
	for k, grants := range in.Revoked {
		root, err := parse(k)
		for h, until := range grants {
			grant, errGrant := parse(h)
			err = errors.Join(err, errGrant)
			g.revoked[granted{root, custody.Hash(grant)}] = until
		}
		if err != nil {
			return fmt.Errorf("%s is damaged: %w", g.cfg.Path, err)
		}
	}
	return nil
}

// known says whether a device was introduced as root's and is in the circle.
// The caller holds the lock.
func (g *Gateway) known(root custody.Key, d peers.DeviceID) bool {
	return slices.Contains(g.owners[root], d) && g.cfg.Member(d)
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
	return g.permitted(d, now)
}

// Courier implements rpc.Guests.
func (g *Gateway) Courier(d peers.DeviceID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.permitted(d, g.cfg.Now().Unix())
}

// permitted says whether a gateway showed a permit that is not long over. The
// caller holds the lock.
func (g *Gateway) permitted(d peers.DeviceID, now int64) bool {
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
			p.used = g.use()
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
	if !g.signs(p.Root, s.Signer) {
		return errGone
	}
	if now >= p.NotAfter+afterwards {
		return errors.New("the permit has ended")
	}
	g.sweep(now)
	k := stayKey{d, granted{p.Root, p.Grant}}
	if g.permits[k] == nil {
		evict(g.permits, maxPerGateway, func(o stayKey, _ *permit) bool { return o.device == d && o.root == p.Root })
		if len(g.permits) >= maxPasses {
			return errors.New("too many permits")
		}
	}
	g.permits[k] = &permit{p, s.Signer, g.use()}
	return nil
}

func (g *Gateway) presentPass(d peers.DeviceID, raw []byte) error {
	pass, err := custody.Parse[ticket.Pass](raw)
	if err != nil {
		return err
	}
	p := &pass.Body
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
	if now >= grant.Body.NotAfter+afterwards {
		return errors.New("the grant ended long ago")
	}
	if !g.serving(grant) {
		return errors.New("this device is no gateway of the grant")
	}
	plan, err := ticket.OpenPlan(p.Plan, g.cfg.KEM, grant, g.cfg.Device)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.owners[grant.Body.Owner]) == 0 {
		return errNobody
	}
	if err := g.member(pass, grant.Body.Grantee, now); err != nil {
		return err
	}
	g.sweep(now)
	k := stayKey{d, granted{grant.Body.Owner, grant.Hash}}
	s, err := g.newest(k.granted, newStay(g, grant, plan, p.Plan))
	if err != nil {
		return err
	}
	if old := g.stays[k]; old != nil {
		old.close() // a newer plan has other permits
	} else {
		for _, s := range []*stay{
			evict(g.stays, maxPerGrant, func(o stayKey, _ *stay) bool { return o.granted == k.granted }),
			evict(g.stays, maxPerGrantee, func(_ stayKey, s *stay) bool { return s.grant.Body.Grantee == grant.Body.Grantee }),
		} {
			if s != nil {
				s.close()
			}
		}
		if len(g.stays) >= maxPasses {
			return errors.New("too many guests")
		}
	}
	s.signer = pass.Signer
	s.used = g.use()
	g.stays[k] = s
	if g.revoked[k.granted] > grant.Body.NotAfter { // now it is known
		g.revoked[k.granted] = grant.Body.NotAfter
	}
	return nil
}

// permit is one that a gateway showed.
type permit struct {
	*ticket.Permit
	by   custody.Key
	used uint64
}

func (p *permit) last() uint64 { return p.used }
func (s *stay) last() uint64   { return s.used }

// use gives the number of a use. The caller holds the lock.
func (g *Gateway) use() uint64 {
	g.uses++
	return g.uses
}

// evict makes room for one more of a class that has its share: it takes the
// least recently used off and returns it.
func evict[V interface{ last() uint64 }](in map[stayKey]V, share int, same func(stayKey, V) bool) (out V) {
	n, at := 0, stayKey{}
	for k, v := range in {
		if !same(k, v) {
			continue
		}
		if n++; n == 1 || v.last() < out.last() {
			at, out = k, v
		}
	}
	if n < share {
		var none V
		return none
	}
	delete(in, at)
	return out
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
	for k, s := range g.couriers {
		if now >= s.grant.Body.NotAfter {
			s.close()
			delete(g.couriers, k)
		}
	}
}

// Close closes connections to other devices and the store. Nothing else may be
// running.
func (g *Gateway) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.stays {
		s.close()
	}
	for _, s := range g.couriers {
		s.close()
	}
	return g.store.close()
}

// stay finds what a guest may ask about.
func (g *Gateway) stay(d peers.DeviceID, match func(*stay) bool) (*stay, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for k, s := range g.stays {
		if k.device == d && match(s) {
			s.used = g.use()
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
