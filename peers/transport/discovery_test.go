// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/internal/wire"
)

func newDiscovery(t *testing.T, known ...peers.DeviceID) *Discovery {
	t.Helper()
	d, err := newID(t).NewDiscovery(func() []string { return []string{"192.0.2.1:24930"} },
		func(id peers.DeviceID) bool { return slices.Contains(known, id) })
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Nothing is heard on loopback; what can be tested everywhere is that
// discovery ends when it is told to and knows nobody.
func TestDiscoveryEnds(t *testing.T) {
	d := newDiscovery(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("discovery goes on")
	}
	if found := d.Find(t.Context(), peers.DeviceID{1}); len(found) != 0 {
		t.Error(found)
	}
}

// feed is a beacon that says what a test tells it to.
type feed struct {
	packets [][]byte
	from    net.Addr
}

func (*feed) Serve(context.Context) error { return nil }
func (*feed) String() string              { return "feed" }
func (*feed) Send([]byte)                 {}
func (*feed) Error() error                { return nil }
func (f *feed) Recv() ([]byte, net.Addr) {
	if len(f.packets) == 0 {
		return nil, nil
	}
	p := f.packets[0]
	f.packets = f.packets[1:]
	return p, f.from
}

func codec(t testing.TB) *wire.Codec {
	t.Helper()
	c, err := wire.New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func announce(t *testing.T, device peers.DeviceID, addresses ...string) []byte {
	t.Helper()
	b, err := encodeAnnouncement(codec(t), device, addresses)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A stranger can send as much as it likes: nothing of it is kept.
func TestDiscoveryForgetsStrangers(t *testing.T) {
	friend := peers.DeviceID{1}
	d := newDiscovery(t, friend)
	f := &feed{from: &net.UDPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1}}
	for i := range 10000 {
		f.packets = append(f.packets, announce(t, peers.DeviceID{2, byte(i), byte(i >> 8)}, "192.0.2.9:1"))
	}
	f.packets = append(f.packets, announce(t, friend, "192.0.2.1:22", "[2001:db8::1]:22"))
	// A forger speaks later; the friend can still be found.
	for i := range 5 {
		f.packets = append(f.packets, announce(t, friend, fmt.Sprintf("192.0.2.66:%d", i+1)))
		f.packets = append(f.packets, announce(t, friend, "192.0.2.1:22", "[2001:db8::1]:22"))
	}
	f.packets = append(f.packets, announce(t, friend, "192.0.2.66:66"))
	d.receive(f)
	if len(d.heard) != 1 || len(d.heard[friend]) > 2 {
		t.Fatalf("%d devices are remembered", len(d.heard))
	}
	if found := d.Find(t.Context(), friend); !slices.Contains(found, "192.0.2.1:22") || !slices.Contains(found, "[2001:db8::1]:22") {
		t.Errorf("found %q", found)
	}
}

func TestAnnouncedAddresses(t *testing.T) {
	device := peers.DeviceID{1}
	from := &net.UDPAddr{IP: net.ParseIP("fe80::7"), Port: 1, Zone: "eth9"}
	packet := announce(t, device, "192.168.1.5:24930", "[fe80::1]:5", "127.0.0.1:1", "[::1]:1", "0.0.0.0:1", "224.0.0.1:1",
		"host.example:1", "192.168.1.6:0", "192.168.1.7", "[fe80::1%lo]:1", "192.168.1.5:24930", "255.255.255.255:9")
	got, addresses, ok := decodeAnnouncement(codec(t), packet, from)
	if !ok || got != device || strings.Join(addresses, " ") != "192.168.1.5:24930 [fe80::1%eth9]:5" {
		t.Errorf("%v %q", ok, addresses)
	}
	for name, p := range map[string][]byte{
		"empty": nil, "magic alone": []byte(announcementMagic), "another magic": append([]byte("XXXX"), packet[4:]...),
		"cut": packet[:len(packet)-1], "longer": append(slices.Clone(packet), 0), "too large": make([]byte, maxAnnouncement+1),
	} {
		if _, _, ok := decodeAnnouncement(codec(t), p, from); ok {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := encodeAnnouncement(codec(t), device, slices.Repeat([]string{strings.Repeat("x", 300)}, 16)); err == nil {
		t.Error("an announcement that nobody would read was sent")
	}
}

func FuzzAnnouncement(f *testing.F) {
	c := codec(f)
	good, err := encodeAnnouncement(c, peers.DeviceID{1}, []string{"192.0.2.1:5"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, addresses, ok := decodeAnnouncement(c, b, &net.UDPAddr{})
		if !ok && len(addresses) > 0 || len(addresses) > maxAnnounced {
			t.Fatalf("%x gave %q, %v", b, addresses, ok)
		}
	})
}
