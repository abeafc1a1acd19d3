// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/witness"
)

func TestNamesStayInTheFolder(t *testing.T) {
	to := t.TempDir()
	r := &Received{Names: &ticket.Names{Names: []string{
		"../../etc/passwd", "a.txt", "A.txt", "a.txt", "..", ".", "  ", "c:\\evil", "tab\tname", "a/b", "/x",
	}}}
	all, err := r.pick(nil)
	if err != nil {
		t.Fatal(err)
	}
	paths, err := r.targets(all, to)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range paths {
		base := filepath.Base(p)
		if filepath.Dir(p) != to || base == "." || base == ".." || strings.ContainsAny(base, "/\\:\t") {
			t.Errorf("%q leaves the folder or cannot be a name", p)
		}
		if seen[strings.ToLower(p)] {
			t.Errorf("%q twice", p)
		}
		seen[strings.ToLower(p)] = true
	}
	if err := os.WriteFile(paths[1], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.targets(all, to); !errors.Is(err, engine.ErrExists) {
		t.Errorf("a file that is there: %v, want ErrExists", err)
	}
}

func TestNothingIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lease.pdf")
	for n, want := range []string{"lease.pdf", "lease (2).pdf", "lease (3).pdf"} {
		from := filepath.Join(dir, ".opening")
		text := strings.Repeat("x", n+1)
		if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		announced := ""
		at, err := place(from, path, func(at string) error { announced = at; return nil })
		if announced != at {
			t.Errorf("%q was announced", announced)
		}
		if err != nil || filepath.Base(at) != want {
			t.Fatalf("%q, %v; want %q", at, err, want)
		}
		if got, err := os.ReadFile(at); err != nil || string(got) != text {
			t.Errorf("%q: %q, %v", at, got, err)
		}
	}
}

func TestPick(t *testing.T) {
	r := &Received{Names: &ticket.Names{Names: []string{"lease.pdf", "2", "id.jpg"}}}
	for _, tc := range []struct {
		files []string
		want  []int
	}{{nil, []int{0, 1, 2}}, {[]string{"id.jpg", "1"}, []int{2, 0}}, {[]string{"2"}, []int{1}}} {
		if got, err := r.pick(tc.files); err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%q: %v, %v", tc.files, got, err)
		}
	}
	for _, bad := range []string{"0", "4", "lease", ""} {
		if _, err := r.pick([]string{bad}); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %v, want ErrUnknown", bad, err)
		}
	}
}

func TestBrandKeepsItsKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "brand")
	now := func() time.Time { return time.Unix(ct.Start, 0) }
	if _, err := Open(dir, ct.Key(t), peers.DeviceID{1}, now); !errors.Is(err, ErrNoBrand) {
		t.Fatalf("%v, want ErrNoBrand", err)
	}
	if err := Create(dir, "ACME", "claims desk 2"); err != nil {
		t.Fatal(err)
	}
	if err := Create(dir, "ACME", "again"); !errors.Is(err, ErrExists) {
		t.Fatalf("%v, want ErrExists", err)
	}
	sign := ct.Key(t)
	b, err := Open(dir, sign, peers.DeviceID{1}, now)
	if err != nil {
		t.Fatal(err)
	}
	text, key, err := b.Card()
	if err != nil {
		t.Fatal(err)
	}
	card, err := custody.ParseCard(text)
	if err != nil || card.Body.Root != key || card.Body.Name != "ACME" {
		t.Fatalf("%+v, %v", card, err)
	}
	m, err := b.asking(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for at, good := range map[int64]bool{ct.Start: true, ct.Start + 29*ct.Day: true, ct.Start + 30*ct.Day: false} {
		c, err := custody.Certified(m.Cert, key, custody.KeyOf(sign), custody.OrgMember, at)
		if (err == nil) != good {
			t.Errorf("at day %d: %v", (at-ct.Start)/ct.Day, err)
		}
		if good && c.Label != "claims desk 2" {
			t.Errorf("label %q", c.Label)
		}
	}
}

func TestRefusalsAreCountedByReason(t *testing.T) {
	signed := func(why custody.Reason) no { return no{why, true} }
	err := refused(map[int]no{0: signed(custody.Revoked), 1: signed(custody.ClockDoubt), 2: signed(custody.Revoked)}, 5, nil)
	var e *RefusedError
	if !errors.As(err, &e) || e.Reason != custody.Revoked || e.Refused != 3 || e.Signed != 3 || e.Of != 5 {
		t.Errorf("%+v", e)
	}
	// What nobody signed is the gateway's word.
	for want, said := range map[string]map[int]no{
		"3 of 5 custodians refused: the owner has withdrawn":   {0: signed(custody.Revoked), 1: signed(custody.Revoked), 2: signed(custody.Busy)},
		"1 of 5 custodians refused: the grant has ended; the ": {0: signed(custody.Expired), 1: {why: custody.Revoked}, 2: {why: custody.Revoked}},
		"the gateway says: the owner has withdrawn":            {0: {why: custody.Revoked}, 1: {why: custody.Revoked}, 2: {why: custody.Busy}},
	} {
		if got := refused(said, 5, nil).Error(); !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, r := range []custody.Reason{custody.Expired, custody.Revoked, custody.UsedUp, custody.BadPackage, "another"} {
		if Explain(r) == "" || Explain(r) == string(r) {
			t.Errorf("%s is not explained", r)
		}
	}
}

// TestAnswersOfCustodians: a signed share that is wrong names its custodian,
// and only what a custodian signed is taken for its word.
func TestAnswersOfCustodians(t *testing.T) {
	w := ct.New(t, 3)
	tk := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	o, err := w.Brand.Member.Request(tk, ct.File(1), w.Now)
	if err != nil {
		t.Fatal(err)
	}
	reply := func(r witness.Reply) []byte {
		t.Helper()
		raw, err := custody.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	answer := func(c *ct.Custodian) (i int, raw []byte) {
		t.Helper()
		raw, err := c.Answer(o.Request.Raw, w.Gateway.Device)
		var refusal *custody.Refusal
		if errors.As(err, &refusal) {
			d, err := refusal.Deny()
			if err != nil {
				t.Fatal(err)
			}
			return int(d.Body.Index), reply(witness.Reply{Denial: d.Raw})
		}
		if err != nil {
			t.Fatal(err)
		}
		rel, err := custody.CheckRelease(raw, tk.Grant)
		if err != nil {
			t.Fatal(err)
		}
		return int(rel.Body.Index), reply(witness.Reply{Release: raw})
	}
	w.Custodians[0].Lie = true
	i, raw := answer(w.Custodians[0])
	if said, liar := take(o, i, raw); said != (no{custody.BadPackage, true}) || liar == nil || liar.Name != tk.Grant.Body.Custodians[i] {
		t.Errorf("a wrong share: %+v, %+v", said, liar)
	}
	i, raw = answer(w.Custodians[1])
	if said, liar := take(o, i, raw); said.why != "" || liar != nil || o.Have() != 1 {
		t.Errorf("a good share: %+v, %+v, %d", said, liar, o.Have())
	}
	rev, err := w.Owner.Revoke(tk.Grant.Hash, w.Now, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Custodians[2].Revoke(rev.Raw); err != nil {
		t.Fatal(err)
	}
	i, raw = answer(w.Custodians[2])
	if said, _ := take(o, i, raw); said != (no{custody.Revoked, true}) {
		t.Errorf("a signed refusal: %+v", said)
	}
	for name, raw := range map[string][]byte{
		"junk":               []byte("x"),
		"a reason alone":     reply(witness.Reply{Reason: custody.Revoked}),
		"a junk release":     reply(witness.Reply{Release: []byte("x")}),
		"another's refusal":  raw,
		"a refusal of junk ": reply(witness.Reply{Denial: []byte("x")}),
	} {
		if said, liar := take(o, (i+1)%3, raw); said.why == "" || said.signed || liar != nil {
			t.Errorf("%s: %+v, %+v", name, said, liar)
		}
	}
}

// TestTicketsThatAreKept: the newest one stays, and one that is damaged hides
// no other.
func TestTicketsThatAreKept(t *testing.T) {
	dir := t.TempDir()
	w := ct.New(t, 3)
	if err := Create(dir, "ACME", "desk"); err != nil {
		t.Fatal(err)
	}
	b, err := Open(dir, ct.Key(t), peers.DeviceID{1}, func() time.Time { return time.Unix(w.Now, 0) })
	if err != nil {
		t.Fatal(err)
	}
	b.root, b.kem, b.org = w.Brand.Root, w.Brand.KEM, custody.KeyOf(w.Brand.Root)
	sealed := []byte("manifest")
	item := func(version uint64) custody.Item {
		it := ct.Item(1, version)
		it.Manifest = sha256.Sum256(sealed)
		return it
	}
	text := func(tk *custody.Ticket) string {
		t.Helper()
		names, err := custody.Sign(w.Owner.Device, ticket.Names{Grant: tk.Grant.Hash, Names: []string{"a"}, Sizes: []int64{1}})
		if err != nil {
			t.Fatal(err)
		}
		box, err := ticket.SealNames(names, w.Brand.KEM.PublicKey().Bytes())
		if err != nil {
			t.Fatal(err)
		}
		all := ticket.Ticket{Ticket: tk, Manifests: [][]byte{sealed}, Names: box}
		for range tk.Grant.Body.Gateways {
			all.Plans = append(all.Plans, []byte("plan"))
		}
		line, err := all.Text()
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	terms := w.Terms(3600, 1)
	terms.Follow = true
	first := w.Grant(terms, item(1))
	second := w.Package(first.Grant, 2, item(2))
	for i, tk := range []*custody.Ticket{second, first} {
		r, err := b.Receive(t.Context(), text(tk))
		if err != nil || r.Ticket.Package.Body.Seq != 2 {
			t.Fatalf("ticket %d: %+v, %v", i, r, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, received, "bad.ticket"), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, bad, err := b.All()
	if err != nil || len(all) != 1 || all[0].Ticket.Package.Body.Seq != 2 || len(bad) != 1 || !strings.Contains(bad[0].Error(), "bad.ticket") {
		t.Errorf("%d received, %v, %v", len(all), bad, err)
	}
	if _, err := b.Find(ticket.ShortID(first.Grant.Body.ID)); err != nil {
		t.Error(err)
	}
}
