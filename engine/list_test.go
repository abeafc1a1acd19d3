// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
)

// A folder of more than a page is listed whole, in order, with the health of
// every file, and no further than whoever lists it wants to hear.
func TestListPageByPage(t *testing.T) {
	const count = 4200 // more than a page of the catalog
	c := newCircle(t, 3)
	dir := filepath.Join(t.TempDir(), "d")
	for i := range count {
		write(t, filepath.Join(dir, fmt.Sprintf("f%04d", i)), fmt.Append(nil, i))
	}
	c.put(dir)
	for _, o := range []ListOptions{{Folder: "d", Health: true}, {Folder: "d", Recursive: true}} {
		n := 0
		err := c.ListEach(t.Context(), o, func(e *Entry) error {
			if want := fmt.Sprintf("d/f%04d", n); string(e.Path) != want || o.Health && e.Keepers != 3 {
				return fmt.Errorf("entry %d is %s on %d keepers, want %s", n, e.Path, e.Keepers, want)
			}
			n++
			return nil
		})
		if err != nil || n != count {
			t.Errorf("%+v: %d entries, %v", o, n, err)
		}
	}
	enough, n := errors.New("enough"), 0
	err := c.ListEach(t.Context(), ListOptions{Folder: "d"}, func(*Entry) error {
		n++
		return enough
	})
	if !errors.Is(err, enough) || n != 1 {
		t.Errorf("%d entries, %v", n, err)
	}
}
