// SPDX-License-Identifier: MPL-2.0

package witness

import "errors"

// Requests within a minute: of one brand device, and letters of one gateway,
// which are counted before they cost more than reading.
const (
	perDevice  = 60
	perGateway = 1200
	perFellow  = 120 // rounds of gossip, which may write
	// perAsker is a fellow's questions for withdrawals, one for each request
	// that it is about to agree to.
	perAsker = 2400
)

var errTooMany = errors.New("too many messages in a minute")
