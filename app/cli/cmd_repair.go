// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

func (a *app) repairCommand() *cobra.Command {
	var after string
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Make what is missing anew, now",
		Long: `Make the pieces anew that machines of your circle lost, or hold and do not
answer, on those that do. Without this command the running node does it by
itself when a machine has been away for 72 hours; --after changes that time.
What is there is only given up when its replacement is safe.`,
		Example: `  preezm repair
  preezm repair --after 7d`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var o node.RepairOrder
			var err error
			if o.Grace, err = parseDays("--after", after); err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error { return a.repair(ctx, api, o) })
		},
	}
	cmd.Flags().StringVar(&after, "after", "", "from now on wait `long` for a machine that is away, such as 12h or 7d; repair nothing now")
	return cmd
}

func (a *app) repair(ctx context.Context, api node.API, o node.RepairOrder) error {
	m := a.meter()
	r, err := api.Repair(ctx, o, m.update)
	m.done()
	if errors.Is(err, context.Canceled) {
		return &saidError{"stopped; what was repaired stays so, and the same command goes on"}
	}
	if r == nil || err != nil && !errors.Is(err, engine.ErrNotDrained) {
		return err
	}
	if r.Done != nil {
		a.blamed(r.Done.Blamed)
	}
	if a.json {
		if perr := a.printJSON(r); perr != nil {
			return perr
		}
	} else if perr := a.saidRepair(r); perr != nil {
		return perr
	}
	if err != nil {
		return &saidError{fmt.Sprintf("%s of a size of up to a few MB could not be made whole now: %s. It goes on when more machines answer or have room", count(r.Done.Left, "group of pieces", "groups of pieces"), oneLine(err.Error()))}
	}
	return nil
}

func (a *app) saidRepair(r *node.RepairReport) error {
	switch {
	case r.Done == nil:
		return a.say("From now on a machine may be away for %s before what it holds is made anew elsewhere.", took(r.Grace))
	case r.Done.Pieces == 0 && r.Done.Left == 0:
		return a.say("Nothing is missing.")
	case r.Done.Pieces == 0:
		return nil
	}
	return a.say("%s made anew in %s (%s read, %s sent).", count(r.Done.Pieces, "piece was", "pieces were"), took(r.Done.Elapsed), size(r.Done.Read), size(r.Done.Sent))
}
