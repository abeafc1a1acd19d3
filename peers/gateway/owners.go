// SPDX-License-Identifier: MPL-2.0

package gateway

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
)

// file is how the gateway remembers.
type file struct {
	Owners  map[string][]peers.DeviceID `json:"owners"`
	Revoked map[string]map[string]int64 `json:"withdrawn"`         // by root and grant
	Members [][]byte                    `json:"members,omitempty"` // brands' lists of revoked members, signed
}

// parse reads 32 bytes in hexadecimal.
func parse(s string) (k custody.Key, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(k) {
		return k, errors.New("a name is not 32 bytes")
	}
	return custody.Key(b), nil
}

// change makes owners and revoked what f makes of copies of them, if that can be
// saved. The caller holds the lock.
func (g *Gateway) change(f func()) error {
	owners, revoked := g.owners, g.revoked
	g.owners, g.revoked = maps.Clone(owners), maps.Clone(revoked)
	f()
	err := g.save()
	if err != nil {
		g.owners, g.revoked = owners, revoked
	}
	return err
}

// save writes the file. The caller holds the lock.
func (g *Gateway) save() error {
	out := file{Owners: map[string][]peers.DeviceID{}, Revoked: map[string]map[string]int64{}}
	for k, d := range g.owners {
		out.Owners[k.String()] = d
	}
	for w, until := range g.revoked {
		k := w.root.String()
		if out.Revoked[k] == nil {
			out.Revoked[k] = map[string]int64{}
		}
		out.Revoked[k][w.grant.String()] = until
	}
	for _, l := range g.members {
		out.Members = append(out.Members, l.Raw)
	}
	b, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	if len(b) > maxFile { // it could not be read any more
		return fmt.Errorf("%w (no room to remember it)", peers.ErrRefused)
	}
	return g.cfg.Box.Replace(g.cfg.Path, b)
}

// Statement takes an introduction, a revocation or the list of a person's devices
// by a member.
func (g *Gateway) Statement(_ context.Context, from peers.DeviceID, raw []byte) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if in, err := custody.Parse[ticket.Intro](raw); err == nil {
		if in.Signer != in.Body.Root || in.Body.Device != from {
			return fmt.Errorf("%w (it introduces somebody else)", peers.ErrRefused)
		}
		if slices.Contains(g.owners[in.Body.Root], from) {
			return nil
		}
		if len(g.owners) >= maxOwners || len(g.owners[in.Body.Root]) >= maxOwners {
			return fmt.Errorf("%w (too many owners)", peers.ErrRefused)
		}
		if err := g.change(func() { g.introduce(in.Body.Root, from) }); err != nil {
			return err
		}
		return g.forgetSets()
	}
	for root, devices := range g.owners {
		if !slices.Contains(devices, from) {
			continue
		}
		if r, err := custody.CheckRevocation(raw, root); err == nil {
			w := granted{root, r.Body.Grant}
			if g.revoked[w] != 0 {
				return nil
			}
			return g.change(func() { g.revoke(w) })
		}
		if set, err := custody.CheckDeviceSet(raw, root, 0); err == nil {
			return g.learn(set)
		}
	}
	return fmt.Errorf("%w (neither an introduction nor a revocation nor a list of devices)", peers.ErrRefused)
}

// introduce notes whose device it is: one person's, so that a member takes no
// more room than that of one. What was withdrawn for a person that no device is
// of any more is forgotten, as that person is not served. The caller holds the
// lock.
func (g *Gateway) introduce(root custody.Key, d peers.DeviceID) {
	for k, devices := range g.owners {
		left := slices.DeleteFunc(slices.Clone(devices), func(o peers.DeviceID) bool { return o == d })
		if g.owners[k] = left; len(left) == 0 && k != root {
			delete(g.owners, k)
			maps.DeleteFunc(g.revoked, func(w granted, _ int64) bool { return w.root == k })
		}
	}
	g.owners[root] = append(slices.Clone(g.owners[root]), d)
}

// revoke notes a withdrawal, and forgets those whose grants have ended anyway,
// or that with the nearest end when there is no room. The caller holds the lock.
func (g *Gateway) revoke(w granted) {
	now := g.cfg.Now().Unix()
	until := now + custody.MaxGrantTime // a withdrawal does not say it
	for k, s := range g.stays {
		if k.granted == w {
			until = s.grant.Body.NotAfter
		}
	}
	for k, p := range g.permits {
		if k.granted == w {
			until = p.NotAfter
		}
	}
	maps.DeleteFunc(g.revoked, func(_ granted, until int64) bool { return now >= until })
	n, first := 0, granted{}
	for k, end := range g.revoked {
		if k.root != w.root {
			continue
		}
		if n++; first == (granted{}) || end < g.revoked[first] {
			first = k
		}
	}
	if n >= maxRevoked {
		delete(g.revoked, first)
	}
	g.revoked[w] = max(until, now+1)
}
