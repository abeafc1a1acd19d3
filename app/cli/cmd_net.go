// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/peers/rpc"
)

func (a *app) netCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "net",
		Short: "Show how each machine is reached, and what to do where it is not",
		Long: `Show how this machine reaches each machine of the circle: directly on the local
network or over the internet, through a port that its router opened, by UDP
(QUIC) where TCP does not get through, or by a relay; how long an answer takes,
and how much went to it and came from it in the last ten seconds. Where a machine
is not reached it says what stands in the way and what to do.`,
		Example: `  preezm net
  preezm net log
  preezm net use 'relay://host:22067/?id=...'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				r, err := api.Net(ctx)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				return a.printNet(r)
			})
		},
	}
	cmd.AddCommand(a.netLogCommand(), a.netUseCommand(false), a.netUseCommand(true))
	return cmd
}

func (a *app) printNet(r *node.NetReport) error {
	if len(r.Peers) == 0 {
		if err := a.say("Nobody is in your circle yet. 'preezm invite' prints a code for a friend."); err != nil {
			return err
		}
	} else if err := a.printWays(r.Peers); err != nil {
		return err
	}
	for _, text := range r.Advice {
		if err := a.say("%s.", oneLine(text.Text)); err != nil {
			return err
		}
	}
	if len(r.Addresses) > 0 {
		if err := a.say("Others are told to find this machine at %s.", printable(strings.Join(shortAddresses(r.Addresses), ", "))); err != nil {
			return err
		}
	}
	if text := mapped(r); text != "" {
		if err := a.say("Its router lets them in at %s.", text); err != nil {
			return err
		}
	}
	if len(r.Outer) > 0 {
		if err := a.say("They see its UDP packets come from %s.", printable(strings.Join(r.Outer, ", "))); err != nil {
			return err
		}
	}
	for _, s := range r.Servers {
		state := "works"
		if !s.Works {
			state = a.paint(red, "does not work") + ": " + oneLine(s.Why.Text)
		}
		whose := ""
		if s.Own {
			whose = ", run by this machine,"
		}
		if err := a.say("The %s server %s%s %s.", s.Kind, printable(s.Address), whose, state); err != nil {
			return err
		}
	}
	for _, o := range r.Offered {
		if err := a.say("%s runs a %s server at %s. To use it: preezm net use %s", printable(o.By), o.Kind, printable(o.Address), quoted(o.By)); err != nil {
			return err
		}
	}
	return nil
}

// printWays says how each machine is reached, and what to do where it is not.
func (a *app) printWays(peers []node.NetPeer) error {
	t := &table{head: []string{"NAME", "DEVICE", "REACHED", ">ANSWERS IN", ">TO IT", ">FROM IT", "IN TOUCH"}}
	for _, p := range peers {
		t.add(printable(p.Name), p.Device.Short(), a.how(p), latency(p), perSecond(p.OutRate), perSecond(p.InRate), touch(p))
	}
	if err := t.print(a.out); err != nil {
		return err
	}
	for _, p := range peers {
		if !p.Blocked.IsZero() {
			if err := a.say("%s: %s. %s.", printable(p.Name), p.Blocked, p.Advice); err != nil {
				return err
			}
		}
	}
	return nil
}

// mapped says where the router lets others in.
func mapped(r *node.NetReport) string {
	tcp, udp := printable(r.Mapped), printable(r.MappedUDP)
	switch {
	case tcp == "":
		return ""
	case udp == "":
		return tcp + " (TCP)"
	case tcp == udp:
		return tcp + " (TCP and UDP)"
	}
	return tcp + " (TCP) and " + udp + " (UDP)"
}

// how writes the way to a machine.
func (a *app) how(p node.NetPeer) string {
	if !p.Online {
		return a.paint(red, "not")
	}
	words := map[string]string{
		"this machine": "on this machine", "LAN": "local network", "direct": "internet, directly",
		"mapped": "internet, through its router's open port", "quic": "internet, directly, by UDP (QUIC)", "relay": "relay",
	}
	text := words[p.How]
	if p.How == "relay" {
		return a.paint(yellow, text)
	}
	return a.paint(green, text)
}

func latency(p node.NetPeer) string {
	switch {
	case !p.Online || p.Latency == 0:
		return "-"
	case p.Latency < time.Millisecond:
		return "<1 ms"
	}
	return took(p.Latency)
}

func perSecond(bytes int64) string {
	if bytes < 1000 {
		return "-"
	}
	return size(bytes) + "/s"
}

func touch(p node.NetPeer) string {
	switch {
	case p.Online:
		return "since " + clock(p.Since)
	case p.Met.IsZero():
		return "never"
	}
	return "last " + clock(p.Met)
}

// quoted writes a name as a shell takes it for one argument.
func quoted(name string) string {
	name = printable(name)
	if !strings.ContainsAny(name, " '\"$`\\&;()<>|*?#!~") {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// shortAddresses leaves the long IDs out of relays' addresses.
func shortAddresses(all []string) []string {
	var out []string
	for _, s := range all {
		if rest, ok := strings.CutPrefix(s, "relay://"); ok {
			host, _, _ := strings.Cut(rest, "/")
			s = "relay " + host
		}
		out = append(out, s)
	}
	return out
}

func (a *app) netLogCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "log",
		Short: "Print what happened to connections, for a bug report",
		Long: `Print what happened to connections since 'preezm serve' began. It holds no name,
no address and no device ID: machines are numbered, addresses are only of a
kind. So it can be sent along with a bug report.`,
		Example: `  preezm net log > connections.txt`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				events, err := api.NetLog(ctx)
				if err != nil {
					return err
				}
				if a.json {
					if events == nil {
						events = []rpc.Event{}
					}
					return a.printJSON(events)
				}
				if len(events) == 0 {
					a.note("Nothing happened yet; 'preezm serve' must run here.")
					return nil
				}
				t := &table{head: []string{"TIME (UTC)", "MACHINE", "WHAT", "HOW", "NOTE", ">AFTER"}}
				for _, e := range events {
					who, after := "this", "-"
					if e.Peer > 0 {
						who = "no. " + humanize.Comma(int64(e.Peer))
					}
					if e.Took != 0 {
						after = e.Took.Round(time.Millisecond).String()
					}
					t.add(e.At.Format("2006-01-02 15:04:05.000"), who, e.What, orDash(e.How), orDash(e.Note), after)
				}
				return t.print(a.out)
			})
		},
	}
}

func (a *app) netUseCommand(drop bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "use [ADDRESS]",
		Short: "Use a relay or a discovery server, or list those in use",
		Long: `Use a relay (relay://HOST:PORT/?id=ID&token=TOKEN) or a discovery server
(https://HOST:PORT/?id=ID), or those that a machine of your circle offers, by its
name. Any of Syncthing's servers will do; none is used unless it is named here or
in an invite that you took, or this machine runs it. A relay learns who talks
with whom and how much, a discovery server whom you look for, and nothing of
what.`,
		Example: `  preezm net use
  preezm net use "attic PC"
  preezm net use 'relay://203.0.113.7:22067/?id=...&token=...'`,
	}
	if drop {
		cmd.Use, cmd.Short, cmd.Long = "drop ADDRESS", "Use a relay or a discovery server no longer", ""
		cmd.Example = "  preezm net drop 203.0.113.7:22067"
	}
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 1 || drop && len(args) == 0 {
			return usagef("name one server")
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o := node.ServerOrder{Drop: drop}
		if len(args) > 0 {
			o.Address = args[0]
		}
		return a.with(cmd, func(ctx context.Context, api node.API) error {
			servers, err := api.UseServer(ctx, o)
			if err != nil {
				return err
			}
			if a.json {
				if servers == nil {
					servers = []string{}
				}
				return a.printJSON(servers)
			}
			if len(servers) == 0 {
				return a.say("This home uses no relay and no discovery server of its own choice.")
			}
			for _, s := range servers {
				if err := a.say("%s", printable(s)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return cmd
}
