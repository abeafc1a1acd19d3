// SPDX-License-Identifier: MPL-2.0

//go:build !linux

package host

import "context"

// Power tells what the machine runs on; this system is not asked yet.
func Power() Battery { return Battery{Percent: 100} }

// Metered tells whether the network costs by what goes through it; this system
// is not asked yet.
func Metered(context.Context) (metered, known bool) { return false, false }
