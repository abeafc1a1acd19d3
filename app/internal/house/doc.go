// SPDX-License-Identifier: MPL-2.0

// Package house holds the project's own rules as tests, so that they are kept
// by a machine and not by memory: every package tells what it is for, every
// file names its licence and stays short, imports run downward only, and the
// headless program needs no window libraries.
package house
