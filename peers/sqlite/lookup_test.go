// SPDX-License-Identifier: MPL-2.0

package sqlite

import (
	"path/filepath"
	"testing"
)

func TestLookupHoldsOneMoment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	add := func(key string, n int) {
		t.Helper()
		if _, err := db.Exec("INSERT INTO t VALUES(?, ?)", []byte(key), n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec("CREATE TABLE t(k BLOB PRIMARY KEY, n INTEGER)"); err != nil {
		t.Fatal(err)
	}
	if _, err := NewLookup(t.Context(), db, "SELECT nothing FROM nowhere"); err == nil {
		t.Error("a query of a table that is not there")
	}
	l, err := NewLookup(t.Context(), db, "SELECT n FROM t WHERE k = ?")
	if err != nil {
		t.Fatal(err)
	}
	find := func(key string, want int64, there bool) {
		t.Helper()
		if n, ok, err := l.Find([]byte(key)); n != want || ok != there || err != nil {
			t.Errorf("%q is %d, %v, %v", key, n, ok, err)
		}
	}
	find("a", 0, false)
	add("a", 7)
	find("a", 7, true)
	if err := l.Hold(true); err != nil {
		t.Fatal(err)
	}
	find("a", 7, true)
	find("b", 0, false)
	add("b", 8)
	find("b", 0, false)
	if err := l.Hold(true); err != nil {
		t.Fatal(err)
	}
	find("b", 8, true)
	find("a", 7, true)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// Its connection is as good as new: it may write again.
	db.SetMaxOpenConns(1)
	add("c", 9)
}
