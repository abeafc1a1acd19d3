// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
)

// memberCommands are those of a company with several machines.
func (a *app) memberCommands() []*cobra.Command {
	member := &cobra.Command{
		Use:   "member",
		Short: "Let other machines of this company open files",
		Long: `The machine where 'preezm brand init' was run is the company's office: it keeps
the company's keys. Other machines become its members with a code and open files
themselves, under a certificate of 30 days that names their role to the people
whose files they open. It is renewed by itself while both machines run.

The office must run 'preezm serve': members ask it for their part of each key. It
never sees a file that they open.`,
		Example: `  preezm brand member invite --role "claims desk 2"
  preezm brand member list
  preezm brand member revoke "claims desk 2"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	member.AddCommand(a.memberInviteCommand(), a.memberListCommand(), a.memberRevokeCommand())
	join := &cobra.Command{
		Use:   "join CODE",
		Short: "Make this home a machine of a company, with a code",
		Long: `Make this home a member of a company with a code that its office printed
('preezm brand member invite'). The office must run now. The home must exist
('preezm init'); it need not be in any circle.`,
		Example: `  preezm brand join preezm-member1-...`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("which code? 'preezm brand member invite' prints one at the company's office")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				b, err := api.JoinBrand(ctx, strings.Join(args, ""))
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(b)
				}
				if err := a.say("This machine is %s / %s now, until %s.", printable(b.Name), printable(b.Label), second(b.Until)); err != nil {
					return err
				}
				a.note("The company's key is %s. 'preezm grants received' shows what it was granted.", b.Key)
				return nil
			})
		},
	}
	return []*cobra.Command{member, join}
}

func (a *app) memberInviteCommand() *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use:   "invite",
		Short: "Print a code that makes one machine a member",
		Long: `Print a code that makes one other machine a member of this company, once, within
24 hours. Whoever has the code can use it: send it over a way you trust. The role
names that machine to people; choose a role, not a person.`,
		Example: `  preezm brand member invite --role "claims desk 2"`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				in, err := api.InviteMember(ctx, role)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(in)
				}
				if err := a.say("%s", in.Code); err != nil {
					return err
				}
				about, err := api.About(ctx)
				if err != nil {
					return err
				}
				a.note("On the other machine: preezm brand join CODE, before %s.", second(in.Expires))
				if !about.Running {
					a.note("note: this machine must run 'preezm serve' by then.")
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "what people see of that `machine` (default: its home's name)")
	return cmd
}

func (a *app) memberListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "Show the machines of this company",
		Long:    `Show the members of this company, at its office: until when each is certified and when it was seen last.`,
		Example: `  preezm brand member list`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				all, err := api.BrandMembers(ctx)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(all)
				}
				if len(all) == 0 {
					return a.say("No other machine is a member yet. 'preezm brand member invite' prints a code for one.")
				}
				t := &table{head: []string{"ROLE", "MACHINE", "DEVICE", "CERTIFIED", "SEEN"}}
				for _, m := range all {
					until := "until " + second(m.Until)
					switch m.State {
					case node.MemberShutOut:
						until = "revoked"
					case node.MemberEnded:
						until = "ended " + second(m.Until)
					}
					t.add(printable(m.Label), printable(m.Name), m.Device.Short(), until, clock(m.LastSeen))
				}
				return t.print(a.out)
			})
		},
	}
}

func (a *app) memberRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME",
		Short: "Shut a machine out of this company",
		Long: `Shut a member out, by its role, its machine's name or its device. The office
refuses it at once, and so do gateways and custodians that heard of it: those that
answer are told now, others with the next opening by any of your machines. At the
latest its certificate ends within 30 days.

What it opened before it may have kept.`,
		Example: `  preezm brand member revoke "claims desk 2"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("which machine? 'preezm brand member list' shows them")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				m, err := api.RevokeMember(ctx, args[0])
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(m)
				}
				if err := a.say("%s (%s, %s) is shut out.", printable(m.Label), printable(m.Name), m.Device.Short()); err != nil {
					return err
				}
				a.note("Its certificate would have lasted for %s more. What it opened before it may have kept.", took(time.Until(m.Until)))
				return nil
			})
		},
	}
}

// left says how an opening that was stopped goes on.
func (a *app) left(name string, have, need int) {
	a.note("Left. %d of %d agreed to %s; the same command goes on from there, with the same request, for 72 hours and never past the end.", have, need, printable(name))
}
