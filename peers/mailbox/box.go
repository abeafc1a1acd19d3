// SPDX-License-Identifier: MPL-2.0

package mailbox

import (
	"context"
	"crypto/ed25519"
	"crypto/hpke"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/internal/wire"
	"github.com/preezm/preezm/peers/vault"
)

const (
	// DefaultTime is how long a message waits unless told otherwise.
	DefaultTime = 72 * time.Hour
	// copies is at how many keepers a message waits.
	copies = 2
	// again is how often what could not be left or fetched is tried anew.
	again = 20 * time.Second
	// errandTime bounds one errand to a device.
	errandTime = 15 * time.Second
	// hurryTime bounds the errands that a person waits for without much hope.
	hurryTime = 4 * time.Second
	// maxOut bounds the messages that wait to be sent.
	maxOut = 256
)

// Courier is a device of the circle, to bring messages to and fetch them from;
// rpc.Client is one.
type Courier interface {
	PutMail(ctx context.Context, raw []byte) error
	FetchMail(ctx context.Context) ([][]byte, error)
	TookMail(ctx context.Context, ids [][]byte) error
}

// Config is what a Box needs.
type Config struct {
	Dir    string
	Vault  *vault.Box // seals the files; nil: plain
	Device peers.DeviceID
	Sign   ed25519.PrivateKey
	KEM    hpke.PrivateKey
	Book   *circle.Book
	// Peer gives a device of the circle.
	Peer func(peers.DeviceID) (Courier, error)
	// Online says which devices are in touch now.
	Online func() []peers.DeviceID
	// Push tells a device that is in touch that messages for it wait here.
	Push func(peers.DeviceID)
	// Deliver takes a message of a kind. When it returns nil the message counts
	// as done and is not brought again. A kind without one goes to the inbox.
	Deliver map[string]func(ctx context.Context, l Letter) error
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: silence
}

// Box is one device's mail: what it holds for others, what it got, and what it
// has to send. It is safe for concurrent use.
type Box struct {
	cfg   Config
	codec *wire.Codec
	held  *store
	in    *inbox
	out   *outbox

	mu    sync.Mutex
	ask   map[peers.DeviceID]bool // where mail waits for this device
	nudge chan struct{}
	work  sync.Mutex // one round of errands at a time
}

// Open opens the mail in a folder.
func Open(cfg Config) (*Box, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c, err := wire.New()
	if err != nil {
		return nil, err
	}
	b := &Box{cfg: cfg, codec: c, ask: make(map[peers.DeviceID]bool), nudge: make(chan struct{}, 1)}
	if b.held, err = openStore(filepath.Join(cfg.Dir, "held"), cfg.Vault, c, cfg.Now); err != nil {
		return nil, fmt.Errorf("letters held for others: %w", err)
	}
	if b.in, err = openInbox(filepath.Join(cfg.Dir, "in"), cfg.Vault, c, cfg.Now); err != nil {
		return nil, fmt.Errorf("letters received: %w", err)
	}
	if b.out, err = openOutbox(filepath.Join(cfg.Dir, "out"), cfg.Vault, c, cfg.Now); err != nil {
		return nil, fmt.Errorf("letters to send: %w", err)
	}
	return b, nil
}

// Sent is what became of a message so far.
type Sent struct {
	ID        ID
	To        peers.DeviceID
	Delivered bool // the recipient has it
	Keepers   int  // where it waits
}

// Send seals a message and sends it: to the recipient when it is there, else to
// two keepers. It is on this device's disk when Send returns, and whatever
// could not be done yet goes on in Run.
func (b *Box) Send(ctx context.Context, to peers.DeviceID, kind string, body []byte, lasts time.Duration) (Sent, error) {
	p, ok := b.cfg.Book.Peer(to)
	if !ok {
		return Sent{}, fmt.Errorf("%s %w", to.Short(), circle.ErrUnknownPeer)
	}
	if len(p.KEM) == 0 {
		return Sent{}, fmt.Errorf("%s has not told its keys yet; it does when it is in touch", p.Name)
	}
	if lasts <= 0 {
		lasts = DefaultTime
	}
	if lasts > MaxTime {
		return Sent{}, fmt.Errorf("a message waits for at most %d days", int(MaxTime.Hours()/24))
	}
	now := b.cfg.Now()
	l := Letter{ID: newID(), From: b.cfg.Device, Kind: kind, At: now, Body: body}
	raw, err := seal(b.codec, l, to, p.KEM, b.cfg.Sign, now.Add(lasts))
	if err != nil {
		return Sent{}, err
	}
	if err := b.out.add(l.ID, to, now.Add(lasts), raw); err != nil {
		return Sent{}, err
	}
	return b.bring(ctx, l.ID, true)
}

// bring does for a message what can be done now. With hurry it also tries
// devices that do not seem to be in touch, for a moment: a person waits.
func (b *Box) bring(ctx context.Context, id ID, hurry bool) (Sent, error) {
	b.work.Lock()
	defer b.work.Unlock()
	o, ok := b.out.get(id)
	if !ok {
		return Sent{ID: id, Delivered: true}, nil
	}
	s := Sent{ID: id, To: o.to, Keepers: len(o.at)}
	online := b.online()
	if online[o.to] || online == nil {
		if err := b.leave(ctx, o.to, o.raw); err == nil {
			s.Delivered = true
			return s, b.out.done(id)
		}
	}
	there, away := b.keepers(o, online)
	if err := b.spread(ctx, id, &o, there); err != nil {
		return s, err
	}
	if hurry && len(o.at) < copies {
		short, cancel := context.WithTimeout(ctx, hurryTime)
		defer cancel()
		if err := b.spread(short, id, &o, away); err != nil {
			return s, err
		}
	}
	s.Keepers = len(o.at)
	return s, ctx.Err()
}

// keepers are the devices that could hold a message: those in touch, and the
// others.
func (b *Box) keepers(o outgoing, online map[peers.DeviceID]bool) (there, away []peers.DeviceID) {
	for _, p := range b.cfg.Book.Peers() {
		switch {
		case p.Device == o.to || o.has(p.Device):
		case online == nil || online[p.Device]:
			there = append(there, p.Device)
		default:
			away = append(away, p.Device)
		}
	}
	return there, away
}

// spread leaves a message at devices until enough hold it.
func (b *Box) spread(ctx context.Context, id ID, o *outgoing, at []peers.DeviceID) error {
	for _, d := range at {
		if len(o.at) >= copies || ctx.Err() != nil {
			return nil
		}
		if err := b.leave(ctx, d, o.raw); err != nil {
			b.cfg.Logger.Debug("leave a letter", "at", d.Short(), "err", err)
			continue
		}
		if err := b.out.left(id, d); err != nil {
			return err
		}
		o.at = append(o.at, d)
	}
	return nil
}

// online are the devices in touch; nil when that is not known, before Serve.
func (b *Box) online() map[peers.DeviceID]bool {
	if b.cfg.Online == nil {
		return nil
	}
	list := b.cfg.Online()
	if list == nil {
		return nil
	}
	out := make(map[peers.DeviceID]bool)
	for _, d := range list {
		out[d] = true
	}
	return out
}

func (b *Box) leave(ctx context.Context, at peers.DeviceID, raw []byte) error {
	ctx, cancel := context.WithTimeout(ctx, errandTime)
	defer cancel()
	c, err := b.cfg.Peer(at)
	if err != nil {
		return err
	}
	return c.PutMail(ctx, raw)
}

// Run fetches what waits for this device and sends what is left to send, until
// ctx ends.
func (b *Box) Run(ctx context.Context) {
	tick := time.NewTicker(again)
	defer tick.Stop()
	asked := make(map[peers.DeviceID]bool)
	for {
		online := b.online()
		b.mu.Lock()
		ask := b.ask
		b.ask = make(map[peers.DeviceID]bool)
		b.mu.Unlock()
		// Everybody who came into touch is asked once, and again when it says so.
		for d := range asked {
			if !online[d] {
				delete(asked, d)
			}
		}
		for d := range online {
			if asked[d] && !ask[d] {
				continue
			}
			if err := b.fetch(ctx, d); err != nil {
				b.cfg.Logger.Debug("fetch letters", "at", d.Short(), "err", err)
				continue
			}
			asked[d] = true
		}
		for _, id := range b.out.ids() {
			if _, err := b.bring(ctx, id, false); err != nil && ctx.Err() == nil {
				b.cfg.Logger.Warn("send a letter", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-b.nudge:
		}
	}
}

// Wake has Run look again: somebody came into touch.
func (b *Box) Wake() {
	select {
	case b.nudge <- struct{}{}:
	default:
	}
}

// Waits implements rpc.Mail: messages for this device wait at another.
func (b *Box) Waits(at peers.DeviceID) {
	b.mu.Lock()
	b.ask[at] = true
	b.mu.Unlock()
	b.Wake()
}

// fetch takes what waits at a device.
func (b *Box) fetch(ctx context.Context, at peers.DeviceID) error {
	ctx, cancel := context.WithTimeout(ctx, errandTime)
	defer cancel()
	c, err := b.cfg.Peer(at)
	if err != nil {
		return err
	}
	letters, err := c.FetchMail(ctx)
	if err != nil || len(letters) == 0 {
		return err
	}
	var took [][]byte
	for _, raw := range letters {
		id, err := b.receive(ctx, raw)
		if err != nil && !errors.Is(err, ErrLetter) {
			b.cfg.Logger.Warn("a letter is taken later", "err", err)
			continue
		}
		// What is no letter to this device will never be one.
		if id != (ID{}) {
			took = append(took, id[:])
		}
	}
	if len(took) == 0 {
		return nil
	}
	return c.TookMail(ctx, took)
}

// receive takes one message for this device, once.
func (b *Box) receive(ctx context.Context, raw []byte) (ID, error) {
	_, _, id, err := readEnvelope(b.codec, raw)
	if err != nil {
		return ID{}, err
	}
	l, err := open(b.codec, raw, b.cfg.Device, b.cfg.KEM, func(d peers.DeviceID) []byte {
		p, _ := b.cfg.Book.Peer(d)
		return p.Sign
	})
	if err != nil {
		return id, err
	}
	b.in.mu.Lock()
	defer b.in.mu.Unlock()
	if b.in.has(id) {
		return id, nil
	}
	deliver, ok := b.cfg.Deliver[l.Kind]
	if ok {
		if err := deliver(ctx, l); err != nil {
			return id, fmt.Errorf("deliver a letter (%q): %w", l.Kind, err)
		}
	}
	return id, b.in.add(l, !ok)
}

// Keep implements rpc.Mail: a device brings a message, for this one or for
// another to fetch.
func (b *Box) Keep(ctx context.Context, from peers.DeviceID, raw []byte) error {
	_, to, _, err := readEnvelope(b.codec, raw)
	if err != nil {
		return fmt.Errorf("%w: %w", peers.ErrRefused, err)
	}
	if to == b.cfg.Device {
		if !b.allowed(from) {
			return fmt.Errorf("%w: %w", peers.ErrQuota, ErrFull)
		}
		_, err := b.receive(ctx, raw)
		if errors.Is(err, ErrLetter) {
			return fmt.Errorf("%w: %w", peers.ErrRefused, err)
		}
		return err
	}
	if !b.cfg.Book.Has(to) {
		return fmt.Errorf("%w: the recipient is not of this circle", peers.ErrRefused)
	}
	switch to, err := b.held.keep(from, raw); {
	case errors.Is(err, ErrFull):
		return fmt.Errorf("%w: %w", peers.ErrQuota, err)
	case errors.Is(err, ErrLetter):
		return fmt.Errorf("%w: %w", peers.ErrRefused, err)
	case err != nil:
		return err
	default:
		if b.cfg.Push != nil {
			b.cfg.Push(to)
		}
		return nil
	}
}

// allowed takes one of a sender's tokens for messages to this device itself.
func (b *Box) allowed(from peers.DeviceID) bool {
	b.held.mu.Lock()
	defer b.held.mu.Unlock()
	return b.held.allow(from)
}

// Fetch implements rpc.Mail: what waits here for a device.
func (b *Box) Fetch(_ context.Context, to peers.DeviceID) ([][]byte, error) { return b.held.fetch(to) }

// Took implements rpc.Mail: a device has these messages.
func (b *Box) Took(_ context.Context, to peers.DeviceID, ids [][]byte) error {
	var list []ID
	for _, raw := range ids {
		var id ID
		if copy(id[:], raw) != len(id) || len(raw) != len(id) {
			return fmt.Errorf("%w: a bad ID", peers.ErrRefused)
		}
		list = append(list, id)
	}
	return b.held.taken(to, list)
}

// Inbox gives the messages of kinds that nothing else takes, oldest first.
func (b *Box) Inbox() ([]Letter, error) { return b.in.list() }

// Held is how many messages wait here for others, and their bytes.
func (b *Box) Held() (n int, bytes int64) { return b.held.count() }

// Outgoing gives what is still on its way.
func (b *Box) Outgoing() []Sent { return b.out.list() }
