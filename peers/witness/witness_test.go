// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ledger"
)

func TestOpens(t *testing.T) {
	w := newWorld(t, 3)
	ticket := w.grant(3600, nil)
	o := w.request(ticket)
	var seen []ledger.Witness
	for _, h := range w.homes[:2] { // the third is down
		r := h.ask(o, ticket)
		want(t, why(t, o, r), "")
		rel, err := custody.CheckRelease(r.Release, ticket.Grant)
		check(t, err)
		seen = append(seen, ledger.Witness{Seq: rel.Body.LogSeq, Head: rel.Body.LogHead})
	}
	key, err := o.Key(w.Brand.KEM)
	check(t, err)
	if key != custodytest.Secret(1, 1) {
		t.Fatal("another key")
	}
	for i, h := range w.homes[:2] {
		es := h.entries(seen[i])
		if len(es) != 1 || es[0].Kind != ledger.Release || es[0].Detail != "claims desk 2" || es[0].Grant != ticket.Grant.Hash {
			t.Fatalf("log: %+v", es)
		}
	}
	// Nothing of what is secret lies about.
	chain := w.homes[0].svc.kept.chains[seat{custody.KeyOf(w.Root), 0}]
	err = filepath.WalkDir(w.homes[0].dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if bytes.Contains(b, chain.Key[:]) || bytes.Contains(b, key[:]) {
			t.Errorf("%s holds a key in clear", d.Name())
		}
		return err
	})
	check(t, err)
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	ticket := w.grant(3600, func(x *custody.Terms) { x.NotBefore = w.Now + 10 })
	want(t, h.reason(w.request(ticket), ticket), custody.TooEarly)
	w.Now += 10
	want(t, h.reason(w.request(ticket), ticket), "")
	w.Now += 3589
	want(t, h.reason(w.request(ticket), ticket), "")
	w.Now++ // to the second
	for range 50 {
		want(t, h.reason(w.request(ticket), ticket), custody.Expired)
		w.Now += 2
	}
	// One entry at once, one with the count of the rest.
	h.close()
	h.open()
	var details []string
	for _, e := range h.entries() {
		if e.Kind == ledger.Refuse {
			details = append(details, e.Detail)
		}
	}
	if got := strings.Join(details, ", "); got != "too_early, expired, expired x49" {
		t.Fatalf("refusals in the log: %s", got)
	}
}

func TestCountersSurviveRestart(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	once := w.grant(3600, func(x *custody.Terms) { x.MaxOpens = 1 })
	o := w.request(once)
	first := h.ask(o, once)
	want(t, why(t, o, first), "")
	h.restart()
	want(t, h.reason(w.request(once), once), custody.UsedUp)
	if again := h.ask(o, once); !bytes.Equal(again.Release, first.Release) {
		t.Fatal("the same request got another answer")
	}
	if n := h.count(ledger.Release); n != 1 {
		t.Fatalf("%d releases in the log, want 1", n)
	}

	// The number of the newest package, by an opening and by the owner's word.
	follow := w.grant(3600, func(x *custody.Terms) { x.Follow = true })
	second := w.pack(follow.Grant, 2, 2)
	want(t, h.reason(w.request(second), second), "")
	h.restart()
	want(t, h.reason(w.request(follow), follow), custody.Superseded)
	third := w.pack(follow.Grant, 3, 3)
	_, err := h.byOwner().Status(t.Context(), News{Owner: custody.KeyOf(w.Root),
		Updates: []Update{{third.Grant.Raw, third.Package.Raw}}})
	check(t, err)
	h.restart()
	want(t, h.reason(w.request(second), second), custody.Superseded)
	want(t, h.reason(w.request(third), third), "")

	// A revocation, which comes twice and is one entry.
	rev, err := w.Owner.Revoke(follow.Grant.Hash, w.Now, "moved")
	check(t, err)
	for range 2 {
		st, err := h.byOwner().Revoke(t.Context(), rev.Raw)
		check(t, err)
		if st.Revocations != custody.RevocationsHash([]custody.Hash{follow.Grant.Hash}) {
			t.Fatal("the revocation is not among those it knows")
		}
		h.restart()
	}
	want(t, h.reason(w.request(third), third), custody.Revoked)
	if n := h.count(ledger.Revoke); n != 1 {
		t.Fatalf("%d revocations in the log, want 1", n)
	}
}

func TestTwoAtOnceAreTwo(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	ticket := w.grant(3600, func(x *custody.Terms) { x.MaxOpens = 3 })
	var wg sync.WaitGroup
	asked := make([]*custody.Opening, 12)
	got := make([]*Reply, len(asked))
	for i := range asked {
		asked[i] = w.request(ticket)
		letter := h.letter(asked[i], ticket)
		wg.Go(func() {
			var err error
			if got[i], err = (Client{as{h.svc, w.Gateway.Device}}).Letter(t.Context(), letter); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n := map[custody.Reason]int{}
	for i, r := range got {
		if r != nil {
			n[why(t, asked[i], r)]++
		}
	}
	if n[""] != 3 || n[custody.UsedUp] != 9 {
		t.Fatalf("answers: %v", n)
	}
	if n := h.count(ledger.Release); n != 3 {
		t.Fatalf("%d releases in the log, want 3", n)
	}
}

func TestRateLimit(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	ticket := w.grant(3600, nil)
	for range perDevice {
		want(t, h.reason(w.request(ticket), ticket), "")
	}
	want(t, h.reason(w.request(ticket), ticket), custody.Busy)
	// Another device of the brand has a minute of its own.
	first := w.Brand.Member
	w.Brand.Member = custody.Member{Device: custodytest.Key(t)}
	w.Brand.Member.Cert = w.Certify(w.Brand.Root, custody.KeyOf(w.Brand.Member.Device), custody.OrgMember, "desk 3", 3600)
	want(t, h.reason(w.request(ticket), ticket), "")
	w.Brand.Member = first
	want(t, h.reason(w.request(ticket), ticket), custody.Busy)
	w.Now += 2
	want(t, h.reason(w.request(ticket), ticket), "")
}

func TestClockDoubt(t *testing.T) {
	w := newWorld(t, 3)
	w.name()
	h := w.homes[0]
	ticket := w.grant(30*custodytest.Day, nil)
	const year = 365 * custodytest.Day
	root := custody.KeyOf(w.Root)
	day := h.svc.kept.chains[seat{root, 0}].Day

	for _, skew := range []int64{year, -year} {
		h.skew = skew
		for _, other := range w.homes[1:] {
			h.svc.Heard(other.opts.Device, w.Now)
		}
		want(t, h.reason(w.request(ticket), ticket), custody.ClockDoubt)
		check(t, h.svc.Tick(t.Context()))
		if got := h.svc.kept.chains[seat{root, 0}].Day; got != day {
			t.Fatal("a clock in doubt moved the chain")
		}
	}
	// A stranger has no vote, and one liar of two is outvoted.
	h.skew = 0
	h.svc.Heard([32]byte{1}, w.Now+year)
	h.svc.Heard(w.homes[1].opts.Device, w.Now+year)
	h.svc.Heard(w.homes[2].opts.Device, w.Now)
	want(t, h.reason(w.request(ticket), ticket), "")

	// What was believed is not forgotten: a day back, and nobody is heard.
	w.Now += custodytest.Day
	check(t, h.svc.Tick(t.Context()))
	h.restart()
	h.skew = -custodytest.Day
	want(t, h.reason(w.request(ticket), ticket), custody.ClockDoubt)
	h.skew = 0
	want(t, h.reason(w.request(ticket), ticket), "")
}

func TestForgets(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	ticket := w.grant(3600, nil)
	o := w.request(ticket)
	letter := h.letter(o, ticket)
	old := h.svc.kept.chains[seat{custody.KeyOf(w.Root), 0}]
	for range 4 {
		w.Now += custodytest.Day
		check(t, h.svc.Tick(t.Context()))
	}
	h.restart()
	now := h.svc.kept.chains[seat{custody.KeyOf(w.Root), 0}]
	if now.Day != old.Day+4 {
		t.Fatalf("the chain is at day %d, was at %d", now.Day, old.Day)
	}
	r, err := Client{as{h.svc, w.Gateway.Device}}.Letter(t.Context(), letter)
	check(t, err)
	want(t, r.Reason, custody.Erased)
	if n := h.count(ledger.Erase); n != 4 {
		t.Fatalf("%d erasures in the log, want 4", n)
	}
	// An old appointment does not bring the day back.
	_, err = h.byOwner().Appoint(t.Context(), h.appointing(w, 0, w.Now-4*custodytest.Day))
	check(t, err)
	if again := h.svc.kept.chains[seat{custody.KeyOf(w.Root), 0}]; again != now {
		t.Fatal("an old appointment changed the chain")
	}
	// Answers that nobody can ask for are gone too.
	if len(h.svc.owners[custody.KeyOf(w.Root)].answered) != 0 {
		t.Fatal("old answers are still there")
	}
}

// A brand that opens for ever does not fill the disk with what proves it.
func TestEvidenceIsBounded(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	root := custody.KeyOf(w.Root)
	ticket := w.grant(3600, nil)
	want(t, h.reason(w.request(ticket), ticket), "")
	h.restart()
	o := h.svc.owners[root]
	if n := o.proven[ticket.Grant.Hash]; n < 3000 {
		t.Fatalf("%d bytes after a restart", n)
	}
	o.proven[ticket.Grant.Hash] = maxProven - 100
	want(t, h.reason(w.request(ticket), ticket), "")
	e, err := h.byOwner().Evidence(t.Context(), root, ticket.Grant.Hash, 0)
	check(t, err)
	if len(e.Items) != 1 || e.Items[0].Seq != 1 || e.More {
		t.Fatalf("%d items", len(e.Items))
	}
	slim, err := custody.ReadSlim(e.Items[0].Request)
	check(t, err)
	_, err = slim.Whole(ticket.Grant.Raw, ticket.Package.Raw)
	check(t, err)
	if n := h.count(ledger.Release); n != 2 {
		t.Fatalf("%d releases in the log", n)
	}
	_, err = Client{as{h.svc, w.Gateway.Device}}.Evidence(t.Context(), root, ticket.Grant.Hash, 0)
	refuses(t, "evidence for a gateway", err)
}

// A full disk: no answer without its log entry, and none is lost afterwards.
func TestFullDisk(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	ticket := w.grant(3600, func(x *custody.Terms) { x.MaxOpens = 1 })
	o := w.request(ticket)
	letter := h.letter(o, ticket)
	through := Client{as{h.svc, w.Gateway.Device}}
	rev, err := w.Owner.Revoke(custody.Hash{1}, w.Now, "")
	check(t, err)

	_, err = h.svc.store.db.Exec("PRAGMA max_page_count = 1") // SQLite takes the present size
	check(t, err)
	for range 3 {
		if r, err := through.Letter(t.Context(), letter); err == nil {
			t.Fatalf("an answer without a log: %+v", r)
		}
	}
	_, err = h.svc.store.db.Exec("PRAGMA max_page_count = 1000000")
	check(t, err)
	if n := h.count(ledger.Release); n != 0 {
		t.Fatalf("%d releases in the log", n)
	}
	want(t, h.reason(o, ticket), "")
	want(t, h.reason(w.request(ticket), ticket), custody.UsedUp)
	_, err = h.byOwner().Revoke(t.Context(), rev.Raw)
	check(t, err)
	if n := h.count(ledger.Release); n != 1 {
		t.Fatalf("%d releases in the log, want 1", n)
	}
}
