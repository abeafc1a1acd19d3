// SPDX-License-Identifier: MPL-2.0

// Command preezm keeps a person's files on the machines of the people they
// trust. Without arguments it opens the window, with some it is a command;
// both live in packages of their own, cli and desktop. The build tag headless
// leaves the window out, for servers and NAS boxes without a screen.
package main

import (
	"os"
	"runtime/debug"

	"github.com/preezm/preezm/app/cli"
)

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version string

func main() {
	// Most of the heap is segment buffers that are used again and again, so a
	// collection costs little and waiting for the heap to double costs memory.
	debug.SetGCPercent(25)
	os.Exit(cli.Main(version, window()))
}
