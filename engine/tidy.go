// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/shardlist"
)

// tidyEvery is how often each of the chores of Tidy is done.
const tidyEvery = 24 * time.Hour

// Tidy does the chores that are due: once a day it prunes by the policy and compacts half-empty segments. The
// running node calls it now and then; the catalog remembers what was done, so
// it does not matter how often. While no keeper's clock bears this machine's
// out, it waits: what is let go of because it seems old is gone.
func (e *Engine) Tidy(ctx context.Context) error {
	if _, sure, err := e.agreed(ctx); err != nil || !sure {
		return err
	}
	chores := []struct {
		name string
		do   func(context.Context) error
	}{
		{"prune", e.pruneByPolicy},
		{"compact", e.compactAll},
	}
	var errs []error
	for _, c := range chores {
		err := e.Chore(ctx, c.name, tidyEvery, c.do)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Chore does what is due: what was last done that long ago, or never.
func (e *Engine) Chore(ctx context.Context, name string, every time.Duration, do func(context.Context) error) error {
	due, err := e.cat.Due(ctx, name, e.now(), every)
	if err != nil || !due {
		return err
	}
	if err := do(ctx); err != nil {
		return err
	}
	return e.cat.Did(ctx, name, e.now())
}

// KnownShards gives what a keeper may be told of the shards it holds.
func (e *Engine) KnownShards(ctx context.Context, keeper peers.DeviceID) (*shardlist.Builder, error) {
	return e.cat.KnownShards(ctx, keeper)
}

func (e *Engine) pruneByPolicy(ctx context.Context) error {
	r, err := e.Retention(ctx)
	if err != nil {
		return err
	}
	gone, err := e.Prune(ctx, r, false)
	if err == nil && gone.Versions+gone.Trashed > 0 {
		e.log.Info("pruned", "versions", gone.Versions, "trashed", gone.Trashed, "left", gone.Left)
	}
	return err
}

func (e *Engine) compactAll(ctx context.Context) error {
	r, err := e.Compact(ctx, CompactOptions{}, nil)
	if err == nil && r.Segments > 0 {
		e.log.Info("compacted", "segments", r.Segments, "moved", r.Moved, "freed", r.Freed)
	}
	return err
}
