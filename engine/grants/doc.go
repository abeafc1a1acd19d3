// SPDX-License-Identifier: MPL-2.0

// Package grants is the owner's side of time-limited keys. A [Desk] makes and
// withdraws grants out of the catalog and keeps what custodians report. It
// calls nobody: whoever holds it carries its documents to the circle and brings
// the answers back, so that making a grant needs nobody else to be awake.
package grants
