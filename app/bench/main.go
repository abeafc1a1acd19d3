// SPDX-License-Identifier: MPL-2.0

// Command bench measures Preezm against the ceiling, a straight-line program
// that does only the work nobody can leave out (see the ceiling folder), by
// turns in one run, so that both meet the same machine in the same mood. Every
// figure is the median of several runs, in wall seconds and in CPU seconds of
// all processes, keepers included; what comes back is compared bit for bit.
//
// What grants cost has no ceiling to meet: it is milliseconds that a person
// waits, as median and 95th percentile.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// options of one run of the benchmark.
type options struct {
	preezm  string // programs
	ceiling string
	big     int64 // size of the random file, bytes
	small   int   // number of small files
	medium  int   // number of medium files
	text    int64 // size of the text, bytes
	many    int   // number of files to list
	pairs   int   // of puts and gets, alone and beside a repair
	compare bool  // measure other programs too, where they are installed
	reps    int
	// repairOnly leaves out all but the big file, its ranges, and repairs of it.
	repairOnly bool
	// restless measures without waiting for the disks to rest before each step:
	// for a test of the benchmark, beside which others write.
	restless bool
}

// smallSize is the size of a small file in bytes.
const smallSize = 10 << 10

func main() {
	o := options{big: 1 << 30, small: 10_000, medium: 200, text: 1 << 30, many: 100_000, pairs: 5}
	flag.StringVar(&o.preezm, "preezm", "bin/preezm-headless", "the program to measure")
	flag.StringVar(&o.ceiling, "ceiling", "build/ceiling", "the ceiling program")
	flag.IntVar(&o.reps, "reps", 3, "runs of everything; the medians are shown")
	out := flag.String("json", "", "file for the figures as JSON")
	dir := flag.String("dir", "", "folder on the disk to measure; without it the system's temporary folder")
	svg := flag.String("svg", "", "file for a picture of the figures")
	show := flag.String("show", "", "measure nothing: show the figures that an earlier run wrote into this file")
	flag.BoolVar(&o.compare, "compare", false, "measure restic and rclone too, where they are installed")
	flag.BoolVar(&o.repairOnly, "repair", false, "measure repairs only, and what comes before them")
	quick := flag.Bool("quick", false, "a small run: 128 MiB, 1,000 small files, one run of each")
	flag.Parse()
	if flag.NArg() > 0 || o.reps < 1 {
		flag.Usage()
		os.Exit(2)
	}
	if *quick {
		o.big, o.small, o.reps, o.medium, o.text, o.many = 128<<20, 1000, 1, 20, 64<<20, 10_000
	}
	if o.repairOnly {
		o.small, o.medium, o.text, o.many = 0, 0, 0, 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var r report
	var err error
	if *show != "" {
		r, err = readReport(*show)
	} else {
		r, err = run(ctx, os.Stdout, o, *dir)
	}
	if err == nil {
		err = r.publish(os.Stdout, *out, *svg)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures everything in a folder of its own below dir.
func run(ctx context.Context, w io.Writer, o options, dir string) (r report, err error) {
	for _, p := range []*string{&o.preezm, &o.ceiling} {
		if *p, err = filepath.Abs(*p); err != nil {
			return r, err
		}
		if _, err := os.Stat(*p); err != nil {
			return r, fmt.Errorf("make bench builds what is measured: %w", err)
		}
	}
	root, err := os.MkdirTemp(dir, "preezm-bench-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()

	b := &bench{options: o, root: root, out: w, waited: map[waiting][]time.Duration{}}
	if err := b.run(ctx); err != nil {
		return r, err
	}
	return b.report(), nil
}

// publish prints the report, and writes it as JSON and as a picture where a
// file is named for it.
func (r report) publish(w io.Writer, out, svg string) error {
	r.print(w)
	if out != "" {
		if err := r.write(out); err != nil {
			return err
		}
	}
	if svg != "" {
		return r.draw(svg)
	}
	return nil
}
