// SPDX-License-Identifier: MPL-2.0

package netlab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
)

// Lab is one internet. Its places are namespaces with names of this process.
type Lab struct {
	prefix string
	spaces []string
	wires  []*Wire
	tried  bool // whether there is netem, and
	netem  bool // what came of it
}

// Space is a namespace: a machine or a router.
type Space struct {
	lab  *Lab
	Name string
}

// process tells this process's networks from those of others, and from those
// that one which was killed has left: its number may come again.
var process = fmt.Sprintf("%05x", rand.N(1<<20))

// labs counts the labs of this process, and cables those of all of them: while
// it is laid, a cable lies where every lab's does.
var labs, cables atomic.Int32

// Possible says why there can be no lab here, or nil.
func Possible() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is missing (packages iproute2 and nftables)", tool)
		}
	}
	l := New()
	s, err := l.Space("try")
	if err == nil {
		_, err = s.Run("nft", "add", "table", "ip", "try")
	}
	return errors.Join(err, l.Close())
}

// New begins a lab with nothing in it. Close takes it away.
func New() *Lab {
	return &Lab{prefix: fmt.Sprintf("pz%s-%d-", process, labs.Add(1))}
}

// Close removes everything, also what a test left.
func (l *Lab) Close() error {
	var errs []error
	for _, w := range l.wires {
		errs = append(errs, w.Close())
	}
	for _, s := range l.spaces {
		errs = append(errs, run("ip", "netns", "del", s))
	}
	l.spaces, l.wires = nil, nil
	return errors.Join(errs...)
}

func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Space makes a machine with nothing but loopback.
func (l *Lab) Space(name string) (*Space, error) {
	s := &Space{l, l.prefix + name}
	if err := run("ip", "netns", "add", s.Name); err != nil {
		return nil, err
	}
	l.spaces = append(l.spaces, s.Name)
	return s, s.Do("ip link set lo up")
}

// Prefix begins a command that runs in the space.
func (s *Space) Prefix() []string { return []string{"ip", "netns", "exec", s.Name} }

// Run runs one command in the space.
func (s *Space) Run(name string, args ...string) (string, error) {
	out, err := exec.Command("ip", append([]string{"netns", "exec", s.Name, name}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("in %s: %s %s: %w: %s", s.Name, name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// Do runs lines of a shell in the space.
func (s *Space) Do(lines ...string) error {
	_, err := s.Run("sh", "-ec", strings.Join(lines, "\n"))
	return err
}

// Router makes a space that passes packets on.
func (l *Lab) Router(name string) (*Space, error) {
	s, err := l.Space(name)
	if err != nil {
		return nil, err
	}
	return s, s.Do(
		"echo 1 > /proc/sys/net/ipv4/ip_forward",
		"echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
	)
}

// Cable joins two spaces; each end gets an interface of the given name.
func (l *Lab) Cable(a *Space, nameA string, b *Space, nameB string) error {
	n := cables.Add(1)
	x, y := fmt.Sprintf("pza%s-%d", process, n), fmt.Sprintf("pzb%s-%d", process, n)
	return errors.Join(
		run("ip", "link", "add", x, "type", "veth", "peer", "name", y),
		run("ip", "link", "set", x, "netns", a.Name, "name", nameA),
		run("ip", "link", "set", y, "netns", b.Name, "name", nameB),
		a.Do("ip link set "+nameA+" up"), b.Do("ip link set "+nameB+" up"),
	)
}

// Internet makes the public place: every attached space has one address, and
// reaches all others through it.
func (l *Lab) Internet() (*Space, error) {
	s, err := l.Router("inet")
	if err != nil {
		return nil, err
	}
	return s, s.Do("ip addr add 198.51.100.1/32 dev lo")
}

// Attach gives a space a place on the internet, by a cable or by a wire with a
// character of its own.
func (l *Lab) Attach(inet, s *Space, address string, line *Line) error {
	here, there := "wan", "to-"+strings.NewReplacer(".", "", ":", "").Replace(address)
	there = there[:min(len(there), 15)]
	family, gate, bits := "-4", "198.51.100.1", "/32"
	if strings.Contains(address, ":") {
		family, gate, bits = "-6", "2001:db8:ffff::1", "/128"
	}
	var err error
	if line == nil {
		err = l.Cable(s, here, inet, there)
	} else {
		err = l.wire(s, here, inet, there, *line)
	}
	if err != nil {
		return err
	}
	nodad := ""
	if family == "-6" {
		nodad = " nodad"
		// Unlike with IPv4, an interface answers for its own addresses only.
		if err := inet.Do("ip addr add " + gate + bits + " dev " + there + nodad); err != nil {
			return err
		}
	}
	return errors.Join(
		s.Do("ip addr add "+address+bits+" dev "+here+nodad,
			"ip "+family+" route add "+gate+" dev "+here, "ip "+family+" route add default via "+gate+" dev "+here),
		inet.Do("ip "+family+" route add "+address+bits+" dev "+there),
	)
}

// Masquerade has a router hide what is behind it: connections go out, none
// comes in. With flags ("random,fully-random") it shows another port to everybody,
// as symmetric NAT does.
func (s *Space) Masquerade(flags string) error {
	return s.Do("nft -f - <<'END'",
		"table ip nat {",
		" chain post { type nat hook postrouting priority 100; oifname \"wan\" masquerade "+flags+"; }",
		" chain pre { type nat hook prerouting priority -100; }",
		"}",
		"table inet guard {",
		" chain in { type filter hook input priority 0; iifname \"wan\" ct state established,related accept; iifname \"wan\" icmp type echo-request accept; iifname \"wan\" drop; }",
		" chain pass { type filter hook forward priority 0; iifname \"wan\" ct state established,related accept; iifname \"wan\" ct status dnat accept; iifname \"wan\" drop; }",
		"}", "END")
}

// Home makes a local network behind a router: a bridge with the address .1 of
// the net (three numbers, such as 192.168.1).
func (l *Lab) Home(router *Space, net string) error {
	return router.Do("ip link add br0 type bridge", "ip link set br0 up", "ip addr add "+net+".1/24 dev br0")
}

// Plug puts a machine into the local network of a router, as the address .n.
func (l *Lab) Plug(router, s *Space, net string, n int) error {
	port := "p" + strings.TrimPrefix(s.Name, l.prefix)
	port = port[:min(len(port), 15)]
	if err := l.Cable(s, "eth0", router, port); err != nil {
		return err
	}
	return errors.Join(
		router.Do("ip link set "+port+" master br0"),
		s.Do(fmt.Sprintf("ip addr add %s.%d/24 dev eth0", net, n), "ip route add default via "+net+".1"),
	)
}
