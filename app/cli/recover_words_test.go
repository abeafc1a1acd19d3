// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/identity"
)

// One mistyped word costs one word typed again, not all of them.
func TestOneWrongWordIsAskedForAlone(t *testing.T) {
	want := [32]byte{7}
	words, err := identity.WordsOf(want, identity.English)
	if err != nil {
		t.Fatal(err)
	}
	right := words[3]
	words[3] = "zzzz"
	_, _, wrong := identity.MasterOf(words)
	var said bytes.Buffer
	a := &app{in: strings.NewReader(right + "\n"), err: &said}
	if !a.mendWord(words, wrong) {
		t.Fatalf("%v: no word was asked for: %s", wrong, said.String())
	}
	if got, _, err := identity.MasterOf(words); got != want || err != nil {
		t.Errorf("after the right word: %v", err)
	}
	if s := said.String(); !strings.HasPrefix(s, "Word 4, \"zzzz\", is not on the list") || !strings.HasSuffix(s, "Word 4: ") || strings.Contains(s, right) {
		t.Errorf("said %q", s)
	}
	if a.mendWord(words, identity.ErrChecksum) {
		t.Error("a word was asked for though it is not known which is wrong")
	}
}

// A recovery that helpers forbade does not ask to be tried again.
func TestRecoveryEndsForGood(t *testing.T) {
	for _, c := range []struct {
		need, of int
		states   []string
		want     bool
	}{
		{0, 0, nil, false}, {2, 3, nil, false}, {2, 3, []string{"vetoed", "asked"}, false},
		{2, 3, []string{"vetoed", "refused", "asked"}, true}, {2, 3, []string{"vetoed", "vetoed", "vetoed"}, true},
		{3, 5, []string{"refused", "refused", "agreed"}, false}, {3, 5, []string{"vetoed", "refused", "refused"}, true},
	} {
		h := &node.Help{Need: c.need, Of: c.of}
		for _, s := range c.states {
			h.Helpers = append(h.Helpers, node.Asked{State: s})
		}
		if got := endedForGood(h); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
