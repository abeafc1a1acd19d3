// SPDX-License-Identifier: MPL-2.0

//go:build !windows

package node

import "syscall"

// errConnRefused is what the system says where nobody listens.
const errConnRefused = syscall.ECONNREFUSED
