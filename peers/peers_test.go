// SPDX-License-Identifier: MPL-2.0

package peers

import (
	"strings"
	"testing"
)

// A device ID is what its check digits say, or nothing.
func FuzzDeviceID(f *testing.F) {
	id := DeviceID{1, 2, 3}.String()
	f.Add(id)
	f.Add(strings.ReplaceAll(strings.ToLower(id), "-", " "))
	bare := strings.ReplaceAll(id, "-", "")
	// Without the check digits after each 13, filled up with padding.
	f.Add(bare[:13] + bare[14:27] + bare[28:41] + bare[42:55] + "====")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDeviceID(s)
		if err != nil {
			return
		}
		if again, err := ParseDeviceID(d.String()); err != nil || again != d {
			t.Errorf("%q is %v, and that %v, %v", s, d, again, err)
		}
		if strings.Contains(s, "=") {
			t.Errorf("%q was taken", s)
		}
	})
}

// A document of somebody else may name a device of zeros.
func TestShortOfNobody(t *testing.T) {
	if s := (DeviceID{}).Short(); s != "" {
		t.Errorf("%q", s)
	}
	if s := (DeviceID{1}).Short(); len(s) != 7 {
		t.Errorf("%q", s)
	}
}
