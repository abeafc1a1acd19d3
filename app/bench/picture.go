// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"html"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
)

// The picture's measures, in its own units, which a page shows as pixels.
const (
	pictureWide = 860
	margin      = 24
	labelWide   = 240
	barsWide    = 340 // the longest bar; its text comes after it
	barHigh     = 22  // with the gap below it
	groupGap    = 20
	headHigh    = 118
	footHigh    = 60
)

// The picture is a card with a ground of its own, since a page may be dark for
// a browser that says it prefers light, or the other way round.
const pictureStyle = `.g{fill:#fff;stroke:#d0d7de}text{fill:#1f2328;font-size:14px}.w{text-anchor:end;font-weight:600}.t{font-size:20px;font-weight:600}.n{fill:#59636e}.p{fill:#0b7a75}.o{fill:#b9c2cc}.c{stroke:#c2410c;stroke-width:2.5}
@media(prefers-color-scheme:dark){.g{fill:#0d1117;stroke:#3d444d}text{fill:#f0f6fc}.n{fill:#9198a1}.p{fill:#2bb5ad}.o{fill:#57606a}.c{stroke:#fb923c}}`

// titles of the works in the picture, with what is measured.
func (r report) title(w row) string {
	big := fmt.Sprintf("%d MiB", r.Big>>20)
	if r.Big >= 1<<30 && r.Big%(1<<30) == 0 {
		big = fmt.Sprintf("%d GiB", r.Big>>30)
	}
	files := humanize.Comma(int64(r.Small)) + " small files"
	switch w.Work {
	case putBig:
		return "put a file of " + big
	case getBig:
		return "get it back"
	case getDegraded:
		return "get it, two machines gone"
	case putSmall:
		return "put " + files
	case putAgain:
		return "put them again, unchanged"
	case getSmall:
		return "get them back"
	}
	return string(w.Work)
}

// draw writes the works that something stands beside as bars of seconds, each
// group on a scale of its own, with a line where the ceiling ends.
func (r report) draw(name string) error {
	var b strings.Builder
	y := headHigh
	for _, row := range r.Rows {
		if row.Preezm.Wall == 0 || row.Ceiling.Wall == 0 && len(row.Others) == 0 {
			continue
		}
		y = r.drawGroup(&b, row, y) + groupGap
	}
	head := fmt.Sprintf("Seconds; shorter is better. %d cores, medians of %d.", r.Cores, r.Reps)
	beside := "Five pieces on five machines over TLS, three are enough, each synced to its disk before it counts."
	foot := []string{"The ceiling is a program that only encrypts, codes, hashes, sends and syncs: no cutting, naming, or looking up."}
	if len(r.Others) > 0 {
		foot = append(foot, strings.Join(slices.Sorted(maps.Keys(r.Others)), " and ")+" encrypt as well, and write once, into a folder of the same machine.")
	}
	high := y - groupGap + footHigh
	doc := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d" font-family="-apple-system,'Segoe UI','Noto Sans','DejaVu Sans',Helvetica,Arial,sans-serif" role="img">
<title>How long Preezm takes</title>
<style>
%[3]s
</style>
<rect class="g" x="0.5" y="0.5" width="%[4]d" height="%[5]d" rx="8"/>
<text class="t" x="%[6]d" y="38">How long Preezm takes</text>
<text class="n" x="%[6]d" y="63">%[7]s</text>
<text class="n" x="%[6]d" y="83">%[8]s</text>
<line class="c" x1="%[9]d" x2="%[9]d" y1="50" y2="66"/><text class="n" x="%[10]d" y="63">ceiling</text>
%[11]s`, pictureWide, high, pictureStyle, pictureWide-1, high-1, margin, head, beside, pictureWide-margin-56, pictureWide-margin-48, b.String())
	for i, line := range foot {
		doc += fmt.Sprintf(`<text class="n" style="font-size:12px" x="%d" y="%d">%s</text>`+"\n", margin, high-32+i*17, html.EscapeString(line))
	}
	return os.WriteFile(name, []byte(doc+"</svg>\n"), 0o644)
}

// drawGroup draws the bars of one work from y on, and gives where they end.
func (r report) drawGroup(b *strings.Builder, row row, y int) int {
	type bar struct {
		who, class string
		seconds    float64
		more       string
	}
	bars := []bar{{"Preezm", "p", row.Preezm.Wall, speed(row)}}
	longest := max(row.Preezm.Wall, row.Ceiling.Wall)
	for _, n := range slices.Sorted(maps.Keys(row.Others)) {
		bars = append(bars, bar{n, "o", row.Others[n].Wall, ""})
		longest = max(longest, row.Others[n].Wall)
	}
	long := func(seconds float64) int { return max(3, int(seconds/longest*barsWide)) }
	fmt.Fprintf(b, `<text class="w" x="%d" y="%d">%s</text>`+"\n", margin+labelWide-12, y+14, html.EscapeString(r.title(row)))
	top := y
	for _, x := range bars {
		fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="2"/>`+"\n", x.class, margin+labelWide, y, long(x.seconds), barHigh-4)
		end := long(x.seconds)
		if c := row.Ceiling.Wall; c > 0 && end <= long(c) && long(c) < end+190 {
			end = long(c) // the line does not run through the words
		}
		fmt.Fprintf(b, `<text x="%d" y="%d">%s %.2f s%s</text>`+"\n", margin+labelWide+end+10, y+14, html.EscapeString(x.who), x.seconds, x.more)
		y += barHigh
	}
	if row.Ceiling.Wall > 0 {
		x := margin + labelWide + long(row.Ceiling.Wall)
		fmt.Fprintf(b, `<line class="c" x1="%[1]d" x2="%[1]d" y1="%[2]d" y2="%[3]d"/>`+"\n", x, top-4, y)
	}
	return y
}

// speed says how much Preezm did in a second.
func speed(row row) string {
	if row.Files > 1 {
		return fmt.Sprintf(", %s files/s", manyFiles(row))
	}
	return fmt.Sprintf(", %.0f MB/s", rate(row.Bytes, row.Preezm.Wall))
}
