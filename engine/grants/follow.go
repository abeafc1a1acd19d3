// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"context"
	"fmt"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

var (
	// ErrPinned: the grant is of the versions it was made for.
	ErrPinned = said.Error("grant-pinned", "is pinned to the versions it was made for")
	// ErrUnchanged: no file of the grant has a newer version.
	ErrUnchanged = said.Error("grant-unchanged", "covers the present versions already")
)

// Refresh brings a grant's ticket up to date. One that follows its files gets
// their present versions; the older ticket is refused by every custodian that
// knows of the newer package. Any gets new plans, when its files lie elsewhere or
// machines have moved; the older ticket stays good then.
func (d *Desk) Refresh(ctx context.Context, id string) (*Made, error) {
	row, g, err := d.find(ctx, id)
	if err != nil {
		return nil, err
	}
	short := ticket.ShortID(g.Body.ID)
	if d.over(row, g) {
		return nil, fmt.Errorf("the grant %s %w", short, ErrOver)
	}
	files, changed, err := d.present(ctx, row)
	if err != nil && g.Body.Follow {
		return nil, err
	}
	if changed && g.Body.Follow {
		return d.renew(ctx, row, g, files)
	}
	moved, err := d.replan(ctx, row, g)
	switch {
	case err != nil:
		return nil, err
	case !moved && changed:
		return nil, fmt.Errorf("the grant %s %w, and its files lie where its ticket says: make a new one", short, ErrPinned)
	case !moved:
		return nil, fmt.Errorf("the grant %s %w, and its files lie where its ticket says: keep the changed files first ('preezm put')", short, ErrUnchanged)
	}
	made := &Made{Grant: g, Ticket: row.Ticket}
	brand, _, err := d.Brand(ctx, custody.Key(row.Brand).String())
	if err != nil {
		return nil, err
	}
	made.Brand = brand.Name
	for _, f := range row.Files {
		made.Files = append(made.Files, f.Path)
	}
	for _, gw := range g.Body.Gateways {
		if m, err := d.member(peers.DeviceID(gw.Device).String()); err == nil {
			made.Via = append(made.Via, m.Name)
		}
	}
	return made, nil
}

// present finds the present versions of a grant's files, and says whether any
// is another than the grant's.
func (d *Desk) present(ctx context.Context, row *catalog.Grant) (files []catalog.Granted, changed bool, err error) {
	for _, f := range row.Files {
		v, err := d.cat.Version(ctx, f.Path)
		if err != nil {
			return nil, false, fmt.Errorf("%q %w: the grant stays as it was", f.Path, err)
		}
		now := catalog.Granted{Path: f.Path, Parts: v.Parts}
		if now.File, now.Version, err = d.cat.Name(ctx, f.Path, v.Parts); err != nil {
			return nil, false, err
		}
		changed = changed || now.Version != f.Version
		files = append(files, now)
	}
	return files, changed, nil
}

// renew locks other versions for a grant that follows.
func (d *Desk) renew(ctx context.Context, row *catalog.Grant, g *custody.Signed[custody.Grant], files []catalog.Granted) (*Made, error) {
	brand, card, err := d.Brand(ctx, custody.Key(row.Brand).String())
	if err != nil {
		return nil, err
	}
	old, err := ticket.Parse(row.Ticket)
	if err != nil {
		return nil, err
	}
	pkgs, err := d.cat.Packages(ctx, row.Hash)
	if err != nil {
		return nil, err
	}
	seq := uint64(len(pkgs)) + 1
	plan, _, err := d.cat.Said(ctx, saidPlan(g.Hash))
	if err != nil {
		return nil, err
	}
	made, err := d.lock(ctx, g, seq, d.nextPlan(plan), brand, card.Body.KEM, seatsOf(row), files, old.Plans)
	if err != nil {
		return nil, err
	}
	return made, d.cat.RenewGrant(ctx, row.Hash, seq, made.Package, made.Ticket, files, made.saying())
}

// Update is a newer package that custodians should hear of before its brand
// shows it.
type Update struct {
	Grant, Package []byte
	Seats          []peers.DeviceID
}

// Updates are the newest packages of grants that were refreshed and last.
func (d *Desk) Updates(ctx context.Context) ([]Update, error) {
	var out []Update
	for g, err := range d.lasting(ctx) {
		if err != nil {
			return nil, err
		}
		if !g.doc.Body.Follow {
			continue
		}
		pkgs, err := d.cat.Packages(ctx, g.Hash)
		if err != nil {
			return nil, err
		}
		if len(pkgs) > 1 {
			out = append(out, Update{g.Doc, pkgs[len(pkgs)-1], g.Seats})
		}
	}
	return out, nil
}
