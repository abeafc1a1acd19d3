// SPDX-License-Identifier: MPL-2.0

// Command testrun runs 'go test' and tells at the end, in one place, which
// tests failed and why: in a run of two hundred packages the first failure is
// far up otherwise. Everything after "--" is handed to go test.
//
//	testrun [-log FILE] [-again PACKAGES] -- [flags of go test] packages
//
// Tests of the packages of -again start real processes, and share the machine
// with other tests. One or two of them that fail are run once more, each alone;
// the failure stays in the output, and is called FLAKY. It does not help what
// is wrong however seldom: data races, panics and time-outs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

// mostAgain is how many failed tests are run again; with more of them it is not
// bad luck.
const mostAgain = 2

func main() {
	log := flag.String("log", "", "keep the output of every test in this `file`, as JSON")
	again := flag.String("again", "", "comma-separated `packages`, from the module's root, whose tests may be run again")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: testrun [-log FILE] [-again PACKAGES] -- [flags of go test] packages")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r := &run{out: os.Stdout, goTest: goTest, again: splitList(*again)}
	ok, err := r.all(ctx, *log, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "testrun:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// run is one call of this command.
type run struct {
	out    io.Writer
	goTest func(ctx context.Context, args []string, into io.Writer) error
	again  []string
}

// goTest runs 'go test -json'. That tests failed is no error: they are known by
// what it printed.
func goTest(ctx context.Context, args []string, into io.Writer) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Stdout, cmd.Stderr = into, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && ctx.Err() == nil {
		return errFailed
	}
	return err
}

// errFailed is what goTest says when something in the tests failed.
var errFailed = errors.New("go test failed")

// all runs the tests, those that may be again, and sums up. It tells whether all
// is well.
func (r *run) all(ctx context.Context, log string, args []string) (bool, error) {
	var keep io.Writer = io.Discard
	if log != "" {
		if err := os.MkdirAll(filepath.Dir(log), 0o777); err != nil {
			return false, err
		}
		f, err := os.Create(log)
		if err != nil {
			return false, err
		}
		defer f.Close()
		keep = f
	}
	first := newResults(r.out)
	err := r.goTest(ctx, args, io.MultiWriter(keep, first))
	failures := first.end()
	if err == nil && len(failures) == 0 {
		return true, nil
	}
	if err != nil && !errors.Is(err, errFailed) {
		return false, err
	}
	if len(failures) == 0 {
		return false, errors.New("go test failed and named no test: its output is above")
	}
	var flaky []failure
	if r.forgivable(failures) {
		flags, _ := split(args)
		for i := range failures {
			if r.passes(ctx, &failures[i], flags, keep) {
				flaky = append(flaky, failures[i])
			}
		}
	}
	r.summary(failures, flaky)
	return len(flaky) == len(failures), ctx.Err()
}

// forgivable says whether the failures may be bad luck.
func (r *run) forgivable(all []failure) bool {
	if len(all) > mostAgain {
		return false
	}
	for _, f := range all {
		if f.test == "" || !r.mayAgain(f.pkg) || f.grave() {
			return false
		}
	}
	return true
}

func (r *run) mayAgain(pkg string) bool {
	for _, p := range r.again {
		if strings.HasSuffix(pkg, "/"+p) {
			return true
		}
	}
	return false
}

// passes runs one failed test again, alone.
func (r *run) passes(ctx context.Context, f *failure, flags []string, keep io.Writer) bool {
	fmt.Fprintf(r.out, "\n== once more, alone: %s %s\n", f.pkg, f.test)
	args := append(append([]string{}, flags...), "-count=1", "-run", "^"+f.test+"$", f.pkg)
	second := newResults(r.out)
	err := r.goTest(ctx, args, io.MultiWriter(keep, second))
	failures := second.end()
	return err == nil && len(failures) == 0 && second.passed > 0
}

// split parts the flags of go test from the packages, which come last. Every
// flag with a value is written with "=" or is one of go test's that this
// project uses.
func split(args []string) (flags, packages []string) {
	valued := map[string]bool{"-tags": true, "-timeout": true, "-count": true, "-run": true, "-p": true, "-parallel": true, "-shuffle": true}
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case valued[a] && i+1 < len(args):
			flags = append(flags, a, args[i+1])
			i++
		case strings.HasPrefix(a, "-"):
			flags = append(flags, a)
		default:
			packages = append(packages, a)
		}
	}
	return flags, packages
}

// shownLines is how much of a failed test's output the summary repeats.
const shownLines = 40

// summary says in one place what failed.
func (r *run) summary(failures, flaky []failure) {
	passed := map[string]bool{}
	for _, f := range flaky {
		passed[f.name()] = true
	}
	fmt.Fprintf(r.out, "\n== what failed: %d\n", len(failures))
	for _, f := range failures {
		head := "FAILED: " + f.name()
		if passed[f.name()] {
			head = fmt.Sprintf("FLAKY: %s failed once, passed when run again, alone; its first failure:", f.name())
		}
		fmt.Fprintf(r.out, "\n-- %s\n%s", head, f.excerpt(shownLines))
	}
	fmt.Fprintln(r.out)
	for _, f := range failures {
		if passed[f.name()] {
			fmt.Fprintf(r.out, "FLAKY: %s failed once, passed when run again (output above)\n", f.name())
		} else {
			fmt.Fprintf(r.out, "FAILED: %s\n", f.name())
		}
	}
}
