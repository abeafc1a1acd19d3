// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The toolkit must find what package early sets: that is loaded first.
func TestEarlyIsEarly(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ours := strings.Index(string(out), "init github.com/preezm/preezm/app/desktop/early @")
	theirs := strings.Index(string(out), "init fyne.io/fyne/v2/internal/cache @")
	if ours < 0 || theirs < 0 || ours > theirs {
		t.Errorf("package early was loaded at %d, the toolkit's cache at %d:\n%s", ours, theirs, out)
	}
}
