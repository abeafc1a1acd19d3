// SPDX-License-Identifier: MPL-2.0

package proc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Usage is what a process cost so far.
type Usage struct {
	CPU  time.Duration // user and system time
	Peak int64         // largest resident set, bytes; 0 where the system does not tell
}

// Add gives the sum of the CPU times and the larger peak.
func (u Usage) Add(v Usage) Usage { return Usage{u.CPU + v.CPU, max(u.Peak, v.Peak)} }

// Of gives the usage of a running process; zero when there is none, or where
// the system does not tell.
func Of(pid int) Usage {
	u, _ := readUsage(pid)
	return u
}

// samplePeriod is how often a running process is asked for its peak. The
// kernel keeps the maximum, so only growth in the last period is missed.
const samplePeriod = 20 * time.Millisecond

// Process is a started program.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone and what follows is final

	mu   sync.Mutex
	last Usage
	err  error // of Wait
}

// Start runs cmd, away from the terminal's process group so that Ctrl-C
// reaches this program alone, which then ends the others in order. When ctx
// ends the process is killed; it is killed too when this program dies.
func Start(ctx context.Context, cmd *exec.Cmd) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	detach(cmd)
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started, waited := make(chan error, 1), make(chan error, 1)
	go func() {
		// A child that dies with its parent goes by the thread that started
		// it, so that thread stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			waited <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	go p.watch(ctx, waited)
	return p, nil
}

// watch owns the process until it is gone.
func (p *Process) watch(ctx context.Context, waited <-chan error) {
	tick := time.NewTicker(samplePeriod)
	defer tick.Stop()
	stop := ctx.Done()
	for {
		select {
		case err := <-waited:
			p.mu.Lock()
			// The times of a reaped process are exact. Its Maxrss is not: it
			// starts from the memory of whoever started it.
			p.last.CPU = p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
			p.err = err
			p.mu.Unlock()
			close(p.done)
			return
		case <-stop:
			stop = nil
			_ = p.cmd.Process.Kill() // gone already is as good
		case <-tick.C:
			p.sample()
		}
	}
}

// sample reads the live figures; a process that has ended keeps its last.
func (p *Process) sample() Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u, ok := readUsage(p.cmd.Process.Pid); ok {
		p.last = Usage{max(u.CPU, p.last.CPU), max(u.Peak, p.last.Peak)}
	}
	return p.last
}

// Usage gives the figures up to now.
func (p *Process) Usage() Usage {
	select {
	case <-p.done:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.last
	default:
		return p.sample()
	}
}

// Wait waits for the end of the process and gives its error, as exec does.
func (p *Process) Wait() error {
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Kill ends the process at once.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // gone already is as good
	<-p.done
}

// JSON runs cmd to its end and decodes the one document it prints into out,
// unless that is nil. Progress and complaints go to stderr when that is not
// nil; else a failure carries them.
func JSON(ctx context.Context, cmd *exec.Cmd, stderr io.Writer, out any) (Usage, error) {
	var stdout, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, stderr
	if stderr == nil {
		cmd.Stderr = &said
	}
	p, err := Start(ctx, cmd)
	if err != nil {
		return Usage{}, err
	}
	err = p.Wait()
	u := p.Usage()
	switch {
	case ctx.Err() != nil:
		return u, ctx.Err()
	case err != nil && said.Len() > 0:
		return u, fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	case err != nil || out == nil:
		return u, err
	}
	return u, json.Unmarshal(stdout.Bytes(), out)
}
