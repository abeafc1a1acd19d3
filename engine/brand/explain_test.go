// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"strings"
	"testing"

	"github.com/preezm/preezm/engine/custody"
)

// TestEachReasonHasItsWords: what can befall honest people has a sentence of its
// own. The rest is a program's fault, and names the code for whoever mends it.
func TestEachReasonHasItsWords(t *testing.T) {
	faults := []custody.Reason{
		custody.Malformed, custody.NotGateway, custody.BadGrant, custody.Purpose, custody.BadPackage, custody.Replay,
	}
	said := map[string]custody.Reason{}
	for _, r := range []custody.Reason{
		custody.NotNamed, custody.BadDevice, custody.ClockDoubt, custody.WrongBrand, custody.MemberExpired, custody.MemberRevoked,
		custody.TooEarly, custody.Expired, custody.Stale, custody.Revoked, custody.OwnerSilent, custody.Superseded, custody.UsedUp,
		custody.Erased, custody.Busy,
	} {
		text := Explain(r)
		if strings.Contains(text, string(r)+")") || said[text] != "" {
			t.Errorf("%s and %q: %s", r, said[text], text)
		}
		said[text] = r
	}
	for _, r := range faults {
		if text := Explain(r); !strings.Contains(text, "("+string(r)+")") {
			t.Errorf("%s: %s", r, text)
		}
	}
}
