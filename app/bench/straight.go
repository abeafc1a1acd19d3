// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/preezm/preezm/app/internal/proc"
)

// ceilingPeers are the processes that stand for keepers.
type ceilingPeers struct {
	procs []*proc.Process
	addrs []string
}

func (b *bench) ceilingPeers(ctx context.Context, dir string) (_ *ceilingPeers, err error) {
	c := &ceilingPeers{}
	defer func() {
		if err != nil {
			c.kill()
		}
	}()
	for i := range keepers {
		cmd := exec.Command(b.ceiling, "peer", "-dir", filepath.Join(dir, strconv.Itoa(i)))
		cmd.Stderr = os.Stderr
		// A pipe of our own: exec's would be closed by its Wait while the
		// line is being read.
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		cmd.Stdout = w
		p, err := proc.Start(ctx, cmd)
		w.Close()
		if err != nil {
			r.Close()
			return nil, err
		}
		c.procs = append(c.procs, p)
		line, err := bufio.NewReader(r).ReadString('\n')
		r.Close()
		if err != nil {
			return nil, fmt.Errorf("ceiling peer: no address: %w", err)
		}
		c.addrs = append(c.addrs, strings.TrimSpace(line))
	}
	return c, nil
}

func (c *ceilingPeers) kill() {
	for _, p := range c.procs {
		p.Kill()
	}
}

func (c *ceilingPeers) usage() proc.Usage {
	var u proc.Usage
	for _, p := range c.procs {
		u = u.Add(p.Usage())
	}
	return u
}

// ceilingRun measures the ceiling with the big file and with the small files
// packed; it has no get for folders.
func (b *bench) ceilingRun(ctx context.Context, dir string) error {
	c, err := b.ceilingPeers(ctx, dir)
	if err != nil {
		return err
	}
	defer c.kill()
	manifest, back := filepath.Join(dir, "manifest"), filepath.Join(dir, "back")
	step := func(s sample, args ...string) error {
		s.side = "ceiling"
		return b.measure(s, c.usage, func() (proc.Usage, error) {
			args = append(args, "-peers", strings.Join(c.addrs, ","), "-manifest", manifest)
			cmd := exec.Command(b.ceiling, args...)
			cmd.Stderr = os.Stderr
			p, err := proc.Start(ctx, cmd)
			if err != nil {
				return proc.Usage{}, err
			}
			err = p.Wait()
			return p.Usage(), err
		})
	}
	s := sample{bytes: b.big, files: 1, work: putBig}
	if err := step(s, "put", "-file", b.bigFile); err != nil {
		return err
	}
	for _, g := range []struct {
		work work
		lost int
	}{{getBig, 0}, {getDegraded, gone}} {
		s.work = g.work
		if err := step(s, "get", "-file", back, "-lost", strconv.Itoa(g.lost)); err != nil {
			return err
		}
		if err := sameBytes(b.bigFile, back); err != nil {
			return err
		}
		if err := os.Remove(back); err != nil {
			return err
		}
	}
	return step(sample{bytes: int64(b.small) * smallSize, files: b.small, work: putSmall}, "put", "-file", b.folder)
}
