// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"testing"

	"github.com/preezm/preezm/engine"
)

func TestWaiting(t *testing.T) {
	for want, w := range map[string]engine.Wait{
		"hannah does not answer: 1 group of pieces of your files waits for it.":                                               {Name: "hannah", Segments: 1},
		"hannah does not answer: 2 groups of pieces of copies of their list wait for it.":                                     {Name: "hannah", Segments: 2, Copies: 2},
		"hannah does not answer: 3 groups of pieces of your files and 1 group of pieces of copies of their list wait for it.": {Name: "hannah", Segments: 4, Copies: 1},
	} {
		if got := waiting(&w); got != want {
			t.Errorf("%q", got)
		}
	}
}
