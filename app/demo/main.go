// SPDX-License-Identifier: MPL-2.0

// Command demo shows the whole road with the real program: it starts five
// keepers and an owner as processes of their own, puts files on them, kills
// two keepers without a warning, brings everything back into a new folder and
// compares it bit for bit. It exits 0 only when all of it is equal, and leaves
// no process and no folder behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	preezm := flag.String("preezm", "bin/preezm-headless", "the program to show")
	file := flag.String("file", "", "a file or folder of yours; without it the project's sources and a generated file")
	keep := flag.Bool("keep", false, "leave the demo's folder behind to look at")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *preezm, *file, *keep)
	stop()
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted; everything it started is gone")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run gives the demo a folder, and takes it away again. After a failure the
// logs of the processes stay.
func run(ctx context.Context, preezm, file string, keep bool) error {
	bin, err := filepath.Abs(preezm)
	if err != nil {
		return err
	}
	if _, err := os.Stat(bin); err != nil {
		return fmt.Errorf("no program to show, run make demo: %w", err)
	}
	root, err := os.MkdirTemp("", "preezm-demo-")
	if err != nil {
		return err
	}
	// Progress of the commands goes to standard error, results to standard
	// output; only when both are one screen can a line be redrawn.
	d := &demo{bin: bin, root: root, out: os.Stdout, tty: isTerminal(os.Stdout) && isTerminal(os.Stderr)}
	err = d.run(ctx, file)
	if d.open {
		d.say("") // what went wrong is told on a line of its own
	}
	switch {
	case keep:
		d.say("The demo's folder stays: %s", root)
	case err != nil && ctx.Err() == nil:
		if logs := onlyLogs(root); logs > 0 {
			err = fmt.Errorf("%w\nThe logs of its processes are in %s", err, root)
		}
	default:
		err = errors.Join(err, removeAll(root))
	}
	return err
}

// onlyLogs clears root of everything but logs and says how many there are.
func onlyLogs(root string) (logs int) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".log" {
			logs++
			continue
		}
		_ = removeAll(filepath.Join(root, e.Name())) // what resists stays to be seen
	}
	if logs == 0 {
		_ = os.Remove(root) // kept when something resisted
	}
	return logs
}

// removeAll removes a tree that may hold folders without write permission.
func removeAll(root string) error {
	if err := os.RemoveAll(root); err == nil {
		return nil
	}
	_ = filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(p, 0o700) // RemoveAll below tells what stayed
		}
		return nil
	})
	return os.RemoveAll(root)
}
