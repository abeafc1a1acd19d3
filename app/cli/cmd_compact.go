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

func (a *app) compactCommand() *cobra.Command {
	o := engine.CompactOptions{All: true}
	cmd := &cobra.Command{
		Use:   "compact",
		Short: "Free the room of what was removed among what stays",
		Long: `Small files lie together in pieces on the machines of your circle. When most of
such a piece is not needed any more, the rest is moved into a new one, and the
machines forget the old one a day later. The running node does this once a day
with what is a week old; this command does it now, with everything.`,
		Example: `  preezm compact --dry-run
  preezm compact`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				m := a.meter()
				r, err := api.Compact(ctx, o, m.update)
				m.done()
				if errors.Is(err, context.Canceled) {
					return &saidError{"stopped; what was moved so far stays so, and the same command goes on"}
				}
				if err != nil {
					return err
				}
				return a.printCompacted(r)
			})
		},
	}
	cmd.Flags().BoolVar(&o.Dry, "dry-run", false, "only say what would be moved")
	return cmd
}

func (a *app) printCompacted(r *engine.CompactReport) error {
	if a.json {
		return a.printJSON(r)
	}
	var b strings.Builder
	if r.Segments == 0 && r.Left == 0 {
		b.WriteString("There is nothing to compact.")
		swept(&b, r)
		return a.say("%s", b.String())
	}
	if r.Dry {
		fmt.Fprintf(&b, "Would move %s out of %s, which take %s in your circle.", size(r.Moved), count(r.Segments, "segment", "segments"), size(r.Freed))
		return a.say("%s", b.String())
	}
	fmt.Fprintf(&b, "Moved %s out of %s; a day from now your circle may forget %s, for which %s came.",
		size(r.Moved), count(r.Segments, "segment", "segments"), size(r.Freed), size(r.Stored))
	if r.Left > 0 {
		fmt.Fprintf(&b, "\n%s could not be read now; try again when more machines answer.", count(r.Left, "segment", "segments"))
	}
	swept(&b, r)
	return a.say("%s", b.String())
}

// swept adds what machines keep that nothing needs any more, as after a
// catalog was brought back.
func swept(b *strings.Builder, r *engine.CompactReport) {
	if r.Swept > 0 {
		fmt.Fprintf(b, "\n%s that nothing needs went.", count(r.Swept, "piece", "pieces"))
	}
	if r.Unknown > 0 {
		fmt.Fprintf(b, "\nYour circle holds %s that nothing needs; they go within a week.", count(r.Unknown, "piece", "pieces"))
	}
}
