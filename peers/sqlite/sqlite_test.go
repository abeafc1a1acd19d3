// SPDX-License-Identifier: MPL-2.0

package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

const telling = "the-name-of-a-file-that-nobody-may-read.pdf"

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func fill(t *testing.T, db *sql.DB) {
	t.Helper()
	exec(t, db, "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)", "PRAGMA user_version = 7")
	for range 200 {
		exec(t, db, "INSERT INTO t(name) VALUES('"+telling+"')")
	}
}

func count(ctx context.Context, db *sql.DB) (n, version int, err error) {
	if err = db.QueryRowContext(ctx, "SELECT count(*) FROM t WHERE name = ?", telling).Scan(&n); err != nil {
		return
	}
	return n, version, db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
}

func want200(t *testing.T, db *sql.DB) {
	t.Helper()
	if n, v, err := count(t.Context(), db); n != 200 || v != 7 || err != nil {
		t.Fatalf("%d rows, version %d, %v", n, v, err)
	}
}

// told tells whether any file of the folder holds the name.
func told(t *testing.T, dir string) bool {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(telling)) || bytes.HasPrefix(b, []byte(magic)) {
			return true
		}
		if fi, err := e.Info(); runtime.GOOS != "windows" && (err != nil || fi.Mode().Perm() != 0o600) {
			t.Errorf("%s: mode %v, %v", e.Name(), fi.Mode(), err)
		}
	}
	return false
}

func TestSealedFromTheStart(t *testing.T) {
	for _, exclusive := range []bool{true, false} {
		t.Run(fmt.Sprint("exclusive ", exclusive), func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "a?b%.db")
			key := bytes.Repeat([]byte{7}, KeySize)
			db, err := Open(path, Options{Key: key, Exclusive: exclusive})
			if err != nil {
				t.Fatal(err)
			}
			fill(t, db)
			if told(t, dir) { // with its log
				t.Error("an open database tells a name")
			}
			want200(t, db)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if told(t, dir) {
				t.Error("a closed database tells a name")
			}
			if plain, err := Plain(path); plain || err != nil {
				t.Errorf("plain: %v, %v", plain, err)
			}
			for name, o := range map[string]Options{"no key": {}, "another key": {Key: bytes.Repeat([]byte{8}, KeySize)}} {
				db, err := Open(path, o)
				if err != nil {
					t.Fatal(err)
				}
				if _, _, err := count(t.Context(), db); !IsDamaged(err) {
					t.Errorf("%s: %v", name, err)
				}
				db.Close()
			}
			if db, err = Open(path, Options{Key: key, ReadOnly: true}); err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			want200(t, db)
			if _, err := db.ExecContext(t.Context(), "DELETE FROM t"); err == nil {
				t.Error("a database opened to be read was written")
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "d"), Options{Key: []byte("short")}); err == nil {
		t.Error("a short key was taken")
	}
}

// A plain database is sealed with what is still in the log of a program that
// was killed.
func TestSealAPlainOne(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(t.TempDir(), "open.db")
	db, err := Open(open, Options{})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, db)
	path := filepath.Join(dir, "old.db")
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(open + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	if plain, err := Plain(path); !plain || err != nil {
		t.Fatalf("plain: %v, %v", plain, err)
	}
	key := bytes.Repeat([]byte{9}, KeySize)
	if err := os.WriteFile(path+".sealing", []byte("of a run that was cut off"), 0o600); err != nil {
		t.Fatal(err)
	}
	sealed, err := Seal(t.Context(), path, key)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path + "-wal"); err == nil && fi.Size() > 0 {
		t.Error("the log is not empty")
	}
	if err := os.Rename(sealed, path); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(path, Options{Key: key}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	want200(t, db)
	exec(t, db, "INSERT INTO t(name) VALUES('more')")
	if told(t, dir) {
		t.Error("the sealed database tells a name")
	}
}
