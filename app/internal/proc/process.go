// SPDX-License-Identifier: MPL-2.0

package proc

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
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

// samplePeriod is how often a running process is asked for its peak. The
// kernel keeps the maximum, so only growth in the last period is missed.
const samplePeriod = 20 * time.Millisecond

// Process is a started program.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone and both fields below are final

	mu   sync.Mutex
	last Usage
	err  error // of Wait
}

// Start runs cmd, away from the terminal's process group so that Ctrl-C
// reaches this program alone, which then stops the others in order. When ctx
// ends the process is killed.
func Start(ctx context.Context, cmd *exec.Cmd) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	go p.watch(ctx)
	return p, nil
}

// watch owns the process until it is gone.
func (p *Process) watch(ctx context.Context) {
	waited := make(chan error, 1)
	go func() { waited <- p.cmd.Wait() }()
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

// Done is closed when the process is gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end of the process and gives its error, as exec does.
func (p *Process) Wait() error {
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Kill ends the process as a power cut would: SIGKILL, no last words.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // gone already is as good
	<-p.done
}

// Stop asks the process to end and kills it when it has not after grace. The
// error says that it had to be killed or ended with a failure.
func (p *Process) Stop(grace time.Duration) error {
	interrupt(p.cmd.Process)
	select {
	case <-p.done:
	case <-time.After(grace):
		p.Kill()
		return fmt.Errorf("did not stop within %v", grace)
	}
	if err := p.Wait(); err != nil {
		return errors.Join(errors.New("did not stop cleanly"), err)
	}
	return nil
}
