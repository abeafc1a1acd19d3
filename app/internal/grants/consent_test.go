// SPDX-License-Identifier: MPL-2.0

package grants_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
)

// TestRequestAndAnswer: a company asks, a person gives less to one request and
// refuses another, and both sides keep the same records.
func TestRequestAndAnswer(t *testing.T) {
	w := newWorld(t)
	ask := []string{"brand", "request", "--wants", "proof of address", "--purpose", "open an account", "--purpose", "send you offers",
		"--basis", "consent", "--retention", "5 years", "--contact", "privacy@acme.example", "--for", "30d"}
	for _, left := range []string{"--retention", "--contact", "--basis", "--purpose", "--wants"} {
		var args []string
		for i := 0; i < len(ask); i += 2 {
			if i == 0 || ask[i] != left {
				args = append(args, ask[i:i+2]...)
			}
		}
		if r, err := w.brand.Run(w.ctx, args...); err != nil || r.Code == 0 {
			t.Errorf("a request without %s was made (%v)", left, err)
		}
	}
	sent := func() (s node.SentRequest) {
		t.Helper()
		w.must(w.brand.Must(w.ctx, &s, ask...))
		w.must(w.fleet.Owner.Must(w.ctx, nil, "requests", "add", s.Text))
		return s
	}
	one, two := sent(), sent()
	answer := filepath.Join(t.TempDir(), "answer")
	var yes node.Accepted
	w.must(w.fleet.Owner.Must(w.ctx, &yes, "requests", "accept", one.ID, "papers/letter.txt", "--for", "2h", "--without", "2", "--via", "keeper1", "-o", answer))
	if yes.Request.State != "reduced" || yes.Request.Grant == "" {
		t.Errorf("accepted: %+v", yes.Request)
	}
	if r, err := w.fleet.Owner.Run(w.ctx, "requests", "accept", two.ID, "papers", "--for", "31d"); err != nil || r.Code != 1 || !strings.Contains(string(r.Stderr), "more than the company asked for") {
		t.Errorf("more than was asked for: exit status %d: %s (%v)", r.Code, r.Stderr, err)
	}
	var no node.AskedRequest
	w.must(w.fleet.Owner.Must(w.ctx, &no, "requests", "refuse", two.ID, "--reason", "not that"))
	var kept node.SentRequest
	w.must(w.brand.Must(w.ctx, &kept, "brand", "answer", answer))
	refusal := filepath.Join(t.TempDir(), "refusal")
	w.must(os.WriteFile(refusal, []byte(no.Answer+"\n"), 0o600))
	w.must(w.brand.Must(w.ctx, nil, "brand", "answer", refusal))
	var theirs []node.SentRequest
	w.must(w.brand.Must(w.ctx, &theirs, "brand", "requests"))
	var mine []node.AskedRequest
	w.must(w.fleet.Owner.Must(w.ctx, &mine, "requests"))
	states := map[string]string{}
	for _, s := range theirs {
		states[s.ID] = s.State
	}
	for _, a := range mine {
		if states[a.ID] != a.State {
			t.Errorf("%s is %s here and %s there", a.ID, a.State, states[a.ID])
		}
	}
	if states[one.ID] != "reduced" || states[two.ID] != "refused" {
		t.Errorf("states %v", states)
	}
	to := filepath.Join(t.TempDir(), "to")
	w.must(w.brand.Must(w.ctx, nil, "open", yes.Grant.ID, "--to", to))
	if got, err := os.ReadFile(filepath.Join(to, "letter.txt")); err != nil || string(got) != string(w.letter) {
		t.Errorf("%q, %v", got, err)
	}
	w.receipts(&kept, yes.Grant.ID)
}

// receipts: with the company's signature both sides have the same record, which
// anybody can check, and the person's tells of the withdrawal.
func (w *world) receipts(kept *node.SentRequest, grant string) {
	w.Helper()
	dir := w.TempDir()
	stranger := &e2e.Home{Binary: w.fleet.Owner.Binary, Dir: filepath.Join(dir, "none")}
	type view struct {
		State         string    `json:"state"`
		Countersigned time.Time `json:"countersigned"`
		Withdrawn     time.Time `json:"withdrawn"`
	}
	write := func(name string, h *e2e.Home, args ...string) (string, view) {
		w.Helper()
		path := filepath.Join(dir, name)
		w.must(h.Must(w.ctx, nil, append(args, kept.ID, "-o", path)...))
		var v view
		w.must(stranger.Must(w.ctx, &v, "verify", path))
		return path, v
	}
	if _, v := write("alone.json", w.fleet.Owner, "requests", "receipt"); !v.Countersigned.IsZero() || v.State != "reduced" {
		w.Errorf("before the company's signature came: %+v", v)
	}
	w.must(w.fleet.Owner.Must(w.ctx, nil, "requests", "add", kept.Countersignature))
	mine, v := write("mine.json", w.fleet.Owner, "requests", "receipt")
	if v.Countersigned.IsZero() || !v.Withdrawn.IsZero() {
		w.Errorf("with it: %+v", v)
	}
	theirs, _ := write("theirs.json", w.brand, "brand", "receipt")
	a, err := os.ReadFile(mine)
	w.must(err)
	b, err := os.ReadFile(theirs)
	w.must(err)
	if !bytes.Equal(a, b) {
		w.Error("the two sides have different records")
	}
	w.must(os.WriteFile(theirs, bytes.Replace(b, []byte("open an account"), []byte("sell your data"), 1), 0o600))
	if r, err := stranger.Run(w.ctx, "verify", theirs); err != nil || r.Code != 1 {
		w.Errorf("a changed one: exit status %d, %s (%v)", r.Code, r.Stdout, err)
	}
	w.must(w.fleet.Owner.Must(w.ctx, nil, "revoke", grant, "--reason", "moved"))
	if _, v := write("over.json", w.fleet.Owner, "requests", "receipt"); v.Withdrawn.IsZero() {
		w.Errorf("after the withdrawal: %+v", v)
	}
}
