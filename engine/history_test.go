// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func wantFile(t *testing.T, path string, want []byte) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || sum(b) != sum(want) {
		t.Errorf("%s: wrong bytes (%v)", path, err)
	}
}

// The past comes back bit for bit: one version, a folder as of a time, what
// was removed, and after the others were pruned.
func TestThePastComesBack(t *testing.T) {
	c := newCircle(t, 3)
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "d")
	first, second := data(1, 3<<20), data(2, 100<<10)
	write(t, filepath.Join(dir, "f"), first)
	write(t, filepath.Join(dir, "sub/g"), data(3, 500))
	c.put(dir)
	then := time.Now()
	write(t, filepath.Join(dir, "f"), second)
	write(t, filepath.Join(dir, "late"), data(4, 10))
	c.put(dir)

	bring := func(w When, names ...Path) string {
		t.Helper()
		to := filepath.Join(t.TempDir(), "back")
		if _, err := c.Get(ctx, GetOptions{Names: names, To: to, When: w}, nil); err != nil {
			t.Fatal(err)
		}
		return to
	}
	wantFile(t, filepath.Join(bring(When{Number: 1}, "d/f"), "f"), first)
	to := bring(When{At: then}, "d")
	wantFile(t, filepath.Join(to, "d/f"), first)
	wantFile(t, filepath.Join(to, "d/sub/g"), data(3, 500))
	if _, err := os.Lstat(filepath.Join(to, "d/late")); err == nil {
		t.Error("a file from the future came back")
	}

	r, err := c.Remove(ctx, []Path{"d"})
	if err != nil || !r.Trashed || r.Files != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	wantFile(t, filepath.Join(bring(When{At: then}, "d"), "d/f"), first)
	if _, err := c.RestoreTrash(ctx, []string{"d"}); err != nil {
		t.Fatal(err)
	}
	wantFile(t, filepath.Join(c.get("d/f"), "f"), second)

	back, err := c.Restore(ctx, RestoreOptions{Names: []Path{"d"}, When: When{At: then}})
	if err != nil || back.Files != 2 || back.Newer != 1 {
		t.Fatalf("%+v, %v", back, err)
	}
	wantFile(t, filepath.Join(c.get("d/f"), "f"), first)
	vs, err := c.Versions(ctx, "d/f")
	if err != nil || len(vs) != 4 || vs[0].Number != 4 || vs[3].Changed[0] != ChangedNew {
		t.Fatalf("%+v, %v", vs, err)
	}

	// The file here is what it was, so it is put again as a new version.
	c.put(dir)
	wantFile(t, filepath.Join(c.get("d/f"), "f"), second)
	if p, err := c.Prune(ctx, Retention{Last: 1, TrashDays: 30}, false); err != nil || p.Versions == 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	wantFile(t, filepath.Join(c.get("d/f"), "f"), second)
	if vs, err = c.Versions(ctx, "d/f"); err != nil || len(vs) != 1 {
		t.Fatalf("%+v, %v", vs, err)
	}
	// The chores are done once a day.
	c.notice()
	if err := errors.Join(c.SetRetention(ctx, Retention{Last: 1}), c.Tidy(ctx)); err != nil {
		t.Fatal(err)
	}
	if due, err := c.cat.Due(ctx, "prune", time.Now(), tidyEvery); due || err != nil {
		t.Errorf("it is due again at once (%v)", err)
	}
	if due, err := c.cat.Due(ctx, "prune", time.Now().Add(tidyEvery), tidyEvery); !due || err != nil {
		t.Errorf("it is not due tomorrow (%v)", err)
	}
	if _, err := c.Forget(ctx, []Path{"d"}); err != nil {
		t.Fatal(err)
	}
	for _, k := range c.keepers {
		if u, err := k.depot.Usage(ctx, k.owner); err != nil || u.Shards != 0 {
			t.Errorf("%s keeps %d shards of what is gone (%v)", k.name, u.Shards, err)
		}
	}
}
