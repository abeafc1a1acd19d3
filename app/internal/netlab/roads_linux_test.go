// SPDX-License-Identifier: MPL-2.0

package netlab

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"
)

const (
	serverAddress = "198.51.100.50"
	relayAndMore  = "198.51.100.50:24930"
)

// server is a public machine that runs the relay and the discovery server.
func (r *rig) server() *machine {
	s := r.public("server", serverAddress, nil)
	return r.home(s, "server", "--relay", "--discovery", "--announce", relayAndMore)
}

// TestTwoRouters has two machines, in networks that even use the same
// addresses, meet through a third one's relay, with nothing configured but the
// invites; the third asks both by connections that they opened.
func TestTwoRouters(t *testing.T) {
	r := newRig(t)
	server := r.server()
	a, b := r.lan("ra", "198.51.100.10", "192.168.1", nil), r.lan("rb", "198.51.100.20", "192.168.1", nil)
	owner := r.home(r.behind(a, "owner", "192.168.1", 2), "owner")
	far := r.home(r.behind(b, "far", "192.168.1", 2), "far", "--no-quic")
	near := r.home(r.behind(a, "near", "192.168.1", 3), "near")
	r.pair(server, owner)
	r.pair(server, far)
	r.within(20*time.Second, "owner waits at the relay", func() bool {
		for _, s := range owner.net().Servers {
			if s.Kind == "relay" && s.Works {
				return true
			}
		}
		return false
	})
	r.pair(owner, far)
	r.pair(owner, near)
	took := r.within(20*time.Second, "everybody is in touch", func() bool {
		return owner.way(far) == "relay" && owner.way(near) == "LAN" && owner.way(server) == "direct" && server.way(far) == "direct"
	})
	t.Logf("in touch after %s", took.Round(time.Millisecond))
	file := r.file("photos", amount(100))
	t.Logf("put of %d MB by LAN, relay and internet: %s", amount(100)>>20, owner.put(file, 1).Round(time.Millisecond))
	owner.same(file)
	// The server dialled neither of its two keepers.
	mine := r.file("backup", amount(50))
	t.Logf("put of %d MB to machines that cannot be dialled: %s", amount(50)>>20, server.put(mine, 1).Round(time.Millisecond))
	server.same(mine)
	// A relay is left as soon as there is a better way: the far router
	// forwards a port from now on.
	if long() {
		r.check(b.Do("nft add rule ip nat pre iifname \"wan\" tcp dport 24930 dnat to 192.168.1.2:24930"))
		r.check(far.Stop(r.ctx))
		r.check(far.Start(r.ctx, "-v", "--announce", "198.51.100.20:24930"))
		r.within(20*time.Second, "in touch again", func() bool { return owner.way(far) == "relay" || owner.way(far) == "direct" })
		// Puts go on all the while, and none fails.
		better, puts := make(chan struct{}), make(chan int, 1)
		go func() {
			for n := 0; ; n++ {
				select {
				case <-better:
					puts <- n
					return
				default:
				}
				if res, err := owner.Run(r.ctx, "put", r.file(fmt.Sprintf("during%d", n), 8<<20+n)); err != nil || res.Code != 0 {
					t.Errorf("a put meanwhile: %v %s", err, res.Stderr)
				}
			}
		}()
		took := r.within(90*time.Second, "direct", func() bool { return owner.way(far) == "direct" })
		close(better)
		t.Logf("from the relay to a forwarded port: %s, with %d puts meanwhile", took.Round(time.Millisecond), <-puts)
	}
}

// TestMoves changes addresses, cuts lines and restarts machines of a local
// network, and expects everybody back in touch within five seconds.
func TestMoves(t *testing.T) {
	r := newRig(t)
	a := r.lan("ra", "198.51.100.10", "192.168.1", nil)
	homeA, homeB := r.behind(a, "owner", "192.168.1", 2), r.behind(a, "keeper", "192.168.1", 3)
	owner, keeper := r.home(homeA, "owner"), r.home(homeB, "keeper")
	r.pair(owner, keeper)
	inTouch := func() bool { return owner.way(keeper) == "LAN" && keeper.way(owner) == "LAN" }
	r.within(10*time.Second, "in touch", inTouch)
	soon := 5 * time.Second
	if !long() {
		soon = 20 * time.Second // beside the other tests of a busy machine
	}

	moved := time.Now()
	r.check(homeB.Do("ip addr del 192.168.1.3/24 dev eth0", "ip addr add 192.168.1.77/24 dev eth0", "ip route add default via 192.168.1.1"))
	took := r.within(soon, "in touch at the new address", func() bool {
		return inTouch() && since(owner, keeper, moved) && since(keeper, owner, moved)
	})
	t.Logf("new address: %s", took.Round(time.Millisecond))

	r.check(keeper.Kill())
	r.within(soon, "noticed", func() bool { return owner.way(keeper) == "none" })
	r.check(keeper.Start(r.ctx, "-v"))
	t.Logf("killed and restarted: %s", r.within(soon, "in touch again", inTouch).Round(time.Millisecond))

	// A put goes on over a line that is cut twice, and to another address.
	r.check(homeA.Do("tc qdisc add dev eth0 root tbf rate 20mbit burst 64kb latency 100ms"))
	file := r.file("video", amount(100))
	cuts := make(chan error, 1)
	go func() {
		var err error
		for range 2 {
			time.Sleep(time.Second)
			if err = homeB.Do("ip link set eth0 down"); err == nil {
				time.Sleep(2 * time.Second)
				err = homeB.Do("ip link set eth0 up", "ip route add default via 192.168.1.1")
			}
			if err != nil {
				break
			}
		}
		if err == nil {
			time.Sleep(time.Second)
			err = homeB.Do("ip addr del 192.168.1.77/24 dev eth0", "ip addr add 192.168.1.78/24 dev eth0", "ip route add default via 192.168.1.1")
		}
		cuts <- err
	}()
	t.Logf("put of %d MB over two cuts and a new address: %s", amount(100)>>20, owner.put(file, 20).Round(time.Millisecond))
	r.check(<-cuts)
	t.Logf("link up: %s", r.within(soon, "in touch after the cuts", inTouch).Round(time.Millisecond))
	owner.same(file)
}

// since says whether m's connection to another machine is younger than a moment.
func since(m, to *machine, at time.Time) bool {
	for _, p := range m.net().Peers {
		if p.Name == to.name {
			return p.Online && p.Since.After(at)
		}
	}
	return false
}

// TestOnlyIPv6 puts and gets between machines that have nothing but IPv6.
func TestOnlyIPv6(t *testing.T) {
	r := newRig(t)
	owner := r.home(r.public("owner", "2001:db8:1::2", nil), "owner")
	keeper := r.home(r.public("keeper", "2001:db8:2::2", nil), "keeper")
	r.pair(owner, keeper)
	r.within(10*time.Second, "in touch", func() bool { return owner.way(keeper) == "direct" })
	file := r.file("six", amount(100))
	t.Logf("put of %d MB: %s", amount(100)>>20, owner.put(file, 1).Round(time.Millisecond))
	owner.same(file)
}

// shaped measures a put over a line of the owner's, as a share of its rate.
func shaped(t *testing.T, line Line, size int) (share float64) {
	r := newRig(t)
	owner := r.home(r.public("owner", "198.51.100.60", &line), "owner")
	if !r.Netem(r.inet) {
		t.Log("this kernel has no netem: the test itself makes the line slow, far and lossy")
	}
	k := r.home(r.public("k1", "198.51.100.61", nil), "k1")
	r.pair(owner, k)
	r.within(20*time.Second, "in touch", func() bool { return owner.way(k) == "direct" })
	file := r.file("data", size)
	took := owner.put(file, 1)
	share = float64(size) * 8 / took.Seconds() / float64(line.Rate)
	t.Logf("put of %.1f MB over %d kbit/s, %s each way, %.0f %% loss: %s, %.0f %% of the line", float64(size)/1e6, line.Rate/1000, line.Delay,
		line.Loss*100, took.Round(time.Millisecond), share*100)
	owner.same(file)
	return share
}

// TestNetem has lines written as tc wants them.
func TestNetem(t *testing.T) {
	for want, line := range map[string]Line{
		"limit 266 delay 40000us rate 20000000bit":         {Rate: 20_000_000, Delay: 40 * time.Millisecond, Queue: 200},
		"limit 141 delay 10000us loss 2% rate 50000000bit": {Rate: 50_000_000, Delay: 10 * time.Millisecond, Loss: 0.02},
		"limit 100000 delay 100000us":                      {Delay: 100 * time.Millisecond},
	} {
		if got := line.netem(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestShaped uses a line of 20 Mbit/s and 80 ms: at least 85 % of it.
func TestShaped(t *testing.T) {
	t.Parallel()
	// A short put beside other tests measures those.
	size, least := 20<<20, 0.
	if long() {
		size, least = 100<<20, 0.85
	}
	// The queue of a home router: some more than the line holds.
	if share := shaped(t, Line{Rate: 20_000_000, Delay: 40 * time.Millisecond, Queue: 200}, size); share < least {
		t.Errorf("%.0f %% of the line", share*100)
	}
}

// TestSlow completes over 1 Mbit/s and 200 ms.
func TestSlow(t *testing.T) {
	t.Parallel()
	size := 512 << 10
	if long() {
		size = 4 << 20
	}
	if longest() {
		size = 100 << 20
	}
	shaped(t, Line{Rate: 1_000_000, Delay: 100 * time.Millisecond, Queue: 60}, size)
}

// TestLossy completes while packets get lost.
func TestLossy(t *testing.T) {
	t.Parallel()
	shaped(t, Line{Rate: 50_000_000, Delay: 10 * time.Millisecond, Loss: 0.02}, amount(100))
}

// natPMP plays a router that opens ports when it is asked by NAT-PMP.
func (r *rig) natPMP(router *Space, gateway string, public [4]byte) {
	r.t.Helper()
	c, err := router.ListenUDP(gateway + ":5351")
	r.check(err)
	done := make(chan struct{})
	r.t.Cleanup(func() {
		c.Close()
		<-done
	})
	go func() {
		defer close(done)
		buf := make([]byte, 64)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			var answer []byte
			switch {
			case n == 2 && buf[1] == 0:
				answer = append([]byte{0, 128, 0, 0, 0, 0, 0, 1}, public[:]...)
			case n == 12 && (buf[1] == 1 || buf[1] == 2):
				network, port := map[byte]string{1: "udp", 2: "tcp"}[buf[1]], binary.BigEndian.Uint16(buf[4:])
				rule := fmt.Sprintf("nft add rule ip nat pre iifname wan %s dport %d dnat to %s:%d", network, port, from.Addr().Unmap(), port)
				if err := router.Do(rule); err != nil {
					r.t.Error(err)
				}
				answer = append([]byte{0, 128 + buf[1], 0, 0, 0, 0, 0, 1}, buf[4], buf[5], buf[4], buf[5])
				answer = append(answer, buf[8:12]...)
			default:
				continue
			}
			if _, err := c.WriteToUDPAddrPort(answer, from); err != nil {
				return
			}
		}
	}()
}

// TestMapping has a router open a port, so that a machine behind another router
// gets in without a relay.
func TestMapping(t *testing.T) {
	r := newRig(t)
	a, b := r.lan("ra", "198.51.100.10", "192.168.1", nil), r.lan("rb", "198.51.100.20", "192.168.2", nil)
	r.natPMP(b, "192.168.2.1", [4]byte{198, 51, 100, 20})
	owner, keeper := r.home(r.behind(a, "owner", "192.168.1", 2), "owner"), r.home(r.behind(b, "keeper", "192.168.2", 2), "keeper")
	r.within(20*time.Second, "a port is open", func() bool { return keeper.net().Mapped == "198.51.100.20:24930" })
	r.pair(keeper, owner)
	r.within(10*time.Second, "in touch", func() bool { return owner.way(keeper) == "mapped" })
	file := r.file("mapped", amount(20))
	owner.put(file, 1)
	owner.same(file)
	// And the other way, by connections that the owner opens.
	other := r.file("other", amount(20))
	keeper.put(other, 1)
	keeper.same(other)
}
