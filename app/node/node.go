// SPDX-License-Identifier: MPL-2.0

package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/brand"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/engine/watch"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretaker"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/depot"
	"github.com/preezm/preezm/peers/gateway"
	"github.com/preezm/preezm/peers/helper"
	"github.com/preezm/preezm/peers/mailbox"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/vault"
	"github.com/preezm/preezm/peers/witness"
)

// Options is how a home is opened. The zero value is a command's.
type Options struct {
	Role    Role          // empty: RoleCommand
	Wait    time.Duration // for a command that has the home open
	Version string        // of the program, for peers and About
	// Listen and Offer, when given (not nil, not 0), replace what home.json
	// says, for good.
	Listen      []string
	Offer       int64
	Net         NetOptions
	NoDiscovery bool             // do not announce or look for peers on the local network
	Custodian   *bool            // take the custodian's role, or not, from now on
	Clock       func() time.Time // what custodians and peers go by; nil: time.Now
	Logger      *slog.Logger     // nil: silence
	// Keychain may keep the home's key; nil: there is none.
	Keychain vault.Keychain
	// Passphrase asks for the home's, when it has one; nil: there is nobody
	// to ask.
	Passphrase func() ([]byte, error)
	// LockAfter, when given, is the time without use after which a serving
	// node locks, for good; 0: never.
	LockAfter *time.Duration
	// CareEvery is the least time between two looks at the keepers of those that
	// this machine repairs for, for tests; 0: the usual one.
	CareEvery time.Duration

	reopened *reopening         // after a locking or unlocking
	step     func(string) error // tests cut the sealing of an old home off
}

// The parts a node holds together, as far as it uses them; tests put others
// in their place.
type (
	fileEngine interface {
		Put(context.Context, engine.PutOptions, func(engine.Progress)) (*engine.PutReport, error)
		Get(context.Context, engine.GetOptions, func(engine.Progress)) (*engine.GetReport, error)
		List(context.Context, engine.ListOptions) ([]engine.Entry, error)
		ListEach(context.Context, engine.ListOptions, func(*engine.Entry) error) error
		Remove(context.Context, []engine.Path) (*engine.RemoveReport, error)
		Status(context.Context, engine.StatusOptions) (*engine.Status, error)
		Keepers(ctx context.Context, probe bool) ([]engine.KeeperStatus, error)
		Verify(context.Context, engine.VerifyOptions, func(engine.Progress)) (*engine.VerifyReport, error)
		Maintain(context.Context) error
		Seen(peers.DeviceID)
		historyEngine
		Open(context.Context, engine.Path, engine.When) (*engine.Reader, error)
		carer
		Close() error
	}
	network interface {
		Listen(context.Context) error
		Serve(context.Context) error
		Addresses() []string
		MappedPort(port int) string
		Join(context.Context, circle.Invite) (circle.Peer, error)
		Probe(context.Context) []rpc.Reach
		Touch() []rpc.Reach
		Changes() <-chan struct{}
		Remove(peers.DeviceID) error
		Report() rpc.Report
		Journal() []rpc.Event
		Close() error
	}
)

// Node is one open home. Its methods are safe for concurrent use.
type Node struct {
	home     string
	settings Settings
	boundMu  sync.Mutex // guards what changes of settings once the node is open
	version  string
	role     Role
	log      *slog.Logger
	device   peers.DeviceID

	lock     *flock.Flock
	vault    *vault.Vault
	box      *vault.Box // of the machine's part
	ownerBox *vault.Box
	keychain vault.Keychain
	// shut: the owner's part was not opened. Nothing below that stands on the
	// catalog is there then.
	shut     bool
	ownerMu  sync.Mutex // guards owner, and the vault's file
	owner    identity.OwnerKey
	lockIdle atomic.Int64 // the time without use after which it locks; 0: never
	reopen   chan *reopening
	book     *circle.Book
	depot    *depot.Depot
	net      network
	engine   fileEngine

	watcher  *watch.Watcher // nil: its file is damaged
	watchErr error
	limits   *limiter
	paced    background

	// A node that serves is a custodian, for those who ask. keys are the
	// machine's own, for documents.
	keys    identity.Device
	witness *witness.Service // nil: opened for a command, or damaged
	fellow  witness.Finder
	panel   panel

	// An owner makes grants at its desk; a gateway serves those of others.
	desk    *grants.Desk
	gateway *gateway.Gateway // nil: opened for a command, or damaged
	peer    func(peers.DeviceID) (*rpc.Client, error)
	visit   func(device peers.DeviceID, name string, addresses []string, pass []byte) *rpc.Visit
	now     func() time.Time
	told    introduced
	updates updated
	plans   planned // of the errands' goroutine alone
	views   views
	servers []*server // that this node runs for its circle

	care      *caretaker.Service // nil: opened for a command
	careEvery time.Duration      // see Options
	entrusted entrusting
	called    func(d peers.DeviceID, addresses []string) *rpc.Client

	helper     *helper.Service
	callHelper helper.Call

	mail     *mailbox.Box
	pushMail func(peers.DeviceID)

	goodbyes chan peers.DeviceID // of devices that removed this one
	removing removing
	backups  backups
	pairing  pairing
	together togetherness
	company  company
	copies   brandCopies
	receipts receipting

	ready   chan struct{} // closed when Serve answers commands and peers
	kick    chan struct{} // asks for a Maintain soon; holds one
	serving atomic.Bool
	close   sync.Once
	closed  error
}

// Open takes the home's lock and opens everything in it. ErrNoHome when there
// is no home, a [BusyError] when another process has it.
func Open(ctx context.Context, home string, o Options) (*Node, error) {
	home, err := canonicalHome(home)
	if err != nil {
		return nil, err
	}
	// Before the lock, which would make its file in any folder.
	if _, err := ReadSettings(home); err != nil {
		return nil, err
	}
	if o.Role == "" {
		o.Role = RoleCommand
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	lock, err := lockHome(ctx, home, o.Role, o.Wait)
	if err != nil {
		return nil, err
	}
	n := &Node{
		home: home, version: o.Version, role: o.Role, log: o.Logger, lock: lock,
		ready: make(chan struct{}), kick: make(chan struct{}, 1), reopen: make(chan *reopening, 1), keychain: o.Keychain,
		goodbyes: make(chan peers.DeviceID, 16), careEvery: o.CareEvery, receipts: receipting{again: make(chan struct{}, 1)},
	}
	if err := n.assemble(ctx, o); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// assemble opens the parts, from the bottom up.
func (n *Node) assemble(ctx context.Context, o Options) error {
	var err error
	if n.settings, err = ReadSettings(n.home); err != nil {
		return err
	}
	if err := n.changeSettings(ctx, o); err != nil {
		return err
	}
	if err := n.openVault(ctx, o); err != nil {
		return err
	}
	// Of a recovery through helpers that was cut off after its end: the key that
	// parts were sealed to.
	if err := os.Remove(filepath.Join(n.home, attemptFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	id, err := loadIdentity(n.box, n.home)
	if err != nil {
		return err
	}
	n.device = id.Device()
	n.limits = newLimiter(n.settings.Limits, id.Pacer())
	if o.Role == RoleCommand {
		n.limits.pace(time.Now()) // it has no background that could rest
	} else {
		n.limits.look(ctx, time.Now())
	}
	if n.book, err = circle.OpenIn(n.box, filepath.Join(n.home, circleFile)); err != nil {
		return err
	}
	n.depot, err = depot.Open(ctx, filepath.Join(n.home, depotFolder), depot.Options{
		Offer: n.settings.offer(), MinFree: n.settings.MinFree, Quota: n.quota, Account: n.book.Owner, Logger: n.log,
	})
	if err != nil {
		return fmt.Errorf("depot: %w", err)
	}
	if err := n.openWitness(ctx, o); err != nil {
		return err
	}
	listen := n.settings.Bound
	if len(listen) == 0 { // it never served
		listen = n.settings.Listen
	}
	cfg := rpc.Config{
		Identity: id, Book: n.book, Depot: rpc.Keep(n.depot), Name: func() string { return n.settings.Name },
		Version: n.version, Lists: n.depot, Listen: listen, LocalDiscovery: !o.NoDiscovery, Now: o.Clock, Logger: n.log,
		Left: n.left, Receipts: n,
		Keys: rpc.Keys{Sign: n.keys.Sign.Public().(ed25519.PublicKey), KEM: n.keys.KEM.PublicKey().Bytes()},
	}
	if n.witness != nil && !n.settings.NoWitness {
		cfg.Witness = n.witness
	}
	n.openGateway(ctx, o, &cfg)
	if err := n.openHeads(&cfg); err != nil {
		return err
	}
	if err := n.openHelper(&cfg); err != nil {
		return err
	}
	if err := n.openCare(ctx, o, &cfg); err != nil {
		return err
	}
	cfg.Pairs = &n.pairing
	if err := n.configureNet(o, &cfg); err != nil {
		return err
	}
	if err := n.openMail(o, &cfg); err != nil {
		return err
	}
	n.company.members = brand.NewRegister(n.ownerBox, filepath.Join(n.home, brandFolder))
	cfg.Office = office{n}
	service, err := rpc.New(cfg)
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	n.net, n.pushMail = service, service.PushMail
	n.fellow = func(d peers.DeviceID, addresses []string) witness.Caller { return service.Fellow(d, addresses) }
	n.callHelper = func(ctx context.Context, d peers.DeviceID, addresses []string, verb string, raw []byte) ([]byte, error) {
		return service.Fellow(d, addresses).Helper(ctx, verb, raw)
	}
	n.peer, n.visit, n.called = service.Peer, service.Visit, service.Cared
	if n.shut {
		return nil
	}
	return n.openOwner(ctx, o, service)
}

// openOwner opens the owner's part.
func (n *Node) openOwner(ctx context.Context, o Options, service *rpc.Service) error {
	var err error
	if n.owner, err = identity.ReadOwner(n.ownerBox, filepath.Join(n.home, ownerFile)); err != nil {
		return err
	}
	secrets := n.owner.Secrets()
	if err := n.checkCatalog(); err != nil {
		return err
	}
	files, err := engine.Open(ctx, engine.Config{
		Dir: n.home, Key: n.ownerBox.DBKey(catalogFile), Secrets: secrets, Device: n.device, Keepers: service.Keepers, Roles: n.roleOf, Pace: n.paceRepair,
		TakenOut: n.tookOut, CatchUp: n.learnOthers, Now: o.Clock, Logger: n.log,
	})
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	n.engine = files
	if err := n.checkCircle(ctx); err != nil {
		return err
	}
	n.openWatch()
	if err := n.ownMachines(&secrets); err != nil {
		return fmt.Errorf("the list of your machines: %w", err)
	}
	if err := n.openBackups(ctx, n.owner, files); err != nil {
		return err
	}
	n.desk, err = grants.NewDesk(grants.Config{
		Catalog: files.Catalog(), Secrets: secrets, Sign: n.keys.Sign, Device: n.device, Members: n.members, Now: n.now,
	})
	return err
}

// checkCatalog refuses a home that has a circle but no catalog: a new empty one
// would look as if nothing had ever been kept. Whoever joins does so with the
// catalog open, so it is never younger than the circle.
func (n *Node) checkCatalog() error {
	if len(n.book.Peers()) == 0 {
		return nil
	}
	path := filepath.Join(n.home, catalogFile)
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && fi.Size() == 0 {
		return fmt.Errorf("%s: %w", path, ErrNoCatalog)
	}
	return err
}

// changeSettings takes over what Options replace, and chooses the addresses
// of a node that is going to listen.
func (n *Node) changeSettings(ctx context.Context, o Options) error {
	s := n.settings
	if o.Listen != nil && !slices.Equal(o.Listen, s.Listen) {
		s.Listen, s.Bound = o.Listen, nil // else the ports of last time are kept
	}
	if o.Offer != 0 {
		s.Offer = o.Offer
	}
	if o.Custodian != nil {
		s.NoWitness = !*o.Custodian
	}
	if o.LockAfter != nil {
		s.LockAfter = int64(*o.LockAfter / time.Second)
	}
	o.Net.apply(&s)
	if err := s.check(); err != nil {
		return err
	}
	if o.Role != RoleCommand {
		bound, err := chooseAddresses(ctx, s.Listen, s.Bound)
		if err != nil {
			return err
		}
		s.Bound = bound
	}
	had, err := n.settings.text()
	if err != nil {
		return err
	}
	has, err := s.text()
	if err != nil {
		return err
	}
	n.settings = s
	n.lockIdle.Store(s.LockAfter * int64(time.Second))
	if bytes.Equal(has, had) {
		return nil
	}
	return s.write(n.home)
}

// quota is how much a device of the circle may store here; 0: no own limit.
// One that is not in it gets nothing, which the depot reads from -1.
func (n *Node) quota(d peers.DeviceID) int64 {
	p, ok := n.book.Peer(d)
	if !ok {
		return -1
	}
	return p.Quota
}

// Ready is closed once Serve answers commands and peers.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Close closes everything Open opened, in the opposite order, and gives the
// home back. Serve must have returned.
func (n *Node) Close() error {
	n.close.Do(func() {
		errs := []error{n.endViews()}
		if n.engine != nil {
			errs = append(errs, n.engine.Close())
		}
		if n.gateway != nil {
			errs = append(errs, n.gateway.Close())
		}
		if n.net != nil {
			errs = append(errs, n.net.Close())
		}
		if n.book != nil {
			errs = append(errs, n.book.Flush())
		}
		if n.witness != nil {
			errs = append(errs, n.witness.Close())
		}
		if n.care != nil {
			errs = append(errs, n.care.Close())
		}
		if n.depot != nil {
			errs = append(errs, n.depot.Close())
		}
		n.closed = errors.Join(append(errs, n.lock.Unlock())...)
	})
	return n.closed
}
