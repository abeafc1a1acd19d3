// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
)

func (a *app) mailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mail",
		Short: "Show messages from machines of your circle, and send some",
		Long: `Show the messages that people of your circle sent, and what of yours is on its
way. A message to a machine that is off waits, sealed, on two others that both
of you have in your circle, for 72 hours; they learn its size to within a few
steps, and nothing of what it says.`,
		Example: `  preezm mail
  preezm mail send "attic PC" "I moved the photos"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				m, err := api.Mail(ctx)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(m)
				}
				return a.printMail(m)
			})
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:     "send NAME TEXT",
		Short:   "Send a message to a machine of your circle, also while it is off",
		Example: `  preezm mail send "attic PC" "I moved the photos"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("send what, to which machine?")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				s, err := api.SendNotice(ctx, node.NoticeOrder{To: args[0], Text: strings.Join(args[1:], " ")})
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(s)
				}
				switch {
				case s.Delivered:
					return a.say("%s has it.", printable(s.Name))
				case s.Keepers > 0:
					return a.say("%s is away; the message waits on %s, and is read when it is back.",
						printable(s.Name), count(int64(s.Keepers), "machine", "machines"))
				}
				return a.say("%s is away, and no other machine that both of you know answers. The message is sent from here once one does; 'preezm serve' must run.", printable(s.Name))
			})
		},
	})
	return cmd
}

func (a *app) printMail(m *node.Mail) error {
	if len(m.Notices) == 0 {
		if err := a.say("No messages."); err != nil {
			return err
		}
	}
	for _, n := range m.Notices {
		if err := a.say("%s, %s:", printable(n.Name), clock(n.At)); err != nil {
			return err
		}
		for _, line := range strings.Split(n.Text, "\n") {
			if err := a.say("    %s", printable(line)); err != nil {
				return err
			}
		}
	}
	for _, o := range m.Outgoing {
		where := "waits on " + count(int64(o.Keepers), "machine", "machines")
		if o.Keepers == 0 {
			where = "still here, until a machine that both of you know answers"
		}
		if err := a.say("To %s, on its way: %s.", printable(o.Name), where); err != nil {
			return err
		}
	}
	if m.Held > 0 {
		return a.say("%s for others wait here (%s).", count(int64(m.Held), "message", "messages"), size(m.Bytes))
	}
	return nil
}
