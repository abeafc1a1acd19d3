// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The tests of a module that fails in every way there is. Once fails the first
// time it is run.
const (
	good = `package x
import "testing"
func TestGood(t *testing.T) { t.Log("not shown") }
`
	once = `package x
import ("os"; "testing")
func TestOnce(t *testing.T) {
	t.Run("Sub", func(t *testing.T) {
		if _, err := os.Stat("been"); err != nil {
			os.WriteFile("been", nil, 0o600)
			t.Fatal("bad luck")
		}
	})
}
`
	always   = "package x\nimport \"testing\"\nfunc TestAlways(t *testing.T) { t.Fatal(\"is wrong\") }\n"
	another  = "package x\nimport \"testing\"\nfunc TestAnother(t *testing.T) { t.Fatal(\"is wrong too\") }\n"
	panics   = "package x\nimport \"testing\"\nfunc TestPanics(t *testing.T) { panic(\"oh\") }\n"
	noBuild  = "package x\nfunc f() { undefined() }\n"
	endsRun  = "package x\nimport (\"os\"; \"testing\")\nfunc TestEnds(t *testing.T) { os.Exit(3) }\n"
	noSkips  = "package x\nimport (\"os\"; \"testing\")\nfunc TestSkips(t *testing.T) {\nif _, err := os.Stat(\"been\"); err == nil { t.Skip() }\nos.WriteFile(\"been\", nil, 0o600); t.Fatal(\"no luck\") }\n"
	unpicked = "package x\nimport \"testing\"\nfunc TestOther(t *testing.T) { t.Fatal(\"elsewhere\") }\n"
)

func TestRuns(t *testing.T) {
	for name, c := range map[string]struct {
		in, other map[string]string // the packages real and other
		ok        bool
		want, not []string
	}{
		"all good": {in: map[string]string{"a": good}, ok: true, want: []string{"ok  \tm.example/real"}, not: []string{"not shown", "== "}},
		"flaky": {in: map[string]string{"a": good, "b": once}, ok: true, want: []string{
			"bad luck", "== once more, alone: m.example/real TestOnce", "FLAKY: m.example/real TestOnce failed once, passed when run again (output above)"}},
		"wrong": {in: map[string]string{"a": always, "b": once}, want: []string{
			"FAILED: m.example/real TestAlways\n", "FLAKY: m.example/real TestOnce failed once", "is wrong"}},
		"too many": {in: map[string]string{"a": always, "b": once, "c": another}, want: []string{
			"== what failed: 3", "FAILED: m.example/real TestOnce\n", "is wrong too"}, not: []string{"once more"}},
		"panic":          {in: map[string]string{"a": panics}, want: []string{"panic: oh", "FAILED: m.example/real"}, not: []string{"once more"}},
		"no build":       {in: map[string]string{"a": good, "b": noBuild}, want: []string{"undefined: undefined", "FAILED: m.example/real"}, not: []string{"once more"}},
		"ends":           {in: map[string]string{"a": endsRun}, want: []string{"FAILED: m.example/real"}, not: []string{"once more"}},
		"skipped is not": {in: map[string]string{"a": noSkips}, want: []string{"once more", "FAILED: m.example/real TestSkips\n"}, not: []string{"FLAKY"}},
		"not listed":     {other: map[string]string{"a": unpicked}, want: []string{"elsewhere", "FAILED: m.example/other TestOther\n"}, not: []string{"once more"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string) {
				t.Helper()
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("go.mod", "module m.example\n\ngo 1.26\n")
			for n, text := range c.in {
				write("real/"+n+"_test.go", text)
			}
			for n, text := range c.other {
				write("other/"+n+"_test.go", text)
			}
			t.Chdir(dir)
			var out bytes.Buffer
			r := &run{out: &out, goTest: goTest, again: []string{"real"}}
			log := filepath.Join(dir, "build", "log.json")
			ok, err := r.all(t.Context(), log, []string{"-count=1", "-timeout", "60s", "./..."})
			if err != nil || ok != c.ok {
				t.Errorf("%v, %v; want %v", ok, err, c.ok)
			}
			for _, w := range c.want {
				if !strings.Contains(out.String(), w) {
					t.Errorf("it does not say %q", w)
				}
			}
			for _, n := range c.not {
				if strings.Contains(out.String(), n) {
					t.Errorf("it says %q", n)
				}
			}
			if fi, err := os.Stat(log); err != nil || fi.Size() == 0 {
				t.Errorf("no log: %v", err)
			}
			if t.Failed() {
				t.Logf("%s", out.Bytes())
			}
		})
	}
}

func TestExcerpt(t *testing.T) {
	f := failure{output: []string{"=== RUN   TestX\n", "\n"}}
	for range 100 {
		f.output = append(f.output, "a line\n")
	}
	f.output = append(f.output, "the end\n")
	got := f.excerpt(40)
	if n := strings.Count(got, "\n"); n != 41 || !strings.HasSuffix(got, "the end\n") || !strings.Contains(got, "61 more lines") {
		t.Errorf("%d lines: %s", n, got)
	}
	for line, want := range map[string]bool{"WARNING: DATA RACE\n": true, "panic: test timed out after 1s\n": true, "x_test.go:1: not so\n": false} {
		if got := (failure{output: []string{line}}).grave(); got != want {
			t.Errorf("%q is grave: %v", line, got)
		}
	}
}

func TestSplit(t *testing.T) {
	flags, packages := split([]string{"-race", "-tags", "headless", "-timeout", "15m", "-count=1", "a/b", "c"})
	if strings.Join(flags, " ") != "-race -tags headless -timeout 15m -count=1" || strings.Join(packages, " ") != "a/b c" {
		t.Errorf("%q %q", flags, packages)
	}
}
