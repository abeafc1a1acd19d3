// SPDX-License-Identifier: MPL-2.0

package node

import (
	"net/url"
	"slices"
	"testing"
)

// A server is offered where it is reached: at the port that the router passes on,
// and in the local network at its own.
func TestOffers(t *testing.T) {
	own := []string{"192.168.1.5:24930", "203.0.113.9:31000"}
	for name, c := range map[string]struct {
		listen, mapped string
		want           []string
	}{
		"nothing mapped":  {":22067", "", []string{"203.0.113.9:22067", "192.168.1.5:22067"}},
		"mapped":          {":22067", "203.0.113.9:40001", []string{"203.0.113.9:40001", "192.168.1.5:22067"}},
		"a chosen place":  {"192.168.1.5:22067", "", []string{"192.168.1.5:22067"}},
		"all of IPv6 too": {"[::]:7", "203.0.113.9:7", []string{"203.0.113.9:7", "192.168.1.5:7"}},
	} {
		s := &server{listen: c.listen, token: "secret"}
		var got []string
		for _, o := range s.offers(own, c.mapped) {
			u, err := url.Parse(o)
			if err != nil || u.Scheme != "relay" {
				t.Fatal(o, err)
			}
			got = append(got, u.Host)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	n := &Node{servers: []*server{{listen: ":22067"}, {listen: "127.0.0.1:5"}, {listen: "[::]:24932"}}}
	if got := n.serverPorts(); !slices.Equal(got, []int{22067, 24932}) {
		t.Errorf("ports %v", got)
	}
}
