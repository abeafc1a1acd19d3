// SPDX-License-Identifier: MPL-2.0

package e2e

import "os"

// terminate can only kill: Windows sends console events to groups, not to
// single processes.
func terminate(p *os.Process) error { return p.Kill() }
