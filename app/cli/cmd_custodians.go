// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
)

func (a *app) custodiansCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "custodians",
		Short: "Show who decides when others open files you granted",
		Long: `Custodians are machines of your circle that give a company its part of a key
when your grant says so, and stop giving it when the grant ends. More than half
of them must agree each time. They keep no file and can read none.`,
		Example: `  preezm custodians
  preezm custodians add "study desktop"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				cs, err := api.Custodians(ctx)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(cs)
				}
				if len(cs) == 0 {
					return a.say("Nobody is your custodian yet. 'preezm custodians add NAME' asks a machine of your circle.")
				}
				t := &table{head: []string{"NAME", "DEVICE", "SINCE"}}
				for _, c := range cs {
					t.add(printable(c.Name), c.Device.Short(), clock(c.Appointed))
				}
				if err := t.print(a.out); err != nil {
					return err
				}
				a.note("%d of these %d must agree before anything is opened.", len(cs)/2+1, len(cs))
				return nil
			})
		},
	}
	add := &cobra.Command{
		Use:   "add NAME...",
		Short: "Ask machines of your circle to decide for you",
		Long: `Ask machines of your circle, by name or device, to be your custodians. Each must
be running now. Choose persons you trust not to act together against you: more
than half of them, together with a company you granted files to, could open
these files after the end.`,
		Example: `  preezm custodians add "study desktop" attic-nas`,
		Args:    atLeastOne("machines"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				out := []node.Custodian{}
				for _, who := range args {
					c, err := api.AddCustodian(ctx, who)
					if err != nil {
						return err
					}
					out = append(out, c)
					if !a.json {
						if err := a.say("%s (%s) is your custodian now.", printable(c.Name), c.Device.Short()); err != nil {
							return err
						}
					}
				}
				if a.json {
					return a.printJSON(out)
				}
				return nil
			})
		},
	}
	cmd.AddCommand(add, a.removeCustodianCommand(), a.whoCommand())
	return cmd
}

func (a *app) whoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "who KEY",
		Short: "Say which custodian a company means by a key",
		Long: `Companies know each custodian by a key that means nothing outside one grant. When
one tells you that a custodian signed a wrong share, this says which machine of
your circle that is. It lies, or what it keeps is damaged: ask its person, and
take it off when in doubt ('preezm custodians remove').`,
		Example: `  preezm custodians who 5f0c1a2b`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("which key? Give the one that the company was shown")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				all, err := api.WhoIs(ctx, args[0])
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(all)
				}
				for _, k := range all {
					if err := a.say("%s (%s), in the grant %s to %s", printable(k.Name), k.Device.Short(), k.Grant, printable(k.Brand)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func (a *app) removeCustodianCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Let a machine decide for you no more",
		Long: `Take a custodian off. The others get new keys, of which it knows nothing, and each
grant that lasts is made anew for them, for the same purpose and until the same
end; the old one is withdrawn. The companies need the new tickets. What the
machine keeps of your files is not touched. Asked again it goes on where it was
interrupted.`,
		Example: `  preezm custodians remove "study desktop"
  preezm grants ticket g-1a2b3c4d -o acme.ticket`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("which custodian? Give one name ('preezm custodians' lists yours)")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				m := a.meter()
				r, err := api.RemoveCustodian(ctx, args[0], m.update)
				m.done()
				if errors.Is(err, context.Canceled) {
					return &saidError{"stopped; the same command goes on where it was"}
				}
				if err != nil {
					return err
				}
				failed := int64(0)
				for _, g := range r.Replaced {
					if g.Problem != "" {
						failed++
					}
				}
				if a.json {
					err = a.printJSON(r)
				} else {
					err = a.printRemoved(r)
				}
				if err == nil && failed > 0 {
					err = &saidError{count(failed, "grant was", "grants were") + " not made anew"}
				}
				return err
			})
		},
	}
}

func (a *app) printRemoved(r *node.CustodianRemoved) error {
	name := printable(r.Custodian.Name)
	if err := a.say("%s is not your custodian any more.", name); err != nil {
		return err
	}
	for _, g := range r.Replaced {
		what := "not made anew: " + oneLine(g.Problem)
		switch {
		case g.Spent:
			what = "withdrawn: it was opened as often as it allowed"
		case g.New != nil:
			what = "now " + g.New.ID + ", send " + printable(g.New.Brand) + " its ticket: preezm grants ticket " + g.New.ID
		}
		if err := a.say("  %s  %s", g.Old, what); err != nil {
			return err
		}
	}
	if r.Appointed < r.Others {
		a.note("%d of the %d other custodians have their new keys; 'preezm serve' goes on asking the rest.", r.Appointed, r.Others)
	}
	a.note("The old grants are certain to be closed when enough custodians know: 'preezm grants' shows it.")
	return nil
}
