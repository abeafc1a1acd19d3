// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

// homeHost is the Host of a real home: it uses the node that runs, or runs
// one for as long as the window is there.
type homeHost struct {
	home    string
	version string
	log     *slog.Logger
	lost    chan error
	alone   bool // do not look for peers on the local network; for tests

	mu   sync.Mutex
	stop func() error // ends what the last Open gave
	api  node.API     // the node of another process that it gave; nil: one of this
}

var _ Host = (*homeHost)(nil)

// busyWait is how long Open waits for a home that a command has open.
const busyWait = 10 * time.Second

func newHomeHost(home, version string, log *slog.Logger) *homeHost {
	return &homeHost{home: home, version: version, log: log, lost: make(chan error, 1)}
}

// Exists is part of Host. A home whose settings cannot be read exists: Open
// says what is wrong with it, and Welcome must not offer to make another.
func (h *homeHost) Exists() bool {
	_, err := node.ReadSettings(h.home)
	return !errors.Is(err, node.ErrNoHome)
}

// Init is part of Host.
func (h *homeHost) Init(ctx context.Context, s Setup, show Showing, progress func(engine.Progress)) error {
	chain := node.SystemKeychain(os.Getenv)
	o := node.RecoverOptions{From: s.From, Name: s.Name, Offer: s.Offer, Keychain: chain, NoDiscovery: h.alone, Version: h.version, Logger: h.log}
	if s.Device != "" {
		_, err := node.JoinDevice(ctx, h.home, s.Device, o, show, progress)
		return err
	}
	if s.Master == nil {
		return node.Init(h.home, node.InitOptions{Name: s.Name, Offer: s.Offer, Keychain: chain})
	}
	o.Master = *s.Master
	_, err := node.Recover(ctx, h.home, o, progress)
	return err
}

// ByHelpers is part of Host.
func (h *homeHost) ByHelpers(ctx context.Context, s Setup, owner string, invites []string, show Showing, progress func(engine.Progress)) (*node.Help, error) {
	return node.RecoverByHelpers(ctx, h.home, node.HelpOptions{
		Recover: node.RecoverOptions{Name: s.Name, Offer: s.Offer, Keychain: node.SystemKeychain(os.Getenv), NoDiscovery: h.alone, Version: h.version, Logger: h.log},
		Owner:   owner, Invites: invites, Joined: show,
	}, progress)
}

// Lost is part of Host.
func (h *homeHost) Lost() <-chan error { return h.lost }

// Unlock is part of Host.
func (h *homeHost) Unlock(ctx context.Context, passphrase string) (Node, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.api != nil { // another process runs the node: it opens its home anew
		if _, err := h.api.Unlock(ctx, []byte(passphrase)); err != nil {
			return nil, err
		}
		return h.open(ctx, nil)
	}
	n, err := h.open(ctx, func() ([]byte, error) { return []byte(passphrase), nil })
	if err != nil {
		// The machine's part goes on as before.
		if n, again := h.open(ctx, nil); again == nil {
			return n, err
		}
	}
	return n, err
}

// Lock is part of Host.
func (h *homeHost) Lock(ctx context.Context) (Node, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.api != nil {
		if _, err := h.api.Lock(ctx, node.LockOrder{}); err != nil {
			return nil, err
		}
	}
	return h.open(ctx, nil)
}

// Open is part of Host.
func (h *homeHost) Open(ctx context.Context) (Node, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open(ctx, nil)
}

// open is Open with the lock held. A passphrase opens the owner's part too.
func (h *homeHost) open(ctx context.Context, passphrase func() ([]byte, error)) (Node, error) {
	if err := h.end(); err != nil {
		h.log.Warn("closing the node before", "error", err)
	}
	api, err := node.Dial(ctx, h.home)
	if err == nil {
		h.api, h.stop = api, api.Close
		return api, nil
	}
	if !errors.Is(err, node.ErrNotServing) {
		return nil, err
	}
	o := node.Options{Role: node.RoleWindow, Wait: busyWait, Version: h.version, NoDiscovery: h.alone, Logger: h.log, Keychain: node.SystemKeychain(os.Getenv), Passphrase: passphrase}
	n, err := node.Open(ctx, h.home, o)
	if errors.Is(err, node.ErrLocked) && passphrase == nil {
		// Without its owner a home can still keep for others: that is what a
		// serving node does.
		o.Role = node.RoleServe
		n, err = node.Open(ctx, h.home, o)
	}
	if errors.Is(err, node.ErrHomeBusy) {
		// A node may have started between the two calls.
		if api, dialErr := node.Dial(ctx, h.home); dialErr == nil {
			h.api, h.stop = api, api.Close
			return api, nil
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	return h.serve(n)
}

// serve runs the node in the background and returns once it answers.
func (h *homeHost) serve(n *node.Node) (Node, error) {
	// Not the caller's context: the node lives until stop, and stop waits.
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := n.Serve(ctx)
		ended <- err
		if ctx.Err() == nil { // nobody asked it to end
			select {
			case h.lost <- err:
			default: // one report is enough
			}
		}
	}()
	h.stop = func() error {
		cancel()
		return errors.Join(<-ended, n.Close())
	}
	select {
	case <-n.Ready():
		return n, nil
	case err := <-ended:
		ended <- err
		return nil, errors.Join(err, h.end())
	}
}

// end stops what the last Open gave; the lock is held.
func (h *homeHost) end() error {
	stop := h.stop
	h.stop, h.api = nil, nil
	if stop == nil {
		return nil
	}
	return stop()
}

// Close is part of Host.
func (h *homeHost) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.end()
}
