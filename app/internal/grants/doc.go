// SPDX-License-Identifier: MPL-2.0

// Package grants tests the whole road of a time-limited key with real
// processes: an owner, five machines that keep pieces and decide, one of them a
// gateway, and brands. It holds tests only.
package grants
