// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/peers"
)

// A dial that hung on a line that was cut ends after others have worked again:
// it begins no pause.
func TestLateFailureBeginsNoPause(t *testing.T) {
	var b backoff
	hung := time.Now()
	b.failed(hung, peers.ErrUnreachable)
	if err := b.check(time.Now()); !errors.Is(err, peers.ErrUnreachable) {
		t.Fatalf("no pause after a failure: %v", err)
	}
	hung = time.Now()
	b.worked()
	b.failed(hung, peers.ErrUnreachable)
	if err := b.check(time.Now()); err != nil {
		t.Errorf("a failure from before a dial that worked: %v", err)
	}
	b.failed(time.Now(), peers.ErrUnreachable)
	if err := b.check(time.Now()); !errors.Is(err, peers.ErrUnreachable) {
		t.Errorf("no pause after a new failure: %v", err)
	}
}

// Whoever asks during the pause hears why the dial failed.
func TestPauseSaysWhy(t *testing.T) {
	var b backoff
	b.failed(time.Now(), fmt.Errorf("%w: no address is known", peers.ErrUnreachable))
	if err := b.check(time.Now()); !errors.Is(err, peers.ErrUnreachable) || !strings.Contains(err.Error(), "no address is known") {
		t.Errorf("got %v", err)
	}
}
