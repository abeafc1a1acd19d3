// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// awaitCmd: "await COMMAND..." repeats a command until it succeeds.
func awaitCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: await COMMAND...")
	}
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%v: %v", args, err)
		}
	}
}
