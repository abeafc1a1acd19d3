// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"fmt"
	"testing"
	"time"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

func openCare(t *testing.T, n *fakeNode) (*bench, *careScreen) {
	t.Helper()
	b := newHome(t, n)
	b.goTo("care")
	c := b.frame.care()
	b.settle("the health is shown", func() bool {
		return c.status != nil && c.copies != nil && c.off.state != nil && textOf(c.past.kept) != " "
	})
	return b, c
}

// The screen says what may be lost, what is done about it and who did well.
func TestCare(t *testing.T) {
	b, _ := openCare(t, tended())
	b.reads("Everything is safe: any 1 machine may be lost.")
	b.reads("Any 2 machines may be lost: 12,261 files, 53 GB.")
	b.reads("Too much of it stands in one house")
	b.reads("within a year: about 1 in 41,000.")
	b.reads("at a given moment: over 99 %.")
	b.reads("in the last 19 days")
	b.reads("5,230 pieces are being made anew")
	b.reads("840 pieces wait for machines that are away. After 3 days they are made anew on others.")
	b.reads("96 pieces are owed")
	b.reads("3 deletions wait")
	b.reads("Cellar NAS repairs for you while your machines are off, until 14 Mar 2027. It made 214 pieces anew, the last yesterday 10:00.")
	b.reads("This machine repairs for Aunt Rose while their machines are off, until 14 Jul 2026.")
	if b.shows("repairs for Ben") {
		t.Error("it repairs for whom it refused")
	}
	b.reads("Checked 15 pieces: all good. · last today 04:00")
	b.reads("1 of 380 pieces checked was not right, and is made anew.")
	b.reads("Its disk may be failing: 39 of 380 pieces were not right. Tell its owner")
	b.reads("Has not answered for 4 days")
	b.reads("found through 4 of 5 machines")
	b.reads("It lacks what changed since.")
	b.reads("318 former versions are kept (2.7 GB if saved).")
	b.reads("the last 10 versions · one a day for 14 days · one a week for 8 weeks · one a month for 12 months.")
	b.reads("212 files in the trash (840 MB).")
}

// A home that is well says so, and one that was just begun promises nothing.
func TestCareOfAQuietHome(t *testing.T) {
	n := family()
	b, _ := openCare(t, n)
	b.reads("Nothing has to be repaired, and nothing is owed.")
	b.reads("once your machines have been watched for a day")
	b.reads("Nobody repairs for you while your machines are off.")
	b.reads("Not checked yet.")
	b.reads("There is nobody yet to keep a copy of the list of your files.")
	b.reads("No former versions stay.")
}

func TestPace(t *testing.T) {
	var p pace
	l := english(t)
	for i := range 5 {
		p.look(noon.Add(time.Duration(i)*15*time.Second), int64(1000-100*i))
	}
	o := &engine.Outlook{Todo: 600}
	if got := mendingWords(l, o, &p); got != "600 pieces are being made anew  ·  400 a minute  ·  2 min left" && got != "600 pieces are being made anew  ·  400 a minute  ·  1 min left" {
		t.Errorf("%q", got)
	}
	if f := p.fraction(600); f != 0.4 {
		t.Errorf("at %v", f)
	}
	p.look(noon.Add(2*time.Minute), 0) // done
	p.look(noon.Add(3*time.Minute), 50)
	if got := mendingWords(l, &engine.Outlook{Todo: 50}, &p); got != "50 pieces are being made anew" {
		t.Errorf("%q", got)
	}
}

func TestChances(t *testing.T) {
	l := english(t)
	for p, want := range map[float64]string{0: "less than 1 in a billion", 0.0000241: "about 1 in 41,000", 0.5: "50 %", 1.0 / 3_333_333: "about 1 in 3,300,000", 0.15: "about 1 in 7"} {
		if got := oneIn(l, p); got != want {
			t.Errorf("%v: %q", p, got)
		}
	}
}

func TestRepairAndCheck(t *testing.T) {
	n := tended()
	tries := 0
	n.repair = func(progress func(engine.Progress)) (*node.RepairReport, error) {
		progress(engine.Progress{Stage: engine.StageRepair, Bytes: 1_000_000, TotalBytes: 4_000_000, TotalKnown: true})
		if tries++; tries == 1 {
			return nil, fmt.Errorf("%w (3 segments)", engine.ErrNotDrained)
		}
		return &node.RepairReport{Done: &engine.DrainReport{Pieces: 12, Sent: 4_000_000}}, nil
	}
	b, c := openCare(t, n)
	b.press("Repair now")
	b.settle("it failed", func() bool { return b.jobs.running() == 0 })
	b.reads("Not everything can be made whole now")
	b.press("Try again")
	b.settle("it is repaired", func() bool { return b.shows("12 pieces made anew (4 MB sent)") })
	b.press("Check now")
	b.settle("it is checked", func() bool { return b.shows("3 of 40 pieces checked were not right") })
	b.press("Details")
	b.reads("Office: 3 of 20 pieces were not right; they are made anew.")
	b.reads("Attic PC did not answer, which proves nothing.")
	b.press("Close")

	c.grace.SetSelected("7 days")
	b.settle("the grace is changed", func() bool { return len(n.repairs) == 3 })
	if n.repairs[2].Grace != 7*day {
		t.Errorf("ordered %+v", n.repairs[2])
	}
}

// What a new policy lets go of is said first.
func TestPolicy(t *testing.T) {
	n := tended()
	b, _ := openCare(t, n)
	b.press("Change what stays…")
	e := b.entries()
	e[0].SetText("many")
	b.press("Save")
	b.reads("Give a whole number from 0 to 36525.")
	b.press("Close")
	b.press("Change what stays…")
	e = b.entries()
	e[0].SetText("3")
	e[3].SetText("0")
	b.press("Save")
	b.settle("it says what goes", func() bool { return b.shows("318 former versions (2.7 GB) go for good.") })
	b.reads("the last 3 versions · one a day for 14 days · one a week for 8 weeks.")
	if n.policy.Last != 10 {
		t.Fatal("changed without a yes")
	}
	b.press("Let go of them")
	b.settle("it is changed", func() bool { return b.shows("the last 3 versions") })
	if n.policy != (engine.Retention{Last: 3, Daily: 14, Weekly: 8, TrashDays: 30}) {
		t.Errorf("set %+v", n.policy)
	}
	b.press("Empty the trash…")
	b.reads("1 removal cannot be taken back any more, on any machine.")
	b.press("Empty the trash")
	b.settle("it is empty", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.emptied })
}
