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

	"github.com/preezm/preezm/app/internal/proc"
	"github.com/preezm/preezm/app/internal/tree"
	"github.com/preezm/preezm/engine"
)

const (
	keepers = 5
	lose    = 2
)

// demo is one run of it.
type demo struct {
	bin  string // the preezm program
	root string // folder for homes, sample and restored data
	out  io.Writer
	tty  bool // whether a line can be redrawn
	step int
	open bool // the line of begin waits for its end
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
	ownerPeak      int64
	keeperPeak     int64
}

func (d *demo) say(format string, a ...any) { fmt.Fprintf(d.out, format+"\n", a...) }

// begin shows on a terminal what is going on until end takes its place;
// elsewhere only ends are told.
func (d *demo) begin(what string) {
	d.step++
	if d.tty {
		fmt.Fprintf(d.out, "[%d/6] %-8s ...", d.step, what)
		d.open = true
	}
}

func (d *demo) end(what, format string, a ...any) {
	if d.tty {
		fmt.Fprint(d.out, "\r\x1b[K")
		d.open = false
	}
	d.say("[%d/6] %-8s %s", d.step, what, fmt.Sprintf(format, a...))
}

func (d *demo) run(ctx context.Context, file string) error {
	d.say("Preezm demo: %d keepers and an owner, six processes with homes of their own in %s", keepers, d.root)

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
	if err := d.checkSpace(before.Bytes); err != nil {
		return err
	}

	d.begin("circle")
	t0 := time.Now()
	c, err := proc.NewCircle(ctx, d.bin, d.root, keepers)
	if err != nil {
		return err
	}
	defer c.Kill()
	if err := c.Owner.Serve(ctx); err != nil {
		return err
	}
	if err := c.Pair(ctx); err != nil {
		return err
	}
	d.end("circle", "%d keepers and the owner started and paired by invite in %s", keepers, seconds(time.Since(t0)))

	r := result{tree: before}
	if err := d.put(ctx, c, source, &r); err != nil {
		return err
	}
	d.lose(c, &r)
	back := filepath.Join(d.root, "restored")
	if err := d.get(ctx, c, source, back, &r); err != nil {
		return err
	}

	d.begin("compare")
	n, err := before.Compare(ctx, filepath.Join(back, filepath.Base(source)))
	if err != nil {
		d.end("compare", "NOT equal")
		return err
	}
	d.end("compare", "%s: SHA-256, size, mode and time of every file, every folder and link: all equal", humanize.Comma(n)+" entries")

	r.ownerPeak, r.keeperPeak = c.Owner.Usage().Peak, c.KeeperPeak()
	if err := c.Stop(); err != nil {
		return err
	}
	d.summary(r)
	return nil
}

func (d *demo) put(ctx context.Context, c *proc.Circle, source string, r *result) error {
	d.begin("put")
	t0, cpu := time.Now(), c.Usage().CPU
	if _, err := c.Owner.RunTo(ctx, os.Stderr, &r.put, "put", source); err != nil {
		return err
	}
	r.putTook, r.putCPU = time.Since(t0), c.Usage().CPU-cpu
	d.end("put", "%s on %d machines in %s, %s; every shard fsynced there", bytes(r.put.Bytes), r.put.Keepers, seconds(r.putTook), rate(r.put.Bytes, r.putTook))
	for _, p := range r.put.Problems {
		d.say("               %q: %s", p.Path, p.Text)
	}
	if r.put.Debt > 0 {
		return fmt.Errorf("%d shards are still owed to keepers", r.put.Debt)
	}
	return nil
}

// lose takes keepers away with SIGKILL, chosen at random: any may go.
func (d *demo) lose(c *proc.Circle, r *result) {
	d.begin("lose")
	for _, i := range rand.Perm(len(c.Keepers))[:lose] {
		c.Keepers[i].Kill()
		r.lost = append(r.lost, c.Keepers[i].Name)
	}
	slices.Sort(r.lost)
	d.end("lose", "killed without a warning (SIGKILL): %s; %d of %d left", strings.Join(r.lost, ", "), len(c.Keepers)-lose, len(c.Keepers))
}

func (d *demo) get(ctx context.Context, c *proc.Circle, source, to string, r *result) error {
	d.begin("get")
	t0, cpu := time.Now(), c.Usage().CPU
	if _, err := c.Owner.RunTo(ctx, os.Stderr, &r.get, "get", filepath.Base(source), "--to", to); err != nil {
		return err
	}
	r.getTook, r.getCPU = time.Since(t0), c.Usage().CPU-cpu
	d.end("get", "%s into a new folder in %s, %s; %d segments rebuilt from what was left", bytes(r.get.Bytes), seconds(r.getTook), rate(r.get.Bytes, r.getTook), r.get.Rebuilt)
	for _, p := range r.get.Problems {
		d.say("               %q: %s", p.Path, p.Text)
	}
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
	d.say("All six processes shared this one machine and its disk: over a network the line sets the speed.")
}
