// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"errors"
	"strings"
	"testing"
)

// Whoever gives a name for a key is told what a key looks like; one that no grant
// has is another matter.
func TestWhoWantsAKey(t *testing.T) {
	o := newOffice(t)
	for _, bad := range []string{"", "attic", "keeper number 1", "5f0c1a2", strings.Repeat("z", 64), "5f0c\n1a2b"} {
		_, err := o.Who(t.Context(), bad)
		if !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "5f0c1a2b") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := o.Who(t.Context(), " 5F0C1A2B "); errors.Is(err, ErrNoKey) {
		t.Error(err)
	}
}
