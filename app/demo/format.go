// SPDX-License-Identifier: MPL-2.0

package main

import (
	"fmt"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"
)

func bytes(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

func mib(n int64) string {
	if n == 0 {
		return "unknown here"
	}
	return fmt.Sprintf("%d MiB", (n+1<<19)>>20)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// rate is in 10^6 bytes a second.
func rate(n int64, d time.Duration) string {
	return fmt.Sprintf("%.0f MB/s", float64(n)/1e6/max(d.Seconds(), 1e-9))
}

func times(a, b int64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2fx", float64(a)/float64(b))
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
