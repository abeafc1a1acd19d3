// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
)

// waiting is something a person waits for.
type waiting string

const (
	// openFirst makes the connections: of the brand to the gateway, and of the
	// gateway to the custodians.
	openFirst waiting = "open under a grant, first"
	openKept  waiting = "open under a grant"
	grantMany waiting = "grant 100 files"
)

const (
	// opened is how many files one run opens. Custodians let a brand's device
	// ask 60 times a minute.
	opened = 56
	// granted is how many files the other grants hold, and how many these are.
	granted, grantRuns = 100, 7
)

// wait is how long something took, in milliseconds.
type wait struct {
	What   waiting `json:"what"`
	N      int     `json:"n"`
	Median float64 `json:"median_ms"`
	P95    float64 `json:"p95_ms"`
	Max    float64 `json:"max_ms"`
}

// grants measures one owner, five custodians of which three must agree, one of
// them the gateway too, and a brand whose node runs: so the time from a request
// to the key is taken where both are, without the start of a command and
// without the file's transfer.
func (b *bench) grants(ctx context.Context, dir string) (err error) {
	f, err := b.fleet(ctx, dir)
	if err != nil {
		return err
	}
	brand := &e2e.Home{Binary: b.preezm, Dir: filepath.Join(dir, "brand"), Log: os.Stderr}
	defer func() { err = errors.Join(err, f.Close(), brand.Kill()) }()
	papers := filepath.Join(dir, "papers")
	if err := writeSmall(ctx, papers, granted); err != nil {
		return err
	}
	add := []string{"custodians", "add"}
	for _, k := range f.Keepers {
		add = append(add, filepath.Base(k.Dir))
	}
	var card node.BrandInfo
	err = errors.Join(f.Owner.Must(ctx, nil, "put", papers), f.Owner.Must(ctx, nil, add...), brand.Init(ctx, "brand", ""), brand.Start(ctx))
	if err == nil {
		err = brand.Must(ctx, &card, "brand", "init", "--name", "ACME")
	}
	if err != nil {
		return err
	}
	if err := b.openMany(ctx, f, brand, card.Card, papers); err != nil {
		return err
	}
	return b.grantMany(ctx, f, card.Card)
}

// openMany opens small files one after the other, on the same connections, and
// compares each.
func (b *bench) openMany(ctx context.Context, f *e2e.Fleet, brand *e2e.Home, card, papers string) error {
	order := []string{"grant", "--for", "1h", "--via", filepath.Base(f.Keepers[0].Dir), card}
	for i := range opened {
		order = append(order, "papers/000/"+smallName(i))
	}
	ticket := papers + ".ticket"
	if err := f.Owner.Must(ctx, nil, append(order, "-o", ticket)...); err != nil {
		return err
	}
	b.rest()
	var r node.OpenReport
	if err := brand.Must(ctx, &r, "open", ticket, "--to", papers+".opened"); err != nil {
		return err
	}
	if len(r.Files) != opened {
		return fmt.Errorf("opened %d of %d files", len(r.Files), opened)
	}
	for i, o := range r.Files {
		if err := sameBytes(filepath.Join(papers, "000", o.Name), o.Path); err != nil {
			return err
		}
		if i == 0 {
			b.took(openFirst, o.Asked)
		} else {
			b.took(openKept, o.Asked)
		}
	}
	return nil
}

// grantMany grants a folder again and again, as a person does, from the start
// of the command to its end, with every custodian and keeper gone.
func (b *bench) grantMany(ctx context.Context, f *e2e.Fleet, card string) error {
	for _, k := range f.Keepers {
		if err := k.Kill(); err != nil {
			return err
		}
	}
	for range grantRuns {
		var g node.Granted
		b.rest()
		t0 := time.Now()
		if err := f.Owner.Must(ctx, &g, "grant", "--for", "30d", card, "papers"); err != nil {
			return err
		}
		b.took(grantMany, time.Since(t0))
		if len(g.Files) != granted {
			return fmt.Errorf("granted %d of %d files", len(g.Files), granted)
		}
	}
	return nil
}

func (b *bench) took(w waiting, d time.Duration) { b.waited[w] = append(b.waited[w], d) }

func (b *bench) waits() []wait {
	var out []wait
	for _, w := range []waiting{openFirst, openKept, grantMany, firstByte} {
		var ms []float64
		for _, d := range b.waited[w] {
			ms = append(ms, float64(d)/float64(time.Millisecond))
		}
		out = append(out, wait{w, len(ms), median(ms), percentile(ms, 95), percentile(ms, 100)})
	}
	return out
}

// percentile gives the smallest value that p of a hundred values do not exceed.
func percentile(v []float64, p int) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[(len(v)*p+99)/100-1]
}

// waitAims holds the medians against what grants promise.
func waitAims(waits []wait) []aim {
	most := map[waiting]aim{
		openKept:  {What: "open under a grant, median ms", Want: 50},
		grantMany: {What: "grant 100 files, median ms", Want: 100},
		firstByte: {What: "first byte of a range, median ms", Want: 20},
	}
	var out []aim
	for _, w := range waits {
		a, ok := most[w.What]
		if !ok || w.N == 0 {
			continue
		}
		a.Have = w.Median
		a.Reached = a.Have <= a.Want
		out = append(out, a)
	}
	return out
}

func printWaits(w io.Writer, waits []wait) {
	fmt.Fprintf(w, "\ngrants: %d custodians, %d must agree, one of them the gateway; from the request to the key, without the file's transfer; the grants with all custodians gone, from the start of the command to its end; ranges of a running node, on connections that are there\n\n", keepers, keepers/2+1)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tn\tmedian ms\tp95 ms\tmax ms\t")
	for _, x := range waits {
		if x.N == 0 {
			continue
		}
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.1f\t%.1f\t\n", x.What, x.N, x.Median, x.P95, x.Max)
	}
	t.Flush() // as the table above
}
