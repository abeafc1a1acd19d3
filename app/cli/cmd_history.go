// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

// parseWhen reads a moment in the past: a time, a day (its end), or how long
// ago.
func parseWhen(s string, now time.Time) (time.Time, error) {
	day := func(t time.Time) time.Time { return t.AddDate(0, 0, 1).Add(-time.Nanosecond) }
	switch s {
	case "now":
		return now, nil
	case "yesterday":
		y, m, d := now.AddDate(0, 0, -1).Date()
		return day(time.Date(y, m, d, 0, 0, 0, 0, now.Location())), nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, now.Location()); err == nil {
		return day(t), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	for _, form := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(form, s, now.Location()); err == nil {
			return t, nil
		}
	}
	if d, err := parseSpan(strings.TrimSuffix(s, " ago")); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, usagef("%q is no moment: write 2026-05-31, \"2026-05-31 18:00\", yesterday, or how long ago: 3h, 2d", s)
}

func (a *app) versionsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "versions NAME",
		Short: "Show what is kept of a file's past",
		Long: `Show the versions of a file that are kept: when each was put, from which
machine, and what changed. A file that was removed still has its past until it
leaves the trash. 'preezm restore' makes one the present version again or
brings it into a folder.`,
		Example:           `  preezm versions papers/lease.odt`,
		Args:              exactlyOne("file"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := namedPath(args[0])
			if err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				vs, err := api.Versions(ctx, p)
				if err != nil {
					return err
				}
				return a.printVersions(vs)
			})
		},
	}
}

// namedPath is catalogPath for a command that is not about everything.
func namedPath(arg string) (engine.Path, error) {
	p, err := catalogPath(arg)
	if err == nil && p == "" {
		err = usagef("%q is everything; name a file or folder", arg)
	}
	return p, err
}

func namedPaths(args []string) ([]engine.Path, error) { return eachPath(args, namedPath) }

func exactlyOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("name one %s", what)
		}
		return nil
	}
}

func (a *app) printVersions(vs []engine.VersionInfo) error {
	if a.json {
		return a.printJSON(vs)
	}
	t := &table{head: []string{">VERSION", "PUT", ">SIZE", "FROM", "WHAT CHANGED"}}
	for _, v := range vs {
		from := printable(v.Name)
		if from == "" {
			from = "-"
		}
		t.add(fmt.Sprint(v.Number), second(v.Kept), size(v.Size), from, whatChanged(v))
	}
	return t.print(a.out)
}

// whatChanged is a version's difference from the one before it, in words.
func whatChanged(v engine.VersionInfo) string {
	var out []string
	for _, c := range v.Changed {
		switch c {
		case engine.ChangedNew:
			out = append(out, "new")
		case engine.ChangedContent:
			switch {
			case v.Grown > 0:
				out = append(out, "content (+"+size(v.Grown)+")")
			case v.Grown < 0:
				out = append(out, "content (-"+size(-v.Grown)+")")
			default:
				out = append(out, "content")
			}
		case engine.ChangedTime:
			if !slices.Contains(v.Changed, engine.ChangedContent) {
				out = append(out, "time")
			}
		case engine.ChangedMode:
			out = append(out, fmt.Sprintf("mode (%04o)", v.Mode))
		case engine.ChangedTarget:
			out = append(out, "where the link points")
		case engine.ChangedKind:
			out = append(out, "became a "+v.Kind.String())
		}
	}
	if v.Torn {
		out = append(out, "changed while it was read")
	}
	switch {
	case v.Removed:
		out = append(out, "removed "+second(v.Until))
	case v.Until.IsZero():
		out = append(out, "the present one")
	}
	return strings.Join(out, ", ")
}

func (a *app) restoreCommand() *cobra.Command {
	var at, to string
	var number int64
	var overwrite bool
	cmd := &cobra.Command{
		Use:   "restore NAME...",
		Short: "Go back to former versions of files and folders",
		Long: `Go back to a former version: of one file by its number, or of files and whole
folders as they were at a moment. Without --to it becomes the present version
in the catalog, and the one it replaces stays among the versions; no file on
this machine changes. With --to it is brought into a folder on this machine,
and the catalog stays as it is.

A moment is a time, a day (its end), or how long ago: 2026-05-31,
"2026-05-31 18:00", yesterday, 3h, 2d.`,
		Example: `  preezm restore papers/lease.odt --version 3
  preezm restore papers --at yesterday --to ~/Yesterday
  preezm restore Photos --at "2026-05-31 18:00"`,
		Args:              atLeastOne("names"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			names, err := namedPaths(args)
			if err != nil {
				return err
			}
			when := engine.When{Number: number}
			switch {
			case at != "" && number != 0:
				return usagef("--at and --version exclude each other")
			case at == "" && number == 0:
				return usagef("which version? Say --version N ('preezm versions' shows them) or --at MOMENT")
			case number < 0, number > 0 && len(names) > 1:
				return usagef("--version N is about one file")
			case at != "":
				if when.At, err = parseWhen(at, time.Now()); err != nil {
					return err
				}
			}
			if to == "" {
				if overwrite {
					return usagef("--overwrite is about files in a folder: say which with --to")
				}
				return a.with(cmd, func(ctx context.Context, api node.API) error {
					r, err := api.Restore(ctx, engine.RestoreOptions{Names: names, When: when})
					if err != nil {
						return err
					}
					return a.printRestored(r)
				})
			}
			o := engine.GetOptions{Names: names, When: when, Overwrite: overwrite}
			if o.To, err = filepath.Abs(to); err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error { return a.get(ctx, api, o) })
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "as of this `moment`")
	cmd.Flags().Int64Var(&number, "version", 0, "the version with this `number`")
	cmd.Flags().StringVar(&to, "to", "", "bring it into this `folder` instead; made if missing")
	cmd.Flags().BoolVar(&overwrite, "overwrite", false, "with --to: replace files that are there")
	return cmd
}

func (a *app) printRestored(r *engine.RestoreReport) error {
	if a.json {
		return a.printJSON(r)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Restored %s (%s) in the catalog; 'preezm get' brings them to this machine.", count(r.Files, "file", "files"), size(r.Bytes))
	if r.Same > 0 {
		fmt.Fprintf(&b, "\n%s like that already.", were(r.Same))
	}
	if r.Newer > 0 {
		fmt.Fprintf(&b, "\nThere are %s newer than that in the same folders; they stay.", count(r.Newer, "file", "files"))
	}
	if r.Earlier > 0 {
		fmt.Fprintf(&b, "\nOf %s the version of that moment was pruned; the one before it is back.", count(r.Earlier, "file", "files"))
	}
	return a.say("%s", b.String())
}

func (a *app) trashCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trash",
		Short: "Show, restore or empty what was removed",
		Long: `What 'preezm rm' removes stays in the trash for a while, on the machines of your
circle, and then goes for good with all its versions. 'preezm prune --trash-days'
changes for how long.`,
		Example: "  preezm trash list\n  preezm trash restore Photos/2019",
		Args:    a.noCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	list := &cobra.Command{
		Use: "list", Short: "List what is in the trash", Args: noArgs, Example: "  preezm trash list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				ts, err := api.Trash(ctx)
				if err != nil {
					return err
				}
				return a.printTrash(ts)
			})
		},
	}
	restore := &cobra.Command{
		Use: "restore NAME|ID...", Short: "Keep again what was removed", Args: atLeastOne("names or ids"),
		Long: `Keep again what was removed, named as it was or by its id in 'preezm trash list'.
Of several removals of one name the newest comes back.`,
		Example: "  preezm trash restore Photos/2019",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				r, err := api.RestoreTrash(ctx, trashNames(args))
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(r)
				}
				return a.say("Restored %s (%s): kept again.", count(r.Files, "file", "files"), size(r.Bytes))
			})
		},
	}
	var all bool
	empty := &cobra.Command{
		Use: "empty [NAME|ID]...", Short: "Let go for good of what was removed",
		Long: `Let go for good of what was removed, with all its versions: of what is named, or
of everything in the trash with --all.`,
		Example: "  preezm trash empty Photos/2019\n  preezm trash empty --all",
		Args: func(_ *cobra.Command, args []string) error {
			if (len(args) > 0) == all {
				return usagef("name what is to go, or say --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				r, err := api.EmptyTrash(ctx, trashNames(args))
				if err != nil {
					return err
				}
				return a.printGone(r)
			})
		},
	}
	empty.Flags().BoolVar(&all, "all", false, "everything in the trash")
	cmd.AddCommand(list, restore, empty)
	return cmd
}

// trashNames reads names as a person types them; ids pass unchanged.
func trashNames(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = arg
		if p, err := catalogPath(arg); err == nil && p != "" {
			out[i] = string(p)
		}
	}
	return out
}

func (a *app) printTrash(ts []engine.Trashed) error {
	if a.json {
		for i := range ts {
			ts[i].RawPath = ts[i].Path.Bytes()
		}
		return a.printJSON(ts)
	}
	if len(ts) == 0 {
		return a.say("The trash is empty.")
	}
	t := &table{head: []string{"ID", "REMOVED", "GOES", ">FILES", ">SIZE", "NAME"}}
	for _, x := range ts {
		name := printable(string(x.Path))
		if x.Kind == engine.Folder {
			name += "/"
		}
		t.add(x.ID[:8], clock(x.Removed), x.Until.Local().Format(time.DateOnly), count(x.Files, "file", "files"), size(x.Bytes), name)
	}
	return t.print(a.out)
}

func (a *app) pruneCommand() *cobra.Command {
	var dry, save bool
	var want engine.Retention
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Let go of old versions by a policy",
		Long: `Let go of former versions that the policy does not want, and of what was in the
trash long enough. The present version of every file always stays, and counts
as one. A former version stays if any rule wants it: the newest --keep-last
ones, and the newest one of each of the last --keep-daily days, --keep-weekly
weeks and --keep-monthly months that have one.

Until told otherwise the policy is: last 10, daily 30, weekly 12, monthly 24,
and 30 days in the trash. The running node prunes by it once a day. Numbers
given here hold for this run only; with --save they become the policy.`,
		Example: `  preezm prune --dry-run
  preezm prune --keep-last 3 --keep-daily 7 --keep-weekly 0 --keep-monthly 0
  preezm prune --keep-monthly 60 --trash-days 90 --save`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dry && save {
				return usagef("--dry-run changes nothing, and --save the policy: choose one")
			}
			if min(want.Last, want.Daily, want.Weekly, want.Monthly, want.TrashDays) < 0 {
				return usagef("a number to keep cannot be negative")
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				policy, err := api.Retention(ctx)
				if err != nil {
					return err
				}
				for name, f := range map[string]struct{ from, to *int64 }{
					"keep-last": {&want.Last, &policy.Last}, "keep-daily": {&want.Daily, &policy.Daily},
					"keep-weekly": {&want.Weekly, &policy.Weekly}, "keep-monthly": {&want.Monthly, &policy.Monthly},
					"trash-days": {&want.TrashDays, &policy.TrashDays},
				} {
					if cmd.Flags().Changed(name) {
						*f.to = *f.from
					}
				}
				if save {
					if err := api.SetRetention(ctx, policy); err != nil {
						return err
					}
				}
				r, err := api.Prune(ctx, node.PruneOrder{Policy: policy, Dry: dry})
				if err != nil {
					return err
				}
				return a.printPruned(r, policy)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&dry, "dry-run", false, "only say what would go")
	f.BoolVar(&save, "save", false, "make these numbers the policy from now on")
	f.Int64Var(&want.Last, "keep-last", 0, "newest `versions`")
	f.Int64Var(&want.Daily, "keep-daily", 0, "`days` of which the newest version stays")
	f.Int64Var(&want.Weekly, "keep-weekly", 0, "`weeks` of which the newest version stays")
	f.Int64Var(&want.Monthly, "keep-monthly", 0, "`months` of which the newest version stays")
	f.Int64Var(&want.TrashDays, "trash-days", 0, "`days` that removed files stay; 0: removed is gone")
	return cmd
}

func (a *app) printPruned(r *engine.PruneReport, policy engine.Retention) error {
	if a.json {
		return a.printJSON(struct {
			*engine.PruneReport
			Policy engine.Retention `json:"policy"`
		}{r, policy})
	}
	went := "went"
	if r.Dry {
		went = "would go"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Policy: last %d, daily %d, weekly %d, monthly %d; %s in the trash.\n", policy.Last, policy.Daily, policy.Weekly, policy.Monthly, count(policy.TrashDays, "day", "days"))
	fmt.Fprintf(&b, "%s (%s) %s; %s stay.", count(r.Versions, "former version", "former versions"), size(r.Bytes), went, count(r.Left, "former version", "former versions"))
	if r.Trashed > 0 {
		fmt.Fprintf(&b, "\n%s %s from the trash.", count(r.Trashed, "file", "files"), went)
	}
	if !r.Dry {
		fmt.Fprintf(&b, "\nYour circle may forget %s.", size(r.Freed))
		if r.Pending > 0 {
			fmt.Fprintf(&b, "\n%s for machines that did not answer; 'preezm serve' goes on when they are back.", waits(r.Pending))
		}
	}
	return a.say("%s", b.String())
}
