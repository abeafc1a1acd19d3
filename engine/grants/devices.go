// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// What the owner says and custodians acknowledge, by its name in the catalog.
const (
	saidDevices    = "devices"
	saidGeneration = "generation"
)

// DeviceSet is the owner's present set of devices. It is made when there is
// none, and again when this device is not in it, as in a home that was brought
// back on a new machine: what it signs would count for nothing. One that was
// removed does not come back by itself.
func (d *Desk) DeviceSet(ctx context.Context) (*custody.Signed[custody.DeviceSet], error) {
	d.setMu.Lock()
	defer d.setMu.Unlock()
	set, err := d.deviceSet(ctx)
	if err != nil {
		return nil, err
	}
	self := custody.KeyOf(d.cfg.Sign)
	if set == nil {
		return d.publish(ctx, nil, []custody.Key{self})
	}
	if slices.Contains(set.Body.Devices, self) {
		return set, nil
	}
	if gone, err := d.removed(ctx); err != nil || gone {
		return set, err
	}
	return d.publish(ctx, set, append(slices.Clone(set.Body.Devices), self))
}

// removed says whether another machine of this person has removed this one. Its
// catalog tells, as it takes over theirs: the removal comes with the set.
func (d *Desk) removed(ctx context.Context) (bool, error) {
	all, err := d.cat.Machines(ctx)
	self := custody.KeyOf(d.cfg.Sign)
	return slices.ContainsFunc(all, func(m catalog.Machine) bool { return m.Sign == self && m.Removed > 0 }), err
}

// deviceSet reads the newest set that was said; nil when none was.
func (d *Desk) deviceSet(ctx context.Context) (*custody.Signed[custody.DeviceSet], error) {
	_, raw, err := d.cat.Said(ctx, saidDevices)
	if err != nil || len(raw) == 0 {
		return nil, err
	}
	set, err := custody.CheckDeviceSet(raw, d.Root(), 0)
	if err != nil {
		return nil, fmt.Errorf("the list of your devices is damaged in the catalog: %w", err)
	}
	return set, nil
}

// SetDevices makes these the owner's devices and no others; this one is always
// among them. What a device signed that is one no more, and what is known here
// and lasts, stays good by its hash; anything else it signs or has signed is
// refused from now on, whatever date it bears. Carry it to the custodians
// (Untold, Heard): it counts at each that knows it.
func (d *Desk) SetDevices(ctx context.Context, devices []custody.Key) (*custody.Signed[custody.DeviceSet], error) {
	d.setMu.Lock()
	defer d.setMu.Unlock()
	old, err := d.deviceSet(ctx)
	if err != nil {
		return nil, err
	}
	switch gone, err := d.removed(ctx); {
	case err != nil:
		return nil, err
	case gone:
		return nil, said.Error("device-removed", "this device was removed itself: do it on another one")
	}
	if self := custody.KeyOf(d.cfg.Sign); !slices.Contains(devices, self) {
		devices = append(slices.Clone(devices), self)
	}
	return d.publish(ctx, old, devices)
}

// AddDevice lets a device sign for this person.
func (d *Desk) AddDevice(ctx context.Context, device custody.Key) error {
	set, err := d.DeviceSet(ctx)
	if err != nil || slices.Contains(set.Body.Devices, device) {
		return err
	}
	_, err = d.SetDevices(ctx, append(slices.Clone(set.Body.Devices), device))
	return err
}

// RemoveDevice lets a device sign no more, such as one that was stolen.
func (d *Desk) RemoveDevice(ctx context.Context, device custody.Key) error {
	if device == custody.KeyOf(d.cfg.Sign) {
		return said.Error("device-itself", "this device cannot remove itself: do it on another one")
	}
	set, err := d.DeviceSet(ctx)
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(set.Body.Devices), func(k custody.Key) bool { return k == device })
	if len(left) == len(set.Body.Devices) {
		return nil // it is removed already
	}
	_, err = d.SetDevices(ctx, left)
	return err
}

// Exclude says anew who signs for this person, without a device whose key may not
// be known here: what it told custodians of itself before counts no more.
func (d *Desk) Exclude(ctx context.Context, device custody.Key) error {
	set, err := d.DeviceSet(ctx)
	if err != nil {
		return err
	}
	_, err = d.SetDevices(ctx, slices.DeleteFunc(slices.Clone(set.Body.Devices), func(k custody.Key) bool { return k == device }))
	return err
}

// publish signs a set that takes old's place and writes it down. With setMu held.
func (d *Desk) publish(ctx context.Context, old *custody.Signed[custody.DeviceSet], devices []custody.Key) (*custody.Signed[custody.DeviceSet], error) {
	now := d.cfg.Now().Unix()
	set := custody.DeviceSet{Root: d.Root(), Epoch: uint64(max(now, 1)), At: now}
	// Two devices that did not hear of each other should not use one number:
	// mostly they do not, as the time counts.
	if old != nil {
		set.Epoch = max(set.Epoch, old.Body.Epoch+1)
	}
	set.Devices = slices.Clone(devices)
	slices.SortFunc(set.Devices, func(a, b custody.Key) int { return bytes.Compare(a[:], b[:]) })
	set.Devices = slices.Compact(set.Devices)
	var err error
	if old != nil {
		if set.Kept, err = d.kept(ctx, &old.Body, set.Devices); err != nil {
			return nil, err
		}
	}
	s, err := custody.Sign(d.root, set)
	if err != nil {
		return nil, err
	}
	return s, d.cat.Say(ctx, saidDevices, set.Epoch, s.Raw)
}

// kept lists what lasts and stood until now, though who signed it is not among
// the devices. Only what this catalog knows can be in it: a thief's grants are not.
func (d *Desk) kept(ctx context.Context, old *custody.DeviceSet, devices []custody.Key) ([]custody.Hash, error) {
	var kept []custody.Hash
	keep := func(signer custody.Key, doc custody.Hash) {
		if !slices.Contains(devices, signer) && old.Standing(signer, doc) {
			kept = append(kept, doc)
		}
	}
	for g, err := range d.lasting(ctx) {
		if err != nil {
			return nil, err
		}
		keep(g.doc.Signer, g.Hash)
		pkgs, err := d.cat.Packages(ctx, g.Hash)
		if err != nil || len(pkgs) == 0 {
			return nil, errors.Join(err, errors.New("a grant has no package in the catalog"))
		}
		p, err := custody.CheckPackage(pkgs[len(pkgs)-1], g.doc) // older ones are refused anyway
		if err != nil {
			return nil, err
		}
		keep(p.Signer, p.Hash)
	}
	if len(kept) > custody.MaxKept {
		return nil, said.Error("grants-last", "{n} grants and packages that a removed device signed still last, more than the {most} that can stay good: withdraw some first", "n", strconv.Itoa(len(kept)), "most", strconv.Itoa(custody.MaxKept))
	}
	slices.SortFunc(kept, func(a, b custody.Hash) int { return bytes.Compare(a[:], b[:]) })
	return kept, nil
}

// Statement is a numbered document on its way to custodians.
type Statement struct {
	What   string
	Number uint64
	Doc    []byte
	Untold []peers.DeviceID // custodians that have not acknowledged this number
	Told   int              // of those that decide about new grants, how many have
	Of     int
}

// DevicesErrand is the device set and who has not acknowledged it.
func (d *Desk) DevicesErrand(ctx context.Context) (*Statement, error) {
	set, err := d.DeviceSet(ctx)
	if err != nil {
		return nil, err
	}
	return d.statement(ctx, saidDevices, set.Body.Epoch, set.Raw)
}

func (d *Desk) statement(ctx context.Context, what string, number uint64, doc []byte) (*Statement, error) {
	cs, err := d.cat.Custodians(ctx)
	if err != nil {
		return nil, err
	}
	heard, err := d.cat.Heard(ctx, what)
	if err != nil {
		return nil, err
	}
	s := &Statement{What: what, Number: number, Doc: doc}
	for _, c := range cs {
		knows := heard[c.Device] >= number
		if !knows { // a retired one too: it still decides about the grants that name it
			s.Untold = append(s.Untold, c.Device)
		}
		if c.Retired == 0 {
			s.Of++
			if knows {
				s.Told++
			}
		}
	}
	return s, nil
}

// Heard notes that a custodian has acknowledged a statement up to a number.
func (d *Desk) Heard(ctx context.Context, what string, by peers.DeviceID, number uint64) error {
	return d.cat.Hear(ctx, by, what, number)
}
