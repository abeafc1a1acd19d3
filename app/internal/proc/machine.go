// SPDX-License-Identifier: MPL-2.0

package proc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// readyWithin is how long a node may take from its start until it answers.
const readyWithin = 30 * time.Second

// Machine is one home folder and the process that serves it. It is used by one
// goroutine at a time.
type Machine struct {
	Name string
	Home string
	Log  string // file that takes what its process prints

	bin  string
	node *Process
	past Usage // of processes that are gone
}

// NewMachine names a machine below root; nothing is made yet.
func NewMachine(bin, root, name string) *Machine {
	return &Machine{Name: name, Home: filepath.Join(root, name), Log: filepath.Join(root, name+".log"), bin: bin}
}

// Init makes the home folder.
func (m *Machine) Init(ctx context.Context) error {
	_, err := m.Run(ctx, nil, "init", "--name", m.Name)
	return err
}

// Serve starts the machine's node on a free loopback port and returns when it
// answers.
func (m *Machine) Serve(ctx context.Context) error {
	log, err := os.OpenFile(m.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	cmd := exec.Command(m.bin, "--home", m.Home, "serve", "--listen", "127.0.0.1:0")
	cmd.Stdout, cmd.Stderr = log, log
	if m.node, err = Start(ctx, cmd); err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	deadline := time.NewTimer(readyWithin)
	defer deadline.Stop()
	var last error
	for {
		var about struct {
			Running   bool     `json:"running"`
			Addresses []string `json:"addresses"`
		}
		if _, err := m.Run(ctx, &about, "id"); err != nil {
			last = err
		} else if about.Running && len(about.Addresses) > 0 {
			return nil
		}
		select {
		case <-time.After(30 * time.Millisecond):
		case <-m.node.Done():
			return fmt.Errorf("%s: serve ended at once: %v; see %s", m.Name, m.node.Wait(), m.Log)
		case <-deadline.C:
			return errors.Join(fmt.Errorf("%s: serve does not answer after %v; see %s", m.Name, readyWithin, m.Log), last)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Serving says whether the machine's node is up.
func (m *Machine) Serving() bool {
	if m.node == nil {
		return false
	}
	select {
	case <-m.node.Done():
		return false
	default:
		return true
	}
}

// Kill takes the machine away without a warning.
func (m *Machine) Kill() {
	if m.node == nil {
		return
	}
	m.node.Kill()
	m.retire()
}

// Stop asks the machine's node to end.
func (m *Machine) Stop() error {
	if m.node == nil {
		return nil
	}
	err := m.node.Stop(10 * time.Second)
	m.retire()
	if err != nil {
		return fmt.Errorf("%s: %w; see %s", m.Name, err, m.Log)
	}
	return nil
}

func (m *Machine) retire() {
	m.past = m.past.Add(m.node.Usage())
	m.node = nil
}

// Usage is what all processes of this machine cost so far.
func (m *Machine) Usage() Usage {
	if m.node == nil {
		return m.past
	}
	return m.past.Add(m.node.Usage())
}

// Run runs one command on the machine's home with --json and decodes its
// answer into out, unless that is nil. What the command itself cost is
// returned; a failure carries the command's own sentence.
func (m *Machine) Run(ctx context.Context, out any, args ...string) (Usage, error) {
	return m.RunTo(ctx, nil, out, args...)
}

// RunTo is Run with the command's standard error, where progress goes, shown
// on w when that is not nil.
func (m *Machine) RunTo(ctx context.Context, w io.Writer, out any, args ...string) (Usage, error) {
	cmd := exec.Command(m.bin, append([]string{"--home", m.Home, "--json"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if w != nil {
		cmd.Stderr = w
	}
	p, err := Start(ctx, cmd)
	if err != nil {
		return Usage{}, fmt.Errorf("%s: %w", m.Name, err)
	}
	err = p.Wait()
	u := p.Usage()
	m.past = m.past.Add(u)
	if ctx.Err() != nil {
		return u, ctx.Err()
	}
	if err != nil {
		said := strings.TrimSpace(stderr.String())
		return u, fmt.Errorf("%s: preezm %s: %w: %s", m.Name, args[0], err, said)
	}
	if out != nil {
		if err := json.Unmarshal(stdout.Bytes(), out); err != nil {
			return u, fmt.Errorf("%s: preezm %s --json: %w", m.Name, args[0], err)
		}
	}
	return u, nil
}
