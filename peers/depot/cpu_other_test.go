// SPDX-License-Identifier: MPL-2.0

//go:build !unix

package depot_test

// cpuSeconds is not measured here.
func cpuSeconds() float64 { return 0 }
