// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/peers"
)

// maxCode bounds what join reads from standard input, in bytes.
const maxCode = 64 << 10

func (a *app) inviteCommand() *cobra.Command {
	var lasts string
	var wait bool
	cmd := &cobra.Command{
		Use:   "invite",
		Short: "Print a code that lets one machine join your circle",
		Long: `Print a code for one other machine. Send it over a way you trust: whoever has
it can join your circle, once, until it ends. There, 'preezm join' (or the
window) uses it, and both machines then keep for each other.

With --wait it stays until the code was used, and shows four words. When the
other screen shows the same, nobody came between the two of you; when it does
not, answer 'n', and the machine that joined is out again. With --json the code
comes on standard error at once, and the one document when it was used, with the
code and who "joined" by it; nothing is asked.`,
		Example: `  preezm invite --wait
  preezm invite --for 7d`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := parseDays("--for", lasts)
			if err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				about, err := api.About(ctx)
				if err != nil {
					return err
				}
				if wait && !about.Running {
					return usagef("nobody can join before 'preezm serve' runs here; start it, then use --wait")
				}
				inv, err := api.Invite(ctx, node.InviteOptions{For: d})
				if err != nil {
					return err
				}
				switch {
				case a.json && wait:
					a.note("%s", inv.Code) // the result comes when it was used
				case a.json:
					err = a.printJSON(inv)
				default:
					err = a.say("%s", inv.Code)
				}
				if err == nil && !a.json {
					a.note("Good until %s, for one machine. Whoever has the code can use it.", clock(inv.Expires))
				}
				if err == nil && !about.Running {
					a.note("Nobody can join yet: 'preezm serve' must run here for that.")
				}
				if err == nil && wait {
					return a.await(ctx, api, inv)
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it was used, and compare four words")
	cmd.Flags().StringVar(&lasts, "for", "", "how `long` it is good, such as 2h or 7d (default 24h)")
	return cmd
}

// parseDays reads the duration of a flag, which may be in days; empty is 0.
func parseDays(flag, s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, usagef("%s %q is not a time; write it like 2h or 7d", flag, s)
	}
	return d, nil
}

func (a *app) joinCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "join [CODE]",
		Short: "Join a circle with a code you were given",
		Long: `Use a code that 'preezm invite' printed on the other machine, which must be
running. Without one on the command line, where every program on this machine
could read it, it is asked for, or read from standard input. Both machines then
keep for each other. It shows four words: compare them with those on the other
screen ('preezm invite --wait').`,
		Example: `  preezm join
  preezm join < code.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			code := strings.Join(args, " ") // a code may be pasted in pieces
			if code == "-" || code == "" {
				var err error
				if code, err = a.readCode(); err != nil {
					return err
				}
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				m, err := api.Join(ctx, code)
				if err != nil {
					return err
				}
				about, err := api.About(ctx)
				if err != nil {
					return err
				}
				if a.json {
					err = a.printJSON(m)
				} else {
					err = a.say("You and %s (%s) are in one circle now and keep for each other.", printable(m.Name), m.Device.Short())
				}
				if err == nil && !a.json && len(m.Words) > 0 {
					err = errors.Join(a.say("With 'preezm invite --wait' its screen shows the same four words; if it shows others, somebody came between you ('preezm circle remove'):"), a.printWords(m.Words))
				}
				if err == nil && !about.Running {
					a.note("This machine keeps nothing for others before 'preezm serve' runs here.")
				}
				return err
			})
		},
	}
}

func (a *app) circleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "circle",
		Short: "Show the machines of your circle and which of them answer",
		Example: `  preezm circle
  preezm circle remove "old laptop"
  preezm circle roles attic-nas --person anna --house "rue Dupont"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				members, err := api.Circle(ctx, true)
				if err != nil {
					return err
				}
				if a.json {
					if members == nil {
						members = []node.Member{}
					}
					return a.printJSON(members)
				}
				return a.printCircle(members)
			})
		},
	}
	cmd.AddCommand(a.removeMemberCommand(), a.rolesCommand())
	return cmd
}

func (a *app) printCircle(members []node.Member) error {
	if len(members) == 0 {
		return a.say("Nobody is in your circle yet. 'preezm invite' prints a code for a friend.")
	}
	// What nobody said is not shown: a line is to fit a screen.
	show, balance := map[string]bool{}, false
	for _, m := range members {
		show["ROLES"] = show["ROLES"] || roles(m) != "keeper"
		show["PERSON"] = show["PERSON"] || m.Person != ""
		show["HOUSE"] = show["HOUSE"] || m.House != ""
		balance = balance || m.Balance.Gave > 0 || m.Balance.Took > 0
	}
	t := &table{head: []string{"NAME", "DEVICE"}}
	extra := []string{"ROLES", "PERSON", "HOUSE"}
	for _, h := range extra {
		if show[h] {
			t.head = append(t.head, h)
		}
	}
	if balance {
		t.head = append(t.head, ">GAVE", ">TOOK")
	}
	t.head = append(t.head, "ANSWERS", ">KEEPS FOR YOU", ">YOU KEEP", ">ROOM LEFT", "LAST HEARD OF")
	names := map[peers.DeviceID]string{}
	for _, m := range members {
		names[m.Device] = printable(m.Name)
		room := "?"
		if m.Online {
			room = size(m.Free)
		}
		keeps := "-"
		if m.Keeper {
			keeps = size(m.ForMe)
		}
		row := []string{printable(m.Name), m.Device.Short()}
		for i, cell := range []string{roles(m), orDash(m.Person), orDash(m.House)} {
			if show[extra[i]] {
				row = append(row, cell)
			}
		}
		kept := size(m.ForThem)
		if m.SameAs != (peers.DeviceID{}) {
			kept = "-"
		}
		if balance {
			row = append(row, gbDays(m.Balance.Gave), gbDays(m.Balance.Took))
		}
		t.add(append(row, answers(m.Asked, m.Online, m.Latency), keeps, kept, room, clock(m.LastSeen))...)
	}
	if err := t.print(a.out); err != nil {
		return err
	}
	if balance {
		a.note("GAVE and TOOK are gigabytes times days that you kept for them and they for you, by receipts that both signed, with all machines of both.")
	}
	for _, m := range members {
		if first, ok := names[m.SameAs]; ok {
			a.note("%s and %s are one person's: what you keep for both stands in the row of %s.", first, printable(m.Name), first)
		}
		if m.Asked && !m.Online && !m.Why.IsZero() {
			a.note("%s", named(m.Name, m.Why.Text))
		}
		if !m.Balance.Note.IsZero() {
			a.note("No receipt was signed with %s just now: %s", printable(m.Name), oneLine(m.Balance.Note.Text))
		}
	}
	return nil
}

// roles writes what a machine is to this home.
func roles(m node.Member) string {
	var out []string
	if m.Keeper {
		out = append(out, "keeper")
	}
	if m.Custodian {
		out = append(out, "custodian")
	}
	if m.Leaving {
		out = append(out, "leaving")
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, ", ")
}

// gbDays writes gigabytes times days.
func gbDays(x float64) string {
	switch {
	case x == 0:
		return "-"
	case x < 0.01:
		return "<0.01"
	}
	return humanize.CommafWithDigits(x, 2)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return printable(s)
}

// answers writes what a probe found.
func answers(asked, online bool, latency time.Duration) string {
	switch {
	case !asked:
		return "not asked"
	case !online:
		return "no"
	case latency <= 0:
		return "yes"
	case latency < time.Millisecond:
		return "yes, in <1 ms"
	}
	return "yes, in " + took(latency)
}
