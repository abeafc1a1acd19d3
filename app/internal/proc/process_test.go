// SPDX-License-Identifier: MPL-2.0

package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain turns the test program into the processes it starts.
func TestMain(m *testing.M) {
	switch os.Getenv("PROC_TEST") {
	case "spin":
		for t0 := time.Now(); time.Since(t0) < 150*time.Millisecond; {
		}
		os.Exit(0)
	case "answer":
		fmt.Println(`{"answer": 42}`)
		os.Exit(0)
	case "complain":
		fmt.Fprintln(os.Stderr, "no such thing")
		os.Exit(1)
	case "sleep":
		<-time.After(time.Minute)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, ctx context.Context, what string) *Process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "PROC_TEST="+what)
	p, err := Start(ctx, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func TestUsageOfAnEndedProcess(t *testing.T) {
	p := start(t, t.Context(), "spin")
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	u := p.Usage()
	// On a busy machine it got less than it asked for.
	if u.CPU <= 0 || u.CPU > time.Minute {
		t.Errorf("spun for 150 ms, CPU %v", u.CPU)
	}
	if runtime.GOOS == "linux" && (u.Peak < 1<<20 || u.Peak > 1<<30) {
		t.Errorf("peak memory %d", u.Peak)
	}
}

func TestKill(t *testing.T) {
	p := start(t, t.Context(), "sleep")
	if u := Of(p.cmd.Process.Pid); runtime.GOOS == "linux" && u.Peak == 0 {
		t.Errorf("usage of a running process: %+v", u)
	}
	p.Kill()
	p.Kill() // again is fine
	var exit *exec.ExitError
	if err := p.Wait(); !errors.As(err, &exit) {
		t.Errorf("killed: %v", err)
	}
}

func TestJSON(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(what string, out any) error {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), "PROC_TEST="+what)
		_, err := JSON(t.Context(), cmd, nil, out)
		return err
	}
	var got struct{ Answer int }
	if err := run("answer", &got); err != nil || got.Answer != 42 {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := run("complain", &got); err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("a failure says %v", err)
	}
	if err := run("spin", &got); err == nil {
		t.Error("no document, and no error")
	}
}

func TestContextKills(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := start(t, ctx, "sleep")
	cancel()
	if err := p.Wait(); err == nil {
		t.Error("ended without an error")
	}
	if _, err := Start(ctx, exec.Command("unused")); !errors.Is(err, context.Canceled) {
		t.Errorf("start after the end: %v", err)
	}
}
