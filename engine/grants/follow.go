// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"context"
	"errors"
	"fmt"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
)

var (
	// ErrPinned: the grant is of the versions it was made for.
	ErrPinned = errors.New("is pinned to the versions it was made for")
	// ErrUnchanged: no file of the grant has a newer version.
	ErrUnchanged = errors.New("covers the present versions already")
)

// Refresh gives a grant that follows its files their present versions. The
// older ticket is refused by every custodian that knows of the newer package.
func (d *Desk) Refresh(ctx context.Context, id string) (*Made, error) {
	row, g, err := d.find(ctx, id)
	if err != nil {
		return nil, err
	}
	short := ticket.ShortID(g.Body.ID)
	switch {
	case !g.Body.Follow:
		return nil, fmt.Errorf("the grant %s %w: make a new one", short, ErrPinned)
	case len(row.Revocation) > 0 || d.cfg.Now().Unix() >= g.Body.NotAfter:
		return nil, fmt.Errorf("the grant %s %w", short, ErrOver)
	}
	var files []catalog.Granted
	changed := false
	for _, f := range row.Files {
		v, err := d.cat.Version(ctx, f.Path)
		if err != nil {
			return nil, fmt.Errorf("%q %w: the grant stays as it was", f.Path, err)
		}
		now := catalog.Granted{Path: f.Path, Parts: v.Parts}
		if now.File, now.Version, err = d.cat.Name(ctx, f.Path, v.Parts); err != nil {
			return nil, err
		}
		changed = changed || now.Version != f.Version
		files = append(files, now)
	}
	if !changed {
		return nil, fmt.Errorf("the grant %s %w: keep the changed files first ('preezm put')", short, ErrUnchanged)
	}
	brand, card, err := d.Brand(ctx, custody.Key(row.Brand).String())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, gw := range g.Body.Gateways {
		names = append(names, peers.DeviceID(gw.Device).String())
	}
	via, err := d.gateways(ctx, names)
	if err != nil {
		return nil, err
	}
	pkgs, err := d.cat.Packages(ctx, row.Hash)
	if err != nil {
		return nil, err
	}
	seq := uint64(len(pkgs)) + 1
	seats := make([]custody.Seat, len(row.Seats))
	for i, s := range row.Seats {
		seats[i] = custody.Seat(s)
	}
	made, err := d.lock(ctx, g, seq, brand, card.Body.KEM, seats, files, via)
	if err != nil {
		return nil, err
	}
	return made, d.cat.RenewGrant(ctx, row.Hash, seq, made.Package, made.Ticket, files)
}

// Update is a newer package that custodians should hear of before its brand
// shows it.
type Update struct {
	Grant, Package []byte
	Seats          []peers.DeviceID
}

// Updates are the newest packages of grants that were refreshed and last.
func (d *Desk) Updates(ctx context.Context) ([]Update, error) {
	all, err := d.cat.Grants(ctx)
	if err != nil {
		return nil, err
	}
	var out []Update
	for i := range all {
		g, err := custody.CheckGrant(all[i].Doc)
		if err != nil {
			return nil, err
		}
		if !g.Body.Follow || len(all[i].Revocation) > 0 || d.cfg.Now().Unix() >= g.Body.NotAfter {
			continue
		}
		pkgs, err := d.cat.Packages(ctx, all[i].Hash)
		if err != nil {
			return nil, err
		}
		if len(pkgs) > 1 {
			out = append(out, Update{all[i].Doc, pkgs[len(pkgs)-1], all[i].Seats})
		}
	}
	return out, nil
}
