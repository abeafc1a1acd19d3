// SPDX-License-Identifier: MPL-2.0

//go:build unix

package e2e

import (
	"os"
	"syscall"
)

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
