// SPDX-License-Identifier: MPL-2.0

// Command simulate lives many circles through many years: machines sleep,
// go on holiday, break, are given up or replaced, disks lose things. What is
// done about it is decided by the very functions that a node calls (packages
// placement, repair, presence and audit); only machines, bytes and time are
// made up. It prints how often anything was lost, how that compares with the
// estimate that status gives, and what repair sent.
package main

import (
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/preezm/preezm/engine/repair"
	"github.com/preezm/preezm/erasure"
)

type options struct {
	circles int
	years   int
	seed    uint64
	grace   time.Duration
	margin  int
	data    int64   // bytes of each owner
	rate    int64   // bytes a second that repair may take
	harsh   float64 // multiplies every misfortune
}

func defaults() options {
	return options{circles: 200, years: 10, seed: 1, grace: repair.DefaultGrace, margin: -1, data: 100e9, rate: 2e6, harsh: 1}
}

func main() {
	o := defaults()
	flag.IntVar(&o.circles, "circles", o.circles, "how many circles, 10 to 1,000, a fifth of each size")
	flag.IntVar(&o.years, "years", o.years, "for how many years")
	flag.Uint64Var(&o.seed, "seed", o.seed, "the same seed gives the same run")
	flag.DurationVar(&o.grace, "grace", o.grace, "how long a machine may be away before it is replaced")
	flag.IntVar(&o.margin, "margin", o.margin, "pieces to spare before missing machines are replaced; negative: half of them")
	flag.Int64Var(&o.data, "data", o.data, "bytes that each owner keeps")
	flag.Int64Var(&o.rate, "rate", o.rate, "bytes a second that repair may take")
	flag.Float64Var(&o.harsh, "harsh", o.harsh, "how many times as often everything goes wrong")
	flag.Parse()
	if o.circles < 1 || o.years < 1 || o.rate < 1 || o.data < 1 {
		fmt.Fprintln(os.Stderr, "simulate: circles, years, data and rate must be positive")
		os.Exit(2)
	}
	started := time.Now()
	if err := report(os.Stdout, o, run(o)); err != nil {
		fmt.Fprintln(os.Stderr, "simulate:", err)
		os.Exit(1)
	}
	fmt.Printf("\nTook %s. Replay with -seed %d.\n", time.Since(started).Round(time.Millisecond), o.seed)
}

// sizes are the circles that are lived through.
var sizes = []int{3, 5, 7, 10, 14}

// run lives every circle, on all cores, and sums up by size.
func run(o options) map[int]*tally {
	out := map[int]*tally{}
	var mu sync.Mutex
	work := make(chan int)
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for i := range work {
				c := newCircle(&o, sizes[i%len(sizes)], o.seed, uint64(i))
				c.live()
				mu.Lock()
				t := out[c.size]
				if t == nil {
					t = &tally{}
					out[c.size] = t
				}
				t.add(&c.tally)
				mu.Unlock()
			}
		})
	}
	for i := range o.circles {
		work <- i
	}
	close(work)
	all.Wait()
	return out
}

// tally is what happened to some circles. Only whole numbers are summed, so
// that the order of the sum does not matter.
type tally struct {
	circles, hours   int64
	losses           int64 // times that a part of the data could not be had any more
	worse            int64 // times that a repair made things worse, which must not be
	machinesLost     int64
	disksLost        int64
	left             int64
	repaired         int64 // pieces
	read, sent       int64 // bytes, in kilobytes
	asked, readable  int64 // hours in which the owner was there, and could read everything
	estimate         int64 // sum of yearly estimates, in 1e-9
	estimates        int64
	falselySuspected int64 // machines that were well and were replaced
}

func (t *tally) add(x *tally) {
	t.circles += x.circles
	t.hours += x.hours
	t.losses += x.losses
	t.worse += x.worse
	t.machinesLost += x.machinesLost
	t.disksLost += x.disksLost
	t.left += x.left
	t.repaired += x.repaired
	t.read += x.read
	t.sent += x.sent
	t.asked += x.asked
	t.readable += x.readable
	t.estimate += x.estimate
	t.estimates += x.estimates
	t.falselySuspected += x.falselySuspected
}

func (t *tally) years() float64 { return float64(t.hours) / (24 * 365.25) }

func report(w io.Writer, o options, by map[int]*tally) error {
	fmt.Fprintf(w, "%d circles, %d years each, %.0f GB each, machines waited for %s, repair at %.1f MB/s, seed %d\n\n",
		o.circles, o.years, float64(o.data)/1e9, o.grace, float64(o.rate)/1e6, o.seed)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "machines\tk of n\tcircle years\tmachines lost\tdisks lost\tleft\tlosses\tper year\t95 % below\testimated\treadable\tsent, % of data a year\tread, %\tneedless\t")
	for _, n := range sizes {
		t := by[n]
		if t == nil {
			continue
		}
		g, err := erasure.ForCircle(n)
		if err != nil {
			return err
		}
		y := t.years()
		stored := y * float64(o.data) / 1000
		fmt.Fprintf(tw, "%d\t%s\t%.0f\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%.1f %%\t%.0f %%\t%.0f %%\t%d\t\n", n, g, y, t.machinesLost, t.disksLost, t.left,
			t.losses, chance(float64(t.losses)/y), chance(upper(t.losses)/y), chance(float64(t.estimate)/1e9/float64(max(t.estimates, 1))),
			100*float64(t.readable)/float64(max(t.asked, 1)), 100*float64(t.sent)/stored, 100*float64(t.read)/stored, t.falselySuspected)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	var worse int64
	for _, t := range by {
		worse += t.worse
	}
	fmt.Fprintln(w, "\nA loss is any part of an owner's data that could not be brought back any more; the owner then begins anew.")
	fmt.Fprintln(w, "'needless' are machines that were well, slept for long and were replaced.")
	if worse > 0 {
		return fmt.Errorf("%d repairs made things worse", worse)
	}
	return nil
}

// upper is the upper end of the 95 % interval of a count (Poisson, exact for
// none: 3.7; else by Byar's approximation).
func upper(n int64) float64 {
	if n == 0 {
		return 3.7
	}
	x := float64(n) + 1
	return x * math.Pow(1-1/(9*x)+1.96/(3*math.Sqrt(x)), 3)
}

func chance(p float64) string {
	switch {
	case p <= 0:
		return "0"
	case p < 1e-3:
		return fmt.Sprintf("%.1e", p)
	}
	return fmt.Sprintf("%.4f", p)
}
