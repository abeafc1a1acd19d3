// SPDX-License-Identifier: MPL-2.0

package brand

import "github.com/preezm/preezm/engine/custody"

// Explain says a custodian's reason in plain words.
func Explain(r custody.Reason) string {
	switch r {
	case custody.Expired:
		return "the grant has ended"
	case custody.TooEarly:
		return "the grant has not begun yet"
	case custody.Revoked:
		return "the owner has withdrawn the grant"
	case custody.UsedUp:
		return "it was opened as often as the owner allowed"
	case custody.WrongBrand:
		return "this machine is not certified by the company the grant is for"
	case custody.MemberExpired:
		return "this machine's certificate has run out; its company's office renews it when it can be reached"
	case custody.MemberRevoked:
		return "this machine's company has shut it out"
	case custody.ClockDoubt:
		return "they do not trust their clocks at present; try again later"
	case custody.Stale:
		return "the request is too old, or this machine's clock is wrong"
	case custody.Superseded:
		return "the owner has sent a newer ticket; use that one"
	case custody.BadDevice:
		return "the device that made the grant is no longer the owner's"
	case custody.OwnerSilent:
		return "they have not heard from the owner for longer than the owner allows"
	case custody.Erased:
		return "the grant ended days ago, and the custodians have erased its key"
	case custody.NotNamed:
		return "the custodians that were asked do not decide about this grant any more; ask the owner for a new ticket"
	case custody.Forgot:
		return "they lost their records of it: the owner appoints them anew, and makes the grant anew"
	case custody.Busy:
		return "too many requests of this machine; wait a minute"
	}
	return "the ticket or the request is not in order (" + string(r) + "); ask the owner for a new ticket"
}
