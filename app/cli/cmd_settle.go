// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
)

func (a *app) settleCommand() *cobra.Command {
	var o node.SettleOrder
	cmd := &cobra.Command{
		Use:   "settle NAME",
		Short: "Decide about a name that two machines of yours put at once",
		Long: `Decide which version of a name counts that two machines of yours put at once, as
'preezm ls --conflicts' lists them. Without more, the one that is shown; with
--version another one; with --both the others get names of their own. What is not
shown stays among the versions, and your other machines hear of it.`,
		Example: `  preezm settle Papers/plan.odt
  preezm settle Papers/plan.odt --version 4
  preezm settle Papers/plan.odt --both`,
		Args:              oneText("name"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := namedPath(args[0])
			if err != nil {
				return err
			}
			o.Path = p
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				r, err := api.Settle(ctx, o)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				for _, as := range r.Beside {
					if err := a.say("The other version is %s now.", printable(string(as))); err != nil {
						return err
					}
				}
				return a.say("Settled: 'preezm versions %s' shows what stays beside it.", printable(string(r.Path)))
			})
		},
	}
	cmd.Flags().Int64Var(&o.Version, "version", 0, "the `number` of the version to show (default: the one that is shown)")
	cmd.Flags().BoolVar(&o.Both, "both", false, "keep the others too, with names of their own")
	return cmd
}
