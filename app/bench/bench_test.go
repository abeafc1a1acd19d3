// SPDX-License-Identifier: MPL-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/preezm/preezm/app/internal/e2e"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 2}, 2}} {
		if got := median(c.in); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.in, got, c.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	v := []float64{5, 1, 4, 2, 3}
	for p, want := range map[int]float64{1: 1, 20: 1, 21: 2, 50: 3, 95: 5, 100: 5} {
		if got := percentile(v, p); got != want {
			t.Errorf("percentile %d is %v, want %v", p, got, want)
		}
	}
	if percentile(nil, 95) != 0 {
		t.Error("of nothing")
	}
}

func TestSlowdown(t *testing.T) {
	for _, c := range []struct {
		alone, beside []float64
		want          float64
	}{{nil, nil, 0}, {[]float64{2, 1, 4}, []float64{3, 1, 4}, 1}, {[]float64{1, 1, 1, 9}, []float64{2, 3, 4}, 3}} {
		if got := slowdown(c.alone, c.beside); got != c.want {
			t.Errorf("%v beside %v is %v, want %v", c.alone, c.beside, got, c.want)
		}
	}
}

// A repair may send one and a half times what is missing and read k pieces of
// each segment.
func TestRepairAims(t *testing.T) {
	r := row{Work: repairBig, Preezm: figures{Missing: 400, Held: 1000, Stored: 600, Read: 600}}
	for _, more := range []int64{0, 1} {
		r.Preezm.Read += more
		got := aims([]row{r})
		i := slices.IndexFunc(got, func(a aim) bool { return strings.HasPrefix(a.What, "repair") })
		if i < 0 || got[i].Reached != (more == 0) {
			t.Errorf("%d more: %+v", more, got)
		}
	}
}

// TestTinyRun drives the whole benchmark with sizes that take no time: every
// figure is measured, and what came back was compared on the way.
func TestTinyRun(t *testing.T) {
	dir := t.TempDir()
	preezm, err := e2e.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ceiling := filepath.Join(dir, "ceiling")
	if text, err := exec.CommandContext(t.Context(), "go", "build", "-o", ceiling, "./ceiling").CombinedOutput(); err != nil {
		t.Fatalf("build the ceiling: %v: %s", err, text)
	}
	work, out := filepath.Join(dir, "work"), filepath.Join(dir, "bench.json")
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	o := options{preezm: preezm, ceiling: ceiling, big: 3<<20 + 17, small: 120, medium: 1, text: 1 << 20, many: 50, pairs: 1, reps: 2, restless: true}
	measured, err := run(t.Context(), &said, o, work)
	if err == nil {
		err = measured.publish(&said, out, "")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	left, err := os.ReadDir(work)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	r, err := readReport(out)
	if err != nil {
		t.Fatal(err)
	}
	r.Rows = slices.DeleteFunc(r.Rows, func(x row) bool { return isBeside(x.Work) })
	if len(r.Rows) != 6+len(corpora) || r.Reps != 2 {
		t.Fatalf("%d rows of %d runs", len(r.Rows), r.Reps)
	}
	for i, n := range []int{2, 2 * (opened - 1), 2 * grantRuns, 2 * (rangeReads - 1)} {
		if w := r.Waits[i]; w.N != n || w.Median <= 0 || w.P95 < w.Median || w.Max < w.P95 {
			t.Errorf("%+v; want %d measurements", w, n)
		}
	}
	for _, row := range r.Rows {
		if row.Preezm.Wall <= 0 || len(row.Preezm.AllWall) != 2 {
			t.Errorf("%s was not measured: %+v", row.Work, row.Preezm)
		}
		if row.Work == putBig && (row.CPU <= 0 || row.Wall <= 0 || row.Preezm.Stored <= 5<<20) {
			t.Errorf("%s: ratios %v %v, stored %d", row.Work, row.CPU, row.Wall, row.Preezm.Stored)
		}
		if !strings.Contains(said.String(), string(row.Work)) {
			t.Errorf("the table misses %q", row.Work)
		}
	}
}
