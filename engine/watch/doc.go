// SPDX-License-Identifier: MPL-2.0

// Package watch keeps folders of this machine put continuously: it notices
// changes, from the system's events where it gives them and by looking through
// the folder otherwise, waits until they settle, and puts what changed. What it
// watches is this machine's own and lies in a file of the home, not in the
// catalog.
package watch
