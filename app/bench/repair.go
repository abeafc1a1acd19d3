// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/internal/proc"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/peers"
)

// What a repair costs, and what those feel of it who put and get meanwhile.
const (
	repairBig   work = "repair, two keepers lost"
	getRepaired work = "get after the repair"
	putAlone    work = "put an eighth of it"
	putBeside   work = "the same while a repair runs"
	getAlone    work = "get it back"
	getBeside   work = "the same, a repair runs"
)

// besides are the pairs of which the second is measured while a repair runs.
// They are missing where there is too little to repair.
var besides = [...][2]work{{putAlone, putBeside}, {getAlone, getBeside}}

func isBeside(w work) bool {
	return slices.ContainsFunc(besides[:], func(pair [2]work) bool { return pair[0] == w || pair[1] == w })
}

// repairs measures the repair of what two lost keepers held, by two that join
// in their place, and then puts and gets beside other repairs.
func (b *bench) repairs(ctx context.Context, dir string, f *e2e.Fleet, place string) error {
	if err := f.Owner.Start(ctx); err != nil {
		return err
	}
	var was engine.Status
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if err := f.Owner.Must(ctx, &was, "status"); err != nil {
			return err
		}
		if was.Debt+was.Pending == 0 {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d shards are owed still", was.Debt)
		}
	}
	s := sample{side: "preezm", work: repairBig, files: 1, held: was.Stored}
	var lost []peers.DeviceID
	for range gone {
		d, err := b.loseKeeper(ctx, dir, f)
		if err != nil {
			return err
		}
		for _, k := range was.Keepers {
			if k.Device == d {
				s.missing += k.Bytes
			}
		}
		lost = append(lost, d)
	}
	s.bytes = s.missing
	if err := b.repair(ctx, f, s); err != nil {
		return err
	}
	if err := f.Owner.Stop(ctx); err != nil {
		return err
	}
	if err := b.get(ctx, f, sample{side: "preezm", bytes: b.big, files: 1, work: getRepaired}, place, b.back(dir)); err != nil {
		return err
	}
	if err := f.Owner.Start(ctx); err != nil {
		return err
	}
	api, err := node.Dial(ctx, f.Owner.Dir)
	if err != nil {
		return err
	}
	defer api.Close() // only read from
	for _, d := range lost {
		if _, err := api.RemoveMember(ctx, node.RemovalOrder{Who: d.String(), Gone: true}, nil); err != nil {
			return err
		}
	}
	return b.beside(ctx, dir, f, api)
}

// repair measures one repair of all that is missing.
func (b *bench) repair(ctx context.Context, f *e2e.Fleet, s sample) error {
	api, err := node.Dial(ctx, f.Owner.Dir)
	if err != nil {
		return err
	}
	defer api.Close() // only read from
	var done engine.DrainReport
	err = b.measure(s, keeperUsage(f), withNode(f, func() (proc.Usage, error) {
		r, err := api.Repair(ctx, node.RepairOrder{}, nil)
		if r != nil && r.Done != nil {
			done = *r.Done
		}
		return proc.Usage{}, b.mended(err)
	}))
	if err != nil {
		return err
	}
	if done.Sent < s.missing*4/5 {
		return fmt.Errorf("the repair sent %d bytes only, %d are missing", done.Sent, s.missing)
	}
	last := &b.samples[len(b.samples)-1]
	last.read, last.stored = done.Read, done.Sent
	return nil
}

// mended passes over the end of a repair to which something is left that no
// machine has any more. That are copies of the catalog from when the circle was
// being made, of one piece each, whose place the next copies take. What is
// measured is compared bit for bit afterwards.
func (b *bench) mended(err error) error {
	if err != nil && strings.Contains(err.Error(), engine.ErrNotDrained.Error()) {
		fmt.Fprintf(b.out, "  left: %v\n", err)
		return nil
	}
	return err
}

// loseKeeper kills a keeper for good and lets a new one join, with the owner's
// node running.
func (b *bench) loseKeeper(ctx context.Context, dir string, f *e2e.Fleet) (lost peers.DeviceID, err error) {
	at := slices.IndexFunc(f.Keepers, (*e2e.Home).Serving)
	if at < 0 {
		return lost, errors.New("no keeper is left")
	}
	lost = f.Keepers[at].About().Device
	if err := f.Keepers[at].Kill(); err != nil {
		return lost, err
	}
	name := fmt.Sprint("fresh", len(f.Keepers))
	fresh := &e2e.Home{Binary: b.preezm, Dir: filepath.Join(dir, name), Log: os.Stderr}
	f.Keepers = append(f.Keepers, fresh)
	err = errors.Join(fresh.Init(ctx, name, ""), fresh.Start(ctx, "--no-discovery"))
	if err == nil {
		err = e2e.Pair(ctx, fresh, f.Owner)
	}
	return lost, err
}

// beside measures puts and gets alone and while a repair runs, in pairs: in one
// the first comes first, in the next the second.
func (b *bench) beside(ctx context.Context, dir string, f *e2e.Fleet, api node.API) error {
	for i := range b.pairs {
		begun := len(b.samples)
		source := filepath.Join(dir, fmt.Sprint("alone", i))
		if err := writeFresh(source, b.big/8, uint64(2*i)); err != nil {
			return err
		}
		alone := func() error { return b.putAndGet(ctx, dir, f, [2]work{putAlone, getAlone}, source) }
		if i%2 == 0 {
			if err := alone(); err != nil {
				return err
			}
		}
		long, err := b.oneBeside(ctx, dir, f, api, i)
		if err != nil {
			return err
		}
		if !long {
			// Nothing was left to repair before the end of this one, so it is none.
			b.samples = b.samples[:begun]
			fmt.Fprintf(b.out, "  pair %d is left out: the repair was over before its end\n", i+1)
			continue
		}
		if i%2 == 1 {
			if err := alone(); err != nil {
				return err
			}
		}
	}
	return nil
}

// oneBeside loses a keeper and measures a put and a get while what it held is
// made anew; long tells that this took longer than both.
func (b *bench) oneBeside(ctx context.Context, dir string, f *e2e.Fleet, api node.API, i int) (long bool, err error) {
	source := filepath.Join(dir, fmt.Sprint("beside", i))
	if err := writeFresh(source, b.big/8, uint64(2*i+1)); err != nil {
		return false, err
	}
	lost, err := b.loseKeeper(ctx, dir, f)
	if err != nil {
		return false, err
	}
	b.rest()
	if _, err := api.RemoveMember(ctx, node.RemovalOrder{Who: lost.String(), Gone: true}, nil); err != nil {
		return false, err
	}
	sent, ended := make(chan struct{}), make(chan error, 1)
	begun := sync.OnceFunc(func() { close(sent) })
	go func() {
		defer begun()
		_, err := api.Repair(ctx, node.RepairOrder{}, func(p engine.Progress) {
			if p.Bytes > 0 {
				begun()
			}
		})
		ended <- err
	}()
	<-sent
	err = b.putAndGet(ctx, dir, f, [2]work{putBeside, getBeside}, source)
	long = len(ended) == 0
	return long, errors.Join(err, b.mended(<-ended))
}

// putAndGet measures both through the running node, one right after the other:
// a repair that runs is not to come to its end in between.
func (b *bench) putAndGet(ctx context.Context, dir string, f *e2e.Fleet, works [2]work, source string) error {
	restless := b.restless
	b.restless = true
	defer func() { b.restless = restless }()
	name, to := filepath.Base(source), b.back(dir)
	for i, args := range [2][]string{{"put", source, "--json"}, {"get", name, "--to", to, "--json"}} {
		s := sample{side: "preezm", bytes: b.big / 8, files: 1, work: works[i]}
		err := b.measure(s, keeperUsage(f), withNode(f, func() (proc.Usage, error) {
			return proc.JSON(ctx, f.Owner.Command(ctx, args...), nil, nil)
		}))
		if err != nil {
			return err
		}
	}
	return same(ctx, source, filepath.Join(to, name))
}

// writeFresh writes random bytes that no other seed gives.
func writeFresh(name string, size int64, seed uint64) error {
	src := rand.NewChaCha8([32]byte(fmt.Appendf(nil, "preezm bench: beside repair %04d", seed)))
	buf := make([]byte, size)
	src.Read(buf) // never fails
	return os.WriteFile(name, buf, 0o644)
}

// slowdown is the median, over the pairs of runs, of how many times as long the
// second took; 0 where there are none.
func slowdown(alone, beside []float64) float64 {
	n := min(len(alone), len(beside))
	ratios := make([]float64, n)
	for i := range n {
		ratios[i] = beside[i] / alone[i]
	}
	return median(ratios)
}

// repairAims holds what a repair moves, and what others feel of it, against
// what is to be reached.
func repairAims(by map[work]row) (out []aim) {
	if p := by[repairBig].Preezm; p.Missing > 0 {
		most := 1.5*float64(p.Missing) + float64(p.Held)*(keepers-gone)/keepers
		out = append(out, aim{What: "repair: sent and read, times what it may", Have: float64(p.Stored+p.Read) / most, Want: 1})
	}
	for _, pair := range besides {
		alone, beside := by[pair[0]].Preezm, by[pair[1]].Preezm
		if s := slowdown(alone.AllWall, beside.AllWall); s > 0 {
			out = append(out, aim{What: string(pair[0]) + " while a repair runs: wall, times alone", Have: s, Want: 1.2})
		}
	}
	return out
}
