// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// Appointment is what makes a member a custodian.
type Appointment struct {
	Doc        []byte // signed
	Devices    []byte // the signed device set that goes with it
	Generation uint32 // of its chain
	Entries    uint64 // of its log that were received
}

// Appoint makes the appointment of a member.
func (d *Desk) Appoint(ctx context.Context, m Member) (*Appointment, error) {
	if len(m.KEM) == 0 {
		return nil, said.Error("custodian-keys", "{name} has not told its keys yet: it must run a version that can be a custodian, and answer once", "name", m.Name)
	}
	generation, err := d.generation(ctx)
	if err != nil {
		return nil, err
	}
	a, err := custody.Appoint(d.root, d.cfg.Secrets.Custody, custody.Seat(m.Device), m.KEM, generation, d.cfg.Now().Unix())
	if err != nil {
		return nil, err
	}
	set, err := d.DeviceSet(ctx)
	if err != nil {
		return nil, err
	}
	known, err := d.Known(ctx, m.Device)
	if err != nil {
		return nil, err
	}
	return &Appointment{Doc: a.Raw, Devices: set.Raw, Generation: generation, Entries: known}, nil
}

// generation is that of the chains for new grants. It goes up when a custodian
// is removed, whose chain leads to none of a later one.
func (d *Desk) generation(ctx context.Context) (uint32, error) {
	n, _, err := d.cat.Said(ctx, saidGeneration)
	return uint32(n), err
}

// Appointed notes that a custodian has accepted, with the key of its log. One
// that was asked anew may have lost what it knew: with forget, it is to be told
// all of it again.
func (d *Desk) Appointed(ctx context.Context, m Member, a *Appointment, logKey custody.Key, forget bool) error {
	if forget {
		if err := d.cat.Untold(ctx, m.Device); err != nil {
			return err
		}
	}
	cs, err := d.cat.Custodians(ctx)
	if err != nil {
		return err
	}
	for _, c := range cs {
		// With another key it has another log: the machine was set up anew.
		if c.Device == m.Device && c.LogKey != logKey && a.Entries > 0 {
			if err := d.cat.LoseLog(ctx, c.Device); err != nil {
				return err
			}
		}
	}
	return d.cat.PutCustodian(ctx, catalog.Custodian{
		Device: m.Device, Name: m.Name, LogKey: logKey, Generation: a.Generation, Appointed: d.cfg.Now().Unix(),
	})
}

// Custodians lists who decides, and who did: those go on deciding about the
// grants that name them, and their logs tell of these.
func (d *Desk) Custodians(ctx context.Context) ([]catalog.Custodian, error) {
	return d.cat.Custodians(ctx)
}

// deciding lists who decides about new grants.
func (d *Desk) deciding(ctx context.Context) ([]catalog.Custodian, error) {
	all, err := d.cat.Custodians(ctx)
	return slices.DeleteFunc(all, func(c catalog.Custodian) bool { return c.Appointed == 0 || c.Retired > 0 }), err
}

func (d *Desk) seats(ctx context.Context) ([]custody.Seat, error) {
	all, err := d.deciding(ctx)
	if err != nil {
		return nil, err
	}
	var out []custody.Seat
	for _, c := range all {
		out = append(out, custody.Seat(c.Device))
	}
	if len(out) == 0 {
		return nil, ErrNoCustodians
	}
	return out, nil
}

// Retire takes a custodian, by its name or device, off the list for new grants,
// and begins a new generation of chains: what it holds leads to none of that.
// The others are to be appointed anew (Behind), and the grants that name it to be
// replaced (Outdated, Reissue). One that is retired already is given again, so
// that what was interrupted can go on.
func (d *Desk) Retire(ctx context.Context, who string) (catalog.Custodian, error) {
	all, err := d.cat.Custodians(ctx)
	if err != nil {
		return catalog.Custodian{}, err
	}
	var found []catalog.Custodian
	left := 0
	for _, c := range all {
		if c.Retired == 0 {
			left++
		}
		if strings.EqualFold(c.Name, who) || strings.EqualFold(c.Device.Short(), who) || c.Device.String() == who {
			found = append(found, c)
		}
	}
	if now := slices.DeleteFunc(slices.Clone(found), func(c catalog.Custodian) bool { return c.Retired > 0 }); len(now) > 0 {
		found = now // rather than one of that name that was removed before
	}
	switch {
	case len(found) == 0:
		return catalog.Custodian{}, fmt.Errorf("the custodian %q %w: 'preezm custodians' lists yours", who, ErrUnknown)
	case len(found) > 1:
		return catalog.Custodian{}, fmt.Errorf("%q are several custodians: give the device instead ('preezm custodians')", who)
	case found[0].Retired > 0:
		return found[0], nil
	case left == 1:
		return catalog.Custodian{}, said.Error("only-custodian", "{name} is your only custodian: add another one first", "name", found[0].Name)
	}
	generation, err := d.generation(ctx)
	if err != nil {
		return catalog.Custodian{}, err
	}
	found[0].Retired = d.cfg.Now().Unix()
	return found[0], d.cat.Retire(ctx, found[0].Device, found[0].Retired, saidGeneration, uint64(generation)+1)
}

// Behind lists the custodians that do not have their chain of the present
// generation yet: they can decide about no new grant.
func (d *Desk) Behind(ctx context.Context) ([]peers.DeviceID, error) {
	generation, err := d.generation(ctx)
	if err != nil {
		return nil, err
	}
	all, err := d.deciding(ctx)
	if err != nil {
		return nil, err
	}
	var out []peers.DeviceID
	for _, c := range all {
		if c.Generation < generation {
			out = append(out, c.Device)
		}
	}
	return out, nil
}

// Outdated lists the grants, by their short IDs, that last and name a custodian
// that was removed since, or chains that went with it.
func (d *Desk) Outdated(ctx context.Context) ([]string, error) {
	generation, err := d.generation(ctx)
	if err != nil || generation == 0 {
		return nil, err
	}
	var out []string
	for g, err := range d.lasting(ctx) {
		if err != nil {
			return nil, err
		}
		if g.doc.Body.Generation < generation {
			out = append(out, ticket.ShortID(g.ID))
		}
	}
	return out, nil
}

// reasonReplaced is what the logs say of a grant that was made anew.
const reasonReplaced = "replaced by a grant for other custodians"

// ErrSpent: a grant was used up, so that there is nothing to replace.
var ErrSpent = said.Error("grant-spent", "was opened as often as it allows")

// Reissue makes a grant anew for the present custodians, for the same purpose
// and until the same end, and withdraws the one before. What it was opened so
// far, as the logs tell, is taken off what it may be. The brand needs the new
// ticket. One that is used up is withdrawn only: ErrSpent.
func (d *Desk) Reissue(ctx context.Context, id string) (*Made, *Errand, error) {
	row, old, err := d.find(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if d.over(row, old) {
		return nil, nil, fmt.Errorf("the grant %s %w", ticket.ShortID(old.Body.ID), ErrOver)
	}
	left, err := d.opensLeft(ctx, row, old)
	if errors.Is(err, ErrSpent) {
		e, failed := d.Revoke(ctx, id, reasonReplaced)
		return nil, e, errors.Join(err, failed)
	}
	if err != nil {
		return nil, nil, err
	}
	made, next, err := d.again(ctx, row, old, left, old.Body.NotAfter)
	if err != nil {
		return nil, nil, err
	}
	revocation, err := d.owner.Revoke(old.Hash, d.cfg.Now().Unix(), reasonReplaced)
	if err != nil {
		return nil, nil, err
	}
	if err := d.cat.ReplaceGrant(ctx, next, made.Package, made.saying(), row.Hash, revocation.Raw); err != nil {
		return nil, nil, err
	}
	row.Revocation = revocation.Raw
	e, err := d.errand(ctx, row)
	return made, e, err
}

// opensLeft is how often a grant's files may still be opened: 0 without a
// limit, ErrSpent when never. Each version has a count of its own, so the most
// used one decides: better one opening too few.
func (d *Desk) opensLeft(ctx context.Context, row *catalog.Grant, g *custody.Signed[custody.Grant]) (uint32, error) {
	if g.Body.MaxOpens == 0 {
		return 0, nil
	}
	book, err := d.Ledger(ctx)
	if err != nil {
		return 0, err
	}
	openings, _ := book.about(row, int(g.Body.K))
	used := map[string]uint32{}
	most := uint32(0)
	for _, o := range openings {
		key := fmt.Sprintf("%s/%d", o.Path, o.Version)
		used[key]++
		most = max(most, used[key])
	}
	if most >= g.Body.MaxOpens {
		return 0, fmt.Errorf("the grant %s %w", ticket.ShortID(g.Body.ID), ErrSpent)
	}
	return g.Body.MaxOpens - most, nil
}
