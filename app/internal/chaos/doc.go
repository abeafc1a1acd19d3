// SPDX-License-Identifier: MPL-2.0

// Package chaos breaks Preezm with real processes and checks what is left. It
// holds tests only: owners and keepers are killed, destroyed, stopped, slowed down,
// starved of disk and given damaged files, at moments drawn from a seed that
// every run prints; -seed replays one. What is checked is the promise to a
// person: nothing acknowledged is lost, nothing half is there, nothing wrong
// comes back, nothing hangs, and keepers hold nothing that the catalog does
// not know.
//
// The tests are short. PREEZM_CHAOS=N makes the random ones N times as long.
package chaos
