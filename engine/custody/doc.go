// SPDX-License-Identifier: MPL-2.0

// Package custody is the time-limited key itself: the documents that make a
// grant, and what the owner, the custodians and the brand compute with them.
// It is pure: no network, no disk, no clock. Whoever calls it brings the time,
// keeps the state and carries the bytes.
//
// A key is never handed over whole. For each granted version the owner draws a
// Shamir secret and publishes each custodian's share masked with a pad that
// only this custodian (and the owner) can derive, from one secret that steps
// forward each day and cannot step back. A custodian asked for its pad goes
// through a list of checks ([Decide]) and answers, after writing to its log,
// to the one key of the one request. k pads and the brand's own private key
// together give the version's key; neither alone gives anything.
//
// So an expired grant is not a key that stops working but a key that nobody
// gives any more, and that, two to three days later, nobody can give. What was
// opened before may have been copied: nothing here prevents that.
//
// docs/formats.md, "Grants and their documents", says all of it byte by byte;
// the vectors in testdata are part of it.
package custody
