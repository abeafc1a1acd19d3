// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/internal/proc"
	"github.com/preezm/preezm/engine"
)

// fleet starts five keepers and pairs them with an owner that has no node of
// its own: each command opens the home itself, so that its CPU seconds and
// memory are those of the work.
func (b *bench) fleet(ctx context.Context, dir string) (*e2e.Fleet, error) {
	return e2e.NewFleet(ctx, e2e.FleetOptions{Binary: b.preezm, Dir: dir, Keepers: keepers, Log: os.Stderr})
}

func keeperUsage(f *e2e.Fleet) func() proc.Usage {
	return func() (u proc.Usage) {
		for _, k := range f.Keepers {
			if k.Serving() {
				u = u.Add(proc.Of(k.About().PID))
			}
		}
		return u
	}
}

// put measures one put of source and notes what it stored.
func (b *bench) put(ctx context.Context, f *e2e.Fleet, s sample, source string) error {
	var r engine.PutReport
	err := b.measure(s, keeperUsage(f), func() (proc.Usage, error) {
		u, err := proc.JSON(ctx, f.Owner.Command(ctx, "put", source, "--json"), nil, &r)
		if err == nil && (r.Debt > 0 || len(r.Problems) > 0) {
			err = fmt.Errorf("%d shards owed, %d problems", r.Debt, len(r.Problems))
		}
		return u, err
	})
	if err == nil {
		last := &b.samples[len(b.samples)-1]
		last.stored, last.packed = r.Stored, r.Packed
	}
	return err
}

// get measures one get of source's name and compares what came.
func (b *bench) get(ctx context.Context, f *e2e.Fleet, s sample, source, to string) error {
	name := filepath.Base(source)
	err := b.measure(s, keeperUsage(f), func() (proc.Usage, error) {
		return proc.JSON(ctx, f.Owner.Command(ctx, "get", name, "--to", to, "--json"), nil, nil)
	})
	if err != nil {
		return err
	}
	return same(ctx, source, filepath.Join(to, name))
}

func (b *bench) preezmBig(ctx context.Context, dir string) (err error) {
	f, err := b.fleet(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	s := sample{side: "preezm", bytes: b.big, files: 1, work: putBig}
	if err := b.putMeasured(ctx, f, s, b.bigFile); err != nil {
		return err
	}
	s.work = getBig
	if err := b.get(ctx, f, s, b.bigFile, b.back(dir)); err != nil {
		return err
	}
	for _, k := range f.Keepers[:gone] {
		if err := k.Kill(); err != nil {
			return err
		}
	}
	s.work = getDegraded
	return b.get(ctx, f, s, b.bigFile, b.back(dir))
}

func (b *bench) preezmSmall(ctx context.Context, dir string) (err error) {
	f, err := b.fleet(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	s := sample{side: "preezm", bytes: int64(b.small) * smallSize, files: b.small}
	for _, s.work = range []work{putSmall, putAgain} {
		if err := b.putMeasured(ctx, f, s, b.folder); err != nil {
			return err
		}
	}
	s.work = getSmall
	return b.get(ctx, f, s, b.folder, b.back(dir))
}
