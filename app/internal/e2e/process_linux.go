// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the system kill the process when the test's dies, also
// from a panic or a timeout that runs no clean-up.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
