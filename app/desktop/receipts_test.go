// SPDX-License-Identifier: MPL-2.0

package desktop

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/grants"
)

// receiptOf is a receipt of the vectors of package consent: "given" is signed
// by the person alone, "joint" by both, "withdrawn" was taken back since.
func receiptOf(which string) []byte {
	raw, err := os.ReadFile("../../engine/consent/testdata/receipt.json")
	if err != nil {
		panic(err) // part of this repository
	}
	var all map[string]json.RawMessage
	var text string
	err = json.Unmarshal(raw, &all)
	if err == nil {
		err = json.Unmarshal(all[which], &text)
	}
	if err != nil {
		panic(err)
	}
	return []byte(text)
}

// answeredOnce is a home with a request that was answered and countersigned.
func answeredOnce() *fakeNode {
	n := wantedFrom()
	old := request("r-00000002", "ACME Insurance", false)
	old.State, old.Answer, old.Countersigned = string(consent.Reduced), consent.ConsentPrefix+"yes", noon.Add(-day)
	n.requests = append(n.requests, old)
	n.receipt = receiptOf("joint")
	return n
}

func TestReceiptsOfAPerson(t *testing.T) {
	n := answeredOnce()
	b, c := openAsked(t, n)
	c.showAnswered()
	b.reads("signed by both")
	b.press("Receipt…")
	b.settle("the receipt is shown", func() bool { return b.shows("The receipt holds: both sides signed it.") })
	b.reads("Signed by the company")
	b.reads("Given for")
	b.reads("Compare the keys")
	b.reads("Save the receipt…")
	b.press("Close")

	// The company's word comes as one line, pasted or dropped.
	c.take(consent.CountersignPrefix + "abc")
	b.settle("it is kept", func() bool { return b.shows("signed that it got your answer") })
	file := filepath.Join(t.TempDir(), "r-1.countersigned")
	if err := os.WriteFile(file, []byte(consent.CountersignPrefix+"def\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.drop(file)
	b.settle("it is kept", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return len(n.counters) == 2 })
	if n.counters[1] != consent.CountersignPrefix+"def" {
		t.Errorf("took %q", n.counters)
	}
}

func TestReceiptsOfACompany(t *testing.T) {
	n := office()
	n.receipt = receiptOf("given")
	n.sent[2].Countersignature = consent.CountersignPrefix + "abc"
	b := newHome(t, n)
	b.goTo("received")
	r := b.frame.pages["received"].(*received)
	b.settle("it is known", func() bool { return r.loaded })
	r.showSent()
	b.press("For the person…")
	b.reads(consent.CountersignPrefix + "abc")
	b.press("Close")
	r.showSent()
	b.press("Receipt…")
	b.settle("the receipt is shown", func() bool { return b.shows("So far the person alone has signed it.") })
	b.press("Close")

	// An answer is followed by the line to send back.
	n.mu.Lock()
	n.answerLine = consent.CountersignPrefix + "new"
	n.mu.Unlock()
	r.take("preezm-ticket1-good " + consent.ConsentPrefix + "yes")
	b.settle("the line is shown", func() bool { return b.shows(consent.CountersignPrefix + "new") })
}

// Any receipt can be checked, whoever it is of. What was changed is said to be.
func TestCheckAReceipt(t *testing.T) {
	b := newHome(t, lending())
	b.goTo("activity")
	b.reads("Check a receipt…")
	dir := t.TempDir()
	for which, want := range map[string]string{
		"given": "So far the person alone has signed it.", "joint": "both sides signed it.", "withdrawn": "it was taken back since.", "refused": "no, thank you",
	} {
		file := filepath.Join(dir, which+".json")
		if err := os.WriteFile(file, receiptOf(which), 0o600); err != nil {
			t.Fatal(err)
		}
		b.drop(file)
		b.settle(which, func() bool { return b.shows(want) })
		b.press("Close")
	}
	// As large as a receipt may be: of a contract of many pages.
	large := filepath.Join(dir, "large.json")
	raw := receiptOf("joint")
	if err := os.WriteFile(large, append(raw, strings.Repeat(" ", consent.MaxReceipt-len(raw))...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"access", "circle", "received", "care", "activity", "settings"} {
		b.goTo(page)
		b.drop(large)
		b.settle("a large one on "+page, func() bool { return b.shows("both sides signed it.") })
		b.press("Close")
	}
	bad := strings.ReplaceAll(string(receiptOf("joint")), "ACME Insurance SA", "ACME Insurance SE")
	b.showReceipt("", []byte(bad))
	b.reads("The receipt does not hold: it was changed, or is damaged.")
	if b.shows("Save the receipt…") {
		t.Error("what does not hold can be saved")
	}
	b.press("Close")
	// On the files' own screen a receipt is a file like any other.
	b.goTo("files")
	b.drop(filepath.Join(dir, "joint.json"))
	b.settle("it is put", func() bool { b.host.node.mu.Lock(); defer b.host.node.mu.Unlock(); return len(b.host.node.puts) == 1 })
}

func TestReceiptFacts(t *testing.T) {
	l := english(t)
	r, err := consent.ReadReceipt(receiptOf("withdrawn"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range receiptFacts(l, r, noon) {
		if f.is == "" {
			t.Errorf("%s is empty", f.what)
		}
		names = append(names, f.what)
	}
	want := "Company Person Asked Answered Given for Not given for Files Until Signed by the company Taken back"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("%s", got)
	}
	if _, state := stateWords(l, grants.RequestRefused); state == "" {
		t.Error("a refusal has no words")
	}
}
