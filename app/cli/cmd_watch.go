// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/watch"
)

func (a *app) watchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Keep folders put by themselves",
		Long: `Keep a folder of this machine put by itself: while 'preezm serve' (or the
window) runs, what changes in it is put a moment after it settles, and a start
finds what changed meanwhile.`,
		Example: "  preezm watch add ~/Documents\n  preezm watch list",
		Args:    a.noCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.watchAddCommand(), a.watchListCommand(), a.watchRemoveCommand(), a.watchPauseCommand(true), a.watchPauseCommand(false))
	return cmd
}

func (a *app) watchAddCommand() *cobra.Command {
	var f watch.Folder
	var into string
	cmd := &cobra.Command{
		Use: "add DIR", Short: "Begin to watch a folder", Args: exactlyOne("folder"),
		Long: `Begin to watch a folder. It is named in the catalog by its last part, like a put;
--into puts it into a folder there.

--ignore leaves out what matches a pattern as in a .gitignore file and may be
given more than once; --ignore-file names a file of such patterns, which is read
again whenever the folder is looked through.

What is deleted in the folder stays kept. With --mirror it moves to the trash.`,
		Example: `  preezm watch add ~/Documents
  preezm watch add ~/src --into work --ignore 'node_modules/' --ignore '*.o'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if f.Dir, err = filepath.Abs(args[0]); err != nil {
				return err
			}
			if f.IgnoreFile != "" {
				if f.IgnoreFile, err = filepath.Abs(f.IgnoreFile); err != nil {
					return err
				}
			}
			var at engine.Path
			if into != "" {
				if at, err = catalogPath(into); err != nil {
					return err
				}
			}
			name := filepath.Base(f.Dir)
			if name == string(filepath.Separator) || filepath.VolumeName(f.Dir) == name {
				return usagef("%s has no name of its own: watch the folders in it instead", f.Dir)
			}
			f.Path = engine.Path(catalog.JoinPath(string(at), name))
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				s, err := api.Watch(ctx, f)
				if err != nil {
					return err
				}
				return a.printWatched([]watch.State{s})
			})
		},
	}
	cmd.Flags().StringVar(&into, "into", "", "`folder` in the catalog to keep it in")
	cmd.Flags().StringArrayVar(&f.Ignore, "ignore", nil, "leave out what matches the `pattern`")
	cmd.Flags().StringVar(&f.IgnoreFile, "ignore-file", "", "leave out what matches a pattern in the `file`")
	cmd.Flags().BoolVar(&f.Mirror, "mirror", false, "move to the trash what is deleted in the folder")
	return cmd
}

func (a *app) watchListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Show what is watched and what is pending", Args: noArgs, Example: "  preezm watch list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				ss, err := api.Watched(ctx)
				if err != nil {
					return err
				}
				return a.printWatched(ss)
			})
		},
	}
}

func (a *app) watchRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove DIR", Short: "Watch a folder no longer", Args: exactlyOne("folder"),
		Long:    `Watch a folder no longer. What was kept of it stays kept.`,
		Example: "  preezm watch remove ~/Documents",
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				s, err := api.Unwatch(ctx, dir)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(s)
				}
				return a.say("%s is watched no longer; %s stays kept.", printable(s.Dir), printable(string(s.Path)))
			})
		},
	}
}

func (a *app) watchPauseCommand(pause bool) *cobra.Command {
	cmd := &cobra.Command{
		Use: "pause DIR", Short: "Let a watched folder be for now", Args: exactlyOne("folder"),
		Long:    `Let a watched folder be until 'preezm watch resume', also after a restart.`,
		Example: "  preezm watch pause ~/Documents",
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				s, err := api.PauseWatch(ctx, node.PauseOrder{Dir: dir, Pause: pause})
				if err != nil {
					return err
				}
				return a.printWatched([]watch.State{s})
			})
		},
	}
	if !pause {
		cmd.Use, cmd.Short = "resume DIR", "Go on with a paused folder"
		cmd.Long = `Go on with a paused folder: what changed meanwhile is put.`
		cmd.Example = "  preezm watch resume ~/Documents"
	}
	return cmd
}

func (a *app) printWatched(ss []watch.State) error {
	if a.json {
		return a.printJSON(ss)
	}
	if len(ss) == 0 {
		return a.say("No folder is watched; 'preezm watch add DIR' begins to.")
	}
	t := &table{head: []string{"FOLDER", "KEPT AS", "STATE", ">PENDING", "LAST PUT"}}
	for _, s := range ss {
		last := "-"
		if !s.LastPut.IsZero() {
			last = clock(s.LastPut)
		}
		t.add(printable(s.Dir), printable(string(s.Path)), string(s.Phase), count(s.Pending, "change", "changes"), last)
	}
	if err := t.print(a.out); err != nil {
		return err
	}
	idle := false
	for _, s := range ss {
		idle = idle || s.Phase == watch.Stopped
		if !s.Problem.IsZero() {
			a.note("%s: %s", printable(s.Dir), oneLine(s.Problem.Text))
		}
		if s.Missing > 0 && !s.Mirror {
			a.note("%s: gone from there and still kept: %s", printable(s.Dir), count(s.Missing, "file", "files"))
		}
	}
	if idle {
		a.note("'preezm serve' puts them while it runs")
	}
	return nil
}

// saidWatched adds to a status what of the watched folders is not put yet.
func (a *app) saidWatched(ctx context.Context, api node.API) error {
	ss, err := api.Watched(ctx)
	if err != nil {
		a.note("no folder is watched: %s", oneLine(err.Error())) // what is kept is as safe as before
		return nil
	}
	if len(ss) == 0 {
		return nil
	}
	var pending int64
	late := 0
	for _, s := range ss {
		pending += s.Pending
		if s.Phase != watch.Resting {
			late++
		}
	}
	text := "all that changed in them is put"
	if pending > 0 || late > 0 {
		text = count(pending, "change is", "changes are") + " not put yet ('preezm watch list')"
	}
	return a.say("\n%s watched; %s.", wereFolders(len(ss)), text)
}

func wereFolders(n int) string {
	if n == 1 {
		return "1 folder is"
	}
	return count(int64(n), "folder", "folders") + " are"
}
