// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/internal/tree"
)

// The scripts run this very program in processes of its own: the test binary
// is the command when it is called preezm.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"preezm": func() { os.Exit(Main("test", nil)) },
	})
}

func TestScripts(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PREEZM_HOME", filepath.Join(e.WorkDir, "homes", "owner"))
			e.Setenv("TZ", "UTC")
			e.Setenv("PREEZM_KEYCHAIN", "off")
			e.Values[homesKey{}] = map[string]*e2e.Home{}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"fleet":     fleetCmd,
			"homes":     homesCmd,
			"exits":     exitsCmd,
			"json":      jsonCmd,
			"file":      fileCmd,
			"random":    randomCmd,
			"same":      sameCmd,
			"interrupt": interruptCmd,
			"await":     awaitCmd,
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// scriptTime bounds one command of a script.
const scriptTime = 2 * time.Minute

func bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), scriptTime)
}

// homesKey is where a script keeps its homes, by the name of their folders.
type homesKey struct{}

func homesOf(ts *testscript.TestScript) map[string]*e2e.Home {
	return ts.Value(homesKey{}).(map[string]*e2e.Home)
}

// binary finds the program as the script would.
func binary(ts *testscript.TestScript) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		for _, name := range []string{"preezm", "preezm.exe"} {
			path := filepath.Join(dir, name)
			if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() {
				return path
			}
		}
	}
	ts.Fatalf("no preezm in the script's PATH")
	return ""
}

// environ is the script's environment for processes started beside it.
func environ(ts *testscript.TestScript) []string {
	env := os.Environ()
	for _, name := range []string{"HOME", "PATH", "TZ", "TMPDIR"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

// fleetCmd: "fleet N [OFFER]" makes N serving keepers and an owner paired
// with them, whose home is $PREEZM_HOME. They are killed when the script ends.
func fleetCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: fleet N [OFFER]")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	o := e2e.FleetOptions{Binary: binary(ts), Dir: ts.MkAbs("homes"), Env: environ(ts), Keepers: n}
	if len(args) == 2 {
		o.Offer = args[1]
	}
	ctx, cancel := bounded()
	defer cancel()
	f, err := e2e.NewFleet(ctx, o)
	ts.Check(err)
	ts.Defer(func() { _ = f.Close() })
	for _, h := range append([]*e2e.Home{f.Owner}, f.Keepers...) {
		homesOf(ts)[filepath.Base(h.Dir)] = h
	}
}

// homesCmd: "homes start|stop|kill NAME..." does so with homes of the fleet,
// or with any other home of the script, named by its folder; "homes roomy"
// starts them with an offer of a gigabyte.
func homesCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: homes start|roomy|stop|kill NAME...")
	}
	ctx, cancel := bounded()
	defer cancel()
	for _, name := range args[1:] {
		h := homesOf(ts)[name]
		if h == nil {
			h = &e2e.Home{Binary: binary(ts), Dir: ts.MkAbs(filepath.Join("homes", name)), Env: environ(ts)}
			homesOf(ts)[name] = h
			ts.Defer(func() { _ = h.Kill() })
		}
		switch args[0] {
		case "start":
			ts.Check(h.Start(ctx))
		case "roomy":
			ts.Check(h.Start(ctx, "--offer", "1GB"))
		case "stop":
			ts.Check(h.Stop(ctx))
		case "kill":
			ts.Check(h.Kill())
		default:
			ts.Fatalf("homes cannot %s", args[0])
		}
	}
}

// exitsCmd: "exits N COMMAND..." runs a command that must end with status N.
func exitsCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("%v: exit status %d, want %d", args[1:], code, want)
	}
}

// jsonCmd: "json FILE PATH[=VALUE]..." checks that FILE, which may be stdout,
// is exactly one JSON document in which each dotted path is there and, where
// a value is given, has it; "len" is the length of a list. "! json" wants none of the paths to be there.
func jsonCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: json FILE PATH[=VALUE]...")
	}
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	dec.UseNumber()
	var doc any
	ts.Check(dec.Decode(&doc))
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		ts.Fatalf("something follows the JSON document: %v", err)
	}
	for _, arg := range args[1:] {
		path, want, hasValue := strings.Cut(arg, "=")
		got, err := lookup(doc, path)
		switch {
		case neg && err == nil:
			ts.Fatalf("%s is there: %v", path, got)
		case neg:
		case err != nil:
			ts.Fatalf("%s: %v", path, err)
		case hasValue && fmt.Sprint(got) != want:
			ts.Fatalf("%s is %v, want %s", path, got, want)
		}
	}
}

func lookup(v any, path string) (any, error) {
	for part := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			next, ok := at[part]
			if !ok {
				return nil, fmt.Errorf("no %q", part)
			}
			v = next
		case []any:
			if part == "len" {
				v = len(at)
				continue
			}
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(at) {
				return nil, fmt.Errorf("no element %q of %d", part, len(at))
			}
			v = at[i]
		default:
			return nil, fmt.Errorf("%q is in no object", part)
		}
	}
	return v, nil
}

// fileCmd: "file NAME TEXT" writes a file whose name may hold Go escapes.
func fileCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: file NAME TEXT")
	}
	name, err := strconv.Unquote(`"` + args[0] + `"`)
	ts.Check(err)
	path := ts.MkAbs(name)
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o777))
	ts.Check(os.WriteFile(path, []byte(args[1]), 0o666))
}

// randomCmd: "random NAME MIB" writes a file that does not compress.
func randomCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: random NAME MIB")
	}
	mib, err := strconv.Atoi(args[1])
	ts.Check(err)
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o777))
	f, err := os.Create(path)
	ts.Check(err)
	var seed [32]byte
	copy(seed[:], args[0])
	_, err = io.CopyN(f, rand.NewChaCha8(seed), int64(mib)<<20)
	ts.Check(errors.Join(err, f.Close()))
}

// sameCmd: "same A B" compares two trees: names, kinds, contents, link
// targets, modes and times.
func sameCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: same A B")
	}
	ctx, cancel := bounded()
	defer cancel()
	was, err := tree.Scan(ctx, ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = was.Compare(ctx, ts.MkAbs(args[1]))
	if (err == nil) == neg {
		ts.Fatalf("compare %v: %v", args, err)
	}
}

// interruptCmd: "interrupt SIGNAL GLOB COMMAND..." starts a command, sends it
// the signal once a new file of that pattern is there, and wants it to end with
// status 1. Instead of INT, TERM or KILL it may be the name of a home, whose
// node is killed then. What the command wrote is in the files interrupted.out
// and interrupted.err.
func interruptCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: interrupt SIGNAL GLOB COMMAND...")
	}
	signals := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "KILL": os.Kill}
	ctx, cancel := bounded()
	defer cancel()
	out, err := os.Create(ts.MkAbs("interrupted.out"))
	ts.Check(err)
	defer out.Close()
	errs, err := os.Create(ts.MkAbs("interrupted.err"))
	ts.Check(err)
	defer errs.Close()
	cmd := exec.CommandContext(ctx, binary(ts), args[3:]...)
	cmd.Env = append(environ(ts), "PREEZM_HOME="+ts.Getenv("PREEZM_HOME"))
	cmd.Dir = ts.MkAbs(".")
	cmd.Stdout, cmd.Stderr = out, errs
	before, err := filepath.Glob(ts.MkAbs(args[1]))
	ts.Check(err)
	ts.Check(cmd.Start())
	waitFor(ts, ctx, args[1], before)
	if h := homesOf(ts)[args[0]]; h != nil {
		ts.Check(h.Kill())
	} else {
		ts.Check(cmd.Process.Signal(signals[args[0]]))
	}
	err = cmd.Wait()
	want := 1
	if args[0] == "KILL" {
		want = -1
	}
	if code := cmd.ProcessState.ExitCode(); code != want {
		ts.Fatalf("interrupted command: %v", err)
	}
}

// waitFor polls until something of the pattern is there that was not before.
func waitFor(ts *testscript.TestScript, ctx context.Context, glob string, before []string) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		found, err := filepath.Glob(ts.MkAbs(glob))
		ts.Check(err)
		if slices.ContainsFunc(found, func(f string) bool { return !slices.Contains(before, f) }) {
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%s never came", glob)
		case <-tick.C:
		}
	}
}
