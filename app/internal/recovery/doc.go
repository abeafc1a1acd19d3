// SPDX-License-Identifier: MPL-2.0

// Package recovery has only tests: a person's machine is destroyed, and another
// one brings everything back with the words and one keeper, whoever that is and
// however often it is interrupted. The homes are real processes on loopback.
package recovery
