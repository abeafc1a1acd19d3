// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/preezm/preezm/peers"
)

func TestNamesStayAndVersionsRise(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	a, v, err := c.Name(t.Context(), "a", []Part{{Chunk: 1}})
	if err != nil || v != 1 {
		t.Fatalf("version %d, %v", v, err)
	}
	for _, tc := range []struct {
		path string
		part int64
		want uint64
		same bool
	}{{"a", 1, 1, true}, {"a", 2, 2, true}, {"a", 1, 3, true}, {"b", 1, 1, false}} {
		id, v, err := c.Name(t.Context(), tc.path, []Part{{Chunk: tc.part}})
		if err != nil || v != tc.want || (id == a) != tc.same {
			t.Errorf("%+v: version %d, the same name %v, %v", tc, v, id == a, err)
		}
	}
}

// granted makes a grant of one file.
func granted(t *testing.T, c *Catalog, n byte, file *Version) *Grant {
	t.Helper()
	b := Brand{Root: [32]byte{7}, Name: "ACME", Card: "card"}
	if err := c.PutBrand(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	g := &Grant{
		Hash: [32]byte{n}, ID: [16]byte{n}, Doc: []byte("doc"), Seats: []peers.DeviceID{devices[0], devices[2]},
		Brand: b.Root, Ticket: "ticket", Made: int64(n), Revocation: []byte{},
		Files: []Granted{{File: [16]byte{1}, Version: 1, Path: file.Path, Parts: file.Parts}},
	}
	if err := c.AddGrant(t.Context(), g, []byte("package 1"), Saying{What: fmt.Sprint(g.Hash), Number: 1}); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGrantsComeBackAsTheyWere(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	lease := file("lease", 1, 2)
	fill(t, c, 1, []int64{1, 2}, lease)
	g := granted(t, c, 1, lease)
	all, err := c.Grants(t.Context())
	if err != nil || len(all) != 1 || !reflect.DeepEqual(&all[0], g) {
		t.Fatalf("got %+v, %v\nwant %+v", all, err, g)
	}
	for _, doc := range []string{"first", "second"} { // the first one stays
		if err := c.Revoke(t.Context(), g.Hash, []byte(doc)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := c.Told(t.Context(), g.Hash, devices[2]); err != nil {
			t.Fatal(err)
		}
	}
	told, err := c.ToldOf(t.Context(), g.Hash)
	if err != nil || len(told) != 1 || told[0] != devices[2] {
		t.Errorf("told %v, %v", told, err)
	}
	if all, err = c.Grants(t.Context()); err != nil || string(all[0].Revocation) != "first" {
		t.Errorf("%q, %v", all[0].Revocation, err)
	}
}

// A granted version must not vanish because its owner removed the file.
func TestGrantHoldsItsChunks(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	ctx := t.Context()
	lease := file("lease", 1)
	fill(t, c, 1, []int64{1}, lease)
	fill(t, c, 2, []int64{2}, file("other", 2))
	g := granted(t, c, 1, lease)
	left := func(want int64) {
		t.Helper()
		if _, err := c.Collect(ctx, 2000); err != nil {
			t.Fatal(err)
		}
		if got := segments(t, c); got != want {
			t.Fatalf("%d segments are left, want %d", got, want)
		}
	}
	if _, err := c.Forget(ctx, []string{"lease"}); err != nil {
		t.Fatal(err)
	}
	left(2)
	// Refreshed to other content, it holds that.
	next := []Granted{{File: [16]byte{1}, Version: 2, Path: "lease", Parts: []Part{{Chunk: 2}}}}
	if err := c.RenewGrant(ctx, g.Hash, 2, []byte("package 2"), "newer", next, Saying{fmt.Sprint(g.Hash), 2, nil}); err != nil {
		t.Fatal(err)
	}
	left(1)
	if pkgs, err := c.Packages(ctx, g.Hash); err != nil || len(pkgs) != 2 || string(pkgs[1]) != "package 2" {
		t.Fatalf("%q, %v", pkgs, err)
	}
	if _, err := c.Forget(ctx, []string{"other"}); err != nil {
		t.Fatal(err)
	}
	left(1)
	for range 2 { // letting go twice is letting go once
		if err := c.ReleaseGrants(ctx, [][32]byte{g.Hash}); err != nil {
			t.Fatal(err)
		}
	}
	left(0)
	if err := c.RenewGrant(ctx, g.Hash, 3, []byte("package 3"), "late", nil, Saying{fmt.Sprint(g.Hash), 3, nil}); !errors.Is(err, ErrGone) {
		t.Errorf("a released grant was renewed: %v", err)
	}
}

func TestGrantOfWhatIsGoneIsRefused(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	if err := c.PutBrand(t.Context(), Brand{Root: [32]byte{7}, Name: "ACME"}); err != nil {
		t.Fatal(err)
	}
	g := &Grant{Brand: [32]byte{7}, Doc: []byte{1}, Files: []Granted{{Path: "x", Parts: []Part{{Chunk: 9}}}}}
	if err := c.AddGrant(t.Context(), g, []byte{1}, Saying{What: fmt.Sprint(g.Hash), Number: 1}); err == nil {
		t.Fatal("a grant of a chunk that is not there was written down")
	}
	if all, err := c.Grants(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("half of it was: %v, %v", all, err)
	}
}

func TestLogsAreAppended(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	ctx := t.Context()
	if err := c.AppendLog(ctx, devices[1], 0, [][]byte{[]byte("1"), []byte("2")}, []byte("head 2"), [32]byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := c.AppendLog(ctx, devices[1], 2, [][]byte{[]byte("3")}, []byte("head 3"), [32]byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := c.AppendLog(ctx, devices[1], 1, [][]byte{[]byte("another 2")}, []byte("x"), [32]byte{1}); err == nil {
		t.Error("an entry was replaced")
	}
	entries, head, err := c.Log(ctx, devices[1])
	if err != nil || len(entries) != 3 || string(entries[2]) != "3" || string(head) != "head 3" {
		t.Fatalf("%q, %q, %v", entries, head, err)
	}
	if entries, head, err := c.Log(ctx, devices[2]); err != nil || len(entries) != 0 || head != nil {
		t.Errorf("of somebody else: %q, %q, %v", entries, head, err)
	}
}

func TestPinnedAreTheSegmentsOfRunningGrants(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "c.db"))
	lease, will, song := file("lease", 1, 2), file("will", 3), file("song", 4)
	fill(t, c, 1, []int64{1}, file("first", 1))
	fill(t, c, 2, []int64{2, 3}, lease, will)
	fill(t, c, 3, []int64{4}, song)
	want := func(segments ...int64) {
		t.Helper()
		got, err := c.Pinned(t.Context())
		if keys := slices.Sorted(maps.Keys(got)); err != nil || !slices.Equal(keys, segments) {
			t.Errorf("pinned %v, %v, want %v", keys, err, segments)
		}
	}
	want()
	granted(t, c, 1, will)
	want(2)
	other := granted(t, c, 2, lease)
	want(1, 2)
	if err := c.ReleaseGrants(t.Context(), [][32]byte{other.Hash}); err != nil {
		t.Fatal(err)
	}
	want(2)
}
