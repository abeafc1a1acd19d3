// SPDX-License-Identifier: MPL-2.0

package chunk

import (
	"sync"
	"testing"

	"github.com/zeebo/blake3"
)

func TestNameIsKeyedBLAKE3(t *testing.T) {
	n := NewNamer(testKey)
	for _, size := range []int{0, 1, 64, 1024, 1025, 8192, 8193, 100_000, Max} {
		data := pseudo(uint64(size), size)
		h, err := blake3.NewKeyed(testKey[:])
		if err != nil {
			t.Fatal(err)
		}
		h.Write(data)
		if got, want := n.Name(data), ID(h.Sum(nil)); got != want {
			t.Errorf("%d bytes: %v, want %v", size, got, want)
		}
	}
}

func TestNameDependsOnKey(t *testing.T) {
	a, b := NewNamer([32]byte{1}), NewNamer([32]byte{2})
	if a.Name(nil) == b.Name(nil) {
		t.Error("two keys, one name")
	}
}

func TestNameConcurrently(t *testing.T) {
	n := NewNamer(testKey)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			data := pseudo(uint64(i), 50_000+i)
			want := NewNamer(testKey).Name(data)
			for range 50 {
				if got := n.Name(data); got != want {
					t.Errorf("%v, want %v", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}
