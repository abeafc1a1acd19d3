// SPDX-License-Identifier: MPL-2.0

package brand

import (
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
	m, err := b.member()
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
	err := refused(map[int]custody.Reason{0: custody.Revoked, 1: custody.ClockDoubt, 2: custody.Revoked}, 5)
	var no *RefusedError
	if !errors.As(err, &no) || no.Reason != custody.Revoked || no.Refused != 3 || no.Of != 5 {
		t.Errorf("%+v", no)
	}
	for _, r := range []custody.Reason{custody.Expired, custody.Revoked, custody.UsedUp, custody.BadPackage, "another"} {
		if Explain(r) == "" || Explain(r) == string(r) {
			t.Errorf("%s is not explained", r)
		}
	}
}
