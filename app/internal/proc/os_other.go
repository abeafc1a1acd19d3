// SPDX-License-Identifier: MPL-2.0

//go:build !linux

package proc

import (
	"os"
	"os/exec"
)

func detach(*exec.Cmd) {}

// interrupt asks politely where that can be done; elsewhere Stop's grace
// runs out and the process is killed.
func interrupt(p *os.Process) { _ = p.Signal(os.Interrupt) }

// readUsage has nothing to read here; exact times come when a process ends.
func readUsage(int) (Usage, bool) { return Usage{}, false }
