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

	bin    string
	node   *Process
	stdout *os.File // the node's, kept open so that it can write
	past   Usage    // of processes that are gone
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
// answers. It does not announce itself to the network around: the machines
// know each other from invites.
func (m *Machine) Serve(ctx context.Context) error {
	log, err := os.OpenFile(m.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command(m.bin, "--home", m.Home, "--json", "serve", "--listen", "127.0.0.1:0", "--no-discovery")
	cmd.Stdout, cmd.Stderr = w, log
	node, err := Start(ctx, cmd)
	err = errors.Join(err, w.Close())
	if err == nil {
		err = ready(r)
	}
	if err != nil {
		if node != nil {
			node.Kill()
		}
		r.Close()
		return fmt.Errorf("%s: serve does not answer: %w; see %s", m.Name, errors.Join(ctx.Err(), err), m.Log)
	}
	m.node, m.stdout = node, r
	return nil
}

// ready waits for the one document that a node prints about itself once it
// answers.
func ready(r *os.File) error {
	if err := r.SetReadDeadline(time.Now().Add(readyWithin)); err != nil && !errors.Is(err, os.ErrNoDeadline) {
		return err
	}
	return json.NewDecoder(r).Decode(&struct{}{})
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
	m.stdout.Close()
	m.node, m.stdout = nil, nil
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

// RunTo is Run with the command's standard error, where progress and failures
// are told, going to w when that is not nil.
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
		if said := strings.TrimSpace(stderr.String()); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return u, fmt.Errorf("%s: preezm %s: %w", m.Name, args[0], err)
	}
	if out != nil {
		if err := json.Unmarshal(stdout.Bytes(), out); err != nil {
			return u, fmt.Errorf("%s: preezm %s --json: %w", m.Name, args[0], err)
		}
	}
	return u, nil
}
