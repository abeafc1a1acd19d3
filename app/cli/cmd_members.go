// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

func (a *app) removeMemberCommand() *cobra.Command {
	var gone, yes bool
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a machine out of your circle",
		Long: `Take a machine, by name or device, out of your circle. What it holds for you is
first made anew on the others: from itself, or from them when it does not
answer. Then it is told and forgotten. Stopped half way, it stays in the circle
with what it still has; killed half way, the removal goes on by itself.

With --gone, for a machine that will not come back, it is forgotten at once and
what it held is made anew in the background by 'preezm serve'.

To replace a machine, let the new one join first, then remove the old one.

Files that cannot be brought back without it are named, and nothing is done
unless you say so.`,
		Example: `  preezm circle remove "old laptop"
  preezm circle remove attic-nas --gone`,
		Args: oneMachine,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				return a.removeMember(ctx, api, node.RemovalOrder{Who: args[0], Gone: gone}, yes)
			})
		},
	}
	cmd.Flags().BoolVar(&gone, "gone", false, "it is lost: do not wait for it")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it even if files are lost with it, and do not ask")
	return cmd
}

func oneMachine(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("which machine? Name one, as 'preezm circle' shows it")
	}
	return nil
}

func (a *app) removeMember(ctx context.Context, api node.API, o node.RemovalOrder, yes bool) error {
	plan, err := api.PlanRemoval(ctx, o)
	if err != nil {
		return err
	}
	for i, p := range plan.Lost {
		if i == maxListed {
			a.note("... and %s; --json tells them all", count(int64(len(plan.Lost)-i), "more", "more"))
			break
		}
		a.note("cannot be brought back without %s: %s", printable(plan.Name), printable(string(p)))
	}
	if len(plan.Lost) > 0 && !yes {
		if a.json {
			if err := a.printJSON(plan); err != nil {
				return err
			}
		}
		what := fmt.Sprintf("%s would be lost with %s", count(int64(len(plan.Lost)), "file", "files"), printable(plan.Name))
		if a.json || !a.asked(what+". Remove it all the same?") {
			return &saidError{what + "; nothing was done. Bring them back first ('preezm get'), let another machine join, or repeat with --yes"}
		}
	}
	m := a.meter()
	r, err := api.RemoveMember(ctx, o, m.update)
	m.done()
	if errors.Is(err, context.Canceled) {
		return &saidError{fmt.Sprintf("stopped: %s stays in your circle and keeps what it still has; the same command goes on", printable(plan.Name))}
	}
	if errors.Is(err, engine.ErrNotDrained) {
		return fmt.Errorf("%s stays in your circle: %w", printable(plan.Name), err)
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(r)
	}
	return a.saidRemoval(ctx, api, r)
}

func (a *app) saidRemoval(ctx context.Context, api node.API, r *node.Removal) error {
	name := printable(r.Name)
	var text string
	switch {
	case r.Gone && r.Pieces > 0:
		about, err := api.About(ctx)
		if err != nil {
			return err
		}
		text = fmt.Sprintf("%s is out of your circle. What it held (%s, %s) is made anew from the others in the background", name, count(r.Pieces, "piece", "pieces"), size(r.Bytes))
		if !about.Running {
			text += ", once 'preezm serve' runs here"
		}
		text += "; 'preezm status' tells how far."
	case r.Drain != nil && r.Drain.Pieces > 0:
		text = fmt.Sprintf("%s is out of your circle. %s made anew elsewhere in %s (%s read, %s sent).", name,
			count(r.Drain.Pieces, "piece was", "pieces were"), took(r.Drain.Elapsed), size(r.Drain.Read), size(r.Drain.Sent))
	default:
		text = fmt.Sprintf("%s is out of your circle. It held nothing for you that others need.", name)
	}
	if err := a.say("%s", text); err != nil {
		return err
	}
	if !r.Gone && !r.Told {
		a.note("It did not answer and was not told; what you stored there it cannot read.")
	}
	if r.Custodian {
		a.note("It was a custodian: the grants that named it were made anew for the others; 'preezm grants' lists them, and their tickets have to be sent.")
	}
	ds, err := api.Devices(ctx)
	if err != nil {
		return err
	}
	var mine []string
	for _, d := range ds {
		if !d.This && d.Removed.IsZero() {
			mine = append(mine, d.Name)
		}
	}
	if len(mine) > 0 {
		a.note("It is still in the circle of your other machines: take it out there as well (%s).", names(mine))
	}
	return nil
}

// asked asks a person at a terminal; nobody else says yes.
func (a *app) asked(question string) bool {
	if _, ok := a.terminal(a.err); !ok {
		return false
	}
	fmt.Fprintf(a.err, "%s [y/N] ", question)
	line, err := a.untilEnter(bufio.NewReader(a.in))
	return err == nil && strings.HasPrefix(strings.ToLower(strings.TrimSpace(line)), "y")
}

func (a *app) rolesCommand() *cobra.Command {
	var keeper, custodian, person, house string
	cmd := &cobra.Command{
		Use:   "roles NAME",
		Short: "Say whose a machine is, where it stands and what it does for you",
		Long: `Change what a machine of your circle is to you, or show it.

Machines of one person count as one custodian. Pieces of a file are spread over
houses first, then over persons: what stands in one house burns together. Give
all machines of a house the same name for it, whatever that name is. An empty
name ("") takes a person or house back.

With --keeper off what the machine holds is first made anew elsewhere; it stays
in your circle. With --custodian off the grants that name it are made anew for the others, as by
'preezm custodians remove'.`,
		Example: `  preezm circle roles attic-nas --person anna --house "rue Dupont"
  preezm circle roles "study desktop" --keeper off`,
		Args: oneMachine,
		RunE: func(cmd *cobra.Command, args []string) error {
			o := node.RolesOrder{Who: args[0]}
			var err error
			if o.Keeper, err = onOff("keeper", keeper); err != nil {
				return err
			}
			if o.Custodian, err = onOff("custodian", custodian); err != nil {
				return err
			}
			if cmd.Flags().Changed("person") {
				o.Person = &person
			}
			if cmd.Flags().Changed("house") {
				o.House = &house
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				m := a.meter()
				member, err := api.SetRoles(ctx, o, m.update)
				m.done()
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(member)
				}
				return a.say("%s (%s): %s; person %s; house %s.", printable(member.Name), member.Device.Short(), roles(member), orDash(member.Person), orDash(member.House))
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&keeper, "keeper", "", "`on|off`: whether it keeps pieces of your files")
	f.StringVar(&custodian, "custodian", "", "`on|off`: whether it decides about your grants")
	f.StringVar(&person, "person", "", "`name` of whose it is")
	f.StringVar(&house, "house", "", "`name` of where it stands")
	return cmd
}

// onOff reads a switch; empty: not given.
func onOff(flag, s string) (*bool, error) {
	switch s {
	case "":
		return nil, nil
	case "on", "off":
		on := s == "on"
		return &on, nil
	}
	return nil, usagef("--%s %q is neither on nor off", flag, s)
}
