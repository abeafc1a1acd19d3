// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/preezm/preezm/app/internal/proc"
	"github.com/preezm/preezm/app/internal/tree"
)

// The circle that is measured.
const (
	keepers = 5
	gone    = 2 // for the degraded get
)

// work is one thing that is measured.
type work string

const (
	putBig      work = "put one file"
	getBig      work = "get one file"
	getDegraded work = "get, two keepers gone"
	putSmall    work = "put small files"
	putAgain    work = "put again, unchanged"
	getSmall    work = "get small files"
)

// sample is one measurement.
type sample struct {
	work   work
	side   string // "ceiling" or "preezm"
	bytes  int64
	files  int
	wall   time.Duration
	cpu    time.Duration // of all processes
	owner  int64         // peak memory of the command, or of the owner's node if that is larger, bytes
	keeper int64         // of the largest keeper so far
	stored int64         // shard bytes, of a put or a repair
	// Of a put: what was new after compression, and what that takes on the
	// keepers' disks.
	packed, allocated int64
	// Of a repair: bytes read, those of the pieces that were missing, and those
	// of all pieces.
	read, missing, held int64
}

// bench runs and collects.
type bench struct {
	options
	root    string
	out     io.Writer
	samples []sample
	waited  map[waiting][]time.Duration
	others  map[string]string // programs to compare with, and their versions
	bigFile string
	folder  string
	backs   int // folders that something was got back into
}

func (b *bench) run(ctx context.Context) error {
	b.bigFile, b.folder = filepath.Join(b.root, "big"), filepath.Join(b.root, "small")
	fmt.Fprintf(b.out, "making %d MiB of random data and %d files of %d KiB in %s\n", b.big>>20, b.small, smallSize>>10, b.root)
	if err := writeRandom(b.bigFile, b.big); err != nil {
		return err
	}
	if err := writeSmall(ctx, b.folder, b.small); err != nil {
		return err
	}
	err := errors.Join(writeMedium(ctx, filepath.Join(b.root, "medium"), b.medium), writeText(filepath.Join(b.root, "text"), b.text),
		writeInserted(b.bigFile, filepath.Join(b.root, "inserted"), b.big), writeMany(ctx, filepath.Join(b.root, "many"), b.many))
	if err != nil {
		return err
	}
	sides := []func(context.Context, string) error{b.ceilingRun, b.preezmBig, b.preezmSmall, b.grants, b.preezmCorpora, b.preezmBigMore, b.preezmMany}
	if b.repairOnly {
		sides = []func(context.Context, string) error{b.preezmBigMore}
	}
	if b.compare {
		b.others = compareWith(ctx)
		for name := range b.others {
			sides = append(sides, b.other(name))
		}
	}
	for rep := range b.reps {
		fmt.Fprintf(b.out, "run %d of %d\n", rep+1, b.reps)
		for i := range sides {
			// Start with another one each time, so that none always runs on
			// the heels of the same neighbour.
			side := sides[(rep+i)%len(sides)]
			dir := filepath.Join(b.root, fmt.Sprintf("run-%d-%d", rep, i))
			if err := os.Mkdir(dir, 0o700); err != nil {
				return err
			}
			if err := side(ctx, dir); err != nil {
				return err
			}
			if err := empty(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// rest waits for what is written to be on the disks.
func (b *bench) rest() {
	if !b.restless {
		syncDisks()
	}
}

// measure times one command. do starts it, waits, and says what it cost by
// itself; keepers gives what the machines behind it cost so far.
func (b *bench) measure(s sample, keepers func() proc.Usage, do func() (proc.Usage, error)) error {
	b.rest() // what an earlier step left to write is not this one's
	before := keepers().CPU
	t0 := time.Now()
	own, err := do()
	s.wall = time.Since(t0)
	if err != nil {
		return fmt.Errorf("%s %s: %w", s.side, s.work, err)
	}
	after := keepers()
	s.cpu, s.owner, s.keeper = own.CPU+after.CPU-before, own.Peak, after.Peak
	b.samples = append(b.samples, s)
	fmt.Fprintf(b.out, "  %-8s %-27s %7.2f s %7.2f CPU s\n", s.side, s.work, s.wall.Seconds(), s.cpu.Seconds())
	return nil
}

// same compares what came back, and makes room for what comes next.
func same(ctx context.Context, source, back string) error {
	was, err := tree.Scan(ctx, source)
	if err != nil {
		return err
	}
	if _, err := was.Compare(ctx, back); err != nil {
		return err
	}
	return empty(back)
}

// empty takes the bytes of what is not needed any more off the disk, but leaves
// the files until the benchmark ends. Where thousands were removed, ext4 looks
// for minutes at each of them whenever it makes a new one: getting 10,000 files
// back took three times as long after another run's were removed. Nothing below
// root may be a link to what is still needed.
func empty(root string) error {
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return os.Truncate(name, 0)
	})
}

// back is a folder of its own to get something into.
func (b *bench) back(dir string) string {
	b.backs++
	return filepath.Join(dir, fmt.Sprintf("back%d", b.backs))
}
