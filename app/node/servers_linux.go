// SPDX-License-Identifier: MPL-2.0

package node

import (
	"os/exec"
	"syscall"
)

// endWithParent has the kernel end the program when this one is killed.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}
