// SPDX-License-Identifier: MPL-2.0

// Package proc runs programs for the demo and the benchmark and measures what
// they cost: CPU seconds and peak memory, of processes that ended and of ones
// that go on. Starting whole circles is package e2e's part.
package proc
