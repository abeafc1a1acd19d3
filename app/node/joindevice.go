// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/vault"
)

// JoinDevice makes this machine one more of a person's, with a code that
// AddDevice gave on another one, which must be running. show gets the words that
// both screens show. It can be interrupted and repeated while the code is good;
// after it was agreed to, also later.
func JoinDevice(ctx context.Context, home, code string, o RecoverOptions, show func(old string, words map[string][]string), progress func(engine.Progress)) (*Recovered, error) {
	inv, err := circle.ParseInvite(strings.TrimSpace(code))
	if err != nil {
		return nil, err
	}
	r, unlock, err := beginRecovery(home, o, progress)
	if err != nil {
		return nil, err
	}
	r.o.Name = r.settings.Name // not that of the other machine
	out, err := r.pairAndRun(ctx, inv, show)
	return out, errors.Join(err, r.close(), unlock())
}

func (r *recovery) pairAndRun(ctx context.Context, inv circle.Invite, show func(string, map[string][]string)) (*Recovered, error) {
	boxes, err := makeVault(r.home, InitOptions{Seal: r.o.Seal, Keychain: r.o.Keychain})
	if err != nil {
		return nil, err
	}
	box := boxes[vault.Machine]
	if err := makeIdentity(box, r.home); err != nil {
		return nil, err
	}
	id, err := loadIdentity(box, r.home)
	if err != nil {
		return nil, err
	}
	if id.Device() == inv.Device {
		return nil, fmt.Errorf("%w: the code was made here", rpc.ErrSelf)
	}
	device, err := identity.OpenDevice(box, r.home)
	if err != nil {
		return nil, err
	}
	book, err := circle.OpenIn(box, filepath.Join(r.home, circleFile))
	if err != nil {
		return nil, err
	}
	net, err := rpc.New(rpc.Config{
		Identity: id, Book: book, Name: func() string { return r.settings.Name }, Version: r.o.Version, Logger: r.o.Logger, QUIC: !r.settings.NoQUIC,
	})
	if err != nil {
		return nil, err
	}
	w, err := circle.NewPairing(inv.Device, id.Device(), inv.Token)
	if err == nil {
		show(inv.Name, words(w))
		var sealed []byte
		sealed, err = net.Pair(ctx, inv.Device, inv.Addresses, rpc.PairRequest{
			Token: inv.Token, Sign: device.Sign.Public().(ed25519.PublicKey), KEM: device.KEM.PublicKey().Bytes(),
		})
		if errors.Is(err, peers.ErrRefused) {
			err = said.Wrap(err, "device-no", "{why}: it was answered with no there, or the code is too old: 'preezm device add' makes a new one")
		}
		if err == nil {
			err = r.take(sealed, inv.Device, id.Device(), device)
		}
	}
	if err := errors.Join(err, net.Close()); err != nil {
		return nil, err
	}
	return r.run(ctx)
}

// take reads what was handed over.
func (r *recovery) take(sealed []byte, old, fresh peers.DeviceID, device identity.Device) error {
	b, owner, err := openBundle(sealed, device.KEM, old, fresh)
	if err != nil {
		return err
	}
	r.owner, r.ways, r.given = &owner, b.Keepers, b.List
	return nil
}
