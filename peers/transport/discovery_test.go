// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"context"
	"testing"
	"time"

	"github.com/preezm/preezm/peers"
)

// Nothing is heard on loopback; what can be tested everywhere is that
// discovery ends when it is told to and knows nobody.
func TestDiscoveryEnds(t *testing.T) {
	d, err := newID(t).NewDiscovery(func() []string { return []string{"192.0.2.1:24930"} })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("discovery goes on")
	}
	if found := d.Find(t.Context(), peers.DeviceID{1}); len(found) != 0 {
		t.Error(found)
	}
}
