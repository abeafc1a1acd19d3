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
)

// Known is a custodian behind the name that a brand knows it by in one grant.
type Known struct {
	Custodian catalog.Custodian
	Grant     string // short ID
	Brand     string
}

// ErrNoKey: a text is no key of a custodian, nor the beginning of one.
var ErrNoKey = errors.New("is no key of a custodian")

// minName is how many digits of a custodian's name in a grant tell it apart.
const minName = 8

// Who says which custodian a brand means by a name in a grant, or the first
// digits of it: only the owner can tell. ErrUnknown when no grant has it.
func (d *Desk) Who(ctx context.Context, name string) ([]Known, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	if len(name) < minName || strings.Trim(name, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("%q %w: give at least the first %d digits of the key that the company was shown, such as 5f0c1a2b", name, ErrNoKey, minName)
	}
	all, err := d.cat.Grants(ctx)
	if err != nil {
		return nil, err
	}
	cs, err := d.cat.Custodians(ctx)
	if err != nil {
		return nil, err
	}
	brands, err := d.cat.Brands(ctx)
	if err != nil {
		return nil, err
	}
	var out []Known
	for i := range all {
		g, err := custody.CheckGrant(all[i].Doc)
		if err != nil || !slices.ContainsFunc(g.Body.Custodians, func(k custody.Key) bool { return strings.HasPrefix(k.String(), name) }) {
			continue
		}
		brand := custody.Key(all[i].Brand).String()
		if at := slices.IndexFunc(brands, func(b catalog.Brand) bool { return b.Root == all[i].Brand }); at >= 0 {
			brand = brands[at].Name
		}
		for _, seat := range all[i].Seats {
			key, err := custody.NewChain(d.cfg.Secrets.Custody, custody.Seat(seat), g.Body.Generation).Pseudonym(&g.Body)
			if err != nil || !strings.HasPrefix(custody.KeyOf(key).String(), name) {
				continue
			}
			k := Known{Custodian: catalog.Custodian{Device: seat, Name: seat.Short()}, Grant: ticket.ShortID(g.Body.ID), Brand: brand}
			if at := slices.IndexFunc(cs, func(c catalog.Custodian) bool { return c.Device == seat }); at >= 0 {
				k.Custodian = cs[at]
			}
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("a custodian called %q in a grant %w", name, ErrUnknown)
	}
	return out, nil
}
