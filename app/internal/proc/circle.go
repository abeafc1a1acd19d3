// SPDX-License-Identifier: MPL-2.0

package proc

import (
	"context"
	"errors"
	"fmt"
)

// names of the keepers in the demo and the benchmark: rooms of a house, since
// a person reads them.
var names = []string{"kitchen", "study", "attic", "cellar", "garage", "hall", "porch", "loft", "shed", "den"}

// Circle is an owner and its keepers, each a machine of its own. It is used by
// one goroutine at a time.
type Circle struct {
	Owner   *Machine
	Keepers []*Machine
}

// NewCircle makes homes below root and starts the keepers. Whether the owner's
// node runs is left to the caller. On an error everything started is stopped
// again.
func NewCircle(ctx context.Context, bin, root string, keepers int) (_ *Circle, err error) {
	if keepers < 1 || keepers > len(names) {
		return nil, fmt.Errorf("a circle of %d keepers: want 1 to %d", keepers, len(names))
	}
	c := &Circle{Owner: NewMachine(bin, root, "owner")}
	defer func() {
		if err != nil {
			c.Kill()
		}
	}()
	if err := c.Owner.Init(ctx); err != nil {
		return nil, err
	}
	for _, name := range names[:keepers] {
		k := NewMachine(bin, root, name)
		c.Keepers = append(c.Keepers, k)
		if err := k.Init(ctx); err != nil {
			return nil, err
		}
		if err := k.Serve(ctx); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Pair makes every keeper and the owner know each other: the keeper invites,
// the owner joins.
func (c *Circle) Pair(ctx context.Context) error {
	for _, k := range c.Keepers {
		var invite struct {
			Code string `json:"code"`
		}
		if _, err := k.Run(ctx, &invite, "invite"); err != nil {
			return err
		}
		if _, err := c.Owner.Run(ctx, nil, "join", invite.Code); err != nil {
			return err
		}
	}
	return nil
}

// Usage is what every machine of the circle cost so far.
func (c *Circle) Usage() Usage {
	u := c.Owner.Usage()
	for _, k := range c.Keepers {
		u = u.Add(k.Usage())
	}
	return u
}

// KeeperPeak is the largest resident set of any keeper, in bytes.
func (c *Circle) KeeperPeak() int64 {
	var peak int64
	for _, k := range c.Keepers {
		peak = max(peak, k.Usage().Peak)
	}
	return peak
}

// Stop ends every machine in order and says which did not end cleanly.
func (c *Circle) Stop() error {
	errs := []error{c.Owner.Stop()}
	for _, k := range c.Keepers {
		errs = append(errs, k.Stop())
	}
	return errors.Join(errs...)
}

// Kill ends every machine at once.
func (c *Circle) Kill() {
	c.Owner.Kill()
	for _, k := range c.Keepers {
		k.Kill()
	}
}
