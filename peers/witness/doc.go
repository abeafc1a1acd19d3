// SPDX-License-Identifier: MPL-2.0

// Package witness is a custodian at work: it takes appointments from owners of
// its circle, answers the open-requests that gateways bring, and keeps what
// package custody decides by. That package computes; this one remembers.
//
// An answer is given only when its log entry, the count of openings and the
// number of the package are on the disk, in one transaction of witness.db. The
// secret chains are not in there but in the ratchet, a folder with one sealed
// file, which is replaced each day so that the day before cannot be computed
// any more; a copy of the home that is older than the day brings it back, so
// backups must leave the ratchet out.
//
// A [Service] trusts no message for having arrived: every document in it is
// signed by whom it must be, and what may come from the owner only is checked
// against the device that appointed this custodian.
package witness
