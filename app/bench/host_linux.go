// SPDX-License-Identifier: MPL-2.0

package main

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func syncDisks() { unix.Sync() }

// cpuModel is the processor's name for people.
func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
