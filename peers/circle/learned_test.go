// SPDX-License-Identifier: MPL-2.0

package circle

import (
	"fmt"
	"slices"
	"testing"
)

func TestLearned(t *testing.T) {
	good := []string{"192.168.1.2:24930", "[2001:db8::1]:24930", "[fe80::1%eth0]:1", "8.8.8.8:53"}
	local := []string{"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"}
	bad := []string{
		"nas.example:1", "localhost:1", "0.0.0.0:1", "[::]:1", "224.0.0.1:1", "[ff02::1]:1", "255.255.255.255:1",
		"169.254.169.254:80", "[::ffff:169.254.169.254]:80", "[::ffff:0.0.0.0]:1", "127.1:1", "2130706433:1", "192.168.1.2",
	}
	all := slices.Concat(good, local, bad[:MaxAddresses-len(good)-len(local)])
	if got := Learned(bad, true); len(got) != 0 {
		t.Errorf("bad: %q", got)
	}
	if got := Learned(all, false); !slices.Equal(got, good) {
		t.Errorf("from elsewhere: %q", got)
	}
	if got := Learned(all, true); !slices.Equal(got, slices.Concat(good, local)) {
		t.Errorf("from this machine: %q", got)
	}
	var many []string
	for i := range 20 {
		many = append(many, "nas.example:1", fmt.Sprintf("10.0.0.%d:1", i))
	}
	if got := Learned(many, false); len(got) != MaxLearned || got[0] != "10.0.0.0:1" {
		t.Errorf("many: %q", got)
	}
}

// A code is somebody else's word as well, but it may be for this machine.
func TestInviteAddresses(t *testing.T) {
	inv := sample()
	inv.Addresses = []string{"nas.example:1", "169.254.169.254:80", "127.0.0.1:1", "10.0.0.1:1"}
	got, err := ParseInvite(inv.Code())
	if err != nil || !slices.Equal(got.Addresses, inv.Addresses[2:]) {
		t.Errorf("%q %v", got.Addresses, err)
	}
}
