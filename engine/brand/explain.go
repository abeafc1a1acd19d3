// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers/said"
)

// Explain says a custodian's reason in plain words.
func Explain(r custody.Reason) string { return Said(r).Text }

// Said is that with its code.
func Said(r custody.Reason) said.Note {
	switch r {
	case custody.Expired:
		return said.As("refused-expired", "the grant has ended")
	case custody.TooEarly:
		return said.As("refused-too-early", "the grant has not begun yet")
	case custody.Revoked:
		return said.As("refused-revoked", "the owner has withdrawn the grant")
	case custody.UsedUp:
		return said.As("refused-used-up", "it was opened as often as the owner allowed")
	case custody.WrongBrand:
		return said.As("refused-wrong-brand", "this machine is not certified by the company the grant is for")
	case custody.MemberExpired:
		return said.As("refused-member-expired", "this machine's certificate has run out; its company's office renews it when it can be reached")
	case custody.MemberRevoked:
		return said.As("refused-member-revoked", "this machine's company has shut it out")
	case custody.ClockDoubt:
		return said.As("refused-clock", "they do not trust their clocks at present; try again later")
	case custody.Stale:
		return said.As("refused-stale", "the request is too old, or this machine's clock is wrong")
	case custody.Superseded:
		return said.As("refused-superseded", "the owner has sent a newer ticket; use that one")
	case custody.BadDevice:
		return said.As("refused-bad-device", "the device that made the grant is no longer the owner's")
	case custody.OwnerSilent:
		return said.As("refused-owner-silent", "they have not heard from the owner for longer than the owner allows")
	case custody.Erased:
		return said.As("refused-erased", "the grant ended days ago, and the custodians have erased its key")
	case custody.NotNamed:
		return said.As("refused-not-named", "the custodians that were asked do not decide about this grant any more; ask the owner for a new ticket")
	case custody.Forgot:
		return said.As("refused-forgot", "they lost their records of it: the owner appoints them anew, and makes the grant anew")
	case custody.Busy:
		return said.As("refused-busy", "too many requests of this machine; wait a minute")
	}
	return said.As("refused-other", "the ticket or the request is not in order ({code}); ask the owner for a new ticket", "code", string(r))
}
