// SPDX-License-Identifier: MPL-2.0

package depot_test

import (
	"bytes"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/depot"
)

// flip changes one byte of a file.
func flip(t *testing.T, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

// damages are ways in which a shard's file stops being one.
var damages = map[string]func(t *testing.T, path string){
	"magic":     func(t *testing.T, p string) { flip(t, p, 0) },
	"version":   func(t *testing.T, p string) { flip(t, p, 8) },
	"id":        func(t *testing.T, p string) { flip(t, p, 16) },
	"owner":     func(t *testing.T, p string) { flip(t, p, 48) },
	"root":      func(t *testing.T, p string) { flip(t, p, 80) },
	"size":      func(t *testing.T, p string) { flip(t, p, 112) },
	"leaf":      func(t *testing.T, p string) { flip(t, p, 130) },
	"padding":   func(t *testing.T, p string) { flip(t, p, 4000) },
	"checksum":  func(t *testing.T, p string) { flip(t, p, 4095) },
	"truncated": func(t *testing.T, p string) { truncate(t, p, depot.HeaderSize+500) },
	"no body":   func(t *testing.T, p string) { truncate(t, p, depot.HeaderSize) },
	"no header": func(t *testing.T, p string) { truncate(t, p, 100) },
	"empty":     func(t *testing.T, p string) { truncate(t, p, 0) },
	"longer":    func(t *testing.T, p string) { truncate(t, p, depot.HeaderSize+1001) },
}

func truncate(t *testing.T, path string, n int64) {
	t.Helper()
	if err := os.Truncate(path, n); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedFileIsSetAsideAtOpen(t *testing.T) {
	for name, spoil := range damages {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d := open(t, dir, depot.Options{})
			for i := range uint64(3) {
				mustPut(t, d, laptop, id(i), body(i, 1000))
			}
			closeDepot(t, d)
			spoil(t, shardFile(dir, id(1)))
			spoiled, err := os.ReadFile(shardFile(dir, id(1)))
			if err != nil {
				t.Fatal(err)
			}

			var log bytes.Buffer
			d = open(t, dir, depot.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			wantMissing(t, d, laptop, id(1))
			want(t, d, laptop, id(0), body(0, 1000))
			want(t, d, laptop, id(2), body(2, 1000))
			wantUsed(t, d, laptop, 1000, 1000)
			aside, err := os.ReadFile(filepath.Join(dir, "damaged", id(1).String()))
			if err != nil || !bytes.Equal(aside, spoiled) {
				t.Errorf("the file is not in damaged/ as it was: %v", err)
			}
			if !strings.Contains(log.String(), id(1).String()) {
				t.Errorf("not logged:\n%s", &log)
			}
			mustPut(t, d, laptop, id(1), body(1, 1000))
			want(t, d, laptop, id(1), body(1, 1000))
		})
	}
}

func TestDamagedFileIsSetAsideWhenRead(t *testing.T) {
	for name, spoil := range damages {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d := open(t, dir, depot.Options{})
			for i := range uint64(3) {
				mustPut(t, d, laptop, id(i), body(i, 1000))
				// No matter how coarse the clock of the file system is.
				if err := os.Chtimes(shardFile(dir, id(i)), time.Time{}, time.Unix(1e9, 0)); err != nil {
					t.Fatal(err)
				}
				spoil(t, shardFile(dir, id(i)))
			}
			if s, err := d.Get(ctx, laptop, id(0)); !errors.Is(err, peers.ErrDamaged) {
				t.Errorf("get: %v, %v, want ErrDamaged", s, err)
			}
			wantMissing(t, d, laptop, id(0))
			wantStat(t, d, laptop, id(1), -1)
			mustPut(t, d, laptop, id(2), body(2, 1000)) // sent again, it replaces the damaged one
			want(t, d, laptop, id(2), body(2, 1000))
			wantUsed(t, d, laptop, 1000)
			for i := range uint64(3) {
				if _, err := os.Stat(filepath.Join(dir, "damaged", id(i).String())); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestLostFile(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, depot.Options{})
	for i := range uint64(5) {
		mustPut(t, d, laptop, id(i), body(i, 1000))
	}
	for i := range uint64(4) {
		if err := os.Remove(shardFile(dir, id(i))); err != nil {
			t.Fatal(err)
		}
	}
	wantMissing(t, d, laptop, id(0))
	wantStat(t, d, laptop, id(1), -1)
	mustPut(t, d, laptop, id(2), body(2, 1000))
	want(t, d, laptop, id(2), body(2, 1000))
	closeDepot(t, d)
	d = open(t, dir, depot.Options{})
	wantMissing(t, d, laptop, id(3))
	wantUsed(t, d, laptop, 1000, 1000)
}

func TestStrangeFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, depot.Options{})
	mustPut(t, d, laptop, id(1), body(1, 1000))
	closeDepot(t, d)
	folder := filepath.Dir(shardFile(dir, id(1)))
	other := "00"
	if filepath.Base(folder) == other {
		other = "01"
	}
	strange := []string{
		filepath.Join(dir, "shards", "readme.txt"),
		filepath.Join(folder, ".DS_Store"),
		filepath.Join(folder, strings.ToUpper(id(1).String())+"x"),
		filepath.Join(dir, "shards", other, id(1).String()), // in the wrong folder
	}
	if err := os.MkdirAll(filepath.Join(dir, "shards", other), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, p := range strange {
		if err := os.WriteFile(p, []byte("hello"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d = open(t, dir, depot.Options{})
	want(t, d, laptop, id(1), body(1, 1000))
	wantUsed(t, d, laptop, 1000)
	for _, p := range strange {
		if _, err := os.Stat(p); err != nil {
			t.Error(err)
		}
	}
}

func TestIndexIsRebuilt(t *testing.T) {
	write := func(b []byte) func(*testing.T, string) {
		return func(t *testing.T, db string) {
			if err := os.WriteFile(db, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	exec := func(stmts string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db, err := sql.Open("sqlite3", path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec(stmts); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, spoil := range map[string]func(t *testing.T, db string){
		"deleted": func(t *testing.T, db string) {
			if err := os.Remove(db); err != nil {
				t.Fatal(err)
			}
		},
		"emptied":  write(nil),
		"garbage":  write(bytes.Repeat([]byte("no database "), 1000)),
		"cut":      func(t *testing.T, db string) { truncate(t, db, 5000) },
		"header":   func(t *testing.T, db string) { flip(t, db, 3) },
		"page":     func(t *testing.T, db string) { overwrite(t, db, 4096) },
		"newer":    exec("PRAGMA user_version = 99"),
		"older":    exec("PRAGMA user_version = 0"),
		"no table": exec("DROP TABLE shard"),
		"foreign":  exec("DROP TABLE shard; CREATE TABLE shard (a)"),
		"stale":    exec("DELETE FROM shard WHERE size > 2000"),
		"short id": exec("INSERT INTO shard VALUES (x'0102', x'03', x'04', 1, 1, 1, 1)"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d := open(t, dir, depot.Options{})
			var annas, brunos []int64
			for i := range uint64(40) {
				mustPut(t, d, laptop, id(i), body(i, 1000+int(100*i)))
				mustPut(t, d, tower, id(100+i), body(i, 10))
				annas, brunos = append(annas, 1000+int64(100*i)), append(brunos, 10)
			}
			closeDepot(t, d)
			spoil(t, filepath.Join(dir, "index.db"))
			d = open(t, dir, depot.Options{})
			for i := range uint64(40) {
				want(t, d, laptop, id(i), body(i, 1000+int(100*i)))
				want(t, d, tower, id(100+i), body(i, 10))
				wantMissing(t, d, tower, id(i))
			}
			wantUsed(t, d, laptop, annas...)
			wantUsed(t, d, tower, brunos...)
			mustPut(t, d, laptop, id(500), body(500, 10))
			if err := d.Delete(ctx, laptop, []peers.ShardID{id(1)}); err != nil {
				t.Error(err)
			}
		})
	}
}

// overwrite fills a page of a file with nonsense.
func overwrite(t *testing.T, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xaa}, 4096), off); err != nil {
		t.Fatal(err)
	}
}

// TestManyShards leads the merge of index and files over several pages.
func TestManyShards(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 1500 files")
	}
	dir := t.TempDir()
	d := open(t, dir, depot.Options{})
	const n = 1500
	var sizes []int64
	for i := range uint64(n) {
		mustPut(t, d, laptop, id(i), body(i, 1+int(i)))
	}
	closeDepot(t, d)
	for i := range uint64(n) {
		if i%3 == 0 {
			if err := os.Remove(shardFile(dir, id(i))); err != nil {
				t.Fatal(err)
			}
		} else {
			sizes = append(sizes, 1+int64(i))
		}
	}
	for round := range 2 {
		d = open(t, dir, depot.Options{})
		wantUsed(t, d, laptop, sizes...)
		for i := range uint64(n) {
			if i%3 == 0 {
				wantStat(t, d, laptop, id(i), -1)
			} else {
				wantStat(t, d, laptop, id(i), 1+int64(i))
			}
		}
		closeDepot(t, d)
		if round == 0 {
			if err := os.Remove(filepath.Join(dir, "index.db")); err != nil {
				t.Fatal(err)
			}
		}
	}
	d = open(t, dir, depot.Options{})
	var ids []peers.ShardID
	for i := range uint64(n) {
		ids = append(ids, id(i))
	}
	if err := d.Delete(ctx, laptop, ids); err != nil {
		t.Fatal(err)
	}
	wantUsed(t, d, laptop)
}
