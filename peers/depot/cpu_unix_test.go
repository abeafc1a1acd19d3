// SPDX-License-Identifier: MPL-2.0

//go:build unix

package depot_test

import "golang.org/x/sys/unix"

// cpuSeconds is the processor time of this process so far.
func cpuSeconds() float64 {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}
