// SPDX-License-Identifier: MPL-2.0

package proc

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
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
	if u.CPU < 50*time.Millisecond || u.CPU > time.Minute {
		t.Errorf("spun for 150 ms, CPU %v", u.CPU)
	}
	if runtime.GOOS == "linux" && (u.Peak < 1<<20 || u.Peak > 1<<30) {
		t.Errorf("peak memory %d", u.Peak)
	}
}

func TestStopAndKill(t *testing.T) {
	p := start(t, t.Context(), "sleep")
	if err := p.Stop(time.Minute); err == nil {
		t.Error("a process that dies of the signal did not stop cleanly")
	}
	p = start(t, t.Context(), "sleep")
	p.Kill()
	p.Kill() // again is fine
	var exit *exec.ExitError
	if err := p.Wait(); !errors.As(err, &exit) {
		t.Errorf("killed: %v", err)
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
