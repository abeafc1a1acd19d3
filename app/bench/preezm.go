// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/preezm/preezm/app/internal/proc"
	"github.com/preezm/preezm/engine"
)

// circle starts five keepers and pairs them with an owner that has no node of
// its own: each command opens the home itself, so that its CPU seconds and
// memory are those of the work.
func (b *bench) circle(ctx context.Context, dir string) (*proc.Circle, error) {
	c, err := proc.NewCircle(ctx, b.preezm, dir, keepers)
	if err != nil {
		return nil, err
	}
	if err := c.Pair(ctx); err != nil {
		c.Kill()
		return nil, err
	}
	return c, nil
}

func keeperUsage(c *proc.Circle) func() proc.Usage {
	return func() proc.Usage {
		var u proc.Usage
		for _, k := range c.Keepers {
			u = u.Add(k.Usage())
		}
		return u
	}
}

// put measures one put of source and notes what it stored.
func (b *bench) put(ctx context.Context, c *proc.Circle, s sample, source string) error {
	var r engine.PutReport
	err := b.measure(s, keeperUsage(c), func() (proc.Usage, error) {
		u, err := c.Owner.Run(ctx, &r, "put", source)
		if err == nil && (r.Debt > 0 || len(r.Problems) > 0) {
			err = fmt.Errorf("%d shards owed, %d problems", r.Debt, len(r.Problems))
		}
		return u, err
	})
	if err == nil {
		b.samples[len(b.samples)-1].stored = r.Stored
	}
	return err
}

// get measures one get of source's name and compares what came.
func (b *bench) get(ctx context.Context, c *proc.Circle, s sample, source, to string) error {
	name := filepath.Base(source)
	err := b.measure(s, keeperUsage(c), func() (proc.Usage, error) {
		return c.Owner.Run(ctx, nil, "get", name, "--to", to)
	})
	if err != nil {
		return err
	}
	return same(ctx, source, filepath.Join(to, name))
}

func (b *bench) preezmBig(ctx context.Context, dir string) (err error) {
	c, err := b.circle(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	s := sample{side: "preezm", bytes: b.big, files: 1, work: putBig}
	if err := b.put(ctx, c, s, b.bigFile); err != nil {
		return err
	}
	s.work = getBig
	if err := b.get(ctx, c, s, b.bigFile, filepath.Join(dir, "back")); err != nil {
		return err
	}
	for _, k := range c.Keepers[:gone] {
		k.Kill()
	}
	s.work = getDegraded
	return b.get(ctx, c, s, b.bigFile, filepath.Join(dir, "back"))
}

func (b *bench) preezmSmall(ctx context.Context, dir string) (err error) {
	c, err := b.circle(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	s := sample{side: "preezm", bytes: int64(b.small) * smallSize, files: b.small}
	for _, s.work = range []work{putSmall, putAgain} {
		if err := b.put(ctx, c, s, b.folder); err != nil {
			return err
		}
	}
	s.work = getSmall
	return b.get(ctx, c, s, b.folder, filepath.Join(dir, "back"))
}
