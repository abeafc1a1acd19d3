// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// printDisks shows what puts stored.
func (r report) printDisks(w io.Writer) {
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tnew, compressed MB\tsent MB\ton disks MB\ttimes what is new\t")
	for _, row := range r.Rows {
		p := row.Preezm
		if p.Stored == 0 {
			continue
		}
		ratio := "-"
		if p.Packed > 0 && p.Disks > 0 {
			ratio = fmt.Sprintf("%.3f", float64(p.Disks)/float64(p.Packed))
		}
		fmt.Fprintf(t, "%s\t%s\t%.1f\t%s\t%s\t\n", row.Work, orDash("%.1f", float64(p.Packed)/1e6), float64(p.Stored)/1e6, orDash("%.1f", float64(p.Disks)/1e6), ratio)
	}
	t.Flush() // as the table above
}

// printOthers shows what other programs took.
func (r report) printOthers(w io.Writer) {
	if len(r.Others) == 0 {
		return
	}
	names := slices.Sorted(maps.Keys(r.Others))
	fmt.Fprintf(w, "\nothers, once into a folder of this machine (rclone does not fsync):")
	for _, n := range names {
		fmt.Fprintf(w, " %s;", r.Others[n])
	}
	fmt.Fprint(w, "\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\tpreezm s\tCPU s\t")
	for _, n := range names {
		fmt.Fprintf(t, "%s s\tCPU s\tMiB\t", n)
	}
	fmt.Fprintln(t)
	for _, row := range r.Rows {
		if len(row.Others) == 0 {
			continue
		}
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t", row.Work, row.Preezm.Wall, row.Preezm.CPU)
		for _, n := range names {
			f := row.Others[n]
			fmt.Fprintf(t, "%s\t%s\t%s\t", orDash("%.2f", f.Wall), orDash("%.2f", f.CPU), orDash("%.0f", float64(f.Owner>>20)))
		}
		fmt.Fprintln(t)
	}
	t.Flush() // as the table above
}
