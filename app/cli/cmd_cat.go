// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

func (a *app) catCommand() *cobra.Command {
	o := node.ReadOrder{}
	var at string
	cmd := &cobra.Command{
		Use:   "cat NAME",
		Short: "Write a file's content to standard output",
		Long: `Write a file's content, or a part of it, to standard output as it comes from
your circle. Only the parts that are needed are fetched, and every byte is
checked before it is written.`,
		Example: `  preezm cat notes.txt
  preezm cat films/party.mp4 --offset 500000000 --length 1000000 > part
  preezm cat papers/lease.odt --version 3 > old.odt`,
		Args:              exactlyOne("file"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Path, err = namedPath(args[0]); err != nil {
				return err
			}
			switch {
			case a.json:
				return usagef("the content of a file is no JSON document")
			case o.Offset < 0:
				return usagef("--offset counts from the beginning of the file")
			case cmd.Flags().Changed("length") && o.Length < 0:
				return usagef("--length cannot be negative")
			case at != "" && o.When.Number != 0:
				return usagef("--at and --version exclude each other")
			case at != "":
				if o.When.At, err = parseWhen(at, time.Now()); err != nil {
					return err
				}
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				_, err := api.Read(ctx, o, a.out)
				if errors.Is(err, engine.ErrTooFewKeepers) {
					a.note("what was written so far is right, but not all of it")
				}
				return err
			})
		},
	}
	cmd.Flags().Int64Var(&o.Offset, "offset", 0, "begin at this `byte`")
	cmd.Flags().Int64Var(&o.Length, "length", -1, "that many `bytes`, to the end if there are fewer (default: to the end)")
	cmd.Flags().Int64Var(&o.When.Number, "version", 0, "the version with this `number`")
	cmd.Flags().StringVar(&at, "at", "", "as of this `moment`")
	return cmd
}
