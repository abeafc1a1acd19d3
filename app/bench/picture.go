// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"html"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
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
	fmt.Fprintf(w, "\nothers, once into a folder of this machine, not fsynced:")
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

// The picture's measures, in its own units.
const (
	pictureWide = 860
	labelWide   = 210
	barHigh     = 16
	groupGap    = 14
	headHigh    = 64
)

// draw writes the figures as bars: the time of each work on each side, with
// the rate beside it. It is text that scales, readable on light and dark.
func (r report) draw(name string) error {
	type bar struct {
		who, class string
		f          figures
	}
	var b strings.Builder
	y := headHigh
	for _, row := range r.Rows {
		bars := []bar{{"Preezm", "p", row.Preezm}}
		if row.Ceiling.Wall > 0 {
			bars = append(bars, bar{"ceiling", "c", row.Ceiling})
		}
		for _, n := range slices.Sorted(maps.Keys(row.Others)) {
			bars = append(bars, bar{n, "o", row.Others[n]})
		}
		longest := 0.0
		for _, x := range bars {
			longest = max(longest, x.f.Wall)
		}
		if row.Preezm.Wall == 0 {
			continue
		}
		fmt.Fprintf(&b, `<text class="w" x="%d" y="%d">%s</text>`+"\n", labelWide-10, y+barHigh-4, html.EscapeString(string(row.Work)))
		for _, x := range bars {
			long := max(2, int(x.f.Wall/longest*(pictureWide-labelWide-290)))
			fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="2"/>`+"\n", x.class, labelWide, y, long, barHigh-3)
			fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text>`+"\n", labelWide+long+6, y+barHigh-5, html.EscapeString(barText(x.who, row, x.f)))
			y += barHigh
		}
		y += groupGap
	}
	head := fmt.Sprintf("%d MiB and %d files of %d KiB to five machines, 3 of 5, every piece fsynced; %d cores; medians of %d; shorter is better",
		r.Big>>20, r.Small, smallSize>>10, r.Cores, r.Reps)
	if len(r.Others) > 0 {
		head += "; the others write once, into a local folder"
	}
	doc := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">
<style>
text{fill:#24292f}.w{text-anchor:end;font-weight:bold}.t{font-size:15px;font-weight:bold}.p{fill:#0b7a75}.c{fill:#9aa5b1}.o{fill:#c9822b}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.p{fill:#2bb5ad}.c{fill:#6b7785}.o{fill:#e0a458}}
</style>
<text class="t" x="10" y="24">How long Preezm takes</text>
<text x="10" y="42">%s</text>
%s</svg>
`, pictureWide, y, html.EscapeString(head), b.String())
	return os.WriteFile(name, []byte(doc), 0o644)
}

func barText(who string, row row, f figures) string {
	s := fmt.Sprintf("%s  %.2f s, %.1f CPU s", who, f.Wall, f.CPU)
	if row.Files > 1 {
		return s + fmt.Sprintf(", %.0f files/s", float64(row.Files)/f.Wall)
	}
	if row.Bytes > 0 {
		s += fmt.Sprintf(", %.0f MB/s", rate(row.Bytes, f.Wall))
	}
	return s
}
