// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
)

// report is what build/bench.json holds.
type report struct {
	Time    time.Time         `json:"time"`
	Machine string            `json:"machine"`
	Cores   int               `json:"cores"`
	Go      string            `json:"go"`
	Reps    int               `json:"reps"`
	Big     int64             `json:"big_bytes"`
	Small   int               `json:"small_files"`
	Others  map[string]string `json:"others,omitempty"` // programs and versions
	Rows    []row             `json:"rows"`
	Waits   []wait            `json:"waits"`
	Aims    []aim             `json:"aims"`
}

// row is one kind of work on both sides; zero figures were not measured.
type row struct {
	Work    work               `json:"work"`
	Bytes   int64              `json:"bytes"`
	Files   int                `json:"files"`
	Ceiling figures            `json:"ceiling"`
	Preezm  figures            `json:"preezm"`
	Others  map[string]figures `json:"others,omitempty"`
	Wall    float64            `json:"wall_ratio,omitempty"` // of Preezm to the ceiling
	CPU     float64            `json:"cpu_ratio,omitempty"`
}

// figures are medians over the runs; peaks are the largest seen.
type figures struct {
	Wall    float64   `json:"wall_s"`
	CPU     float64   `json:"cpu_s"`
	AllWall []float64 `json:"wall_s_all"`
	AllCPU  []float64 `json:"cpu_s_all"`
	Owner   int64     `json:"owner_peak_bytes"`
	Keeper  int64     `json:"keeper_peak_bytes"`
	Stored  int64     `json:"stored_bytes,omitempty"`  // sent to keepers and acknowledged
	Packed  int64     `json:"packed_bytes,omitempty"`  // new, after compression
	Read    int64     `json:"read_bytes,omitempty"`    // by a repair
	Missing int64     `json:"missing_bytes,omitempty"` // of the pieces that a repair made anew
	Held    int64     `json:"held_bytes,omitempty"`    // of all pieces before anything was lost
	Disks   int64     `json:"disk_bytes,omitempty"`    // allocated on the keepers' disks
}

// aim is a promise and what became of it.
type aim struct {
	What    string  `json:"what"`
	Have    float64 `json:"have"`
	Want    float64 `json:"want"` // at most
	Reached bool    `json:"reached"`
}

func (b *bench) report() report {
	r := report{Time: time.Now().UTC().Truncate(time.Second), Machine: cpuModel(), Cores: runtime.NumCPU(), Go: runtime.Version(), Reps: b.reps, Big: b.big, Small: b.small, Others: b.others}
	works := append([]work{putBig, getBig, getDegraded, putSmall, putAgain, getSmall}, corpora...)
	for _, pair := range besides {
		works = append(works, pair[:]...)
	}
	for _, w := range works {
		if len(b.figures(w, "preezm").AllWall) == 0 && (b.repairOnly || isBeside(w)) {
			continue
		}
		row := row{Work: w, Ceiling: b.figures(w, "ceiling"), Preezm: b.figures(w, "preezm")}
		for _, s := range b.samples {
			if s.work == w {
				row.Bytes, row.Files = s.bytes, s.files
			}
		}
		if row.Ceiling.Wall > 0 && row.Ceiling.CPU > 0 {
			row.Wall, row.CPU = row.Preezm.Wall/row.Ceiling.Wall, row.Preezm.CPU/row.Ceiling.CPU
		}
		for name := range b.others {
			if f := b.figures(w, name); f.Wall > 0 {
				if row.Others == nil {
					row.Others = map[string]figures{}
				}
				row.Others[name] = f
			}
		}
		r.Rows = append(r.Rows, row)
	}
	r.Waits = b.waits()
	r.judge()
	return r
}

// judge holds the figures against the aims.
func (r *report) judge() { r.Aims = append(aims(r.Rows), waitAims(r.Waits)...) }

// readReport reads what an earlier run wrote, and judges it anew.
func readReport(name string) (report, error) {
	var r report
	b, err := os.ReadFile(name)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%s: %w", name, err)
	}
	r.judge()
	return r, nil
}

func (b *bench) figures(w work, side string) (f figures) {
	for _, s := range b.samples {
		if s.work == w && s.side == side {
			f.AllWall, f.AllCPU = append(f.AllWall, s.wall.Seconds()), append(f.AllCPU, s.cpu.Seconds())
			f.Owner, f.Keeper = max(f.Owner, s.owner), max(f.Keeper, s.keeper)
			f.Stored, f.Packed, f.Disks = s.stored, s.packed, s.allocated
			f.Read, f.Missing, f.Held = s.read, s.missing, s.held
		}
	}
	f.Wall, f.CPU = median(f.AllWall), median(f.AllCPU)
	return f
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// aims holds the rows against what is to be reached (docs/performance.md).
func aims(rows []row) []aim {
	by := map[work]row{}
	var owner, keeper int64
	for _, r := range rows {
		by[r.Work] = r
		if isBeside(r.Work) {
			continue // a node that runs, and repairs: the aim is for a put or a get
		}
		owner, keeper = max(owner, r.Preezm.Owner), max(keeper, r.Preezm.Keeper)
	}
	var out []aim
	for _, a := range []struct {
		work      work
		cpu, wall float64
	}{{putBig, 1.4, 1.4}, {getBig, 1.4, 1.4}, {getDegraded, 1.4, 1.5}} {
		out = append(out, aim{What: string(a.work) + ": CPU seconds, times the ceiling's", Have: by[a.work].CPU, Want: a.cpu},
			aim{What: string(a.work) + ": wall, times the ceiling's", Have: by[a.work].Wall, Want: a.wall})
	}
	if put := by[putSmall]; put.Preezm.Wall > 0 && put.Files >= 10_000 {
		out = append(out, aim{What: "10,000 files put, s", Have: put.Preezm.Wall, Want: 1},
			aim{What: "10,000 files got back, s", Have: by[getSmall].Preezm.Wall, Want: 3},
			aim{What: "10,000 files put again, s", Have: by[putAgain].Preezm.Wall, Want: 0.3})
		if o := put.Others["restic"]; o.Wall > 0 {
			out = append(out, aim{What: "10,000 files put: wall, times restic's", Have: put.Preezm.Wall / o.Wall, Want: 1})
		}
	}
	if in := by[putInsert]; in.Preezm.Wall > 0 {
		out = append(out, aim{What: "insertion: stored, times it and 5/3", Have: float64(in.Preezm.Stored) / (float64(in.Bytes) * keepers / (keepers - gone)), Want: 1.3})
	}
	out = append(out, repairAims(by)...)
	out = append(out, aim{What: "owner's peak memory, MiB", Have: float64(owner) / (1 << 20), Want: 160},
		aim{What: "largest keeper's peak memory, MiB", Have: float64(keeper) / (1 << 20), Want: 64})
	for _, w := range []work{putBig, putSmall, putMedium, putText, putSource} {
		if p := by[w].Preezm; p.Packed > 0 && p.Disks > 0 {
			out = append(out, aim{What: string(w) + ": on disks, times what is new", Have: float64(p.Disks) / float64(p.Packed), Want: 1.7})
		}
	}
	out = slices.DeleteFunc(out, func(a aim) bool { return a.Have == 0 }) // not measured
	for i, a := range out {
		out[i].Reached = a.Have <= a.Want
	}
	return out
}

// print shows the report as a table. MB are 10^6 bytes, MiB 2^20.
func (r report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s, %d cores, %s; medians of %d; one file of %d MiB, %s files of %d KiB; 3-of-5, every shard fsynced, all processes on this machine\n\n",
		r.Machine, r.Cores, r.Go, r.Reps, r.Big>>20, humanize.Comma(int64(r.Small)), smallSize>>10)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tceiling s\tMB/s\tCPU s\tpreezm s\tMB/s\tfiles/s\tCPU s\twall ratio\tCPU ratio\towner MiB\tkeeper MiB\t")
	for _, row := range r.Rows {
		c, p := row.Ceiling, row.Preezm
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.2f\t%.0f\t%s\t%.2f\t%s\t%s\t%d\t%d\t\n", row.Work,
			orDash("%.2f", c.Wall), orDash("%.0f", rate(row.Bytes, c.Wall)), orDash("%.2f", c.CPU),
			p.Wall, rate(row.Bytes, p.Wall), manyFiles(row), p.CPU,
			orDash("%.2f", row.Wall), orDash("%.2f", row.CPU), p.Owner>>20, p.Keeper>>20)
	}
	t.Flush() // to a terminal or pipe; nothing to tell when that is gone
	r.printDisks(w)
	r.printOthers(w)
	printWaits(w, r.Waits)
	fmt.Fprintln(w)
	for _, a := range r.Aims {
		word := "reached"
		if !a.Reached {
			word = "NOT reached"
		}
		fmt.Fprintf(w, "%-53s %7.2f  (at most %g: %s)\n", a.What, a.Have, a.Want, word)
	}
}

func rate(bytes int64, seconds float64) float64 {
	if seconds == 0 {
		return 0
	}
	return float64(bytes) / 1e6 / seconds
}

func orDash(format string, v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

func manyFiles(r row) string {
	if r.Files < 2 {
		return "-"
	}
	return humanize.Comma(int64(float64(r.Files) / r.Preezm.Wall))
}

// write puts the report into a file as JSON.
func (r report) write(name string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}
