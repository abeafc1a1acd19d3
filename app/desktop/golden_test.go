// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"testing"

	"fyne.io/fyne/v2/test"
)

// One picture in words of each screen. When a change is meant, copy
// testdata/failed/NAME.xml over testdata/NAME.xml after reading the difference.

func TestGoldenWelcome(t *testing.T) {
	b := newBench(t, &fakeHost{node: family()})
	test.AssertRendersToMarkup(t, "welcome.xml", b.win.Canvas())
}

func TestGoldenFiles(t *testing.T) {
	b := newHome(t, family())
	b.frame.files.pick(4, false, false)
	test.AssertRendersToMarkup(t, "files.xml", b.win.Canvas())
}

func TestGoldenCircle(t *testing.T) {
	b := newHome(t, family())
	b.goTo("circle")
	b.settle("the circle is shown", func() bool { return b.frame.pages["circle"].(*circleScreen).loaded })
	test.AssertRendersToMarkup(t, "circle.xml", b.win.Canvas())
}

func TestGoldenFrenchDark(t *testing.T) {
	b := newBenchIn(t, &fakeHost{node: &fakeNode{}, exists: true}, "fr", schemeDark)
	b.enter()
	test.AssertRendersToMarkup(t, "empty_fr_dark.xml", b.win.Canvas())
}
