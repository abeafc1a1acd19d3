// SPDX-License-Identifier: MPL-2.0

//go:build race

package depot_test

const raceEnabled = true
