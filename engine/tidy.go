// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"context"
	"errors"
	"time"
)

// tidyEvery is how often each of the chores of Tidy is done.
const tidyEvery = 24 * time.Hour

// Tidy does the chores that are due: once a day it prunes by the policy and compacts half-empty segments. The
// running node calls it now and then; the catalog remembers what was done, so
// it does not matter how often.
func (e *Engine) Tidy(ctx context.Context) error {
	chores := []struct {
		name string
		do   func(context.Context) error
	}{
		{"prune", e.pruneByPolicy},
		{"compact", e.compactAll},
	}
	var errs []error
	for _, c := range chores {
		due, err := e.cat.Due(ctx, c.name, time.Now(), tidyEvery)
		if err == nil && due {
			if err = c.do(ctx); err == nil {
				err = e.cat.Did(ctx, c.name, time.Now())
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
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
