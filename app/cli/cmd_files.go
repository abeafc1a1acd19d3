// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

// catalogPath reads a name as a person types it: slashes at its ends, doubled
// ones and "." parts do not matter; "/" or "." is everything. A ".." is
// refused rather than guessed at.
func catalogPath(arg string) (engine.Path, error) {
	if strings.ContainsRune(arg, 0) {
		return "", usagef("a name cannot hold a NUL byte")
	}
	if arg == "" {
		return "", usagef("a name cannot be empty; '/' is everything")
	}
	var parts []string
	for part := range strings.SplitSeq(arg, "/") {
		switch part {
		case "", ".":
		case "..":
			return "", usagef("%q: a name in the catalog has no '..' in it", arg)
		default:
			parts = append(parts, part)
		}
	}
	return engine.Path(strings.Join(parts, "/")), nil
}

func catalogPaths(args []string) ([]engine.Path, error) { return eachPath(args, catalogPath) }

func eachPath(args []string, read func(string) (engine.Path, error)) ([]engine.Path, error) {
	var out []engine.Path
	for _, arg := range args {
		p, err := read(arg)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (a *app) putCommand() *cobra.Command {
	var into string
	cmd := &cobra.Command{
		Use:   "put PATH...",
		Short: "Keep files and folders in your circle",
		Long: `Keep files and folders on the machines of your circle. Each is named in the
catalog by its last part; --into puts it into a folder there.

Repeating a put sends only what is new, and so goes on with one that was
interrupted. The exit status is 1 if a file was not kept.`,
		Example: `  preezm put ~/Photos
  preezm put contract.pdf scan.pdf --into papers/2026`,
		Args: atLeastOne("files or folders"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := putOptions(args, into)
			if err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error { return a.put(ctx, api, o) })
		},
	}
	cmd.Flags().StringVar(&into, "into", "", "`folder` in the catalog to put them into")
	return cmd
}

// putOptions checks the sources here, before anything else starts: a typing
// mistake should not cost a wait.
func putOptions(args []string, into string) (engine.PutOptions, error) {
	var o engine.PutOptions
	if into != "" {
		var err error
		if o.Into, err = catalogPath(into); err != nil {
			return o, err
		}
	}
	for _, arg := range args {
		abs, err := filepath.Abs(arg)
		if err != nil {
			return o, err
		}
		if _, err := os.Lstat(abs); errors.Is(err, fs.ErrNotExist) {
			return o, &saidError{fmt.Sprintf("%s: there is no such file or folder", printable(arg))}
		} else if err != nil {
			return o, err
		}
		o.Sources = append(o.Sources, abs)
	}
	return o, nil
}

func (a *app) put(ctx context.Context, api node.API, o engine.PutOptions) error {
	m := a.meter()
	r, err := api.Put(ctx, o, m.update)
	m.done()
	if errors.Is(err, context.Canceled) {
		return &saidError{stoppedPut(m.last)}
	}
	partly := errors.Is(err, engine.ErrNotKept)
	if r == nil || (err != nil && !partly) {
		if r != nil {
			a.problems(r.Problems, "not kept")
		}
		return err
	}
	failed := a.problems(r.Problems, "not kept")
	for _, n := range r.Notes {
		a.note("note: %s", oneLine(n.Text))
	}
	if a.json {
		err = a.printJSON(r)
	} else {
		err = a.printPut(r, failed)
	}
	if err == nil && (failed > 0 || partly) {
		err = &saidError{notDone(failed, "not kept")}
	}
	return err
}

// stoppedPut says what an interrupted put leaves.
func stoppedPut(p engine.Progress) string {
	if p.Bytes == 0 {
		return "stopped; nothing was changed"
	}
	return fmt.Sprintf("stopped; the %s that your circle has acknowledged stay there, and the same command goes on from them", size(p.Bytes))
}

func notDone(failed int, what string) string {
	if failed == 0 {
		return "some files were " + what + "; see above"
	}
	if failed == 1 {
		return "1 file was " + what + "; see above"
	}
	return count(int64(failed), "file", "files") + " were " + what + "; see above"
}

func (a *app) printPut(r *engine.PutReport, failed int) error {
	var b strings.Builder
	if failed == 0 {
		fmt.Fprintf(&b, "Kept %s (%s)", count(r.Files, "file", "files"), size(r.Bytes))
	} else {
		// What failed may be folders, of which nobody knows what is in them.
		fmt.Fprintf(&b, "Looked at %s (%s) and kept all but what is named above", count(r.Files, "file", "files"), size(r.Bytes))
	}
	if r.Keepers > 0 && r.N > 0 {
		fmt.Fprintf(&b, " on %s", machines(r.Keepers))
		if r.Debt == 0 {
			fmt.Fprintf(&b, "; %s", canLose(r.N-r.K))
		}
	}
	b.WriteString(".\n")
	if r.Unchanged > 0 {
		fmt.Fprintf(&b, "%s already kept as they are.\n", were(r.Unchanged))
	}
	if r.NewBytes > 0 {
		fmt.Fprintf(&b, "%s were new, %s after compression, and take %s in your circle.\n", size(r.NewBytes), size(r.Packed), size(r.Stored))
	}
	if r.Debt > 0 {
		fmt.Fprintf(&b, "%s still owed to machines that did not answer; 'preezm serve' sends them when they are back.\n", owed(r.Debt))
	}
	return a.say("%sIt took %s.", b.String(), tookAt(r.NewBytes, r.Elapsed))
}

// tookAt writes how long bytes took, and how fast that was if it can be told.
func tookAt(n int64, d time.Duration) string {
	if s := rate(n, d); s != "" {
		return took(d) + " (" + s + ")"
	}
	return took(d)
}

func were(files int64) string {
	if files == 1 {
		return "1 file was"
	}
	return count(files, "file", "files") + " were"
}

func owed(pieces int64) string {
	if pieces == 1 {
		return "1 piece is"
	}
	return count(pieces, "piece", "pieces") + " are"
}

// canLose is the promise of n lost machines in words.
func canLose(n int) string {
	switch {
	case n <= 0:
		return "no machine may be lost"
	case n == 1:
		return "any 1 machine may be lost"
	}
	return fmt.Sprintf("any %d machines may be lost", n)
}

func (a *app) getCommand() *cobra.Command {
	var o engine.GetOptions
	cmd := &cobra.Command{
		Use:   "get NAME... --to DIR",
		Short: "Bring files and folders back",
		Long: `Bring files and folders back from the circle into a folder on this machine.
'/' is everything. Files that are there are never replaced without
--overwrite; --resume leaves those alone that are there already with the same
size and time, and so goes on with an interrupted get.

The exit status is 1 if a file was not brought back.`,
		Example: `  preezm get Photos --to ~/Back
  preezm get / --to /mnt/everything --resume`,
		Args:              atLeastOne("names"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.To == "" {
				return usagef("where to? Name a folder with --to")
			}
			var err error
			if o.Names, err = catalogPaths(args); err != nil {
				return err
			}
			if o.To, err = filepath.Abs(o.To); err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error { return a.get(ctx, api, o) })
		},
	}
	cmd.Flags().StringVar(&o.To, "to", "", "`folder` to bring them back into; made if missing")
	cmd.Flags().BoolVar(&o.Overwrite, "overwrite", false, "replace files that are there")
	cmd.Flags().BoolVar(&o.Resume, "resume", false, "leave files alone that are there with the same size and time")
	return cmd
}

func (a *app) get(ctx context.Context, api node.API, o engine.GetOptions) error {
	m := a.meter()
	r, err := api.Get(ctx, o, m.update)
	m.done()
	if errors.Is(err, context.Canceled) {
		return &saidError{"stopped; files that were complete are in " + printable(o.To) + ", and the same command with --resume goes on from them"}
	}
	partly := errors.Is(err, engine.ErrNotBack)
	if r == nil || (err != nil && !partly) {
		if r != nil {
			a.problems(r.Problems, "not brought back")
			a.blamed(r.Blamed)
		}
		return err
	}
	failed := a.problems(r.Problems, "not brought back")
	a.blamed(r.Blamed)
	for i, n := range r.Renamed {
		if i == maxListed {
			a.note("... and %s", count(int64(len(r.Renamed)-i), "more renamed", "more renamed"))
			break
		}
		a.note("note: this system cannot hold the name %s; it is there as %s", printable(string(n.Path)), printable(n.As))
	}
	if a.json {
		err = a.printJSON(r)
	} else {
		err = a.printGet(r, o.To)
	}
	if err == nil && (failed > 0 || partly) {
		err = &saidError{notDone(failed, "not brought back")}
	}
	return err
}

func (a *app) printGet(r *engine.GetReport, to string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Brought back %s (%s) into %s.\n", count(r.Files, "file", "files"), size(r.Bytes), printable(to))
	if r.Skipped > 0 {
		fmt.Fprintf(&b, "%s there already.\n", were(r.Skipped))
	}
	if r.Rebuilt > 0 {
		fmt.Fprintf(&b, "%s rebuilt from the pieces of other machines.\n", rebuilt(r.Rebuilt))
	}
	return a.say("%sIt took %s.", b.String(), tookAt(r.Bytes, r.Elapsed))
}

func rebuilt(segments int64) string {
	if segments == 1 {
		return "1 segment was"
	}
	return count(segments, "segment", "segments") + " were"
}
