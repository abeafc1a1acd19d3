// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"fmt"
	"math"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/preezm/preezm/engine"
)

// filesAre writes "1 file is", "37 files are".
func filesAre(n int64) string {
	if n == 1 {
		return "1 file is"
	}
	return count(n, "file", "files") + " are"
}

// changed writes "1 file was changed", "3 files were changed".
func changed(n int64) string {
	return count(n, "file was changed", "files were changed")
}

// hoursToTell is how long machines must have been watched before their habits
// are worth a word.
const hoursToTell = 24

// outlookLines says what is being done and what is to be expected.
func outlookLines(b *strings.Builder, st *engine.Status) {
	o := &st.Outlook
	if o.Houses && o.MayLoseHouses < st.MayLose {
		fmt.Fprintf(b, "Houses  %s\n", housesMayBeLost(o.MayLoseHouses))
	}
	if o.Todo > 0 {
		fmt.Fprintf(b, "Repair  %s to be made anew\n", count(o.Todo, "piece", "pieces"))
	}
	if o.Waiting > 0 {
		fmt.Fprintf(b, "Waiting for machines that are away, with %s: made anew elsewhere after %s, at once by 'preezm repair'\n", count(o.Waiting, "piece", "pieces"), took(o.Grace))
	}
	if o.Homeless > 0 {
		fmt.Fprintf(b, "No room for %s: let another machine join, or one offer more\n", count(o.Homeless, "piece", "pieces"))
	}
	if o.Recode > 0 {
		all := o.Recode + o.Fit
		fmt.Fprintf(b, "Growing %d %% of what is kept is spread over the larger circle (%s of %s)\n", 100*o.Fit/all, humanize.Comma(o.Fit), count(all, "segment", "segments"))
	}
	for _, l := range o.Leaving {
		what := "leaves"
		if l.Gone {
			what = "has left"
		} else if l.Stays {
			what = "stops keeping"
		}
		fmt.Fprintf(b, "Leaving %s %s: %s to be made anew elsewhere\n", printable(l.Name), what, count(l.Left, "piece", "pieces"))
	}
	if st.Files > 0 && o.Hours >= hoursToTell && st.MayLose >= 0 {
		fmt.Fprintf(b, "Chances of losing anything in a year: about %s; of reaching everything at a given moment: %s (estimated from %s)\n",
			oneIn(o.YearlyLoss), percent(o.Readable), hours(o.Hours))
	}
}

func housesMayBeLost(n int) string {
	switch {
	case n < 0:
		return "what is kept in one house is too much to do without"
	case n == 0:
		return "no whole house may be lost"
	}
	return fmt.Sprintf("any %s may be lost whole", count(int64(n), "house", "houses"))
}

// oneIn writes a small chance as people say it.
func oneIn(p float64) string {
	switch {
	case p <= 0 || p < 1e-9:
		return "less than 1 in a billion"
	case p > 0.2:
		return percent(p)
	}
	n := 1 / p
	// Two digits: it is an estimate.
	unit := math.Pow(10, math.Floor(math.Log10(n))-1)
	return "1 in " + humanize.Comma(int64(math.Round(math.Round(n/unit)*unit)))
}

func percent(p float64) string {
	switch {
	case p > 0.9999 && p < 1:
		return "over 99.99 %"
	case p > 0.99 && p < 1:
		return fmt.Sprintf("%.2f %%", 100*p)
	}
	return fmt.Sprintf("%.0f %%", 100*p)
}

func hours(n int) string {
	if n < 48 {
		return count(int64(n), "hour", "hours")
	}
	return count(int64(n/24), "day", "days")
}

// isOn writes how often a machine is on.
func isOn(c *engine.Conduct) string {
	if c.Hours < 2 {
		return "not known yet"
	}
	return percent(c.Likely)
}

// conduct says what a person should know of a machine, if anything.
func conduct(c *engine.Conduct) string {
	switch c.Standing {
	case "missing":
		return "has not answered for " + took(c.Away) + "; what it holds is made anew elsewhere"
	case "failing":
		return fmt.Sprintf("did not prove %s in its checks; its disk may be failing, and what it holds is made anew elsewhere", count(c.Unproven, "piece", "pieces"))
	}
	return ""
}
