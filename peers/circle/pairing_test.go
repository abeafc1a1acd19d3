// SPDX-License-Identifier: MPL-2.0

package circle

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/peers"
)

// The words are part of the protocol: two versions show the same.
func TestPairingWords(t *testing.T) {
	a, b := peers.DeviceID{1}, peers.DeviceID{2}
	p, err := NewPairing(a, b, [16]byte{3})
	if err != nil {
		t.Fatal(err)
	}
	en, fr := strings.Join(p.In("en"), " "), strings.Join(p.In("fr"), " ")
	if en != "anchor ant cherry camera" || fr != "ancre fourmi cerise appareil" {
		t.Errorf("%q %q", en, fr)
	}
	for _, other := range []struct {
		a, b peers.DeviceID
		tok  [16]byte
	}{{b, a, [16]byte{3}}, {a, peers.DeviceID{4}, [16]byte{3}}, {a, b, [16]byte{4}}} {
		if q, err := NewPairing(other.a, other.b, other.tok); err != nil || q == p {
			t.Errorf("the same words for %v: %v", other, err)
		}
	}
	lines := strings.Split(strings.TrimSpace(wordList), "\n")
	if len(lines) != 256 {
		t.Fatalf("%d words", len(lines))
	}
	for column := range 2 {
		seen := map[string]bool{}
		for _, l := range lines {
			f := strings.Fields(l)
			if len(f) != 2 || seen[f[column]] {
				t.Errorf("%q", l)
				continue
			}
			seen[f[column]] = true
		}
	}
}

// Who used an invite is known with its words, also after a restart.
func TestUsedInvite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "circle.json")
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	self, guest := peers.DeviceID{1}, peers.DeviceID{2}
	inv, err := b.NewInvite(Invite{Device: self}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := b.UsedInvite(inv.ID()); ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
	if _, err := b.Redeem(inv.Token, self, guest, func(p *Peer) { p.Name = "guest" }); err != nil {
		t.Fatal(err)
	}
	want, err := NewPairing(self, guest, inv.Token)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = Open(path); err != nil {
		t.Fatal(err)
	}
	u, ok, err := b.UsedInvite(inv.ID())
	if err != nil || !ok || u.Words != want || u.Device != guest || u.Name != "guest" {
		t.Errorf("%+v %v %v", u, ok, err)
	}
	if _, _, err := b.UsedInvite("0123456789abcdef"); !errors.Is(err, ErrInviteUnknown) {
		t.Error(err)
	}
	short, err := b.NewInvite(Invite{Device: self}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	b.now = func() time.Time { return time.Now().Add(time.Minute) }
	if _, _, err := b.UsedInvite(short.ID()); !errors.Is(err, ErrInviteExpired) {
		t.Error(err)
	}
}

func TestServers(t *testing.T) {
	id := peers.DeviceID{7}.String()
	good := []string{
		"relay://203.0.113.1:22067/?id=" + id + "&token=abc", "https://203.0.113.1:24932/?id=" + id, "https://disco.example:443/v2/?id=" + id,
	}
	for _, s := range good {
		if err := CheckServer(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "relay://", "relay://h:1/", "relay://h/?id=" + id, "http://h:1/?id=" + id, "https://h:1/x?id=" + id, "https://u:p@h:1/?id=" + id,
		"relay://h:1/?id=short", "relay://h:1/?id=" + id + "&pool=x", "relay://h:0/?id=" + id, "relay://h:1/?id=" + id + "&id=" + id,
		"relay://h:1/?id=" + id + "&token=" + strings.Repeat("x", 65), "dynamic+https://h:1/?id=" + id,
	} {
		if CheckServer(s) == nil {
			t.Errorf("%q is taken", s)
		}
	}
	if got := LearnedServers(append(slices.Clone(good), "relay://127.0.0.1:1/?id="+id), false); !slices.Equal(got, good[:2]) {
		t.Errorf("%q", got)
	}
	relay := "relay://203.0.113.1:22067/?id=" + id
	if got := Learned([]string{"10.0.0.1:1", relay, "relay://nas.example:1/?id=" + id, "relay://169.254.169.254:1/?id=" + id}, false); !slices.Equal(got, []string{"10.0.0.1:1", relay}) {
		t.Errorf("%q", got)
	}
	// An invite carries them, and a waiting place as an address.
	inv := sample()
	inv.Servers, inv.Addresses = good, append(inv.Addresses, relay)
	got, err := ParseInvite(inv.Code())
	if err != nil || !slices.Equal(got.Servers, good) || !slices.Contains(got.Addresses, relay) {
		t.Errorf("%+v %v", got, err)
	}
}
