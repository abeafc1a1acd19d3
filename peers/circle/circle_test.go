// SPDX-License-Identifier: MPL-2.0

package circle

import (
	"errors"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/preezm/preezm/peers"
)

func testBook(t *testing.T) *Book {
	t.Helper()
	b, err := Open(filepath.Join(t.TempDir(), "circle.json"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func reopen(t *testing.T, b *Book) *Book {
	t.Helper()
	again, err := Open(b.path)
	if err != nil {
		t.Fatal(err)
	}
	again.now = b.now
	return again
}

func TestBookKeepsPeers(t *testing.T) {
	b := testBook(t)
	a := Peer{Device: peers.DeviceID{1}, Name: "laptop\x1b[31m\n ", Addresses: []string{"10.0.0.1:24930", "nonsense", "10.0.0.1:24930", "[fe80::1%eth0]:1", ":5", "h:0"}, Keeper: true, Quota: 7}
	if err := b.Put(a); err != nil {
		t.Fatal(err)
	}
	if err := b.Put(Peer{Device: peers.DeviceID{2}}); err != nil {
		t.Fatal(err)
	}
	b = reopen(t, b)
	ps := b.Peers()
	if len(ps) != 2 || ps[0].Name != "laptop[31m" || len(ps[0].Addresses) != 2 || !ps[0].Keeper || ps[0].Quota != 7 || ps[1].Name != "unnamed" {
		t.Fatalf("%+v", ps)
	}
	ps[0].Addresses[0] = "changed"
	if p, _ := b.Peer(peers.DeviceID{1}); p.Addresses[0] != "10.0.0.1:24930" {
		t.Error("a caller changed the book")
	}
	if err := b.Update(peers.DeviceID{1}, func(p *Peer) { p.Device, p.Name = peers.DeviceID{9}, "Laptop" }); err != nil {
		t.Fatal(err)
	}
	if p, ok := b.Peer(peers.DeviceID{1}); !ok || p.Name != "Laptop" || p.Added.IsZero() {
		t.Errorf("%+v", p)
	}
	if err := b.Update(peers.DeviceID{8}, func(*Peer) {}); !errors.Is(err, ErrUnknownPeer) {
		t.Error(err)
	}
	if err := b.Remove(peers.DeviceID{1}); err != nil {
		t.Fatal(err)
	}
	if b = reopen(t, b); b.Has(peers.DeviceID{1}) || !b.Has(peers.DeviceID{2}) {
		t.Error("remove")
	}
	if err := b.Put(Peer{}); err == nil {
		t.Error("a peer without a device")
	}
}

func TestSeenIsSparing(t *testing.T) {
	b := testBook(t)
	now := time.Unix(1_800_000_000, 0)
	b.now = func() time.Time { return now }
	id := peers.DeviceID{1}
	if err := b.Put(Peer{Device: id}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		now = now.Add(time.Minute)
		if err := b.Seen(id); err != nil {
			t.Fatal(err)
		}
	}
	if p, _ := b.Peer(id); !p.LastSeen.Equal(now) {
		t.Error("not seen")
	}
	if p, _ := reopen(t, b).Peer(id); !p.LastSeen.Equal(now.Add(-2 * time.Minute)) {
		t.Errorf("on disk: %s", p.LastSeen)
	}
}

func TestBookRefusesDamage(t *testing.T) {
	b := testBook(t)
	if err := b.Put(Peer{Device: peers.DeviceID{1}}); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"cut": string(good[:len(good)/2]), "empty": "", "more": string(good) + "{}",
		"version": strings.Replace(string(good), `"version": 1`, `"version": 2`, 1),
		"field":   strings.Replace(string(good), `"version"`, `"x": 1, "version"`, 1),
	} {
		if err := os.WriteFile(b.path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(b.path); !errors.Is(err, ErrBook) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInvites(t *testing.T) {
	b := testBook(t)
	now := time.Now()
	b.now = func() time.Time { return now }
	self := Invite{Device: peers.DeviceID{7}, Name: "Home", Addresses: []string{"192.168.1.2:24930"}}
	laptop, bert := peers.DeviceID{1}, peers.DeviceID{2}
	inv, err := b.NewInvite(self, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(b.path)
	if err != nil || strings.Contains(string(raw), string(inv.Token[:])) {
		t.Error("the token is on disk")
	}
	if !b.Pending(now) || b.Pending(now.Add(25*time.Hour)) || !b.MayJoin(laptop, now) {
		t.Error("pending")
	}
	redeem := func(token [16]byte, id peers.DeviceID) error {
		_, err := b.Redeem(token, peers.DeviceID{9}, id, func(p *Peer) { p.Name = "new" })
		return err
	}
	if err := redeem([16]byte{1}, laptop); !errors.Is(err, ErrInviteUnknown) {
		t.Error(err)
	}
	if err := redeem(inv.Token, laptop); err != nil {
		t.Fatal(err)
	}
	b = reopen(t, b)
	if p, ok := b.Peer(laptop); !ok || p.Name != "new" || p.Added.IsZero() {
		t.Errorf("joined: %+v", p)
	}
	if err := b.Update(laptop, func(p *Peer) { p.Quota = 5 }); err != nil {
		t.Fatal(err)
	}
	if err := redeem(inv.Token, laptop); err != nil {
		t.Errorf("again: %v", err)
	}
	if p, _ := b.Peer(laptop); p.Quota != 5 {
		t.Error("joining again forgot the quota")
	}
	if err := redeem(inv.Token, bert); !errors.Is(err, ErrInviteUsed) {
		t.Errorf("another device: %v", err)
	}
	if b.Pending(now) || b.MayJoin(bert, now) || !b.MayJoin(laptop, now) {
		t.Error("a used invite is open")
	}
	inv, err = b.NewInvite(self, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Minute)
	if err := redeem(inv.Token, bert); !errors.Is(err, ErrInviteExpired) {
		t.Errorf("expired: %v", err)
	}
	for range maxInvites + 5 {
		_, err = b.NewInvite(self, time.Minute)
	}
	if err == nil {
		t.Error("any number of invites")
	}
}

// A device that was taken out stays out: the invite it came with goes too.
func TestRemovedStaysOut(t *testing.T) {
	b := testBook(t)
	now := time.Now()
	b.now = func() time.Time { return now }
	laptop := peers.DeviceID{1}
	inv, err := b.NewInvite(Invite{Device: peers.DeviceID{7}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	other, err := b.NewInvite(Invite{Device: peers.DeviceID{7}}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Redeem(inv.Token, peers.DeviceID{9}, laptop, func(*Peer) {}); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(laptop); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := b.Redeem(inv.Token, peers.DeviceID{9}, laptop, func(*Peer) {}); !errors.Is(err, ErrInviteUnknown) {
			t.Errorf("its old invite: %v", err)
		}
		b = reopen(t, b)
	}
	if !b.Pending(now) {
		t.Error("somebody else's invite went too")
	}
	// A book from before could hold the used invite of a device that is gone.
	if _, err := b.Redeem(other.Token, peers.DeviceID{9}, laptop, func(*Peer) {}); err != nil {
		t.Fatal(err)
	}
	b.peers = nil
	if _, err := b.Redeem(other.Token, peers.DeviceID{9}, laptop, func(*Peer) {}); !errors.Is(err, ErrInviteUsed) {
		t.Errorf("the used invite of a device that is gone: %v", err)
	}
}

// Joining again has its time too, however long the book keeps the invite.
func TestJoiningAgainExpires(t *testing.T) {
	b := testBook(t)
	now := time.Now()
	b.now = func() time.Time { return now }
	inv, err := b.NewInvite(Invite{Device: peers.DeviceID{7}}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	redeem := func() error {
		_, err := b.Redeem(inv.Token, peers.DeviceID{9}, peers.DeviceID{1}, func(*Peer) {})
		return err
	}
	if err := redeem(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(usedGrace)
	if err := redeem(); err != nil {
		t.Errorf("within the grace: %v", err)
	}
	now = now.Add(2 * time.Minute)
	if err := redeem(); !errors.Is(err, ErrInviteExpired) {
		t.Errorf("after the grace: %v", err)
	}
}

// A circle without room takes nobody in and leaves the invite open.
func TestRedeemIntoAFullCircle(t *testing.T) {
	b := testBook(t)
	for i := range MaxPeers {
		b.peers = append(b.peers, Peer{Device: peers.DeviceID{9, byte(i)}, Name: "x"})
	}
	inv, err := b.NewInvite(Invite{Device: peers.DeviceID{7}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Redeem(inv.Token, peers.DeviceID{9}, peers.DeviceID{1}, func(*Peer) {}); !errors.Is(err, ErrTooManyPeers) {
		t.Error(err)
	}
	if !b.Pending(time.Now()) || b.Has(peers.DeviceID{1}) {
		t.Error("half a join")
	}
}

func TestOnlyOneRedeems(t *testing.T) {
	b := testBook(t)
	inv, err := b.NewInvite(Invite{Device: peers.DeviceID{7}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 8 {
		wg.Go(func() {
			if _, err := b.Redeem(inv.Token, peers.DeviceID{9}, peers.DeviceID{byte(i + 1)}, func(*Peer) {}); err == nil {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d devices used one invite", won)
	}
}

func sample() Invite {
	return Invite{Device: peers.DeviceID{1, 2, 3}, Name: "Häuschen", Addresses: []string{"192.168.1.2:24930", "[2001:db8::1]:24930", "10.0.0.7:1"},
		Token: [16]byte{9, 8, 7}, Expires: time.Unix(time.Now().Add(time.Hour).Unix(), 0)}
}

func equalInvites(a, b Invite) bool {
	return a.Device == b.Device && a.Name == b.Name && a.Token == b.Token && a.Expires.Equal(b.Expires) &&
		strings.Join(a.Addresses, " ") == strings.Join(b.Addresses, " ")
}

func TestCodeSurvivesTheMail(t *testing.T) {
	inv := sample()
	code := inv.Code()
	var wrapped strings.Builder
	for i, c := range code {
		if i%40 == 39 {
			wrapped.WriteString("\r\n> ")
		}
		wrapped.WriteRune(c)
	}
	for name, text := range map[string]string{
		"as it is": code, "upper case": strings.ToUpper(code), "quoted and wrapped": wrapped.String(),
		"in a sentence": "Run preezm join " + code + "\n", "soft hyphens": strings.Join(strings.Split(code, ""), "\u00ad"),
		"zero width": strings.Join(strings.Split(code, ""), "\u200b"), "no dash": strings.Replace(code, "-", " ", 1),
		"groups": strings.Join(strings.SplitAfter(code, "a"), "-"), "quotes": "“" + code + "”.",
	} {
		got, err := ParseInvite(text)
		if err != nil || !equalInvites(got, inv) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCodeDamage(t *testing.T) {
	code := sample().Code()
	for i := len(invitePrefix) + 1; i < len(code); i++ {
		for _, c := range "a7" {
			if byte(c) == code[i] {
				continue
			}
			bad := code[:i] + string(c) + code[i+1:]
			// The last character has bits that mean nothing.
			if got, err := ParseInvite(bad); !errors.Is(err, ErrInviteCode) && !(i == len(code)-1 && equalInvites(got, sample())) {
				t.Fatalf("character %d changed: %v", i, err)
			}
		}
	}
	for _, bad := range []string{"", "preezm1-", "preezm1-aaaa", code[:len(code)-3], code[5:], code + "abcd", strings.Repeat("a", 1<<20), "preezm2-" + code[8:], code + "é"} {
		if _, err := ParseInvite(bad); !errors.Is(err, ErrInviteCode) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	old := sample()
	old.Expires = time.Now().Add(-time.Second)
	if got, err := ParseInvite(old.Code()); !errors.Is(err, ErrInviteExpired) || got.Device != old.Device {
		t.Errorf("expired: %v", err)
	}
}

func FuzzParseInvite(f *testing.F) {
	f.Add(sample().Code())
	f.Add("preezm1-aaaaaaaaaaaaaaaa")
	f.Fuzz(func(t *testing.T, s string) {
		inv, err := ParseInvite(s)
		if err != nil {
			return
		}
		again, err := ParseInvite(inv.Code())
		if err != nil || !equalInvites(inv, again) {
			t.Errorf("%+v: %v", inv, err)
		}
	})
}

// What is inside a code is anybody's too: the check at its end finds damage only.
func FuzzInviteBody(f *testing.F) {
	body, err := inviteBytes(sample().Code())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		inv, err := ParseInvite(invitePrefix + "-" + inviteText().EncodeToString(append(slices.Clone(body), inviteCheck(body)...)))
		if err != nil {
			return
		}
		if again, err := ParseInvite(inv.Code()); err != nil || !equalInvites(inv, again) || len(inv.Servers) > MaxServers {
			t.Errorf("%+v: %v", inv, err)
		}
	})
}

// Where others say that they, or their servers, are found.
func FuzzLearned(f *testing.F) {
	f.Add("203.0.113.1:24930", false)
	f.Add("relay://203.0.113.1:22067/?id=x", true)
	f.Add("https://[2001:db8::1]:8443/?id=x", false)
	f.Fuzz(func(t *testing.T, s string, here bool) {
		for _, a := range slices.Concat(Learned([]string{s, s}, here), LearnedServers([]string{s, s}, here)) {
			host := a
			if u, err := url.Parse(a); err == nil && u.Host != "" {
				host = u.Host
			}
			at, err := netip.ParseAddrPort(host)
			if err != nil || at.Addr().IsUnspecified() || at.Addr().IsMulticast() || !here && at.Addr().Unmap().IsLoopback() {
				t.Errorf("%q would be dialled as %q", s, a)
			}
		}
	})
}

func FuzzBook(f *testing.F) {
	f.Add([]byte(`{"version":1,"peers":[],"invites":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if b, err := decodeBook(raw); err == nil {
			for _, p := range b.Peers {
				if _, err := p.clean(); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
