// SPDX-License-Identifier: MPL-2.0

package netlab

import (
	"testing"
	"time"

	"github.com/preezm/preezm/peers/rpc"
)

// apart makes two machines behind a router each that meet at a third one's
// relay. flags are those of both routers' masquerading.
func apart(r *rig, flags string, noUDP bool) (server, owner, far *machine, routers [2]*Space) {
	r.t.Helper()
	server = r.server()
	for i, place := range []struct{ name, address, net string }{{"ra", "198.51.100.10", "192.168.1"}, {"rb", "198.51.100.20", "192.168.2"}} {
		s, err := r.Router(place.name)
		r.check(err)
		r.check(r.Attach(r.inet, s, place.address, nil))
		r.check(s.Masquerade(flags))
		r.check(r.Lab.Home(s, place.net))
		if noUDP {
			r.check(s.Do(blockUDP))
		}
		routers[i] = s
	}
	owner = r.home(r.behind(routers[0], "owner", "192.168.1", 2), "owner")
	far = r.home(r.behind(routers[1], "far", "192.168.2", 2), "far")
	r.pair(server, owner)
	r.pair(server, far)
	for _, m := range []*machine{owner, far} {
		r.within(20*time.Second, "waits at the relay", func() bool {
			for _, s := range m.net().Servers {
				if s.Kind == "relay" && s.Works {
					return true
				}
			}
			return false
		})
	}
	r.pair(owner, far)
	return server, owner, far, routers
}

const blockUDP = "nft insert rule inet guard pass meta l4proto udp drop"

// sought says whether a machine's log has it that it looked for a way by UDP and
// found none.
func sought(m *machine) bool {
	m.r.t.Helper()
	var log []rpc.Event
	m.r.check(m.Must(m.r.ctx, &log, "net", "log"))
	for _, e := range log {
		if e.What == "no way by UDP" {
			return true
		}
	}
	return false
}

// TestQUIC has two machines behind routers that let nobody in leave the relay
// for a way that both open at once, while a put goes on. Where UDP stops they are
// back at the relay; without a relay a machine that both know helps them.
func TestQUIC(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	server, owner, far, routers := apart(r, "", false)
	file := r.file("through", amount(50))
	owner.put(file, 1)
	took := r.within(15*time.Second, "through both routers", func() bool { return owner.way(far) == "quic" && far.way(owner) == "quic" })
	t.Logf("from the relay to QUIC: %s after the put", took.Round(time.Millisecond))
	owner.same(file)
	mine := r.file("back", amount(50))
	t.Logf("put of %d MB by QUIC and TCP: %s", amount(50)>>20, far.put(mine, 1).Round(time.Millisecond))
	far.same(mine)
	if !long() {
		return
	}
	r.check(routers[0].Do(blockUDP))
	took = r.within(60*time.Second, "back at the relay", func() bool { return owner.way(far) == "relay" })
	t.Logf("UDP cut: at the relay again after %s", took.Round(time.Millisecond))
	again := r.file("again", amount(20))
	owner.put(again, 1)
	r.check(routers[0].Do("nft flush chain inet guard pass",
		"nft add rule inet guard pass iifname wan ct state established,related accept", "nft add rule inet guard pass iifname wan drop"))
	took = r.within(120*time.Second, "through both routers again", func() bool { return owner.way(far) == "quic" })
	t.Logf("UDP back: QUIC again after %s", took.Round(time.Millisecond))
	r.check(server.Stop(r.ctx))
	r.check(far.Stop(r.ctx))
	r.check(server.Start(r.ctx, "-v", "--relay=off"))
	r.check(far.Start(r.ctx, "-v"))
	took = r.within(60*time.Second, "met by a common machine's help", func() bool { return owner.way(far) == "quic" && far.way(owner) == "quic" })
	t.Logf("without a relay: QUIC after %s", took.Round(time.Millisecond))
	owner.same(again)
}

// TestSymmetric keeps two machines at the relay whose routers show another port
// to everybody, or pass on no UDP; nothing else comes of their trying.
func TestSymmetric(t *testing.T) {
	for name, kind := range map[string]struct {
		flags string
		noUDP bool
	}{"random ports": {"random,fully-random", false}, "no UDP": {"", true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if kind.noUDP {
				onlyLong(t)
			}
			r := newRig(t)
			_, owner, far, _ := apart(r, kind.flags, kind.noUDP)
			r.within(40*time.Second, "tried", func() bool { return sought(owner) || sought(far) })
			file := r.file("slowly", amount(20))
			owner.put(file, 1)
			owner.same(file)
			if owner.way(far) != "relay" || far.way(owner) != "relay" {
				t.Errorf("reached by %s and %s", owner.way(far), far.way(owner))
			}
		})
	}
}

const blockTCP = "nft add rule inet guard in iifname wan tcp dport 24930 drop"

// noTCP has the machine's firewall let in nothing for Preezm but UDP.
func (s *Space) noTCP() error {
	return s.Do("nft add table inet guard", "nft 'add chain inet guard in { type filter hook input priority 0; }'", blockTCP)
}

// TestOnlyUDP has machines of the internet whose firewalls let in nothing but
// UDP be invited and meet by QUIC, whether a node runs at the one that joins or
// only the command.
func TestOnlyUDP(t *testing.T) {
	together(t)
	r := newRig(t)
	a, b, c := r.public("owner", "198.51.100.60", nil), r.public("keeper", "198.51.100.61", nil), r.public("late", "198.51.100.62", nil)
	for _, s := range []*Space{a, b, c} {
		r.check(s.noTCP())
	}
	owner, keeper := r.home(a, "owner"), r.home(b, "keeper")
	r.pair(owner, keeper)
	took := r.within(60*time.Second, "in touch by QUIC", func() bool { return owner.way(keeper) == "quic" && keeper.way(owner) == "quic" })
	t.Logf("TCP blocked: in touch by QUIC %s after the invite", took.Round(time.Millisecond))
	file := r.file("udp", amount(100))
	t.Logf("put of %d MB by QUIC: %s", amount(100)>>20, owner.put(file, 1).Round(time.Millisecond))
	owner.same(file)
	late := r.home(c, "late")
	r.check(late.Stop(r.ctx))
	r.pair(owner, late)
	r.check(late.Start(r.ctx, "-v"))
	r.within(60*time.Second, "in touch by QUIC", func() bool { return owner.way(late) == "quic" && late.way(owner) == "quic" })
}

// TestMappedUDP has a router open its UDP port when asked, so that a machine
// whose router shows another port to everybody, which no knocking gets through,
// comes in by QUIC.
func TestMappedUDP(t *testing.T) {
	together(t)
	r := newRig(t)
	a, b := r.lan("ra", "198.51.100.10", "192.168.1", nil), r.lan("rb", "198.51.100.20", "192.168.2", nil)
	r.check(a.Do("nft flush chain ip nat post", "nft add rule ip nat post oifname wan masquerade random,fully-random"))
	r.natPMP(b, "192.168.2.1", [4]byte{198, 51, 100, 20})
	r.check(b.Do("nft insert rule inet guard pass iifname wan tcp dport 24930 drop"))
	owner, keeper := r.home(r.behind(a, "owner", "192.168.1", 2), "owner"), r.home(r.behind(b, "keeper", "192.168.2", 2), "keeper")
	r.within(20*time.Second, "a UDP port is open", func() bool { return keeper.net().MappedUDP == "198.51.100.20:24930" })
	r.pair(keeper, owner)
	r.within(20*time.Second, "in touch", func() bool { return owner.way(keeper) == "quic" && keeper.way(owner) == "quic" })
	file := r.file("mapped", amount(20))
	owner.put(file, 1)
	owner.same(file)
}
