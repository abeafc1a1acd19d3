// SPDX-License-Identifier: MPL-2.0

package audit

import (
	"strings"
	"testing"
	"time"
)

func TestScore(t *testing.T) {
	if s := Score(1, &Result{Asked: 20}); s >= Bad {
		t.Errorf("all lost: %v", s)
	}
	s := 1.0
	for range 100 {
		s = Score(s, &Result{Asked: 20, Good: 19})
	}
	if s < Bad {
		t.Errorf("one of twenty, always: %v", s)
	}
	for range 20 {
		s = Score(s, &Result{Asked: 20, Good: 16})
	}
	if s >= Bad {
		t.Errorf("a fifth, always: %v", s)
	}
	if Score(0.7, &Result{}) != 0.7 {
		t.Error("nothing asked changed a score")
	}
}

func TestWords(t *testing.T) {
	first := Words(&Result{Asked: 20, Good: 17, False: 3}, 0.95, 0)
	if !strings.Contains(first, "disk may be failing") || strings.Contains(first, "do not fit") {
		t.Error(first)
	}
	if again := Words(&Result{Asked: 20, False: 20}, 0.3, 2); !strings.Contains(again, "3rd time") || !strings.Contains(again, "do not fit") {
		t.Error(again)
	}
	if lost := Words(&Result{Asked: 20, Lacking: 20}, 0.3, 5); !strings.Contains(lost, "disk may be failing") {
		t.Error(lost)
	}
	if good := Words(&Result{Asked: 20, Good: 20}, 1, 0); strings.Contains(good, "fail") {
		t.Error(good)
	}
}

func TestDue(t *testing.T) {
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	night := time.Date(2026, 3, 2, 3, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		name      string
		now, last time.Time
		chance    float64
		want      bool
	}{
		{"never asked", noon, time.Time{}, 0.5, true},
		{"at noon, asked yesterday", noon, noon.Add(-day), 0.5, false},
		{"at night, before its minute", night, night.Add(-day), 0.9, false},
		{"at night, after it", night, night.Add(-day), 0.2, true},
		{"asked this night", night, night.Add(-time.Hour), 0.2, false},
		{"long ago", noon, noon.Add(-2 * day), 0.5, true},
		{"the clock went back", noon, noon.Add(day), 0.5, true},
	} {
		if got := Due(c.now, c.last, c.chance); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
