// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"errors"
	"path/filepath"
	"testing"
)

// TestRequestsOfTwoMachinesMerge: nothing that either was asked or answered is
// lost, and a grant is not forgotten for a refusal.
func TestRequestsOfTwoMachinesMerge(t *testing.T) {
	ctx := t.Context()
	var two [2]*Catalog
	for i := range two {
		c, err := Open(ctx, filepath.Join(t.TempDir(), "c.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		two[i] = c
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a, b := two[0], two[1]
	both, mine, theirs := [32]byte{1}, [32]byte{2}, [32]byte{3}
	for _, c := range two {
		must(c.AddRequest(ctx, Request{Hash: both, Doc: "both", Got: 1}))
	}
	must(a.AddRequest(ctx, Request{Hash: mine, Doc: "mine", Got: 2}))
	must(b.AddRequest(ctx, Request{Hash: theirs, Doc: "theirs", Got: 3}))
	must(a.AnswerRequest(ctx, Request{Hash: both, Refusal: []byte("no")}))
	must(b.AnswerRequest(ctx, Request{Hash: both, Consent: []byte("yes"), Grant: []byte("grant")}))
	must(b.AnswerRequest(ctx, Request{Hash: theirs, Refusal: []byte("no")}))
	if err := b.AnswerRequest(ctx, Request{Hash: theirs, Consent: []byte("yes")}); !errors.Is(err, ErrNotFound) {
		t.Errorf("answered twice: %v", err)
	}
	for range 2 {
		must(a.mergeRequests(ctx, b))
		must(b.mergeRequests(ctx, a))
	}
	for i, c := range two {
		all, err := c.Requests(ctx)
		must(err)
		if len(all) != 3 || all[0].Doc != "theirs" || string(all[0].Refusal) != "no" || all[1].Consent != nil {
			t.Fatalf("machine %d has %+v", i, all)
		}
		if r := all[2]; string(r.Consent) != "yes" || string(r.Grant) != "grant" || string(r.Refusal) != "no" {
			t.Errorf("machine %d has %+v", i, r)
		}
	}
}
