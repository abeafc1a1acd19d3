// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"path/filepath"
	"testing"
)

// void is a sink that takes everything.
type void struct{ rows int }

func (*void) Table(string, []string) error { return nil }
func (v *void) Row([]any) error            { v.rows++; return nil }

// A dump gives the stamp that Stamp gives, and the stamp heeds no backup.
func TestDumpGivesTheStamp(t *testing.T) {
	c := open(t, filepath.Join(t.TempDir(), "catalog.db"))
	check := func() [32]byte {
		t.Helper()
		want, err := c.Stamp(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var v void
		if got, err := c.Dump(t.Context(), &v); err != nil || got != want || v.rows == 0 {
			t.Errorf("%d rows, stamp %x instead of %x (%v)", v.rows, got[:4], want[:4], err)
		}
		return want
	}
	fill(t, c, 1, []int64{1, 2}, file("a", 1), file("b", 1, 2))
	first := check()
	fill(t, c, 2, []int64{3, 4})
	second := check()
	if second == first {
		t.Error("a new segment does not show")
	}
	if _, err := c.w.Exec("UPDATE segments SET backup = 1 WHERE id = 2"); err != nil {
		t.Fatal(err)
	}
	if check() != first {
		t.Error("the segment of a backup shows")
	}
	fill(t, c, 3, []int64{5}, file("a", 5))
	if check() == first {
		t.Error("a new version does not show")
	}
}

func BenchmarkDump(b *testing.B) {
	c := open(b, filepath.Join(b.TempDir(), "catalog.db"))
	const files = 10_000
	keep(b, c, files)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Dump(b.Context(), &void{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/files, "ns/file")
}
