// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Tell how safe your files are",
		Long: `Tell how many machines may be lost before a file is gone, what is still owed to
machines that did not answer, and which machines answer now.`,
		Example: `  preezm status`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				st, err := api.Status(ctx, engine.StatusOptions{Probe: true})
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(st)
				}
				about, err := api.About(ctx)
				if err != nil {
					return err
				}
				b, err := api.BackupState(ctx)
				if err != nil {
					return err
				}
				err = a.printStatus(st, about, b)
				if err == nil {
					err = a.saidCare(ctx, api)
				}
				if err == nil {
					err = a.saidLeftovers(ctx, api)
				}
				if err == nil {
					err = a.saidWatched(ctx, api)
				}
				if err == nil {
					err = a.saidRequests(ctx, api)
				}
				if err != nil || !about.WordsThere || st.Files == 0 {
					return err
				}
				return a.say("%s", remindWords)
			})
		},
	}
}

// health says in words what survives, and the colour that goes with it.
func health(mayLose int) (text, sgr string) {
	switch {
	case mayLose < 0:
		return "cannot be brought back now", red
	case mayLose == 0:
		return "at risk: no machine may be lost", yellow
	}
	return "safe: " + canLose(mayLose), green
}

// headline is the state of everything in one sentence.
func headline(st *engine.Status) (text, sgr string) {
	if st.Files == 0 {
		return "Nothing is kept yet.", ""
	}
	text, sgr = health(st.MayLose)
	if n := filesAt(st.Health, 0); st.MayLose == 0 && n > 0 {
		return "At risk: 1 more loss and " + filesAre(n) + " gone.", sgr
	}
	if st.MayLose >= 0 {
		return "Everything is " + strings.TrimSuffix(text, ".") + ".", sgr
	}
	lost := filesAt(st.Health, -1)
	text = count(lost, "file", "files") + " " + text
	online := 0
	for _, k := range st.Keepers {
		if k.Online {
			online++
		}
	}
	if missing := st.K - online; missing > 0 {
		text += fmt.Sprintf(": %d of the %s needed are missing", missing, machines(st.K))
	} else {
		text += ": too few of the machines that keep them answer with their pieces"
	}
	return text + ".", sgr
}

// filesAt counts the files that survive the loss of so many machines.
func filesAt(hs []engine.HealthCount, mayLose int) (n int64) {
	for _, h := range hs {
		if h.MayLose == mayLose {
			n += h.Files
		}
	}
	return n
}

func (a *app) printStatus(st *engine.Status, about node.About, copies *node.BackupState) error {
	text, sgr := headline(st)
	if sgr != "" {
		text = a.paint(sgr, text)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", text)
	fmt.Fprintf(&b, "Kept    %s (%s) in %s\n", count(st.Files, "file", "files"), size(st.Bytes), count(st.Folders, "folder", "folders"))
	fmt.Fprintf(&b, "Takes   %s in your circle\n", size(st.Stored))
	if p := st.Past; p.Versions+p.Trashed > 0 {
		fmt.Fprintf(&b, "Past    %s (%s), and %s (%s) in the trash\n", count(p.Versions, "former version", "former versions"), size(p.Bytes),
			count(p.Trashed, "file", "files"), size(p.TrashBytes))
	}
	if n := st.Conflicts; n > 0 {
		fmt.Fprintf(&b, "Choose  %s on two of your machines at once: 'preezm ls --conflicts' shows what to settle\n", changed(n))
	}
	if st.N > 0 {
		bring := "bring"
		if st.K == 1 {
			bring = "brings"
		}
		fmt.Fprintf(&b, "Spread  new files over %s, any %d of which %s them back\n", machines(st.N), st.K, bring)
	}
	// What would make nothing safer in so small a circle is no debt to a person.
	if owed := st.Debt - st.Outlook.Idle; owed > 0 {
		fmt.Fprintf(&b, "Owed    %s to machines that did not answer\n", count(owed, "piece", "pieces"))
	}
	if st.Pending > 0 {
		fmt.Fprintf(&b, "Waiting %s\n", count(st.Pending, "deletion", "deletions"))
	}
	outlookLines(&b, st)
	if (st.Debt > 0 || st.Pending > 0 || st.Outlook.Todo > 0) && !about.Running {
		b.WriteString("        'preezm serve' does what is left to do when the machines are there\n")
	}
	if err := a.say("%s", strings.TrimSuffix(b.String(), "\n")); err != nil {
		return err
	}
	if err := a.printHealth(st.Health); err != nil {
		return err
	}
	if err := a.printKeepers(st.Keepers); err != nil {
		return err
	}
	return a.say("\n%s", backupLine(copies))
}

// saidLeftovers adds what this machine keeps for some that left the circle.
func (a *app) saidLeftovers(ctx context.Context, api node.API) error {
	v, err := api.Limits(ctx)
	if err != nil || len(v.Leftovers) == 0 {
		return err
	}
	return a.say("\n%s", strings.TrimSuffix(leftovers(v.Leftovers), "\n"))
}

// printHealth lists how many files survive what, unless all are alike and the
// first line said it.
func (a *app) printHealth(hs []engine.HealthCount) error {
	if len(hs) < 2 {
		return nil
	}
	t := &table{head: []string{"HEALTH", ">FILES", ">SIZE"}}
	for _, h := range hs {
		text, _ := health(h.MayLose)
		t.add(text, count(h.Files, "file", "files"), size(h.Bytes))
	}
	if err := a.say(""); err != nil {
		return err
	}
	return t.print(a.out)
}

func (a *app) printKeepers(ks []engine.KeeperStatus) error {
	if len(ks) == 0 {
		return a.say("\nNo machine keeps for you yet: 'preezm invite' prints a code for a friend.")
	}
	t := &table{head: []string{"MACHINE", "DEVICE", "ANSWERS", ">USUALLY ON", ">PIECES", ">KEEPS", ">ROOM LEFT"}}
	for _, k := range ks {
		room := "?"
		if k.Asked && k.Online {
			room = size(k.Free)
		}
		t.add(printable(k.Name), k.Device.Short(), answers(k.Asked, k.Online, k.Latency), isOn(&k.Conduct), count(k.Shards, "piece", "pieces"), size(k.Bytes), room)
	}
	if err := a.say(""); err != nil {
		return err
	}
	if err := t.print(a.out); err != nil {
		return err
	}
	for _, k := range ks {
		if k.Asked && !k.Online && k.Text != "" {
			a.note("%s", named(k.Name, k.Text))
		}
		if text := conduct(&k.Conduct); text != "" {
			a.note("%s: %s", printable(k.Name), text)
		}
	}
	return nil
}

func (a *app) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify [NAME...]",
		Short: "Fetch every piece and check it",
		Long: `Fetch every piece of the named files, or of everything, from the machines that
keep it and compare it with what was stored. With a file that 'preezm proof' or
'preezm requests receipt' wrote, check that instead, without any network or home.

The exit status is 1 if a file cannot be brought back now or a machine gave
wrong data, or if the proof was changed.`,
		Example: `  preezm verify
  preezm verify Photos
  preezm verify lease.zip
  preezm verify acme.json`,
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if b, ok, err := proofFile(args); ok || err != nil {
				if err == nil {
					err = a.verifyProof(b)
				}
				return err
			}
			if b, ok, err := receiptFile(args); ok || err != nil {
				if err == nil {
					err = a.verifyReceipt(b)
				}
				return err
			}
			names, err := catalogPaths(args)
			if err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, api node.API) error {
				return a.verify(ctx, api, engine.VerifyOptions{Names: names})
			})
		},
	}
}

func (a *app) verify(ctx context.Context, api node.API, o engine.VerifyOptions) error {
	m := a.meter()
	r, err := api.Verify(ctx, o, m.update)
	m.done()
	if errors.Is(err, context.Canceled) {
		return &saidError{"stopped; checking changes nothing"}
	}
	if err != nil {
		return err
	}
	a.blamed(r.Blamed)
	for i, p := range r.Affected {
		if i == maxListed {
			a.note("... and %s; --json tells them all", count(int64(len(r.Affected)-i), "more", "more"))
			break
		}
		a.note("cannot be brought back now: %s", printable(string(p)))
	}
	if a.json {
		err = a.printJSON(r)
	} else {
		err = a.say("Checked %s (%s) of %s in %s: %s good.", count(r.Shards, "piece", "pieces"), size(r.Bytes),
			count(r.Files, "file", "files"), took(r.Elapsed), allOr(r.Good, r.Shards))
	}
	if err != nil {
		return err
	}
	return verdict(r)
}

func allOr(good, all int64) string {
	if good == all {
		return "all are"
	}
	if good == 1 {
		return "1 is"
	}
	return humanize.Comma(good) + " are"
}

// verdict is the failure a check found, if any.
func verdict(r *engine.VerifyReport) error {
	if n := int64(len(r.Affected)); n > 0 || r.Lost > 0 {
		return &saidError{count(n, "file", "files") + " cannot be brought back now; try again when more machines are on"}
	}
	for _, b := range r.Blamed {
		if b.Lied {
			return &saidError{"a machine gave wrong data; every file can still be brought back from the others"}
		}
	}
	return nil
}
