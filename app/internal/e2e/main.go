// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
)

// Main is the main function of tests that start the program: it builds it once
// for all of them, unless $PREEZM_BIN names one, sets binary to its path, runs
// the tests and gives the exit status. Where all tests will skip, nothing is
// built.
func Main(binary *string, skip bool, run func() int) int {
	if *binary = os.Getenv("PREEZM_BIN"); *binary != "" || skip {
		return run()
	}
	dir, err := os.MkdirTemp("", "preezm-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if *binary, err = Build(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}

// Loopback is an address of this machine with a free port that stays this
// home's when it is not served for a while. On 127.0.0.1 another process of a
// test beside could take the port meanwhile; Linux has sixteen million
// loopback addresses, so each home gets its own.
func Loopback() string {
	ip := net.IPv4(127, 0, 0, 1)
	if runtime.GOOS == "linux" {
		n := rand.N(1 << 24)
		ip = net.IPv4(127, byte(n>>16), byte(n>>8), byte(n)&^1|2) // neither a network's address nor for all
	}
	return net.JoinHostPort(ip.String(), "0")
}
