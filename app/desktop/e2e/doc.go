// SPDX-License-Identifier: MPL-2.0

// Package e2e tests the real window: the program itself under a virtual
// screen, driven by mouse and keyboard, against real keeper processes. It
// holds tests only.
package e2e
