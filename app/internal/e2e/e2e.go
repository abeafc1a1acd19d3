// SPDX-License-Identifier: MPL-2.0

// Package e2e starts real preezm processes, each with a home of its own, on
// loopback, and kills, stops and restarts them: what tests need that want the
// whole road and the faults along it. It reports errors instead of failing a
// test, so that test scripts, tests and benchmarks can all use it.
package e2e

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
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers/vault"
)

// StartTime bounds how long a home may take to serve, on a busy machine.
const StartTime = 60 * time.Second

// Home is one home folder and the process that serves it, if any.
type Home struct {
	Binary string    // the preezm program
	Dir    string    // the home folder
	Env    []string  // of its processes; nil: this process's
	Log    io.Writer // gets the serving process's standard error; may be nil
	// Prefix begins every command, such as one that enters a network namespace.
	Prefix []string
	// Discovery lets the node find others on the local network.
	Discovery bool

	mu      sync.Mutex
	proc    *process
	started node.About
}

// Result is what a finished command left.
type Result struct {
	Stdout, Stderr []byte
	Code           int
}

// Run runs one command on the home and waits for it. An exit status other
// than 0 is no error here.
func (h *Home) Run(ctx context.Context, args ...string) (Result, error) {
	cmd := h.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := Result{out.Bytes(), errs.Bytes(), cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	return r, err
}

// Must is Run for commands that have to succeed; into, when not nil, gets
// their JSON document.
func (h *Home) Must(ctx context.Context, into any, args ...string) error {
	if into != nil {
		args = append(slices.Clone(args), "--json")
	}
	r, err := h.Run(ctx, args...)
	if err != nil {
		return err
	}
	if r.Code != 0 {
		return fmt.Errorf("preezm %s in %s: exit status %d: %s", strings.Join(args, " "), h.Dir, r.Code, r.Stderr)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(r.Stdout, into); err != nil {
		return fmt.Errorf("preezm %s: %w: %s", strings.Join(args, " "), err, r.Stdout)
	}
	return nil
}

// Command prepares a command on the home, for callers that signal it.
func (h *Home) Command(ctx context.Context, args ...string) *exec.Cmd { return h.command(ctx, args...) }

func (h *Home) command(ctx context.Context, args ...string) *exec.Cmd {
	line := append(append(slices.Clone(h.Prefix), h.Binary), append(slices.Clone(args), "--home", h.Dir)...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = h.Env
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	// Not the keychain of whoever runs the tests.
	cmd.Env = append(slices.Clone(cmd.Env), "PREEZM_KEYCHAIN=off")
	return cmd
}

// Init makes the home, listening on a loopback address of its own. Offer is as --offer takes it;
// empty is the default.
func (h *Home) Init(ctx context.Context, name, offer string) error {
	args := []string{"init", "--name", name, "--listen", Loopback()}
	if offer != "" {
		args = append(args, "--offer", offer)
	}
	return h.Must(ctx, nil, args...)
}

// Start serves the home and returns once it answers.
func (h *Home) Start(ctx context.Context, args ...string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proc != nil && !h.proc.ended() {
		return fmt.Errorf("%s is served already", h.Dir)
	}
	ctx, cancel := context.WithTimeout(ctx, StartTime)
	defer cancel()
	var errs tail
	serve := []string{"serve", "--json"}
	if !h.Discovery {
		serve = append(serve, "--no-discovery")
	}
	cmd := h.command(context.Background(), append(serve, args...)...)
	cmd.Stderr = &errs
	if h.Log != nil {
		cmd.Stderr = io.MultiWriter(&errs, h.Log)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p, err := start(cmd)
	if err != nil {
		return err
	}
	var about node.About
	told := make(chan error, 1)
	go func() { told <- json.NewDecoder(out).Decode(&about) }()
	select {
	case err = <-told:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		// With the process dead its pipe is closed, and the reader ends too.
		return errors.Join(fmt.Errorf("%s did not come up: %w", h.Dir, err), p.kill(), errors.New(errs.String()))
	}
	h.proc, h.started = p, about
	return nil
}

// About is what the serving process said of itself when it came up.
func (h *Home) About() node.About {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.started
}

// Kill ends the serving process as a power cut would (SIGKILL) and waits for
// its end.
func (h *Home) Kill() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proc == nil {
		return nil
	}
	err := h.proc.kill()
	h.proc = nil
	return err
}

// Stop asks the serving process to end (SIGTERM where there is such a thing)
// and gives how it ended: nil for exit status 0.
func (h *Home) Stop(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.proc == nil {
		return nil
	}
	err := h.proc.stop(ctx)
	h.proc = nil
	return err
}

// Serving says whether the home's process is alive.
func (h *Home) Serving() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.proc != nil && !h.proc.ended()
}

// Pair lets guest join host's circle; host must be serving.
func Pair(ctx context.Context, host, guest *Home) error {
	var inv node.Invite
	if err := host.Must(ctx, &inv, "invite"); err != nil {
		return err
	}
	return guest.Must(ctx, nil, "join", inv.Code)
}

// Words reads the owner's words, in French, from a home without a passphrase, as
// a sheet of paper has them.
func Words(dir string) (string, error) {
	v, err := vault.Open(dir, nil)
	if err != nil {
		return "", err
	}
	boxes, err := v.Unlock(nil, vault.Owner)
	if err != nil {
		return "", err
	}
	key, err := identity.ReadOwner(boxes[vault.Owner], filepath.Join(dir, "owner.key"))
	if err != nil {
		return "", err
	}
	master, ok := key.Master()
	if !ok {
		return "", fmt.Errorf("%s does not hold the words", dir)
	}
	words, err := identity.WordsOf(master, identity.French)
	return strings.Join(words, " "), err
}

// Fleet is an owner and the keepers of its circle.
type Fleet struct {
	Owner   *Home
	Keepers []*Home
}

// FleetOptions says what a fleet is made of.
type FleetOptions struct {
	Binary  string
	Dir     string // the homes lie in owner, keeper1, keeper2 and so on below it
	Env     []string
	Keepers int
	Offer   string // of each keeper; empty: the default
	Log     io.Writer
}

// NewFleet makes an owner and keepers, serves the keepers and pairs them with
// the owner, which is left unserved. When it fails, nothing is left running.
func NewFleet(ctx context.Context, o FleetOptions) (f *Fleet, err error) {
	home := func(name string) *Home {
		return &Home{Binary: o.Binary, Dir: filepath.Join(o.Dir, name), Env: o.Env, Log: o.Log}
	}
	f = &Fleet{Owner: home("owner")}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := f.Owner.Init(ctx, "owner", ""); err != nil {
		return f, err
	}
	for i := range o.Keepers {
		name := fmt.Sprintf("keeper%d", i+1)
		k := home(name)
		if err := k.Init(ctx, name, o.Offer); err != nil {
			return f, err
		}
		f.Keepers = append(f.Keepers, k)
		if err := k.Start(ctx); err != nil {
			return f, err
		}
		if err := Pair(ctx, k, f.Owner); err != nil {
			return f, err
		}
	}
	return f, nil
}

// Close kills everything that still runs.
func (f *Fleet) Close() error {
	errs := []error{f.Owner.Kill()}
	for _, k := range f.Keepers {
		errs = append(errs, k.Kill())
	}
	return errors.Join(errs...)
}

// Build compiles the program without its window into dir and gives its path,
// for tests that do not bring a binary of their own.
func Build(ctx context.Context, dir string) (string, error) {
	out := filepath.Join(dir, "preezm")
	if runtime.GOOS == "windows" {
		out += ".exe"
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "headless", "-o", out, "github.com/preezm/preezm/app/preezm")
	cmd.Env = os.Environ()
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build preezm: %w: %s", err, text)
	}
	return out, nil
}
