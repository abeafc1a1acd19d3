// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

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
		return &saidError{fmt.Sprintf("%s of a size of up to a few MB could not be made whole now: %s. It goes on when more machines answer or have room", count(r.Done.Left-r.Done.Copies, "group of pieces", "groups of pieces"), oneLine(err.Error()))}
	}
	return nil
}

func (a *app) saidRepair(r *node.RepairReport) error {
	if r.Done == nil {
		return a.say("From now on a machine may be away for %s before what it holds is made anew elsewhere.", took(r.Grace))
	}
	d := r.Done
	var text []string
	switch {
	case d.Pieces > 0:
		text = append(text, fmt.Sprintf("%s made anew in %s (%s read, %s sent).", count(d.Pieces, "piece was", "pieces were"), took(d.Elapsed), size(d.Read), size(d.Sent)))
	case d.Left == 0:
		text = append(text, "Nothing is missing.")
	case d.Left == d.Copies:
		text = append(text, "Nothing of your files is missing.")
	}
	for i := range d.Waits {
		text = append(text, waiting(&d.Waits[i]))
	}
	if d.Copies > 0 {
		text = append(text, "What is missing of copies of the list of your files is in the next copies.")
	}
	if len(text) == 0 {
		return nil
	}
	return a.say("%s", strings.Join(text, "\n"))
}

// waiting says what waits for a machine that does not answer.
func waiting(w *engine.Wait) string {
	var what []string
	if files := w.Segments - w.Copies; files > 0 {
		what = append(what, count(files, "group", "groups")+" of pieces of your files")
	}
	if w.Copies > 0 {
		what = append(what, count(w.Copies, "group", "groups")+" of pieces of copies of their list")
	}
	wait := "wait"
	if w.Segments == 1 {
		wait = "waits"
	}
	return fmt.Sprintf("%s does not answer: %s %s for it.", printable(w.Name), strings.Join(what, " and "), wait)
}
