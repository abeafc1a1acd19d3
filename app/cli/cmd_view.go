// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
)

func (a *app) viewCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "view GRANT",
		Short: "Look at granted files without keeping them",
		Long: `Show the files of a received grant in this machine's browser until the grant ends
or this command is stopped. Each look asks the owner's custodians and is shown to
the owner; Preezm writes nothing to the disk and keeps no key. A browser can still
save what it shows: that is this company's to answer for.`,
		Example: `  preezm view g-1a2b3c4d`,
		Args:    oneGrant,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) (err error) {
				v, err := api.View(ctx, node.ViewOrder{Grant: args[0]})
				if err != nil {
					return err
				}
				defer func() {
					_, eerr := api.EndView(context.WithoutCancel(ctx), v.Token)
					err = errors.Join(err, eerr)
				}()
				if a.json {
					err = a.printJSON(v)
				} else {
					err = a.say("%s", v.URL)
				}
				if err != nil {
					return err
				}
				a.note("Open this address here, and nowhere else. It ends with the grant, %s; Ctrl-C ends it now.", second(v.NotAfter))
				a.countdown(ctx, v.NotAfter)
				return nil
			})
		},
	}
}

// countdown waits for a moment and shows on a terminal how far it is.
func (a *app) countdown(ctx context.Context, end time.Time) {
	_, tty := a.terminal(a.err)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		left := time.Until(end)
		if left <= 0 {
			a.note("The grant has ended.")
			return
		}
		if tty {
			fmt.Fprintf(a.err, "\r\x1b[K%s left ", left.Round(time.Second))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if tty {
				fmt.Fprintln(a.err)
			}
			return
		}
	}
}
