// SPDX-License-Identifier: MPL-2.0

//go:build !probe

package desktop

import "time"

// startProbe does nothing in the program that people get.
func startProbe(*UI) {}

// wallClock is the time of the system.
func wallClock() func() time.Time { return time.Now }

// checksThreads: finding out whose thread it is, at everything that is drawn
// anew, cost a third of the time it took to fill a row of a list. Everything
// of another thread goes through the pump; the tests of the window check it.
func checksThreads() bool { return false }
