// SPDX-License-Identifier: MPL-2.0

package limit

import (
	"encoding/binary"
	"testing"
	"time"
)

func TestSoManyInAMinute(t *testing.T) {
	l, now := New(), time.Unix(1_800_000_000, 0)
	count := func(kind byte, name [32]byte) (n int) {
		for l.Allow(kind, name, 60, now) {
			n++
		}
		return n
	}
	a := [32]byte{1}
	if n := count(1, a); n != 60 {
		t.Errorf("%d at once, want 60", n)
	}
	if n, m := count(2, a), count(1, [32]byte{2}); n != 60 || m != 60 {
		t.Errorf("others get %d and %d, want 60", n, m)
	}
	now = now.Add(10 * time.Second)
	if n := count(1, a); n != 10 {
		t.Errorf("%d after ten seconds, want 10", n)
	}
	now = now.Add(-time.Hour) // a clock that is set back gives nothing
	if n := count(1, a); n != 0 {
		t.Errorf("%d after the clock went back", n)
	}
}

func TestMadeUpNamesDoNotFillMemory(t *testing.T) {
	l, now := New(), time.Unix(1_800_000_000, 0)
	let := 0
	for i := range 2 * maxBuckets {
		var name [32]byte
		binary.BigEndian.PutUint32(name[:], uint32(i))
		if l.Allow(1, name, 60, now) {
			let++
		}
	}
	if let != maxBuckets || len(l.buckets) != maxBuckets {
		t.Errorf("%d were let through, %d are remembered", let, len(l.buckets))
	}
	if !l.Allow(1, [32]byte{0xff}, 60, now.Add(2*time.Minute)) || len(l.buckets) != 1 {
		t.Errorf("%d are remembered after two minutes", len(l.buckets))
	}
}
