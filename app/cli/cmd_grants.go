// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/engine/ticket"
)

// maxCard bounds what is read as a brand's card, in bytes.
const maxCard = 64 << 10

func (a *app) grantCommand() *cobra.Command {
	var o node.GrantOrder
	var lasts, from, silence, out string
	var pin bool
	cmd := &cobra.Command{
		Use:   "grant BRAND FILE...",
		Short: "Let a company open files until a date",
		Long: `Let a company open files for a time, and print the ticket to send it: one line
of text, of no use to anybody else. BRAND is its card (the text, or a file that
holds it) or, once it is known here, its name. Nobody needs to be online.

After the end it can no longer open the files here. If it opened one before, it
may have kept a copy: nothing prevents that, but you will see each opening.`,
		Example: `  preezm grant acme.card Contracts/lease.pdf --for 30d --via "study desktop"
  preezm grant ACME id-card.jpg --for 2h --opens 1 -o acme.ticket`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("to whom, and which files? Give a brand and at least one name")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if pin && o.Follow {
				return usagef("--pin and --follow are opposites; choose one")
			}
			span, err := parseSpan(lasts)
			if err != nil {
				return err
			}
			if silence != "" {
				if o.StatusMaxAge, err = parseDuration("--status-max-age", silence); err != nil {
					return err
				}
				if o.StatusMaxAge < grants.MinStatusAge {
					return usagef("--status-max-age %s is too short to be kept up; at least %s", silence, took(grants.MinStatusAge))
				}
			}
			if o.Brand, err = cardText(args[0]); err != nil {
				return err
			}
			if o.Names, err = catalogPaths(args[1:]); err != nil {
				return err
			}
			begin := time.Now()
			if from != "" {
				if begin, err = parseTime(from); err != nil {
					return err
				}
				o.From = begin
			}
			o.Until = begin.Add(span)
			if err := mayWrite(out); err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				a.notice("This grant will say:", custody.Notice)
				g, err := api.Grant(ctx, o)
				if err != nil {
					return err
				}
				return a.printGranted(g, out)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&lasts, "for", "", "how `long`, to the second: such as 20s, 2h, 30d (needed)")
	f.StringVar(&from, "from", "", "from which `time` on, such as 2027-01-31 or 2027-01-31T09:00 (default: now)")
	f.StringVar(&o.Purpose, "purpose", "", "what for, in a `few words`; the company must state the same")
	f.Uint32Var(&o.Opens, "opens", 0, "how `many` times each file may be opened (default: no limit)")
	f.StringVar(&silence, "status-max-age", "", "close it while your custodians have heard nothing of your running node for so `long`, such as 24h")
	f.BoolVar(&o.Follow, "follow", false, "let 'preezm refresh' replace the files by newer versions later")
	f.BoolVar(&pin, "pin", false, "only these versions, for ever (the default)")
	f.StringArrayVar(&o.Via, "via", nil, "`machine` of your circle that the company may see (default: as for your last grant)")
	f.StringVarP(&out, "output", "o", "", "write the ticket to this `file`, which must not exist")
	return cmd
}

func (a *app) printGranted(g *node.Granted, out string) error {
	if out != "" {
		if err := writeNew(out, []byte(g.Ticket+"\n")); err != nil {
			return fmt.Errorf("the grant %s is made, but its ticket could not be written; 'preezm grants ticket %s' gives it: %w", g.ID, g.ID, err)
		}
	}
	if a.json {
		return a.printJSON(g)
	}
	if out == "" {
		if err := a.say("%s", g.Ticket); err != nil {
			return err
		}
	}
	brand := printable(g.Brand)
	a.note("%s: %s may open %s from %s until %s.", g.ID, brand, count(int64(len(g.Files)), "file", "files"), second(g.NotBefore), second(g.NotAfter))
	a.note("Its key is %s: compare it with what %s publishes.", g.BrandKey, brand)
	a.note("%d of %d custodians must agree each time. Of your circle %s sees only %s.", g.Need, g.Custodians, brand, printable(strings.Join(g.Via, ", ")))
	a.note("'preezm grants' shows each opening.")
	return nil
}

// notice shows what a grant says of itself, in all its languages.
func (a *app) notice(head, text string) {
	if a.json {
		return // it is in the document
	}
	a.note("%s", head)
	for line := range strings.Lines(text) {
		a.note("  %s", oneLine(strings.TrimSpace(line)))
	}
}

// second writes a time in the reader's zone, to the second.
func second(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// cardText reads a card from a file when the argument names one.
func cardText(arg string) (string, error) {
	f, err := os.Open(arg)
	if err != nil {
		return arg, nil // a name, or the card itself
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCard))
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(b)), nil
}

// parseSpan reads how long a grant lasts.
func parseSpan(s string) (time.Duration, error) {
	if s == "" {
		return 0, usagef("for how long? Say it with --for, such as --for 30d")
	}
	return parseDuration("--for", s)
}

// parseDuration reads a time of at least a second, also in days.
func parseDuration(flag, s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 12); err == nil && n > 0 && n <= 3660 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Second || d > 3660*24*time.Hour {
		return 0, usagef("%s %q is not a time; write it like 20s, 2h or 30d, at most 3660d", flag, s)
	}
	return d, nil
}

func parseTime(s string) (time.Time, error) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(form, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("%q is not a time; write it like 2027-01-31 or 2027-01-31T09:00", s)
}

func (a *app) grantsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "grants",
		Short: "Show what you granted, and each opening",
		Long: `Show your grants: who may open what, until when, and what was opened, as your
custodians have written it down. 'preezm grants received' is the other side:
what this home, as a company, was granted.`,
		Example: `  preezm grants
  preezm grants received`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				l, err := api.Grants(ctx)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(l)
				}
				if len(l.Grants) == 0 {
					return a.say("You have granted nothing.")
				}
				for i := range l.Grants {
					if err := a.printGrant(&l.Grants[i]); err != nil {
						return err
					}
				}
				for _, n := range l.Notes {
					a.note("note: %s", oneLine(n.Text))
				}
				return nil
			})
		},
	}
	cmd.AddCommand(a.receivedCommand(), a.ticketCommand())
	return cmd
}

func (a *app) ticketCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:     "ticket GRANT",
		Short:   "Give a grant's newest ticket again",
		Long:    `Print the newest ticket of a grant, or write it to a file, to send it again.`,
		Example: `  preezm grants ticket g-1a2b3c4d -o acme.ticket`,
		Args:    oneGrant,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				l, err := api.Grants(ctx)
				if err != nil {
					return err
				}
				g, err := oneOf(l.Grants, args[0])
				if err != nil {
					return err
				}
				return a.giveTicket(g, out)
			})
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "write it to this `file`, which must not exist")
	return cmd
}

// oneOf finds a grant by its name or the beginning of it.
func oneOf(all []grants.Info, id string) (*grants.Info, error) {
	want := "g-" + strings.TrimPrefix(strings.ToLower(id), "g-")
	var found *grants.Info
	for i := range all {
		if len(want) < len("g-")+4 || !strings.HasPrefix(all[i].ID, want) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("several grants begin with %q: give more of it", id)
		}
		found = &all[i]
	}
	if found == nil {
		return nil, fmt.Errorf("the grant %q %w: 'preezm grants' lists yours", id, grants.ErrUnknown)
	}
	return found, nil
}

func (a *app) giveTicket(g *grants.Info, out string) error {
	switch {
	case out != "":
		if err := writeNew(out, []byte(g.Ticket+"\n")); err != nil {
			return err
		}
		a.note("The ticket of %s for %s is in %s.", g.ID, printable(g.Brand), printable(out))
	case !a.json:
		if err := a.say("%s", g.Ticket); err != nil {
			return err
		}
	}
	if a.json {
		return a.printJSON(struct {
			ID     string `json:"id"`
			Ticket string `json:"ticket"`
		}{g.ID, g.Ticket})
	}
	return nil
}

func (a *app) printGrant(g *grants.Info) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s\n", g.ID, printable(g.Brand), grantState(g))
	for _, f := range g.Files {
		fmt.Fprintf(&b, "    %s\n", printable(f))
	}
	enough := 0
	for _, o := range g.Openings {
		how := ""
		if o.Enough {
			enough++
		} else {
			how = fmt.Sprintf(" (%d of the %d custodians needed tell of it)", o.Custodians, g.Need)
		}
		fmt.Fprintf(&b, "    opened %s  %s  by %s%s\n", second(o.At), printable(o.Path), printable(o.Who), how)
	}
	if g.StatusAge > 0 && (g.State == grants.Open || g.State == grants.Waiting) {
		fmt.Fprintf(&b, "    closed while your custodians have not heard of your running node for %s\n", took(time.Duration(g.StatusAge)*time.Second))
	}
	switch {
	case g.Unopened:
		b.WriteString("    never opened, as far as your custodians have told\n")
	case len(g.Openings) == 0:
		fmt.Fprintf(&b, "    whether it was opened is not known yet: %d of %d custodians have reported\n", g.Reported, g.Custodians)
	default:
		fmt.Fprintf(&b, "    opened %s: a copy may exist\n", count(int64(len(g.Openings)), "time", "times"))
	}
	if g.Refusals > 0 {
		fmt.Fprintf(&b, "    refusals in the logs: %d\n", g.Refusals)
	}
	_, err := io.WriteString(a.out, b.String())
	return err
}

func grantState(g *grants.Info) string {
	switch g.State {
	case grants.Revoked:
		if g.Successor != "" {
			return "replaced by " + g.Successor + ": " + withdrawal(g)
		}
		return "withdrawn: " + withdrawal(g)
	case grants.Ended:
		return "ended " + second(g.NotAfter)
	case grants.Waiting:
		return "begins " + second(g.NotBefore)
	}
	return fmt.Sprintf("until %s (%s left)", second(g.NotAfter), took(time.Until(g.NotAfter)))
}

// withdrawal says how far a withdrawal has come.
func withdrawal(g *grants.Info) string {
	if g.Told >= g.Quorum {
		return fmt.Sprintf("certain, %d of %d custodians know", g.Told, g.Custodians)
	}
	return fmt.Sprintf("%d of the %d custodians needed know; it can still be opened until then", g.Told, g.Quorum)
}

func (a *app) revokeCommand() *cobra.Command {
	var o node.RevokeOrder
	cmd := &cobra.Command{
		Use:   "revoke GRANT",
		Short: "Withdraw a grant before its end",
		Long: `Withdraw a grant at once and for ever. It is certain when so many custodians know
that the others are too few to agree; until then the running node goes on
telling them. What was opened before may have been copied.`,
		Example: `  preezm revoke g-1a2b3c4d --reason "sent by mistake"`,
		Args:    oneGrant,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ID = args[0]
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				g, err := api.Revoke(ctx, o)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(g)
				}
				if err := a.say("%s is withdrawn: %s.", g.ID, withdrawal(g)); err != nil {
					return err
				}
				if g.Told < g.Custodians {
					a.note("'preezm serve' goes on telling the others.")
				}
				a.note("If %s opened a file before, it may have kept a copy.", printable(g.Brand))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&o.Reason, "reason", "", "why, in a `few words`; custodians and logs keep it")
	return cmd
}

func oneGrant(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("which grant? Give one, such as %s", ticket.ShortID([16]byte{0x1a, 0x2b, 0x3c, 0x4d}))
	}
	return nil
}

func (a *app) refreshCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "refresh GRANT",
		Short: "Replace granted files by their newer versions",
		Long: `Give a grant that was made with --follow the present versions of its files, such
as a corrected document, and print its new ticket to send. Custodians refuse the
older ticket as soon as they know of the new one. What was opened before may
have been copied: tell the company that it holds an older version.

For any grant it also says anew where the files lie, when machines have moved or
pieces were repaired to others. A running node does that by itself, and tickets
that were sent stay good.`,
		Example: `  preezm put Papers
  preezm refresh g-1a2b3c4d -o acme.ticket`,
		Args: oneGrant,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := mayWrite(out); err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				g, err := api.Refresh(ctx, args[0])
				if err != nil {
					return err
				}
				return a.printGranted(g, out)
			})
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "write the ticket to this `file`, which must not exist")
	return cmd
}

func (a *app) extendCommand() *cobra.Command {
	var lasts, out string
	cmd := &cobra.Command{
		Use:   "extend GRANT",
		Short: "Let a grant go on until a later time",
		Long: `Make a new grant of the same files to the same company that ends later, counted
from now, and print its ticket to send. The old grant ends as it was going to.`,
		Example: `  preezm extend g-1a2b3c4d --for 30d`,
		Args:    oneGrant,
		RunE: func(cmd *cobra.Command, args []string) error {
			span, err := parseSpan(lasts)
			if err != nil {
				return err
			}
			if err := mayWrite(out); err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				g, err := api.Extend(ctx, node.ExtendOrder{ID: args[0], Until: time.Now().Add(span)})
				if err != nil {
					return err
				}
				return a.printGranted(g, out)
			})
		},
	}
	cmd.Flags().StringVar(&lasts, "for", "", "how `long` from now: such as 2h or 30d (needed)")
	cmd.Flags().StringVarP(&out, "output", "o", "", "write the ticket to this `file`, which must not exist")
	return cmd
}
