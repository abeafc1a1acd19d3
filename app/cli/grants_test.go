// SPDX-License-Identifier: MPL-2.0

package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/peers/said"
)

// spoken is an app whose words are kept.
func spoken() (a *app, out, errs *bytes.Buffer) {
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	return &app{out: out, err: errs, getenv: func(string) string { return "" }}, out, errs
}

type removing struct {
	node.API
	report engine.RemoveReport
}

func (r *removing) Remove(context.Context, []engine.Path) (*engine.RemoveReport, error) {
	return &r.report, nil
}

func TestRemoveNamesTheGrantsThatLast(t *testing.T) {
	a, _, errs := spoken()
	api := &removing{}
	if err := a.remove(api.Remove(t.Context(), []engine.Path{"x"})); err != nil || errs.Len() > 0 {
		t.Errorf("%q, %v", errs, err)
	}
	api.report.Grants = []string{"g-1a2b3c4d", "g-5e6f7081"}
	if err := a.remove(api.Remove(t.Context(), []engine.Path{"x"})); err != nil {
		t.Fatal(err)
	}
	if text := errs.String(); !strings.Contains(text, "g-1a2b3c4d, g-5e6f7081") || !strings.Contains(text, "preezm revoke") {
		t.Errorf("%q", text)
	}
}

func TestGrantSaysWhatIsKnownOfOpenings(t *testing.T) {
	for want, g := range map[string]grants.Info{
		"never opened": {Reported: 2, Custodians: 3, Unopened: true},
		"whether it was opened is not known yet: 1 of 3 custodians have reported": {Reported: 1, Custodians: 3},
	} {
		a, out, _ := spoken()
		if err := a.printGrant(&g); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%q, %v; want %q", out, err, want)
		}
	}
}

func TestRefusalsSayWhoseWordItIs(t *testing.T) {
	for want, signed := range map[string]int{"the gateway says: the owner has withdrawn": 0, "custodians refuse: the owner has withdrawn": 2} {
		a, _, errs := spoken()
		err := a.printOpened(&node.OpenReport{Grant: "g-1a2b3c4d", Refused: "revoked", Signed: signed, Liars: []string{"abcd"}}, node.ErrGrantRefused)
		if err == nil || !strings.Contains(a.explain(err), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if !strings.Contains(errs.String(), "abcd") {
			t.Errorf("the liar is not named: %q", errs)
		}
	}
}

func TestReceivedNamesATicketThatCannotBeRead(t *testing.T) {
	a, _, errs := spoken()
	err := a.printReceived(&node.Received{State: node.Unreadable, Problem: said.Note{Text: "0123.ticket: is no ticket"}})
	if err != nil || !strings.Contains(errs.String(), "0123.ticket") {
		t.Errorf("%q, %v", errs, err)
	}
}
