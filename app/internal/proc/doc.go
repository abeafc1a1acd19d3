// SPDX-License-Identifier: MPL-2.0

// Package proc starts real preezm processes for the demo and the benchmark,
// and watches what they cost: CPU seconds and peak memory, also of processes
// that were killed. A Machine is one home with its own process, a Circle an
// owner with its keepers. No process outlives the program that started it.
package proc
