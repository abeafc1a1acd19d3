// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"
)

// event is a line of 'go test -json', see 'go doc test2json'.
type event struct {
	Action, Package, Test, Output string
	ImportPath, FailedBuild       string
	Elapsed                       float64
}

// failure is a test that failed, or a package that did without one of its tests
// failing: it did not build, say.
type failure struct {
	pkg, test string
	output    []string
}

func (f failure) name() string { return strings.TrimSpace(f.pkg + " " + f.test) }

// grave is what is wrong however seldom it happens.
func (f failure) grave() bool {
	for _, line := range f.output {
		for _, sign := range []string{"DATA RACE", "panic: ", "fatal error: ", "test timed out"} {
			if strings.Contains(line, sign) {
				return true
			}
		}
	}
	return false
}

// excerpt is the beginning of the output, and its last lines where it is long,
// without what only says that tests began.
func (f failure) excerpt(most int) string {
	var lines []string
	for _, l := range f.output {
		word := strings.TrimSpace(l)
		if strings.HasPrefix(word, "=== ") || word == "" {
			continue
		}
		lines = append(lines, l)
	}
	if extra := len(lines) - most; extra > 0 {
		lines = slices.Concat(lines[:most*3/4], []string{fmt.Sprintf("    [%d more lines, see above]\n", extra)}, lines[len(lines)-most/4:])
	}
	return strings.Join(lines, "")
}

// maxKept bounds how much of one test's output is kept in memory.
const maxKept = 4 << 20

// results takes the events of 'go test -json' and prints what 'go test' would:
// a line for a package that passed, everything of one that failed.
type results struct {
	out      io.Writer
	partial  []byte
	packages map[string]*pkgRun
	builds   map[string][]string // by import path
	failures []failure
	passed   int
	slowest  []timed
}

// pkgRun is a package whose tests run.
type pkgRun struct {
	own    []string // the package's lines
	tests  map[string]*testRun
	failed []string // top-level tests in the order of their ends
}

// testRun is a top-level test with its subtests.
type testRun struct {
	output []string
	size   int
}

// timed is how long a test took.
type timed struct {
	name string
	took time.Duration
}

func newResults(out io.Writer) *results {
	return &results{out: out, packages: map[string]*pkgRun{}, builds: map[string][]string{}}
}

// Write takes a part of the stream.
func (r *results) Write(p []byte) (int, error) {
	r.partial = append(r.partial, p...)
	for {
		line, rest, ok := bytes.Cut(r.partial, []byte{'\n'})
		if !ok {
			return len(p), nil
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			fmt.Fprintf(r.out, "%s\n", line) // of go itself
		} else {
			r.take(e)
		}
		r.partial = rest
	}
}

func (r *results) take(e event) {
	if e.Action == "build-output" {
		r.builds[e.ImportPath] = append(r.builds[e.ImportPath], e.Output)
		fmt.Fprint(r.out, e.Output)
		return
	}
	if e.Package == "" {
		return
	}
	p := r.packages[e.Package]
	if p == nil {
		p = &pkgRun{tests: map[string]*testRun{}}
		r.packages[e.Package] = p
	}
	top, sub, _ := strings.Cut(e.Test, "/")
	if top == "" {
		r.takePackage(p, e)
		return
	}
	t := p.tests[top]
	if t == nil {
		t = &testRun{}
		p.tests[top] = t
	}
	if t.size += len(e.Output); e.Output != "" && t.size <= maxKept {
		t.output = append(t.output, e.Output)
	}
	if sub != "" {
		return
	}
	switch e.Action {
	case "pass":
		r.passed++
		delete(p.tests, top)
	case "skip":
		delete(p.tests, top)
	case "fail":
		p.failed = append(p.failed, top)
	default:
		return
	}
	r.slowest = append(r.slowest, timed{e.Package + " " + top, time.Duration(e.Elapsed * float64(time.Second))})
}

// takePackage takes what is not of one test.
func (r *results) takePackage(p *pkgRun, e event) {
	if e.Output != "" {
		p.own = append(p.own, e.Output)
	}
	switch e.Action {
	case "pass", "skip":
		// The last line is "ok", the package and its time.
		if n := len(p.own); n > 0 {
			fmt.Fprint(r.out, p.own[n-1])
		}
	case "fail":
		r.failPackage(p, e)
	default:
		return
	}
	delete(r.packages, e.Package)
}

func (r *results) failPackage(p *pkgRun, e event) {
	slices.Sort(p.failed)
	for _, name := range slices.Compact(p.failed) {
		out := p.tests[name].output
		fmt.Fprint(r.out, strings.Join(out, ""))
		r.failures = append(r.failures, failure{e.Package, name, out})
		delete(p.tests, name)
	}
	fmt.Fprint(r.out, strings.Join(p.own, ""))
	if len(p.failed) > 0 && !(failure{output: p.own}).grave() {
		return
	}
	// It ended before its tests did, or could not be built.
	own := append(slices.Clone(r.builds[e.FailedBuild]), p.own...)
	for name, t := range p.tests {
		own = append(own, fmt.Sprintf("%s had not ended:\n", name))
		own = append(own, t.output...)
	}
	r.failures = append(r.failures, failure{pkg: e.Package, output: own})
}

// slow is how many of the slowest tests are named, if they took slowFrom.
const (
	slow     = 8
	slowFrom = 10 * time.Second
)

// end says what took longest, and gives what failed.
func (r *results) end() []failure {
	for name, p := range r.packages { // go test itself was ended
		r.failures = append(r.failures, failure{pkg: name, output: p.own})
	}
	slices.SortFunc(r.slowest, func(a, b timed) int { return cmp.Compare(b.took, a.took) })
	var names []string
	for _, t := range r.slowest[:min(slow, len(r.slowest))] {
		if t.took >= slowFrom {
			names = append(names, fmt.Sprintf("%s %.0f s", path.Base(t.name), t.took.Seconds()))
		}
	}
	if len(names) > 0 {
		fmt.Fprintf(r.out, "the slowest tests: %s\n", strings.Join(names, ", "))
	}
	return r.failures
}
