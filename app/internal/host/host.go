// SPDX-License-Identifier: MPL-2.0

// Package host asks the system about the machine it runs on: whether it is on
// battery, and whether its network costs by what goes through it. Where the
// system does not tell, it says so.
package host

// Battery is the machine's supply.
type Battery struct {
	Known   bool // the system tells
	On      bool // running from it
	Percent int  // left, of all batteries together; 100 without one
}
