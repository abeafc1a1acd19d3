// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/transport"
)

// pairedLook is how often Paired looks whether an invite was used.
const pairedLook = 200 * time.Millisecond

// NetOptions are what Options say about the network. What is not nil replaces
// what home.json says, for good.
type NetOptions struct {
	Relay     *string  // host:port of a relay to run, empty: none
	Discovery *string  // host:port of a discovery server to run, empty: none
	Announce  []string // addresses to tell others, such as a forwarded port's
	NoMapping *bool    // do not ask the router for a port
	NoQUIC    *bool    // reach nobody by UDP
}

func (o NetOptions) apply(s *Settings) {
	if o.Relay != nil {
		s.Relay = *o.Relay
	}
	if o.Discovery != nil {
		s.Discovery = *o.Discovery
	}
	if o.Announce != nil {
		s.Announce = slices.DeleteFunc(slices.Clone(o.Announce), func(a string) bool { return a == "" })
	}
	if o.NoMapping != nil {
		s.NoMapping = *o.NoMapping
	}
	if o.NoQUIC != nil {
		s.NoQUIC = *o.NoQUIC
	}
}

// checkNet checks the settings about the network.
func (s *Settings) checkNet() error {
	if len(s.Announce) > maxAnnounce {
		return fmt.Errorf("more than %d addresses to announce", maxAnnounce)
	}
	if len(circle.CleanAddresses(s.Announce)) != len(s.Announce) {
		return fmt.Errorf("%s: an address to announce is host:port", strings.Join(s.Announce, " "))
	}
	return errors.Join(checkServerListen(s.Relay), checkServerListen(s.Discovery), checkServers(s.Servers))
}

// network fills in what the network service is told of relays and the like.
func (n *Node) configureNet(o Options, cfg *rpc.Config) error {
	if o.Role != RoleCommand {
		if err := n.prepareServers(); err != nil {
			return err
		}
		cfg.Offers, cfg.Ports = n.offers, n.serverPorts()
	}
	cfg.Servers, cfg.Announce = n.usedServers, n.settings.Announce
	cfg.Mapping = !n.settings.NoMapping && !o.NoDiscovery
	cfg.QUIC = !n.settings.NoQUIC
	return nil
}

// usedServers are those of the settings.
func (n *Node) usedServers() []string {
	n.boundMu.Lock()
	defer n.boundMu.Unlock()
	return slices.Clone(n.settings.Servers)
}

// useServers puts servers into the settings, as far as there is room.
func (n *Node) useServers(servers []string) error {
	n.boundMu.Lock()
	defer n.boundMu.Unlock()
	next := n.settings
	next.Servers = slices.Clone(next.Servers)
	for _, s := range servers {
		if !slices.Contains(next.Servers, s) && len(next.Servers) < circle.MaxServers {
			next.Servers = append(next.Servers, s)
		}
	}
	if slices.Equal(next.Servers, n.settings.Servers) {
		return nil
	}
	if err := next.write(n.home); err != nil {
		return err
	}
	n.settings.Servers = next.Servers
	return nil
}

// UseServer begins to use a relay or a discovery server, or ends it.
func (n *Node) UseServer(_ context.Context, o ServerOrder) ([]string, error) {
	if o.Address == "" {
		return n.usedServers(), nil
	}
	if !o.Drop {
		if p, err := n.named(o.Address); err == nil {
			if len(p.Servers) == 0 {
				return nil, said.Error("runs-no-server", "{name} runs no relay and no discovery server", "name", p.Name)
			}
			err := n.useServers(p.Servers)
			return n.usedServers(), err
		}
		if err := circle.CheckServer(o.Address); err != nil {
			return nil, err
		}
		if have := n.usedServers(); len(have) >= circle.MaxServers && !slices.Contains(have, o.Address) {
			return nil, said.Error("servers-many", "{most} servers are in use already; 'preezm net drop' one first", "most", strconv.Itoa(circle.MaxServers))
		}
		err := n.useServers([]string{o.Address})
		return n.usedServers(), err
	}
	n.boundMu.Lock()
	defer n.boundMu.Unlock()
	next := n.settings
	next.Servers = slices.DeleteFunc(slices.Clone(next.Servers), func(s string) bool { return s == o.Address || hostOf(s) == o.Address })
	if len(next.Servers) == len(n.settings.Servers) {
		return nil, said.Error("server-not-used", "{address} is not among the servers of this home's settings", "address", o.Address)
	}
	if err := next.write(n.home); err != nil {
		return nil, err
	}
	n.settings.Servers = next.Servers
	return slices.Clone(next.Servers), nil
}

// hostOf is a server's host:port.
func hostOf(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return ""
	}
	return u.Host
}

// Paired waits until an invite was used.
func (n *Node) Paired(ctx context.Context, o PairedOrder) (Paired, error) {
	tick := time.NewTicker(pairedLook)
	defer tick.Stop()
	for {
		u, ok, err := n.book.UsedInvite(o.ID)
		if err != nil {
			return Paired{}, err
		}
		if ok {
			return Paired{Device: u.Device, Name: u.Name, Words: words(u.Words)}, nil
		}
		select {
		case <-ctx.Done():
			return Paired{}, ctx.Err()
		case <-tick.C:
		}
	}
}

// words are a pairing's, by language.
func words(p circle.Pairing) map[string][]string {
	return map[string][]string{"en": p.In("en"), "fr": p.In("fr")}
}

// Dismiss takes a machine out of the circle.
func (n *Node) Dismiss(_ context.Context, device peers.DeviceID) (Paired, error) {
	p, ok := n.book.Peer(device)
	if !ok {
		return Paired{}, fmt.Errorf("%s %w", device.Short(), circle.ErrUnknownPeer)
	}
	return Paired{Device: device, Name: p.Name}, n.net.Remove(device)
}

// NetLog is what happened to connections.
func (n *Node) NetLog(context.Context) ([]rpc.Event, error) { return n.net.Journal(), nil }

// Net says how each machine is reached.
func (n *Node) Net(context.Context) (*NetReport, error) {
	r := n.net.Report()
	out := &NetReport{Addresses: n.addresses(), Mapped: r.Mapped, MappedUDP: r.MappedUDP, QUIC: r.QUIC, Outer: r.Outer, Servers: []NetServer{}, Peers: []NetPeer{}}
	select {
	case <-n.ready:
		out.Running = true
	default:
	}
	relays := 0
	for _, s := range r.Servers {
		one := NetServer{Kind: "discovery", Address: hostOf(s.Address), Own: s.Own, Works: s.Class == ""}
		if s.Relay {
			one.Kind = "relay"
			if one.Works {
				relays++
			}
		}
		one.Why = whyNoServer(s.Class)
		out.Servers = append(out.Servers, one)
	}
	for _, o := range r.Offered {
		kind := "discovery"
		if circle.IsRelay(o.Address) {
			kind = "relay"
		}
		out.Offered = append(out.Offered, NetOffer{n.nameOf(o.By), kind, hostOf(o.Address)})
	}
	for _, p := range r.Peers {
		one := netPeer(p, relays > 0, r.QUIC)
		if !out.Running {
			one.Blocked, one.Advice = said.Note{}, said.Note{} // what this home lacks is said once
		}
		out.Peers = append(out.Peers, one)
	}
	out.Advice = adviceHere(out, r)
	return out, nil
}

func netPeer(p rpc.PeerReport, relays, quic bool) NetPeer {
	out := NetPeer{
		Device: p.Device, Name: p.Name, Online: p.Online, How: p.Route.String(), Address: p.Address, Dialled: p.Dialled,
		Since: p.Since, Met: p.Met, Latency: p.Latency, In: p.In, Out: p.Out, InRate: p.InRate, OutRate: p.OutRate,
	}
	if p.Mapped && p.Route == transport.Direct {
		out.How = "mapped"
	}
	classes := make(map[string]bool)
	for _, t := range p.Tried {
		out.Tried = append(out.Tried, NetTried{t.Address, t.At, t.Class})
		if transport.RouteOf(t.Address) != transport.Relayed {
			classes[t.Class] = true
		}
	}
	switch {
	case !p.Online:
		out.Blocked, out.Advice = whyAway(p, classes, relays)
	case p.Route == transport.Relayed:
		out.Blocked = said.As("relayed", "only the relay connects you: the routers between you let neither machine in, by TCP or by UDP")
		if !quic {
			out.Blocked = said.As("relayed-tcp", "only the relay connects you: the routers between you let neither machine in by TCP, and UDP is turned off here")
		}
		out.Advice = said.As("relayed-advice", "Everything works, more slowly. For a direct way turn on UPnP in one of the two routers. "+
			"Or forward the port of the machine behind it (24930 as a rule) by hand, TCP and UDP, and start 'preezm serve --announce HOST:PORT' there, HOST being the router's address on the internet")
	}
	return out
}

// whyAway says in plain words what stands in the way to a machine, and what
// somebody can do about it.
func whyAway(p rpc.PeerReport, classes map[string]bool, relays bool) (blocked, advice said.Note) {
	switch {
	case classes["not admitted"]:
		return said.As("away-unknown", "it answers and does not know this machine any more"), said.As("away-unknown-advice", "Ask its owner for a new invite")
	case classes["busy"]:
		return said.As("away-busy", "it answers and has too much to do"), said.As("wait-advice", "Wait a moment")
	case len(p.Addresses) == 0 && len(p.Tried) == 0:
		return said.As("away-nowhere", "nobody knows where it is"), said.As("away-nowhere-advice", "Start 'preezm serve' there: it then tells. If that does not help, one of you needs a router that opens a port, or a relay")
	case classes["another device"]:
		return said.As("away-other", "another device answers at its address"), said.As("away-other-advice", "Start 'preezm serve' there: it then tells its new address")
	case classes["refused"]:
		return said.As("away-stopped", "its machine is on, and Preezm does not run there"), said.As("away-stopped-advice", "Start 'preezm serve' there")
	case classes["name not found"]:
		return said.As("name-unknown", "the name of its address is not found"), said.As("name-unknown-advice", "Check the name, and that this machine is on the internet")
	case classes["no route"] && !classes["silence"]:
		return said.As("away-no-route", "this machine has no network that leads there"), said.As("away-no-route-advice", "Check cable, Wi-Fi or VPN here")
	case len(p.Tried) == 0:
		return said.As("away-untried", "it was not tried yet"), said.As("away-untried-advice", "Wait a moment")
	case relays:
		return said.As("away-relay", "its addresses do not answer, and it does not wait at your relay"), said.As("away-relay-advice", "Most likely it is off or has no internet. If not, start 'preezm serve' there")
	}
	return said.As("away-silent", "its addresses do not answer: it is off, or a router or firewall is in the way"),
		said.As("away-silent-advice", "If it is on, let its firewall and router pass its port (24930 as a rule), TCP and UDP. Or have a machine that you both reach run 'preezm serve --relay --discovery'")
}

// whyNoServer says in plain words why a relay or a discovery server does not
// work.
func whyNoServer(class string) said.Note {
	switch class {
	case "":
		return said.Note{}
	case "refused":
		return said.As("server-stopped", "its machine is on, and the server does not run there")
	case "silence", "no route":
		return said.As("server-silent", "nobody answers at its address")
	case "name not found":
		return said.As("server-name", "the name of its address is not found")
	case "another device":
		return said.As("server-other", "another server answers there, with another ID")
	case "relay refuses":
		return said.As("server-refuses", "it does not take this machine; is the token in its address right?")
	case "closed there":
		return said.As("server-closed", "it closed the connection; it is tried again")
	}
	return said.As("server-trouble", "it cannot be used now ({class})", "class", class)
}

// adviceHere is about this machine as a whole.
func adviceHere(out *NetReport, r rpc.Report) []said.Note {
	var a []said.Note
	if !out.Running {
		return append(a, said.As("no-node-advice", "No node runs for this home, so nobody can reach it: start 'preezm serve'"))
	}
	public := r.Mapped != ""
	for _, addr := range r.Own {
		public = public || transport.RouteOf(addr) >= transport.Direct
	}
	if !public && len(out.Peers) > 0 {
		a = append(a, said.As("no-way-in", "Machines outside this network cannot call this one: it has no address on the internet, its router opened no port, and it uses no relay. "+
			"Those that it can call itself are reached all the same. To change that, turn on UPnP in the router"))
	}
	return a
}
