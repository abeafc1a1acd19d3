// SPDX-License-Identifier: MPL-2.0

package node

import "golang.org/x/sys/windows"

// errConnRefused is what Windows says where nobody listens; the syscall
// package's ECONNREFUSED is an invented number there.
const errConnRefused = windows.WSAECONNREFUSED
