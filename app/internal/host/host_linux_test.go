// SPDX-License-Identifier: MPL-2.0

package host

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPowerReadsTheSupplies(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  Battery
	}{
		"a desktop":      {nil, Battery{Known: true, Percent: 100}},
		"on battery":     {map[string]string{"BAT0/type": "Battery", "BAT0/capacity": "42", "BAT0/status": "Discharging", "AC/type": "Mains", "AC/online": "0"}, Battery{true, true, 42}},
		"charging":       {map[string]string{"BAT0/type": "Battery", "BAT0/capacity": "42", "BAT0/status": "Charging", "AC/type": "Mains", "AC/online": "1"}, Battery{true, false, 42}},
		"two batteries":  {map[string]string{"BAT0/type": "Battery", "BAT0/capacity": "10", "BAT0/status": "Unknown", "BAT1/type": "Battery", "BAT1/capacity": "90", "BAT1/status": "Discharging"}, Battery{true, true, 50}},
		"a mouse":        {map[string]string{"hid/type": "Battery", "hid/scope": "Device", "hid/capacity": "5", "hid/status": "Discharging"}, Battery{Known: true, Percent: 100}},
		"a charging USB": {map[string]string{"B/type": "Battery", "B/capacity": "80", "B/status": "Discharging", "U/type": "USB", "U/online": "1"}, Battery{true, false, 80}},
	} {
		dir := t.TempDir()
		for path, content := range tc.files {
			full := filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(full, []byte(content+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := powerFrom(dir); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
	if got := powerFrom(filepath.Join(t.TempDir(), "none")); got.Known {
		t.Errorf("%+v", got)
	}
}

func TestMeteredAnswers(t *testing.T) {
	if metered, known := Metered(t.Context()); metered && !known {
		t.Error("unknown and yet metered")
	}
}
