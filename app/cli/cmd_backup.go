// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

// afterTime bounds the backup at the end of a command; it is made up for by the
// next command or by the running node.
const afterTime = 2 * time.Minute

func (a *app) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup",
		Short: "Keep a copy of the list of your files in your circle, now",
		Long: `Keep a copy of the list of your files, with their keys, your circle and your
grants, in your circle: with it and your words, 'preezm recover' brings
everything back on a new machine. The running node does this by itself half a
minute after a change, and every command that changes something at its end.`,
		Example: `  preezm backup`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				m := a.meter()
				s, err := api.Backup(ctx, m.update)
				m.done()
				if errors.Is(err, context.Canceled) {
					return &saidError{"stopped; the copy before this one is still there"}
				}
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(s)
				}
				return a.say("%s", backupLine(s))
			})
		},
	}
}

// backupLine says where the copies are.
func backupLine(s *node.BackupState) string {
	if s.TakenOff {
		return "This machine was taken off the list of yours, on another one: the machines of your circle refuse it. 'preezm device add' there and 'preezm device join' with a new home here make it yours again."
	}
	if s.Of == 0 {
		return "There is nobody to keep a copy of the list of your files: 'preezm invite' prints a code for a friend."
	}
	if s.Number == 0 {
		return "There is no copy of the list of your files in your circle yet: whoever loses this machine's home loses the way to the files."
	}
	text := fmt.Sprintf("A copy of the list of your files, from %s, is found through %d of %s; 'preezm recover' and your words bring it back.",
		clock(s.Made), s.Keepers, machines(s.Of))
	if s.Pending {
		text += " It lacks what changed since."
	}
	return text
}

// backUpAfter makes up for a node that is not running: what a command changed
// is copied into the circle before the command ends. It may be stopped, and
// fails no command.
func (a *app) backUpAfter(ctx context.Context, api node.API) {
	n, ok := api.(*node.Node)
	if !ok || !n.Changed(ctx) {
		return
	}
	if !n.MostAnswer(ctx) {
		a.note("Too few machines answer for a new copy of the list of your files; the next command, or 'preezm serve', makes one.")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, afterTime)
	defer cancel()
	m := a.meter()
	err := n.RenewBackup(ctx, m.update)
	m.done()
	switch {
	case err == nil:
	case errors.Is(err, context.Canceled):
		a.note("The copy of the list of your files was not renewed: stopped.")
	case errors.Is(err, engine.ErrNoKeepers):
	default:
		a.note("The copy of the list of your files could not be renewed now: %s", oneLine(err.Error()))
	}
}
