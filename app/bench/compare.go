// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/preezm/preezm/app/internal/proc"
)

// others are programs that people keep files with, as they are installed. They
// write once, into a folder of this machine, where Preezm writes 5/3 of it to
// five machines over the network.
var others = []string{"restic", "rclone"}

// compareWith gives the installed ones, with their versions.
func compareWith(ctx context.Context) map[string]string {
	out := map[string]string{}
	for _, name := range others {
		text, err := exec.CommandContext(ctx, name, "version").Output()
		if err != nil {
			continue
		}
		out[name], _, _ = strings.Cut(string(text), "\n")
	}
	return out
}

// other measures one of them.
func (b *bench) other(name string) func(context.Context, string) error {
	return func(ctx context.Context, dir string) error {
		repo := filepath.Join(dir, "repo")
		secret, err := exec.CommandContext(ctx, "rclone", "obscure", "bench").Output()
		if name == "rclone" && err != nil {
			return fmt.Errorf("rclone obscure: %w", err)
		}
		env := append(os.Environ(), "RESTIC_PASSWORD=bench", "RESTIC_REPOSITORY="+repo, "RESTIC_CACHE_DIR="+filepath.Join(dir, "cache"),
			"RCLONE_CONFIG="+filepath.Join(dir, "rclone.conf"), "RCLONE_CONFIG_BENCH_TYPE=crypt", "RCLONE_CONFIG_BENCH_REMOTE="+repo,
			"RCLONE_CONFIG_BENCH_PASSWORD="+strings.TrimSpace(string(secret)))
		step := func(s sample, args ...string) error {
			s.side = name
			return b.measure(s, func() proc.Usage { return proc.Usage{} }, func() (proc.Usage, error) {
				cmd := exec.Command(name, args...)
				cmd.Env = env
				p, err := proc.Start(ctx, cmd)
				if err != nil {
					return proc.Usage{}, err
				}
				err = p.Wait()
				return p.Usage(), err
			})
		}
		if name == "restic" {
			cmd := exec.CommandContext(ctx, name, "init")
			cmd.Env = env
			if text, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("restic init: %w: %s", err, text)
			}
		}
		for _, c := range []struct {
			put, again, get work
			source          string
			bytes           int64
			files           int
		}{
			{putBig, "", getBig, b.bigFile, b.big, 1},
			{putSmall, putAgain, getSmall, b.folder, int64(b.small) * smallSize, b.small},
		} {
			back := b.back(dir)
			put, get := []string{"backup", "--quiet", c.source}, []string{"restore", "latest", "--path", c.source, "--target", back}
			if name == "rclone" {
				to := "bench:" + filepath.Base(c.source)
				if c.files == 1 {
					to = "bench:"
				}
				put, get = []string{"copy", c.source, to}, []string{"copy", "bench:" + filepath.Base(c.source), back}
			}
			s := sample{bytes: c.bytes, files: c.files, work: c.put}
			if err := step(s, put...); err != nil {
				return err
			}
			if c.again != "" {
				s.work = c.again
				if err := step(s, put...); err != nil {
					return err
				}
			}
			s.work = c.get
			if err := step(s, get...); err != nil {
				return err
			}
			if err := empty(back); err != nil {
				return err
			}
		}
		return nil
	}
}
