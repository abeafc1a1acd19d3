// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"time"
)

// connectTime is how long Connect waits for a home that another command has
// open, or whose node is just starting or stopping.
const connectTime = 10 * time.Second

// Connect gives the API of a home: of the running node if there is one, else
// of a node opened here with o, which the caller's Close ends. While another
// process is about to give the home back it waits a little.
func Connect(ctx context.Context, home string, o Options) (API, error) {
	home, err := canonicalHome(home)
	if err != nil {
		return nil, err
	}
	if _, err := ReadSettings(home); err != nil {
		return nil, err
	}
	o.Role = RoleCommand
	deadline := time.Now().Add(connectTime)
	for {
		api, err := Dial(ctx, home)
		if err == nil {
			return api, nil
		}
		if !errors.Is(err, ErrNotServing) {
			return nil, err
		}
		n, err := Open(ctx, home, o)
		if err == nil {
			return n, nil
		}
		if !errors.Is(err, ErrHomeBusy) || time.Now().After(deadline) {
			return nil, err
		}
		// Either a command, which will go, or a node that is starting or
		// stopping: look again for its socket.
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lockRetry):
		}
	}
}
