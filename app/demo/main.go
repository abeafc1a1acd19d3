// SPDX-License-Identifier: MPL-2.0

// Command demo shows the whole road with the real program: it starts five
// keepers and an owner as processes of their own, puts files on them, kills
// two keepers without a warning, brings everything back into a new folder and
// compares it bit for bit. Then a brand, one more process, opens two of the
// files under a grant of some seconds, is refused after its end and under a
// grant that was withdrawn, and the owner reads in the ledger what happened. It
// exits 0 only when all of that came out as it must, and leaves no process and
// no folder behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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
	// Progress of the commands goes to standard error, results to standard
	// output; only when both are one screen can a line be redrawn.
	tty := isTerminal(os.Stdout) && isTerminal(os.Stderr)
	err := run(ctx, os.Stdout, tty, *preezm, *file, *keep)
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
// log of the processes stays.
func run(ctx context.Context, out io.Writer, tty bool, preezm, file string, keep bool) error {
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
	d := &demo{bin: bin, root: root, out: out, tty: tty}
	err = d.run(ctx, file)
	if d.waits {
		d.say("") // what went wrong is told on a line of its own
	}
	switch {
	case keep:
		d.say("The demo's folder stays: %s", root)
	case err != nil && ctx.Err() == nil:
		if log := onlyLog(root); log != "" {
			err = fmt.Errorf("%w\nWhat its processes logged is in %s", err, log)
		}
	default:
		err = errors.Join(err, removeAll(root))
	}
	return err
}

// onlyLog clears root of everything but the log, and gives its path if
// anything is in it.
func onlyLog(root string) string {
	log := filepath.Join(root, logName)
	if fi, err := os.Stat(log); err != nil || fi.Size() == 0 {
		_ = removeAll(root) // the failure that is being told matters more
		return ""
	}
	entries, _ := os.ReadDir(root) // none: nothing to clear
	for _, e := range entries {
		if e.Name() != logName {
			_ = removeAll(filepath.Join(root, e.Name())) // as above
		}
	}
	return log
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
