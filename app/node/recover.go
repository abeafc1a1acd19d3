// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"crypto/ed25519"
	"crypto/hpke"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/backup"
	"github.com/preezm/preezm/engine/brand"
	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/account"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/durable"
	"github.com/preezm/preezm/peers/helper"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/transport"
	"github.com/preezm/preezm/peers/vault"
)

const (
	// knockTime bounds asking one machine to be let in, headTime for its heads.
	knockTime = 15 * time.Second
	headTime  = 15 * time.Second
	// seekTime is how long the local network is listened to without a hint.
	seekTime = 20 * time.Second
	// mostTries of lists and older backups before giving up.
	mostTries = 4
)

// Errors of a recovery that a caller decides on.
var (
	// ErrNoWay: no machine of the circle could be reached.
	ErrNoWay = said.Error("no-way", "no machine of your circle was found")
	// ErrNotKnown: the machine asked knows nobody with these words.
	ErrNotKnown = said.Error("not-known", "does not know you")
	// ErrNoBackup: no machine that answers has a backup of the catalog.
	ErrNoBackup = said.Error("no-backup", "no machine that answers has a copy of the list of your files")
)

// RecoverOptions say who is brought back, and how to find the circle.
type RecoverOptions struct {
	Master [32]byte
	// From leads to one machine of the circle: an invite, a device ID, with
	// an address or without, or host:port. Empty: the local network is asked.
	From    string
	Name    string   // of this machine; empty: as the one before
	Listen  []string // as in InitOptions, with the next two
	Offer   int64
	MinFree int64

	Seal     Seal           // as in InitOptions
	Keychain vault.Keychain // nil: there is none

	NoDiscovery bool
	Version     string
	Logger      *slog.Logger
	Note        func(text string) // what a person should know meanwhile; may be nil
}

// Recovered is what was brought back.
type Recovered struct {
	Device  peers.DeviceID `json:"device"`
	Name    string         `json:"name"`
	Home    string         `json:"home"`
	Files   int64          `json:"files"`
	Made    time.Time      `json:"made"` // the backup
	Number  uint64         `json:"number"`
	Keepers int            `json:"keepers"` // that let this machine in
	Of      int            `json:"of"`
	Took    time.Duration  `json:"took_ns"`
	// Helpers are the names of those who can bring this person back, Brand the
	// company whose office this machine is now.
	Helpers []string        `json:"helpers,omitempty"`
	Brand   *brand.CopyInfo `json:"brand,omitempty"`
}

// Recover makes a home on a new machine from the words and one machine of the
// circle: its own keys, the catalog, the circle. The settings are written last:
// before that there is no home, and an interrupted Recover is repeated.
func Recover(ctx context.Context, home string, o RecoverOptions, progress func(engine.Progress)) (*Recovered, error) {
	r, unlock, err := beginRecovery(home, o, progress)
	if err != nil {
		return nil, err
	}
	owner := identity.OwnerOf(o.Master)
	owner = owner.WithoutMaster()
	r.owner = &owner
	out, err := r.run(ctx)
	return out, errors.Join(err, r.close(), unlock())
}

// beginRecovery makes and locks the folder of a home that is to come from
// elsewhere.
func beginRecovery(home string, o RecoverOptions, progress func(engine.Progress)) (r *recovery, unlock func() error, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	s := newSettings(InitOptions{Name: o.Name, Listen: o.Listen, Offer: o.Offer, MinFree: o.MinFree})
	if err := s.check(); err != nil {
		return nil, nil, err
	}
	if home, unlock, err = beginHome(home); err != nil {
		return nil, nil, err
	}
	return &recovery{o: o, home: home, settings: s, progress: progress, started: time.Now()}, unlock, nil
}

// recovery is one run of Recover.
type recovery struct {
	o        RecoverOptions
	home     string
	settings Settings
	progress func(engine.Progress)
	started  time.Time
	owner    *identity.OwnerKey
	ways     []backup.Keeper // to the circle, beside what the options name
	given    []byte          // the list of the person's machines, when another one gave it

	secrets identity.Secrets
	locator peers.Locator
	boxes   map[vault.Part]*vault.Box
	kem     hpke.PrivateKey
	dbKey   []byte
	id      *transport.Identity
	book    *circle.Book
	net     *rpc.Service

	mu    sync.Mutex
	asked map[peers.DeviceID]string // the machines that answered, by name
	heads map[peers.DeviceID][]found
}

// found is a head as one machine gave it.
type found struct {
	by   peers.DeviceID
	head *backup.Head
}

func (r *recovery) close() error {
	if r.net == nil {
		return nil
	}
	return r.net.Close()
}

func (r *recovery) run(ctx context.Context) (*Recovered, error) {
	if err := r.keys(); err != nil {
		return nil, err
	}
	if err := r.enter(ctx); err != nil {
		return nil, err
	}
	way, err := r.gather(ctx)
	if err != nil {
		return nil, err
	}
	head, notes, err := r.rebuild(ctx, way)
	if err != nil {
		return nil, err
	}
	if err := r.descend(ctx, head); err != nil {
		return nil, err
	}
	out, err := r.finish(notes)
	if err != nil {
		return nil, err
	}
	let := 0
	for _, p := range r.book.Peers() {
		if _, ok := r.asked[p.Device]; ok {
			let++
		}
	}
	out.Device, out.Name, out.Home, out.Files, out.Made = r.id.Device(), r.settings.Name, r.home, head.Files, time.Unix(head.At, 0)
	out.Number, out.Keepers, out.Of, out.Took = head.Number, let, len(r.book.Peers()), time.Since(r.started)
	return out, nil
}

// keys makes the machine's keys, or takes those of a run that was interrupted,
// and opens what is needed to talk.
func (r *recovery) keys() error {
	boxes, err := makeKeys(r.home, InitOptions{Seal: r.o.Seal, Keychain: r.o.Keychain, Owner: r.owner})
	if err != nil {
		return err
	}
	box := boxes[vault.Machine]
	r.boxes = boxes
	r.dbKey = boxes[vault.Owner].DBKey(catalogFile)
	r.secrets = r.owner.Secrets()
	if r.locator, err = backup.LocatorOf(&r.secrets); err != nil {
		return err
	}
	device, err := identity.OpenDevice(box, r.home)
	if err != nil {
		return err
	}
	r.kem = device.KEM
	if r.id, err = loadIdentity(box, r.home); err != nil {
		return err
	}
	if r.book, err = circle.OpenIn(box, filepath.Join(r.home, circleFile)); err != nil {
		return err
	}
	r.asked, r.heads = map[peers.DeviceID]string{}, map[peers.DeviceID][]found{}
	r.net, err = rpc.New(rpc.Config{
		Identity: r.id, Book: r.book, Name: func() string { return r.settings.Name }, Version: r.o.Version, Logger: r.o.Logger, QUIC: !r.settings.NoQUIC,
		Keys: rpc.Keys{Sign: device.Sign.Public().(ed25519.PublicKey), KEM: device.KEM.PublicKey().Bytes()},
	})
	return err
}

// knock asks a machine to be let in. What it knows of this person's machines is
// followed.
func (r *recovery) knock(ctx context.Context, d peers.DeviceID, addresses []string) error {
	ctx, cancel := context.WithTimeout(ctx, knockTime)
	defer cancel()
	for range mostTries {
		list, err := r.list(nil)
		if err != nil {
			return err
		}
		c, err := r.net.Claim(ctx, d, addresses, list)
		if err != nil {
			if errors.Is(err, peers.ErrRefused) {
				return fmt.Errorf("%s %w", d.Short(), ErrNotKnown)
			}
			return err
		}
		if c.Admitted {
			r.mu.Lock()
			r.asked[d] = c.Peer.Name
			r.mu.Unlock()
			return nil
		}
		if _, err := r.list(c.List); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: the list of your machines changes all the time: try again", d.Short())
}

// list is the list of this person's machines with this one in it, after the
// newer one that a machine gave, if any.
func (r *recovery) list(newer []byte) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	root := r.secrets.RootKey()
	own := r.book.Own()
	if len(newer) > 0 {
		if err := r.book.SetOwn(newer); err == nil {
			own = newer
		} else if !errors.Is(err, circle.ErrOldList) {
			return nil, err
		}
	}
	// The first one follows none: whoever knows the person answers with theirs.
	known, devices, now := (*account.Machines)(nil), []peers.DeviceID{r.id.Device()}, int64(1)
	if len(own) > 0 {
		s, err := account.Parse(own)
		if err != nil {
			return nil, err
		}
		if s.Body.Has(r.id.Device()) {
			return own, nil
		}
		known, devices, now = &s.Body, append(devices, s.Body.Devices...), time.Now().Unix()
	}
	next, err := account.Next(root, known, devices, now)
	if err != nil {
		return nil, err
	}
	return next.Raw, r.book.SetOwn(next.Raw)
}

// enter finds one machine of the circle that lets this one in.
func (r *recovery) enter(ctx context.Context) error {
	if len(r.book.Peers()) > 0 { // an interrupted run came that far
		for _, p := range r.book.Peers() {
			if err := r.knock(ctx, p.Device, p.Addresses); err == nil {
				return nil
			}
		}
	}
	if len(r.given) > 0 {
		if err := r.book.SetOwn(r.given); err != nil && !errors.Is(err, circle.ErrOldList) {
			return err
		}
	}
	var errs []error
	for _, k := range r.ways {
		err := r.knock(ctx, k.Device, k.Addresses)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", k.Name, err))
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	if r.o.From == "" {
		return r.seek(ctx)
	}
	d, addresses, err := r.entrance(ctx)
	if err != nil {
		return err
	}
	if len(addresses) == 0 {
		if addresses, err = r.hear(ctx, d); err != nil {
			return err
		}
	}
	if err := r.knock(ctx, d, addresses); err != nil {
		if errors.Is(err, ErrNotKnown) {
			return said.Wrap(err, "recover-words", "{why}: are these your words, and is it a machine of your circle?")
		}
		return err
	}
	return nil
}

// entrance reads From.
func (r *recovery) entrance(ctx context.Context) (peers.DeviceID, []string, error) {
	if inv, err := circle.ParseInvite(r.o.From); err == nil || errors.Is(err, circle.ErrInviteExpired) {
		return inv.Device, inv.Addresses, nil // only the way there is of use
	}
	id, address := splitPlace(r.o.From)
	if id != "" {
		d, err := peers.ParseDeviceID(id)
		if err != nil {
			return d, nil, err
		}
		if address == "" {
			return d, nil, nil
		}
		return d, []string{address}, nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return peers.DeviceID{}, nil, said.Error("recover-from", "\"{text}\" is no invite, no device ID and no host:port", "text", r.o.From)
	}
	d, err := r.id.WhoAnswers(ctx, address)
	if err != nil {
		return d, nil, fmt.Errorf("%s: %w: %w", address, peers.ErrUnreachable, err)
	}
	return d, []string{address}, nil
}

// gather lets the other keepers that the heads name know this machine, takes
// their heads too, and gives the heads to try, the best first.
func (r *recovery) gather(ctx context.Context) ([]*backup.Head, error) {
	for d := range r.asked {
		if err := r.ask(ctx, d); err != nil {
			return nil, err
		}
	}
	for range 2 { // a newer head may name more machines
		var all sync.WaitGroup
		for _, k := range r.named() {
			all.Go(func() {
				if err := r.knock(ctx, k.Device, k.Addresses); err != nil {
					r.o.Logger.Info("a keeper did not let this machine in yet", "keeper", k.Name, "err", err)
					return
				}
				if err := r.ask(ctx, k.Device); err != nil {
					r.o.Logger.Info("a keeper gave no head", "keeper", k.Name, "err", err)
				}
			})
		}
		all.Wait()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return r.judge()
}

// named are the keepers in the heads that were not asked yet.
func (r *recovery) named() []backup.Keeper {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []backup.Keeper
	for _, hs := range r.heads {
		for _, h := range hs {
			for _, k := range h.head.Keepers {
				_, asked := r.asked[k.Device]
				if !asked && !slices.ContainsFunc(out, func(o backup.Keeper) bool { return o.Device == k.Device }) {
					out = append(out, k)
				}
			}
		}
	}
	return out
}

// ask takes the newest heads that a machine keeps.
func (r *recovery) ask(ctx context.Context, d peers.DeviceID) error {
	ctx, cancel := context.WithTimeout(ctx, headTime)
	defer cancel()
	c, err := r.net.Peer(d)
	if err != nil {
		return err
	}
	hs, err := c.Heads(ctx, r.locator, peers.DeviceID{}, 0)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range hs {
		h, err := backup.Open(&r.secrets, &hs[i])
		if err != nil {
			r.o.Note(fmt.Sprintf("%s gave a copy that is not yours or is damaged; it is passed over.", r.asked[d]))
			continue
		}
		r.heads[h.Device] = append(r.heads[h.Device], found{d, h})
	}
	return nil
}

// judge chooses the newest head of each machine, and says who showed an older
// one: it lost the newer, or hides it.
func (r *recovery) judge() ([]*backup.Head, error) {
	if len(r.heads) == 0 {
		return nil, said.Wrap(ErrNoBackup, "recover-no-copy", "{why}: they know you, but were given none; did the machine that was lost ever run a version that makes copies?")
	}
	var out []*backup.Head
	for _, hs := range r.heads {
		best := slices.MaxFunc(hs, func(a, b found) int { return int(min(max(int64(a.head.Number-b.head.Number), -1), 1)) })
		for _, h := range hs {
			if h.head.Number < best.head.Number {
				r.o.Note(fmt.Sprintf("%s shows an older copy (number %d) than %s (number %d): it was away when the newer was made, or hides it. The newer one is taken.",
					r.asked[h.by], h.head.Number, r.asked[best.by], best.head.Number))
			}
		}
		out = append(out, best.head)
	}
	slices.SortFunc(out, newest)
	if len(r.asked) == 1 {
		r.o.Note("Only one machine of your circle answers: whether it shows the newest copy nobody else can tell.")
	}
	return out, nil
}

// rebuild makes the catalog from the first head that can be followed.
func (r *recovery) rebuild(ctx context.Context, heads []*backup.Head) (*backup.Head, map[string][]byte, error) {
	var errs []error
	for _, h := range heads {
		notes, err := engine.Rebuild(ctx, engine.Config{
			Dir: r.home, Key: r.dbKey, Secrets: r.secrets, Device: r.id.Device(), Keepers: r.net.Keepers, Logger: r.o.Logger,
		}, &engine.Way{Device: h.Device, Number: h.Number, At: h.At, Rows: h.Rows, Parts: h.Parts},
			filepath.Join(r.home, catalogFile), r.progress)
		if err == nil {
			return h, notes, nil
		}
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		errs = append(errs, fmt.Errorf("the copy of %s: %w", time.Unix(h.At, 0).Format(time.DateTime), err))
	}
	return nil, nil, errors.Join(errs...)
}

// descend notes whose copy the catalog is. The backups of a machine that let this
// one in that machine looks after itself.
func (r *recovery) descend(ctx context.Context, h *backup.Head) error {
	c, err := catalog.OpenSealed(ctx, filepath.Join(r.home, catalogFile), r.dbKey)
	if err != nil {
		return err
	}
	if len(r.given) > 0 {
		err = c.DropBackups(ctx, h.Device)
	}
	if err == nil {
		err = c.Descend(ctx, h.Device, h.Number, h.At)
	}
	return errors.Join(err, c.Close())
}

// finish takes over what lay beside the catalog and makes the folder a home.
func (r *recovery) finish(notes map[string][]byte) (*Recovered, error) {
	out := &Recovered{}
	them, old, err := readNotes(notes)
	if err != nil {
		return nil, fmt.Errorf("the circle in the backup: %w", err)
	}
	for _, t := range them {
		p := t.Peer
		if now, ok := r.book.Peer(p.Device); ok { // it has just told where it is
			p.Addresses, p.Name, p.LastSeen = now.Addresses, now.Name, now.LastSeen
			p.Sign, p.KEM, p.Witness = now.Sign, now.KEM, now.Witness
		}
		if err := r.book.Put(p); err != nil {
			return nil, err
		}
		if len(t.List) > 0 {
			if _, err := r.book.Introduce(p.Device, t.List); err != nil && !errors.Is(err, circle.ErrOldList) {
				r.o.Logger.Info("whose machine that is will be heard anew", "machine", p.Name, "err", err)
			}
		}
	}
	if out.Helpers, err = r.takeHelpers(notes[noteHelpers]); err != nil {
		return nil, fmt.Errorf("the helpers in the backup: %w", err)
	}
	if out.Brand, err = r.takeBrand(notes[noteBrand]); err != nil {
		return nil, fmt.Errorf("the company in the backup: %w", err)
	}
	if r.o.Name == "" && checkName(old.Name) == nil {
		r.settings.Name = old.Name
	}
	if err := durable.SyncDir(r.home); err != nil {
		return nil, err
	}
	return out, r.settings.write(r.home)
}

// takeHelpers writes down who this person's helpers are.
func (r *recovery) takeHelpers(record []byte) (names []string, err error) {
	s, err := helper.Open(helper.Options{
		Device: r.id.Device(), KEM: r.kem, Box: r.boxes[vault.Machine], Path: filepath.Join(r.home, helper.File), Now: time.Now, Logger: r.o.Logger,
	})
	if err != nil {
		return nil, err
	}
	if err := s.Adopt(record); errors.Is(err, helper.ErrRecord) {
		r.o.Note("Who your helpers are could not be read in the copy: name them anew with 'preezm helpers add'.")
	} else if err != nil {
		return nil, err
	}
	m, _ := s.Mine()
	for _, h := range m.Helpers {
		names = append(names, h.Name)
	}
	return names, nil
}

// takeBrand makes this machine the office of the company whose office was lost.
// One that joins beside others only keeps the copy: there is an office.
func (r *recovery) takeBrand(raw []byte) (*brand.CopyInfo, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	box := r.boxes[vault.Owner]
	err := keepBrandCopy(box, r.home, raw)
	if err == nil && len(r.given) > 0 {
		return nil, nil
	}
	var info brand.CopyInfo
	if err == nil {
		info, err = brand.NewRegister(box, filepath.Join(r.home, brandFolder)).Restore(raw, time.Now())
	}
	switch {
	case errors.Is(err, brand.ErrCopy): // files do not wait for it
		r.o.Note("The copy of your company is damaged and was passed over; 'preezm brand restore FILE' takes one that was saved.")
		return nil, nil
	case err != nil && !errors.Is(err, brand.ErrExists): // which is of a run that was cut off after it
		return nil, err
	}
	return &info, nil
}

// splitPlace takes "DEVICE", "DEVICE@host:port" or "host:port" apart.
func splitPlace(s string) (id, address string) {
	for i := range len(s) {
		if s[i] == '@' {
			return s[:i], s[i+1:]
		}
	}
	if _, err := peers.ParseDeviceID(s); err == nil {
		return s, ""
	}
	return "", s
}
