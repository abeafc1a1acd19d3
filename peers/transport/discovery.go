// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/syncthing/syncthing/lib/beacon"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/internal/wire"
)

// Our own port and group, so that Syncthing on the same network neither hears
// us nor is heard. The group is a transient one of link-local scope.
const (
	discoveryPort  = 24931
	discoveryGroup = "[ff12::7072:657a]:24931"
)

const (
	announceEvery = 30 * time.Second
	// sightingAge is how long an announcement counts: three may be lost.
	sightingAge = 3 * announceEvery
	// greetGap is the least time between announcements in answer to a device
	// that was not heard before.
	greetGap = time.Second
)

// Discovery finds devices on the local network and lets itself be found: each
// 30 seconds it sends this device's ID and addresses to the network. What it
// hears is a hint from strangers; who answers there is decided by TLS. Only
// devices that are known are remembered, so strangers cannot fill its memory,
// and the two latest announcements of each, so one forgery hides nobody.
//
// The packets travel by Syncthing's lib/beacon. Its lib/discover is not used:
// it remembers every device it hears of, for good, and looks up host names
// that strangers announce.
type Discovery struct {
	self      peers.DeviceID
	addresses func() []string
	known     func(peers.DeviceID) bool
	codec     *wire.Codec
	beacons   []beacon.Interface

	// Heard, when set before Serve, is called when a known device is heard of
	// at addresses that are new; it must not block.
	Heard func(peers.DeviceID)

	mu    sync.Mutex
	heard map[peers.DeviceID][]sighting // latest first, two at most
	greet chan struct{}                 // asks for an announcement soon
}

// sighting is one announcement of a device.
type sighting struct {
	at        time.Time
	addresses []string
}

// NewDiscovery makes a Discovery that announces what addresses returns
// (host:port) and listens for the devices that known accepts. It does nothing
// before Serve.
func (i *Identity) NewDiscovery(addresses func() []string, known func(peers.DeviceID) bool) (*Discovery, error) {
	codec, err := wire.New()
	if err != nil {
		return nil, fmt.Errorf("local discovery: %w", err)
	}
	return &Discovery{
		self: i.device, addresses: addresses, known: known, codec: codec,
		beacons: []beacon.Interface{beacon.NewBroadcast(discoveryPort), beacon.NewMulticast(discoveryGroup)},
		heard:   map[peers.DeviceID][]sighting{}, greet: make(chan struct{}, 1),
	}, nil
}

// Serve announces and listens until ctx ends.
func (d *Discovery) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outbox := make([]chan []byte, len(d.beacons))
	var wg sync.WaitGroup
	for n, b := range d.beacons {
		outbox[n] = make(chan []byte, 1)
		wg.Go(func() { _ = b.Serve(ctx) }) // ends with ctx; its own trouble it retries
		wg.Go(func() { d.receive(b) })
		// Sending waits for the beacon, which may have no network now.
		wg.Go(func() {
			for {
				select {
				case packet := <-outbox[n]:
					b.Send(packet)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	err := d.announce(ctx, outbox)
	cancel()
	wg.Wait()
	return err
}

// announce sends until ctx ends.
func (d *Discovery) announce(ctx context.Context, outbox []chan []byte) error {
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	for {
		packet, err := encodeAnnouncement(d.codec, d.self, d.addresses())
		if err != nil {
			return fmt.Errorf("local discovery: %w", err)
		}
		for _, out := range outbox {
			select {
			case out <- packet:
			default: // the one before has not left yet
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(greetGap):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-d.greet:
		}
	}
}

// receive listens until the beacon has stopped.
func (d *Discovery) receive(b beacon.Interface) {
	for {
		packet, from := b.Recv()
		if from == nil {
			return
		}
		device, addresses, ok := decodeAnnouncement(d.codec, packet, from)
		if ok && device != d.self && d.known(device) {
			d.note(device, addresses)
		}
	}
}

func (d *Discovery) note(device peers.DeviceID, addresses []string) {
	now := time.Now()
	if d.remember(device, addresses, now) && d.Heard != nil {
		d.Heard(device)
	}
}

// Announce sends an announcement soon.
func (d *Discovery) Announce() {
	select {
	case d.greet <- struct{}{}:
	default:
	}
}

func (d *Discovery) remember(device peers.DeviceID, addresses []string, now time.Time) (changed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	had := d.heard[device]
	fresh := len(had) == 0 || now.Sub(had[0].at) > sightingAge
	changed = fresh || !slices.Equal(had[0].addresses, addresses)
	had = slices.DeleteFunc(had, func(s sighting) bool { return slices.Equal(s.addresses, addresses) })
	had = slices.Insert(had, 0, sighting{now, addresses})
	d.heard[device] = had[:min(len(had), 2)]
	if fresh {
		d.Announce()
	}
	return changed
}

// Find returns where device was heard of in the last 90 seconds.
func (d *Discovery) Find(_ context.Context, device peers.DeviceID) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, s := range d.heard[device] {
		if time.Since(s.at) > sightingAge {
			continue
		}
		for _, a := range s.addresses {
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}
