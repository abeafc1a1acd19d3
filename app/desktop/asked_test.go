// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"strings"
	"testing"

	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/grants"
)

func openAsked(t *testing.T, n *fakeNode) (*bench, *askedCards) {
	t.Helper()
	b := newHome(t, n)
	b.goTo("access")
	a := b.frame.pages["access"].(*access)
	b.settle("the requests are shown", func() bool { return a.loaded && a.asks.loaded })
	return b, a.asks
}

// A company asks; the person reads what, gives less, and sends the answer.
func TestAnswerWithLess(t *testing.T) {
	n := wantedFrom()
	b, _ := openAsked(t, n)
	b.reads("ACME Insurance asks you for files")
	b.reads("insurance contract, photos of the damage")
	b.reads("10 days · Each file 5 times at most")
	b.reads("Sensitive data, such as health")
	b.press("Answer…")
	g := b.frame.granting
	b.settle("all is known", func() bool { return g.draft.asked && g.draft.via != nil })
	b.reads("What for 2: improve our models")
	g.choose(pathsOf(newItems(n.entries)[4:5]))
	b.settle("the files are known", func() bool { return len(g.draft.files) == 1 })
	b.reads("Say yes to sensitive data, or refuse the request.")
	b.tickBox("Yes, also to sensitive data")
	b.tickBox("improve our models")
	for _, span := range g.period.spans {
		if span > 10*day {
			t.Errorf("%v can be chosen, and 10 days were asked for", span)
		}
	}
	g.period.choice.SetSelectedIndex(1)
	g.opens.SetSelectedIndex(1)
	b.press("Sign and grant")
	b.settle("the answer is shown", func() bool { return b.shows("Given to ACME Insurance") })
	o := n.accepted[0]
	if o.ID != "r-1a2b3c4d" || len(o.Names) != 1 || o.For != day || o.Opens != 1 || len(o.Without) != 1 || o.Without[0] != 1 || !o.Explicit ||
		o.Displayed != n.requests[0].Displayed || len(o.Via) != 1 {
		t.Errorf("accepted %+v", o)
	}
	b.press("Copy the code")
	if got := b.app.Clipboard().Content(); got != "preezm-ticket1-good\n"+consent.ConsentPrefix+"abc" {
		t.Errorf("the answer is %q", got)
	}
}

func TestRefuseRequest(t *testing.T) {
	n := wantedFrom()
	b, c := openAsked(t, n)
	b.press("Refuse…")
	b.entries()[0].SetText("not needed")
	b.press("Refuse")
	b.settle("the refusal is shown", func() bool { return b.shows(consent.RefusalPrefix) })
	if o := n.refused[0]; o.ID != "r-1a2b3c4d" || o.Reason != "not needed" {
		t.Errorf("refused %+v", o)
	}
	b.press("Close")
	b.settle("it is answered", func() bool { return b.shows("2 requests need no answer any more…") })
	c.showAnswered()
	b.reads("Old Bank")
}

// Only what did not come in through this window is told of, and once.
func TestRequestsAreToldOfOnce(t *testing.T) {
	n := lending()
	b, c := openAsked(t, n)
	c.take("preezm-ticket1-wrong")
	b.settle("it is told", func() bool { return b.shows("This is no request or answer") })
	b.press("Close")
	c.take(consent.RequestPrefix + "abc")
	b.settle("it is shown", func() bool { return b.shows("Bank & Co asks you for files") })
	notified(t, "ACME Insurance asks for files of yours.", func() {
		c.show([]node.AskedRequest{c.list[0], request("r-1a2b3c4d", "ACME Insurance", false)})
	})
}

func TestAskAPerson(t *testing.T) {
	n := office()
	b := newHome(t, n)
	b.goTo("received")
	r := b.frame.pages["received"].(*received)
	b.settle("it is known", func() bool { return r.loaded })
	b.press("Ask a person for files…")
	e := b.entries()
	e[0].SetText("proof of address\n\nidentity card")
	e[1].SetText("open an account")
	for _, field := range b.entries()[2:] {
		switch field.PlaceHolder {
		case "e.g. 5 years after the contract ends":
			field.SetText("5 years")
		case "e.g. privacy@acme.example":
			field.SetText("privacy@acme.example")
		}
	}
	b.press("Make the request")
	b.settle("the request is shown", func() bool { return b.shows("r-33333333") })
	o := n.ordered[0].Request
	if len(o.Kinds) != 2 || o.Kinds[1].Text != "identity card" || o.Purposes[0].Text != "open an account" || o.Basis != consent.ByConsent ||
		o.Retention != "5 years" || o.Access.Seconds != int64(usualPeriod.Seconds()) {
		t.Errorf("asked for %+v", o)
	}
	b.press("Close")
	r.showSent()
	b.reads("not needed for this contract")
	b.reads("Less was given")
	b.press("Close")

	// What the person sends back may come as one paste.
	r.ticket.SetText("preezm-ticket1-good " + consent.ConsentPrefix + "abc\ndef")
	b.settle("it is taken", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return len(n.answers) == 1 })
	if n.answers[0] != consent.ConsentPrefix+"abcdef" || !strings.HasPrefix(n.received[2].ID, "g-") {
		t.Errorf("took %q", n.answers)
	}
}

func TestDesks(t *testing.T) {
	n := office()
	b := newHome(t, n)
	b.goTo("received")
	r := b.frame.pages["received"].(*received)
	b.settle("it is known", func() bool { return r.loaded })
	b.press("Desks")
	b.settle("they are listed", func() bool { return b.shows("claims desk 3") })
	b.reads("its certificate has ended")
	b.press("Invite a desk…")
	b.entries()[0].SetText("expert 2")
	b.press("Make a code")
	b.settle("the code is shown", func() bool { return b.shows("It becomes the desk “expert 2”") })
	b.press("Close")
	r.askToShutOut(n.fakeAsked.members[0])
	b.press("Shut out")
	b.settle("it is out", func() bool { return b.shows("claims desk 3 is shut out.") })
	if n.shutOut[0] != n.fakeAsked.members[0].Device.String() || n.invited[0] != "expert 2" {
		t.Errorf("shut out %q, invited %q", n.shutOut, n.invited)
	}
}

func TestJoinACompany(t *testing.T) {
	n := family()
	b := newHome(t, n)
	b.goTo("received")
	r := b.frame.pages["received"].(*received)
	b.settle("it is known", func() bool { return r.loaded })
	code := b.entries()[2]
	code.SetText("preezm-member1-bad")
	b.press("Join")
	b.settle("it is told", func() bool { return b.shows("does not answer") || b.shows("reach") })
	code.SetText("preezm-member1-good")
	b.press("Join")
	b.settle("it has joined", func() bool { return b.shows("This machine: claims desk 3") })
	b.reads("certified until tomorrow 08:00")
	if b.shows("Desks") {
		t.Error("a desk is offered what only the office can do")
	}
}

func TestStateWords(t *testing.T) {
	l := english(t)
	for _, state := range []string{string(consent.Given), string(consent.Reduced), grants.RequestRefused, grants.RequestExpired, grants.RequestOpen} {
		if g, words := stateWords(l, state); words == "" || g == gradeLost {
			t.Errorf("%s: %q", state, words)
		}
	}
}
