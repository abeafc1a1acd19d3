// SPDX-License-Identifier: MPL-2.0

package cli

import "testing"

func TestOneIn(t *testing.T) {
	for p, want := range map[float64]string{
		0: "less than 1 in a billion", 1e-12: "less than 1 in a billion", 0.5: "50 %", 0.15: "1 in 7", 0.05: "1 in 20",
		1.0 / 33333: "1 in 33,000", 1.0 / 1234567: "1 in 1,200,000",
	} {
		if got := oneIn(p); got != want {
			t.Errorf("%v: %q, want %q", p, got, want)
		}
	}
	for p, want := range map[float64]string{1: "100 %", 0.99999: "over 99.99 %", 0.995: "99.50 %", 0.123: "12 %"} {
		if got := percent(p); got != want {
			t.Errorf("%v: %q, want %q", p, got, want)
		}
	}
}
