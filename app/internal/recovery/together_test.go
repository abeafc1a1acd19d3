// SPDX-License-Identifier: MPL-2.0

package recovery_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
)

// second makes another home the owner's as well. The owner's must be served.
func (w *world) second(name string) *e2e.Home {
	w.Helper()
	h := w.fresh(name)
	var added struct {
		Code   string
		Device node.Device
	}
	code := w.waits(w.fleet.Owner, &added, func(code string) {
		w.must(h.Must(w.ctx, nil, "device", "join", code, "--name", name, "--listen", e2e.Loopback()))
	}, "device", "add", "--yes")
	if added.Code != code || added.Device.Name != name {
		w.Fatalf("device add printed %+v", added)
	}
	return h
}

// waits runs a command of h that gives a code on standard error and waits until it
// was used, and reads the one document that it prints then.
func (w *world) waits(h *e2e.Home, into any, use func(code string), args ...string) (code string) {
	w.Helper()
	cmd := h.Command(w.ctx, append(args, "--json")...)
	var out bytes.Buffer
	cmd.Stdout = &out
	errs, err := cmd.StderrPipe()
	w.must(err)
	w.must(cmd.Start())
	lines := bufio.NewReader(errs)
	code, err = lines.ReadString('\n')
	w.must(err)
	code = strings.TrimSpace(code)
	use(code)
	rest, err := io.ReadAll(lines)
	w.must(err)
	if err := cmd.Wait(); err != nil {
		w.Fatalf("%s: %v: %s", args, err, rest)
	}
	w.must(json.Unmarshal(out.Bytes(), into)) // which takes one document and no more
	return code
}

// An invite that is waited for prints one document too.
func TestInviteThatWaits(t *testing.T) {
	w := newWorld(t, 1)
	guest := w.fresh("guest")
	w.must(guest.Init(w.ctx, "guest", ""))
	var used struct {
		Code   string
		Joined node.Paired
	}
	code := w.waits(w.fleet.Keepers[0], &used, func(code string) { w.must(guest.Must(w.ctx, nil, "join", code)) }, "invite", "--wait")
	if used.Code != code || used.Joined.Name != "guest" || len(used.Joined.Words["en"]) != 4 {
		t.Errorf("%+v", used)
	}
}

// until repeats something until it holds.
func (w *world) until(what string, f func() bool) {
	w.Helper()
	end := time.Now().Add(3 * time.Minute)
	for !f() {
		if time.Now().After(end) {
			w.Fatalf("%s: not within three minutes", what)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-w.ctx.Done():
			w.Fatal(w.ctx.Err())
		}
	}
}

func (w *world) content(h *e2e.Home, name string, args ...string) []byte {
	w.Helper()
	to := w.TempDir()
	w.must(h.Must(w.ctx, nil, append([]string{"get", name, "--to", to}, args...)...))
	b, err := os.ReadFile(filepath.Join(to, filepath.Base(name)))
	w.must(err)
	return b
}

func TestTwoMachinesOfOnePerson(t *testing.T) {
	w := newWorld(t, 3)
	owner := w.fleet.Owner
	w.must(owner.Must(w.ctx, nil, "put", w.src))
	w.must(owner.Start(w.ctx))
	other := w.second("desktop")
	w.must(owner.Stop(w.ctx))
	w.same(other)

	// Both keep one name, neither having heard of the other.
	a, b := filepath.Join(w.dir, "a", "plan.txt"), filepath.Join(w.dir, "b", "plan.txt")
	for _, f := range []string{a, b} {
		w.must(os.MkdirAll(filepath.Dir(f), 0o755))
	}
	w.must(os.WriteFile(a, []byte("on the first"), 0o644))
	w.must(os.WriteFile(b, []byte("on the desktop, later"), 0o644))
	w.must(owner.Must(w.ctx, nil, "put", a))
	w.must(other.Must(w.ctx, nil, "put", b))
	for _, h := range []*e2e.Home{owner, other} {
		var entries []engine.Entry
		w.must(h.Must(w.ctx, &entries, "ls"))
		if got := w.content(h, "plan.txt"); string(got) != "on the desktop, later" {
			t.Errorf("%s shows %q", h.Dir, got)
		}
	}
	// What one removes is gone on the other, and what it keeps is there.
	w.must(other.Must(w.ctx, nil, "rm", "src/photos"))
	w.must(os.WriteFile(a, []byte("third"), 0o644))
	w.must(owner.Must(w.ctx, nil, "put", a))
	var entries []engine.Entry
	w.must(owner.Must(w.ctx, &entries, "ls", "src"))
	for _, e := range entries {
		if e.Path == "src/photos" {
			t.Error("the photos are still there")
		}
	}
	if got := w.content(other, "plan.txt"); string(got) != "third" {
		t.Errorf("the desktop has %q", got)
	}

	// Served, they hear of each other by themselves.
	w.must(owner.Start(w.ctx))
	w.must(other.Start(w.ctx))
	fresh := filepath.Join(w.dir, "fresh.txt")
	w.must(os.WriteFile(fresh, []byte("soon"), 0o644))
	w.must(other.Must(w.ctx, nil, "put", fresh))
	w.must(other.Must(w.ctx, nil, "backup"))
	w.until("the first machine hears of it", func() bool {
		r, err := owner.Run(w.ctx, "ls", "fresh.txt")
		return err == nil && r.Code == 0
	})

	// Stolen, it is refused.
	var out node.DeviceRemoved
	w.must(owner.Must(w.ctx, &out, "device", "remove", "desktop", "--stolen"))
	if out.Told != 3 || out.Of != 3 {
		t.Errorf("told: %+v", out)
	}
	w.must(other.Stop(w.ctx))
	w.must(os.WriteFile(b, []byte("after the theft"), 0o644))
	r, err := other.Run(w.ctx, "put", b)
	w.must(err)
	if r.Code == 0 || !bytes.Contains(r.Stderr, []byte("refused")) {
		t.Errorf("a removed machine could put: %d %s", r.Code, r.Stderr)
	}
	st, err := other.Run(w.ctx, "status")
	w.must(err)
	if !bytes.Contains(st.Stdout, []byte("taken off the list")) {
		t.Errorf("status of the removed machine: %s", st.Stdout)
	}
	var ds []node.Device
	w.must(owner.Must(w.ctx, &ds, "device", "list"))
	if len(ds) != 2 || !ds[1].Stolen || ds[1].Removed.IsZero() {
		t.Errorf("devices: %s", fmt.Sprint(ds))
	}
}

// A home that is put back from a copy takes over what it did since, and its
// copies are taken again.
func TestHomePutBackFromACopy(t *testing.T) {
	w := newWorld(t, 3)
	owner := w.fleet.Owner
	w.must(owner.Must(w.ctx, nil, "put", w.src))
	copied := filepath.Join(w.dir, "copy")
	w.must(os.CopyFS(copied, os.DirFS(owner.Dir)))
	later := filepath.Join(w.dir, "later.txt")
	for i := range 3 {
		w.must(os.WriteFile(later, fmt.Append(nil, "later ", i), 0o644))
		w.must(owner.Must(w.ctx, nil, "put", later))
	}
	w.destroy()
	w.must(os.Rename(copied, owner.Dir))
	w.must(os.WriteFile(filepath.Join(w.dir, "now.txt"), []byte("now"), 0o644))
	w.must(owner.Must(w.ctx, nil, "put", filepath.Join(w.dir, "now.txt")))
	if got := w.content(owner, "later.txt"); string(got) != "later 2" {
		t.Errorf("later.txt is %q", got)
	}
	w.must(os.WriteFile(w.words, []byte(w.wordsOf(owner)), 0o600))
	h := w.fresh("new")
	w.must(h.Must(w.ctx, nil, w.recoverArgs(w.fleet.Keepers[1])...))
	for name, want := range map[string]string{"later.txt": "later 2", "now.txt": "now"} {
		if got := w.content(h, name); string(got) != want {
			t.Errorf("%s is %q after the recovery", name, got)
		}
	}
}
