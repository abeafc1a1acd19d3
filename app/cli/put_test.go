// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/preezm/preezm/engine"
)

// A folder that cannot be read is no file: it must not be taken off the files
// that were kept.
func TestPutReportWithAFolderThatFailed(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out, getenv: func(string) string { return "" }}
	if err := a.printPut(&engine.PutReport{Files: 1, Bytes: 3, N: 5, K: 3}, 2); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.HasPrefix(text, "Looked at 1 file (3 B)") {
		t.Errorf("got %q", text)
	}
}
