// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
)

// The same seed lives the same lives, whatever the number of cores, and no
// repair makes anything worse.
func TestReplay(t *testing.T) {
	o := defaults()
	o.circles, o.years, o.harsh = 10, 1, 3
	var texts []string
	for range 2 {
		by := run(o)
		if got := slices.Sorted(maps.Keys(by)); !slices.Equal(got, sizes) {
			t.Fatalf("circles of %v", got)
		}
		var b bytes.Buffer
		if err := report(&b, o, by); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, b.String())
	}
	if texts[0] != texts[1] {
		t.Errorf("two runs of one seed differ:\n%s\n%s", texts[0], texts[1])
	}
	if !strings.Contains(texts[0], "3-of-5") {
		t.Error(texts[0])
	}
}

// In a world without misfortune nothing is lost and next to nothing is sent.
func TestQuietWorld(t *testing.T) {
	o := defaults()
	o.circles, o.years, o.harsh = 5, 1, 0
	for size, x := range run(o) {
		if x.losses != 0 || x.machinesLost != 0 || x.worse != 0 {
			t.Errorf("%d machines: %+v", size, x)
		}
	}
}

func TestUpper(t *testing.T) {
	if u := upper(0); u != 3.7 {
		t.Error(u)
	}
	if u := upper(5); u < 11 || u > 12 { // exact: 11.67
		t.Error(u)
	}
}
