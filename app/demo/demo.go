// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/internal/proc"
	"github.com/preezm/preezm/app/internal/tree"
	"github.com/preezm/preezm/engine"
)

const (
	keepers = 5
	lose    = 2
	steps   = 11

	logName = "processes.log"
)

// demo is one run of it.
type demo struct {
	bin  string // the preezm program
	root string // folder for homes, sample and restored data
	out  io.Writer
	tty  bool // whether a line can be redrawn
	step int
	// waits: the line of begin waits for its end.
	waits bool
}

// result is what the summary is made of.
type result struct {
	tree           *tree.Tree
	put            engine.PutReport
	get            engine.GetReport
	putTook        time.Duration
	getTook        time.Duration
	putCPU, getCPU time.Duration
	lost           []string
	lent           lent
	ownerPeak      int64
	keeperPeak     int64
}

func (d *demo) say(format string, a ...any) { fmt.Fprintf(d.out, format+"\n", a...) }

// begin shows on a terminal what is going on until end takes its place;
// elsewhere only ends are told.
func (d *demo) begin(what string) {
	d.step++
	if d.tty {
		fmt.Fprintf(d.out, "%s ...", d.label(what))
		d.waits = true
	}
}

// label is what the line of a step begins with.
func (d *demo) label(what string) string {
	return fmt.Sprintf("%-7s %-8s", fmt.Sprintf("[%d/%d]", d.step, steps), what)
}

func (d *demo) end(what, format string, a ...any) {
	if d.tty {
		fmt.Fprint(d.out, "\r\x1b[K")
		d.waits = false
	}
	d.say("%s %s", d.label(what), fmt.Sprintf(format, a...))
}

func (d *demo) run(ctx context.Context, file string) error {
	d.say("Preezm demo: %d keepers, an owner and a brand, seven processes with homes of their own in %s", keepers, d.root)

	d.begin("data")
	source, what, err := d.source(ctx, file)
	if err != nil {
		return err
	}
	// What the files are now: if they change while the demo runs, the
	// comparison at the end finds it.
	before, err := tree.Scan(ctx, source)
	if err != nil {
		return err
	}
	d.end("data", "%s: %s, %s", what, before.Counts(), bytes(before.Bytes))
	for _, s := range before.Special {
		d.say("               left out, not a file, folder or link: %q", s)
	}
	papers, err := pickPapers(ctx, source)
	if err != nil {
		return err
	}
	if len(papers) == 0 {
		return fmt.Errorf("%s holds no file that could be shown to a brand: name a folder with one", source)
	}
	if err := d.checkSpace(before.Bytes); err != nil {
		return err
	}

	d.begin("circle")
	t0 := time.Now()
	log, err := os.Create(filepath.Join(d.root, logName))
	if err != nil {
		return err
	}
	defer log.Close() // only a log
	f, err := e2e.NewFleet(ctx, e2e.FleetOptions{Binary: d.bin, Dir: d.root, Keepers: keepers, Log: log})
	if err != nil {
		return err
	}
	defer f.Close() // kills what still runs; after a failure there is nothing to add
	if err := f.Owner.Start(ctx); err != nil {
		return err
	}
	if err := custodians(ctx, f); err != nil {
		return err
	}
	d.end("circle", "%d keepers, all of them custodians too, and the owner started and paired by invite in %s", keepers, seconds(time.Since(t0)))

	r := result{tree: before}
	if err := d.put(ctx, f, source, &r); err != nil {
		return err
	}
	if err := d.lose(f, &r); err != nil {
		return err
	}
	back := filepath.Join(d.root, "restored")
	if err := d.get(ctx, f, source, back, &r); err != nil {
		return err
	}

	d.begin("compare")
	n, err := before.Compare(ctx, filepath.Join(back, filepath.Base(source)))
	if err != nil {
		d.end("compare", "NOT equal")
		return err
	}
	d.end("compare", "%s: SHA-256, size, mode and time of every file, every folder and link: all equal", humanize.Comma(n)+" entries")

	if r.lent, err = d.lend(ctx, f, papers); err != nil {
		return err
	}

	r.ownerPeak = usage(f.Owner).Peak
	for _, k := range f.Keepers {
		r.keeperPeak = max(r.keeperPeak, usage(k).Peak)
	}
	for _, h := range homes(f) {
		if err := h.Stop(ctx); err != nil {
			return fmt.Errorf("%s did not stop cleanly: %w", name(h), err)
		}
	}
	d.summary(r)
	return nil
}

func homes(f *e2e.Fleet) []*e2e.Home { return append([]*e2e.Home{f.Owner}, f.Keepers...) }

func name(h *e2e.Home) string { return filepath.Base(h.Dir) }

// usage is that of the process that serves h; zero when it is gone.
func usage(h *e2e.Home) proc.Usage {
	if !h.Serving() {
		return proc.Usage{}
	}
	return proc.Of(h.About().PID)
}

// command runs a command of the owner, with its progress on the screen, and
// gives the time it took and the CPU time of all processes.
func (d *demo) command(ctx context.Context, f *e2e.Fleet, out any, args ...string) (took, cpu time.Duration, err error) {
	all := func() (u proc.Usage) {
		for _, h := range homes(f) {
			u = u.Add(usage(h))
		}
		return u
	}
	t0, before := time.Now(), all().CPU
	own, err := proc.JSON(ctx, f.Owner.Command(ctx, append(args, "--json")...), os.Stderr, out)
	if err != nil {
		return 0, 0, fmt.Errorf("preezm %s: %w", args[0], err)
	}
	return time.Since(t0), all().CPU - before + own.CPU, nil
}

func (d *demo) put(ctx context.Context, f *e2e.Fleet, source string, r *result) (err error) {
	d.begin("put")
	if r.putTook, r.putCPU, err = d.command(ctx, f, &r.put, "put", source); err != nil {
		return err
	}
	d.end("put", "%s on %d machines in %s, %s; every shard fsynced there", bytes(r.put.Bytes), r.put.Keepers, seconds(r.putTook), rate(r.put.Bytes, r.putTook))
	if r.put.Debt > 0 {
		return fmt.Errorf("%d shards are still owed to keepers", r.put.Debt)
	}
	return nil
}

// lose takes keepers away with SIGKILL, chosen at random: any may go.
func (d *demo) lose(f *e2e.Fleet, r *result) error {
	d.begin("lose")
	for _, i := range rand.Perm(len(f.Keepers))[:lose] {
		k := f.Keepers[i]
		r.keeperPeak = max(r.keeperPeak, usage(k).Peak)
		if err := k.Kill(); err != nil {
			return err
		}
		r.lost = append(r.lost, name(k))
	}
	slices.Sort(r.lost)
	d.end("lose", "killed without a warning (SIGKILL): %s; %d of %d left", strings.Join(r.lost, ", "), len(f.Keepers)-lose, len(f.Keepers))
	return nil
}

func (d *demo) get(ctx context.Context, f *e2e.Fleet, source, to string, r *result) (err error) {
	d.begin("get")
	if r.getTook, r.getCPU, err = d.command(ctx, f, &r.get, "get", filepath.Base(source), "--to", to); err != nil {
		return err
	}
	d.end("get", "%s into a new folder in %s, %s; segments rebuilt from what was left: %d", bytes(r.get.Bytes), seconds(r.getTook), rate(r.get.Bytes, r.getTook), r.get.Rebuilt)
	return nil
}

func (d *demo) summary(r result) {
	line := func(what, format string, a ...any) { d.say("  %-14s "+format, append([]any{what}, a...)...) }
	d.say("\nSummary")
	line("data", "%s bytes in %s", humanize.Comma(r.tree.Bytes), r.tree.Counts())
	line("stored", "%s bytes on %d machines, any %d of which bring all of it back", humanize.Comma(r.put.Stored), r.put.Keepers, r.put.K)
	line("expansion", "%s of the data; %s after deduplication and compression (%d of %d alone is %.2fx)",
		times(r.put.Stored, r.put.Bytes), times(r.put.Stored, r.put.Packed), r.put.K, r.put.N, float64(r.put.N)/float64(max(r.put.K, 1)))
	line("put", "%s, %s, CPU %s of all processes", seconds(r.putTook), rate(r.put.Bytes, r.putTook), seconds(r.putCPU))
	line("get", "%s, %s, CPU %s of all processes, with %d machines gone", seconds(r.getTook), rate(r.get.Bytes, r.getTook), seconds(r.getCPU), len(r.lost))
	line("machines lost", "%d of %d: %s", len(r.lost), keepers, strings.Join(r.lost, ", "))
	line("peak memory", "owner %s, largest keeper %s", mib(r.ownerPeak), mib(r.keeperPeak))
	line("compared", "all equal")
	line("granted", "%s, opened by %s within %.0f seconds, %s seen by the owner; refused after the end, and under a withdrawn grant",
		english.Plural(r.lent.files, "file", ""), brandName, lendTime.Seconds(), english.Plural(r.lent.openings, "opening", ""))
	line("ledger", "%d entries verified, %d of them refusals", r.lent.entries, r.lent.refusals)
	d.say("What a brand has opened it may have copied: nothing prevents that, but the owner sees each opening.")
	d.say("All seven processes shared this one machine and its disk: over a network the line sets the speed.")
}
