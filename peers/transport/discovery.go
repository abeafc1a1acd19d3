// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"

	"github.com/syncthing/syncthing/lib/discover"
	"github.com/syncthing/syncthing/lib/events"
	"github.com/syncthing/syncthing/lib/protocol"

	"github.com/preezm/preezm/peers"
)

// Our own port and group, so that Syncthing on the same network neither hears
// us nor is heard. The group is a transient one of link-local scope.
const (
	discoveryV4 = ":24931"
	discoveryV6 = "[ff12::7072:657a]:24931"
)

// Discovery finds devices on the local network and lets itself be found: each
// 30 seconds it sends this device's ID and addresses to the network. What it
// hears is a hint from strangers; who answers there is decided by TLS.
type Discovery struct {
	finders []discover.FinderService
}

// lister gives Syncthing's discovery this device's addresses.
type lister func() []string

func (l lister) ExternalAddresses() []string { return l.AllAddresses() }

// AllAddresses returns a fresh slice each time: the caller filters in place.
func (l lister) AllAddresses() []string {
	var out []string
	for _, a := range l() {
		out = append(out, "tcp://"+a)
	}
	return out
}

// NewDiscovery makes a Discovery that announces what addresses returns
// (host:port). It does nothing before Serve.
func (i *Identity) NewDiscovery(addresses func() []string) (*Discovery, error) {
	d := &Discovery{}
	for _, where := range []string{discoveryV4, discoveryV6} {
		f, err := discover.NewLocal(protocol.DeviceID(i.device), where, lister(addresses), events.NoopLogger)
		if err != nil {
			return nil, fmt.Errorf("local discovery on %s: %w", where, err)
		}
		d.finders = append(d.finders, f)
	}
	return d, nil
}

// Serve announces and listens until ctx ends.
func (d *Discovery) Serve(ctx context.Context) error {
	errs := make([]error, len(d.finders))
	var wg sync.WaitGroup
	for n, f := range d.finders {
		wg.Go(func() {
			if err := f.Serve(ctx); err != nil && ctx.Err() == nil {
				errs[n] = fmt.Errorf("local discovery: %w", err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Find returns where device was heard of in the last 90 seconds.
func (d *Discovery) Find(ctx context.Context, device peers.DeviceID) []string {
	var out []string
	for _, f := range d.finders {
		found, err := f.Lookup(ctx, protocol.DeviceID(device))
		if err != nil {
			continue
		}
		for _, a := range found {
			u, err := url.Parse(a)
			if err != nil || u.Scheme != "tcp" || u.Port() == "" || u.Hostname() == "" {
				continue
			}
			if !slices.Contains(out, u.Host) {
				out = append(out, u.Host)
			}
		}
	}
	return out
}
