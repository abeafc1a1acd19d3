// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

func (a *app) lsCommand() *cobra.Command {
	var o engine.ListOptions
	var long, conflicts bool
	var at string
	cmd := &cobra.Command{
		Use:   "ls [FOLDER]",
		Short: "List what is kept",
		Long: `List what is kept, or one folder of it. With -l also how many machines may be
lost before a file is gone, its size and its time. With --at what was kept at a moment
that has passed: 2026-05-31, "2026-05-31 18:00", yesterday, 3h.

With --conflicts the versions that two machines of yours put under one name at
once: the newer is shown, the other is listed here and got with its number.`,
		Example: `  preezm ls
  preezm ls -l -R Photos/2026
  preezm ls papers --at yesterday`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("name one folder at a time")
			}
			return nil
		},
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				var err error
				if o.Folder, err = catalogPath(args[0]); err != nil {
					return err
				}
			}
			o.Health = long || a.json
			if at != "" {
				var err error
				if o.At, err = parseWhen(at, time.Now()); err != nil {
					return err
				}
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				if conflicts {
					return a.printConflicts(ctx, api)
				}
				entries, err := api.List(ctx, o)
				if err != nil {
					return err
				}
				return a.printList(entries, long)
			})
		},
	}
	cmd.Flags().BoolVarP(&long, "long", "l", false, "also show safety, size and time")
	cmd.Flags().BoolVar(&conflicts, "conflicts", false, "list versions that were put on two machines at once")
	cmd.Flags().StringVar(&at, "at", "", "as of this `moment`")
	cmd.Flags().BoolVarP(&o.Recursive, "recursive", "R", false, "also list what is in the folders")
	return cmd
}

func (a *app) printList(entries []engine.Entry, long bool) error {
	if a.json {
		if entries == nil {
			entries = []engine.Entry{}
		}
		for i := range entries {
			entries[i].RawPath = entries[i].Path.Bytes()
		}
		return a.printJSON(entries)
	}
	if len(entries) == 0 {
		a.note("Nothing is kept here.")
		return nil
	}
	if !long {
		var b strings.Builder
		for _, e := range entries {
			b.WriteString(entryName(e) + "\n")
		}
		_, err := fmt.Fprint(a.out, b.String())
		return err
	}
	t := &table{head: []string{"MAY LOSE", ">SIZE", "CHANGED", "NAME"}}
	for _, e := range entries {
		name := entryName(e)
		if e.Kind == engine.Symlink {
			name += " -> " + printable(e.Target)
		}
		if e.Torn {
			name += "  (changed while it was read)"
		}
		t.add(mayLose(e), size(e.Size), clock(e.ModTime), name)
	}
	return t.print(a.out)
}

func entryName(e engine.Entry) string {
	name := printable(string(e.Path))
	if e.Kind == engine.Folder {
		name += "/"
	}
	return name
}

// mayLose is the health of one entry in a narrow column.
func mayLose(e engine.Entry) string {
	switch {
	case e.Kind == engine.Folder && e.Files == 0, e.Kind == engine.Symlink, e.Keepers == 0 && e.MayLose >= 0:
		return "-" // nothing of it is on other machines
	case e.MayLose < 0:
		return "not now"
	}
	return machines(e.MayLose)
}

func (a *app) rmCommand() *cobra.Command {
	var now bool
	cmd := &cobra.Command{
		Use:   "rm NAME...",
		Short: "Stop keeping files and folders",
		Long: `Stop keeping files and folders: they move to the trash, from where 'preezm trash
restore' brings them back for 30 days (see 'preezm prune'). With --now they and
all their versions go at once and for good, also out of the trash. Files on
this machine's disk are not touched.`,
		Example: `  preezm rm Photos/2019 old.zip
  preezm rm --now secrets.txt`,
		Args: atLeastOne("names"),

		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			names, err := catalogPaths(args)
			if err != nil {
				return err
			}
			for i, n := range names {
				if n == "" {
					return usagef("%q is everything that is kept; name the files and folders to remove", args[i])
				}
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				if now {
					return a.remove(api.Forget(ctx, names))
				}
				return a.remove(api.Remove(ctx, names))
			})
		},
	}
	cmd.Flags().BoolVar(&now, "now", false, "for good, with all versions, past the trash")
	return cmd
}

func (a *app) remove(r *engine.RemoveReport, err error) error {
	if errors.Is(err, context.Canceled) {
		return &saidError{"stopped; 'preezm ls' shows whether the names are still kept"}
	}
	if err != nil {
		return err
	}
	return a.printGone(r)
}

func (a *app) printGone(r *engine.RemoveReport) error {
	if a.json {
		return a.printJSON(r)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Removed %s (%s)", count(r.Files, "file", "files"), size(r.Bytes))
	if r.Folders > 0 {
		fmt.Fprintf(&b, " and %s", count(r.Folders, "folder", "folders"))
	}
	if r.Trashed {
		fmt.Fprintf(&b, "; until %s 'preezm trash restore' brings them back.", r.Until.Local().Format(time.DateOnly))
	} else {
		fmt.Fprintf(&b, " for good; your circle may forget %s.", size(r.Freed))
	}
	if r.Pending > 0 {
		fmt.Fprintf(&b, "\n%s for machines that did not answer; 'preezm serve' goes on when they are back.", waits(r.Pending))
	}
	if err := a.say("%s", b.String()); err != nil {
		return err
	}
	if len(r.Grants) > 0 {
		a.note("warning: granted files can be opened until the grant ends, though you keep them no longer. 'preezm revoke' withdraws a grant: %s.", strings.Join(r.Grants, ", "))
	}
	return nil
}

func waits(deletions int64) string {
	if deletions == 1 {
		return "1 deletion waits"
	}
	return count(deletions, "deletion", "deletions") + " wait"
}

// completeNames offers what is kept in the folder that is being typed. Names
// a shell line cannot hold are left out; trouble offers nothing, as a prompt
// is no place for it.
func (a *app) completeNames(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const how = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	folder := engine.Path("")
	if i := strings.LastIndexByte(typed, '/'); i > 0 {
		var err error
		if folder, err = catalogPath(typed[:i]); err != nil {
			return nil, how
		}
	}
	var out []cobra.Completion
	err := a.connected(cmd, func(ctx context.Context, api node.API) error {
		entries, err := api.List(ctx, engine.ListOptions{Folder: folder})
		for _, e := range entries {
			if name := entryName(e); !needsEscape(string(e.Path)) && strings.HasPrefix(name, typed) {
				out = append(out, name)
			}
		}
		return err
	})
	if err != nil {
		return nil, how
	}
	return out, how
}
