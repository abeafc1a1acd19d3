// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bytes"
	"strings"
	"testing"

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
