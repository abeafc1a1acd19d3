// SPDX-License-Identifier: MPL-2.0

// Package mailbox passes small sealed messages between devices of a circle that
// are not there at the same time. A message is signed by its sender, sealed to
// its recipient, padded to one of three sizes, and waits at keepers that both
// know until the recipient is there. A keeper learns who leaves how many
// messages for whom, in which of the sizes, and nothing of what they say.
//
// What a keeper holds is bounded for each sender and each recipient, expires,
// and is on its disk before it is acknowledged.
package mailbox
