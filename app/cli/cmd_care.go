// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
)

func (a *app) careCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "care",
		Short: "Who repairs for you while your machines are off",
		Long: `A machine that is always on, such as somebody's server at home, can make anew for
you what other machines lost while all of yours are off. It needs no key and sees
no name: it is told where the encrypted pieces are, and may store missing ones at
the machines that you keep at, in your room there, and nothing else. It can delete
nothing. When you are back, your machine checks and takes over what it did.

On the machine that repairs the lists count against what it offers ('preezm
limits'), about a thousandth of what is kept; where nothing is offered they take
256 MB at most, for all whom it repairs for.`,
		Example: `  preezm care give nas
  preezm care list
  preezm care take`,
		Args: a.noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listCare(cmd) },
	}
	cmd.AddCommand(a.careListCommand(), a.careGiveCommand(), a.careTakeCommand(), a.careRefuseCommand())
	return cmd
}

func (a *app) careListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "Show who looks after your pieces, and whom this machine looks after",
		Example: `  preezm care list`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.listCare(cmd) },
	}
}

func (a *app) listCare(cmd *cobra.Command) error {
	return a.with(cmd, func(ctx context.Context, api node.API) error {
		s, err := api.Care(ctx)
		if err != nil {
			return err
		}
		return a.printCare(s)
	})
}

func (a *app) careGiveCommand() *cobra.Command {
	var term string
	cmd := &cobra.Command{
		Use:   "give [NAME]",
		Short: "Have a machine repair for you while yours are off",
		Long: `Have a machine of your circle, by name or device, repair for you while your own
machines are off: after the time that machines are waited for (72 hours, see
'preezm repair --after'), and when none of yours was there for an hour. Without a
name, the one that does it hears at once of what changed; the running node tells
it every ten minutes.

The task lasts a year, or as long as --for says. Only one machine has it.`,
		Example: `  preezm care give nas
  preezm care give nas --for 90d`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("one machine has the task: name one")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var o node.CareOrder
			if len(args) > 0 {
				o.Who = args[0]
			}
			if term != "" {
				var err error
				if o.For, err = parseDays("--for", term); err != nil {
					return err
				}
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				m := a.meter()
				s, err := api.GiveCare(ctx, o, m.update)
				m.done()
				if errors.Is(err, context.Canceled) {
					return &saidError{"stopped; the running node tells the rest, or the same command"}
				}
				if err != nil {
					return err
				}
				return a.printCare(s)
			})
		},
	}
	cmd.Flags().StringVar(&term, "for", "", "`long` that the task lasts, such as 90d (default a year)")
	return cmd
}

func (a *app) careTakeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "take",
		Short: "Take the task back",
		Long: `Take the task back. Machines that answer know it at once, the others when they are
back. What was made anew stays.`,
		Example: `  preezm care take`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				s, err := api.TakeCare(ctx)
				if err != nil {
					return err
				}
				return a.printCare(s)
			})
		},
	}
}

func (a *app) careRefuseCommand() *cobra.Command {
	var off bool
	cmd := &cobra.Command{
		Use:   "refuse NAME",
		Short: "Do not look after somebody's pieces on this machine",
		Long: `Do not look after the pieces of somebody who gave this machine that task, whatever
their machine says; the list of them is deleted. With --not, do so again: their
machine sends the list once more.`,
		Example: `  preezm care refuse anna-laptop
  preezm care refuse anna-laptop --not`,
		Args: exactlyOne("machine"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				s, err := api.RefuseCare(ctx, node.CareRefusal{Who: args[0], On: !off})
				if err != nil {
					return err
				}
				return a.printCare(s)
			})
		},
	}
	cmd.Flags().BoolVar(&off, "not", false, "look after them again")
	return cmd
}

func (a *app) printCare(s *node.CareState) error {
	if a.json {
		return a.printJSON(s)
	}
	var b strings.Builder
	g := s.Given
	switch {
	case g == nil:
		b.WriteString("No machine repairs for you while yours are off. 'preezm care give NAME' asks one that is always on.\n")
	case g.Ended:
		fmt.Fprintf(&b, "No machine repairs for you any more: %s did until %s.\n", printable(g.Name), clock(g.Until))
		if len(g.Unaware) > 0 {
			fmt.Fprintf(&b, "Not told yet: %s.\n", names(g.Unaware))
		}
	default:
		careGiven(&b, g)
	}
	for _, f := range s.For {
		careFor(&b, &f)
	}
	return a.say("%s", strings.TrimSuffix(b.String(), "\n"))
}

// careGiven says what stands with a task that this home gave.
func careGiven(b *strings.Builder, g *node.CareGiven) {
	name := printable(g.Name)
	if g.Idle {
		fmt.Fprintf(b, "%s was asked to repair for you while your machines are off, and does not: its user refused, or it has lost the task.\n", name)
		fmt.Fprintf(b, "'preezm care give NAME' asks it once more, or another machine.\n")
		return
	}
	fmt.Fprintf(b, "%s repairs for you while your machines are off, until %s.\n", name, clock(g.Until))
	fmt.Fprintf(b, "A machine may be away for %s before. It knows of %s; %s.\n", took(g.Grace), count(g.Work.Segments, "group of pieces", "groups of pieces"), careDid(&g.Work, "you have taken over "+count(g.Regained, "piece", "pieces")+" so far"))
	switch {
	case !g.Asked:
		fmt.Fprintf(b, "It does not answer now: %s.\n", oneLine(g.Why.Text))
	case g.Work.Lacking > 0:
		fmt.Fprintf(b, "It has not been told of everything yet: 'preezm care give' goes on.\n")
	}
	if g.Left > 0 {
		fmt.Fprintf(b, "Not looked after, since the task has no room for more: %s.\n", count(g.Left, "group of pieces", "groups of pieces"))
	}
	if len(g.Unaware) > 0 {
		fmt.Fprintf(b, "These have not heard of it yet, and give it nothing until they have: %s.\n", names(g.Unaware))
	}
}

// careFor says what this machine does for somebody.
func careFor(b *strings.Builder, f *node.CareFor) {
	fmt.Fprintf(b, "\n")
	if f.Refused {
		fmt.Fprintf(b, "This machine was asked to repair for %s, and does not: you refused.\n", printable(f.Name))
		return
	}
	fmt.Fprintf(b, "This machine repairs for %s while it is off, until %s: %s at %s, of which the list takes %s here; %s.\n", printable(f.Name), clock(f.Until),
		count(f.Work.Segments, "group of pieces", "groups of pieces"), machines(f.Keepers), size(f.Lists), careDid(&f.Work, "nothing was missing so far"))
	if f.Work.Lacking > 0 {
		fmt.Fprintf(b, "It has not told this machine of everything yet, or there is no room for more: 'preezm limits' says how much there is.\n")
	}
}

// careDid says what a caretaker did, or otherwise.
func careDid(w *node.CareWork, otherwise string) string {
	text := otherwise
	if w.Pieces > 0 {
		text = fmt.Sprintf("%s made anew (%s), the last at %s", count(w.Pieces, "piece was", "pieces were"), size(w.Bytes), clock(w.Last))
	}
	if len(w.Missed) > 0 {
		text += "; away for too long: " + names(w.Missed)
	}
	if w.Lost > 0 {
		text += "; " + count(w.Lost, "piece was no longer where it should be", "pieces were no longer where they should be")
	}
	return text
}

// names is a list of machines as it is shown.
func names(of []string) string {
	out := make([]string, len(of))
	for i, n := range of {
		out[i] = printable(n)
	}
	return strings.Join(out, ", ")
}

// saidCare adds to the status who repairs while this home is off.
func (a *app) saidCare(ctx context.Context, api node.API) error {
	s, err := api.Care(ctx)
	if err != nil || s.Given == nil || s.Given.Ended && time.Since(s.Given.Until) > 30*24*time.Hour {
		return err
	}
	g := s.Given
	if g.Ended {
		return a.say("\nNobody repairs for you while your machines are off any more: the task of %s ended on %s.", printable(g.Name), clock(g.Until))
	}
	if g.Idle {
		return a.say("\n%s was asked to repair for you while your machines are off, and does not: 'preezm care' says more.", printable(g.Name))
	}
	text := fmt.Sprintf("\n%s repairs for you while your machines are off, until %s", printable(g.Name), clock(g.Until))
	if did := careDid(&g.Work, ""); did != "" {
		text += ": " + strings.TrimPrefix(did, "; ")
	}
	if !g.Asked {
		text += ", and does not answer now"
	}
	return a.say("%s.", text)
}
