// SPDX-License-Identifier: MPL-2.0

package recovery_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/peers/helper"
	"github.com/preezm/preezm/peers/vault"
)

// withHelpers is an owner with files and five helpers.
func withHelpers(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, 5)
	w.must(w.fleet.Owner.Must(w.ctx, nil, "put", w.src))
	var set node.HelperSet
	w.must(w.fleet.Owner.Must(w.ctx, &set, "helpers", "add", "--yes", "keeper1", "keeper2", "keeper3", "keeper4", "keeper5"))
	if len(set.Helpers) != 5 || set.K != 3 || !set.Words {
		t.Fatalf("helpers: %+v", set)
	}
	for _, h := range set.Helpers {
		if h.Kept.IsZero() {
			t.Errorf("%s has no share: %s", h.Name, h.Problem)
		}
	}
	return w
}

// helped runs the newcomer once, with invites of these helpers.
func (w *world) helped(h *e2e.Home, from ...*e2e.Home) (out node.Help, code int) {
	w.Helper()
	args := []string{"recover", "--helpers", "--owner", "owner", "--name", "newcomer", "--listen", e2e.Loopback(), "--no-discovery", "--json"}
	for _, k := range from {
		var inv node.Invite
		w.must(k.Must(w.ctx, &inv, "invite"))
		args = append(args, "--invite", inv.Code)
	}
	r, err := h.Run(w.ctx, args...)
	w.must(err)
	if err := json.Unmarshal(r.Stdout, &out); err != nil {
		w.Fatalf("%v: %s %s", err, r.Stdout, r.Stderr)
	}
	return out, r.Code
}

// killedWhileHelped kills the newcomer again and again while it takes the parts,
// a little later each time, and says whether it came through.
func (w *world) killedWhileHelped(h *e2e.Home) bool {
	w.Helper()
	for wait := 20 * time.Millisecond; wait < 300*time.Millisecond; wait += 40 * time.Millisecond {
		cmd := h.Command(w.ctx, "recover", "--helpers", "--name", "newcomer", "--listen", "127.0.0.1:0", "--no-discovery", "--json")
		w.must(cmd.Start())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			w.must(err)
		case <-time.After(wait):
			w.must(cmd.Process.Kill())
			<-ended
		}
		if _, err := os.Stat(filepath.Join(h.Dir, "home.json")); err == nil {
			return true
		}
	}
	return false
}

// approve lets a helper type what the newcomer reads out.
func (w *world) approve(k *e2e.Home, help node.Help) {
	w.Helper()
	var rs []node.HelperRequest
	w.must(k.Must(w.ctx, &rs, "helpers", "requests"))
	for _, a := range help.Helpers {
		for _, r := range rs {
			if a.Device != k.About().Device || !r.Here || r.ID != a.ID {
				continue
			}
			words := a.Words["fr"]
			w.must(k.Must(w.ctx, nil, "helpers", "approve", r.ID, "--words", words[r.Places[0]-1]+" "+words[r.Places[1]-1]))
			return
		}
	}
	w.Fatalf("%s was not asked: %+v", k.Dir, rs)
}

// later runs a helper again with its clock ahead.
func (w *world) later(k *e2e.Home, shift string) {
	w.Helper()
	w.must(k.Kill())
	w.must(k.Start(w.ctx, "--clock-shift", shift))
}

// spoil changes the share that a helper keeps, as one who lies would.
func (w *world) spoil(k *e2e.Home) {
	w.Helper()
	w.must(k.Kill())
	v, err := vault.Open(k.Dir, nil)
	w.must(err)
	boxes, err := v.Unlock(nil, vault.Machine)
	w.must(err)
	path := filepath.Join(k.Dir, helper.File)
	raw, err := boxes[vault.Machine].ReadFile(path, 4<<20)
	w.must(err)
	var st map[string]json.RawMessage
	w.must(json.Unmarshal(raw, &st))
	var kept []helper.Kept
	w.must(json.Unmarshal(st["kept"], &kept))
	kept[0].Share[0] ^= 1
	st["kept"], err = json.Marshal(kept)
	w.must(err)
	raw, err = json.Marshal(st)
	w.must(err)
	w.must(boxes[vault.Machine].Replace(path, raw))
	w.must(k.Start(w.ctx))
}

// Without words, with three of five helpers, one of whom lies.
func TestHelpersBringItBack(t *testing.T) {
	w := withHelpers(t)
	words := w.wordsOf(w.fleet.Owner)
	ks := w.fleet.Keepers
	w.destroy()
	w.spoil(ks[2])
	h := w.fresh("new")
	help, code := w.helped(h, ks[0], ks[1])
	if code != 1 || len(help.Helpers) != 2 || help.Need != 3 || help.Of != 5 || help.Agreed != 0 {
		t.Fatalf("exit %d: %+v", code, help)
	}
	wrong, err := ks[0].Run(w.ctx, "helpers", "approve", help.Helpers[0].ID, "--words", "wrong words")
	w.must(err)
	if wrong.Code != 1 || !bytes.Contains(wrong.Stderr, []byte("1 of 3 tries")) {
		t.Errorf("wrong words: exit %d, %s", wrong.Code, wrong.Stderr)
	}
	w.approve(ks[0], help)
	w.approve(ks[1], help)
	help, _ = w.helped(h, ks[2], ks[3])
	if help.Agreed != 2 || help.Given != 0 || len(help.Helpers) != 4 {
		t.Fatalf("two agreed: %+v", help)
	}
	for _, k := range ks[:2] { // a clock that is put back shortens nothing
		w.later(k, "-100h")
	}
	if help, _ := w.helped(h); help.Given != 0 {
		t.Fatalf("given early: %+v", help)
	}
	for _, k := range ks[:2] {
		w.later(k, "73h")
	}
	if help, code = w.helped(h); code != 1 || help.Given != 2 || help.Recovered != nil {
		t.Fatalf("two of five: exit %d: %+v", code, help)
	}
	w.approve(ks[2], help)
	w.later(ks[2], "73h")
	if help, code = w.helped(h); code != 1 || help.Recovered != nil || len(help.Bad) != 1 || help.Bad[0] != "keeper3" {
		t.Fatalf("two and a liar: exit %d: %+v", code, help)
	}
	w.approve(ks[3], help)
	w.later(ks[3], "73h")
	help, code = w.helped(h)
	if code != 0 || help.Recovered == nil || help.Recovered.Files != 42 {
		t.Fatalf("three and a liar: exit %d: %+v", code, help)
	}
	w.same(h)
	if got := w.wordsOf(h); got != words {
		t.Error("the words are not back")
	}
	// The new machine is the owner and knows the helpers: it makes a new set
	// without the liar and one more, and old shares go.
	var set node.HelperSet
	w.must(h.Must(w.ctx, &set, "helpers", "remove", "--yes", "keeper3", "keeper5"))
	if len(set.Helpers) != 3 || set.K != 2 {
		t.Fatalf("the new set: %+v", set)
	}
	for _, k := range set.Helpers {
		if k.Kept.IsZero() {
			t.Errorf("%s has no new share: %s", k.Name, k.Problem)
		}
	}
}

// A helper that was not asked forbids it, and so it stays.
func TestHelpersVeto(t *testing.T) {
	w := withHelpers(t)
	ks := w.fleet.Keepers
	owner := w.fleet.Owner
	w.must(owner.Start(w.ctx))
	h := w.fresh("thief")
	help, _ := w.helped(h, ks[0], ks[1], ks[2])
	for _, k := range ks[:3] {
		w.approve(k, help)
	}
	id := help.Helpers[0].ID
	warned := func(k *e2e.Home) func() bool {
		return func() bool {
			r, err := k.Run(w.ctx, "status")
			return err == nil && strings.Contains(string(r.Stdout), "Request "+id)
		}
	}
	w.until("the owner is warned", warned(owner))
	w.until("a helper outside the circle of the others is warned", warned(ks[4]))
	w.must(ks[4].Must(w.ctx, nil, "helpers", "veto", id))
	w.until("all have heard of the veto", func() bool {
		for _, k := range ks[:3] {
			var rs []node.HelperRequest
			w.must(k.Must(w.ctx, &rs, "helpers", "requests"))
			for _, r := range rs {
				if r.Here && r.State != "vetoed" {
					return false
				}
			}
		}
		return true
	})
	for _, k := range ks[:3] {
		w.later(k, "73h")
	}
	help, code := w.helped(h)
	if code != 1 || help.Given != 0 || help.Recovered != nil || help.Helpers[0].State != "vetoed" {
		t.Fatalf("after the veto: exit %d: %+v", code, help)
	}
	if _, err := os.Stat(filepath.Join(h.Dir, "owner.key")); err == nil {
		t.Error("there is an owner's key")
	}
}

// Two of three, after the owner proved to have the words and the machine forgot
// them: everything comes back but the words.
func TestHelpersGiveARoot(t *testing.T) {
	w := newWorld(t, 3)
	owner, ks := w.fleet.Owner, w.fleet.Keepers
	w.must(owner.Must(w.ctx, nil, "put", w.src))
	check := owner.Command(w.ctx, "words", "check", "--all")
	check.Stdin = strings.NewReader(strings.ReplaceAll(w.wordsOf(owner), " ", "\n") + "\n")
	if out, err := check.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var set node.HelperSet
	w.must(owner.Must(w.ctx, &set, "helpers", "add", "--yes", "--delay", "1h", "keeper1", "keeper2", "keeper3"))
	if set.Words || set.K != 2 {
		t.Fatalf("helpers: %+v", set)
	}
	w.destroy()
	h := w.fresh("new")
	help, _ := w.helped(h, ks[1], ks[2])
	for _, k := range ks[1:] {
		w.approve(k, help)
		w.later(k, "61m")
	}
	if !w.killedWhileHelped(h) {
		help, code := w.helped(h)
		if code != 0 || help.Recovered == nil || len(help.Recovered.Helpers) != 3 {
			t.Fatalf("exit %d: %+v", code, help)
		}
	}
	w.same(h)
	if _, err := os.Stat(filepath.Join(h.Dir, "helpers.attempt")); err == nil {
		t.Error("the key that parts were sealed to is still there")
	}
	// Who the helpers are came back, and new parts name the new machine.
	w.must(h.Must(w.ctx, &set, "helpers", "list"))
	if len(set.Helpers) != 3 || set.K != 2 || !set.Outdated || set.Delay != time.Hour {
		t.Fatalf("helpers after the recovery: %+v", set)
	}
	set = node.HelperSet{}
	w.must(h.Must(w.ctx, &set, "helpers", "renew", "--yes"))
	for _, k := range set.Helpers {
		if k.Kept.IsZero() || set.Outdated || set.Delay != time.Hour {
			t.Errorf("after the renewal: %+v", set)
		}
	}
}
