// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What is asked for as of a moment before it was kept was not there then, which is
// not to say that it is not kept.
func TestNotKeptThen(t *testing.T) {
	c := newCircle(t, 2)
	dir := filepath.Join(t.TempDir(), "d")
	write(t, filepath.Join(dir, "f"), data(1, 1000))
	before := time.Now().Add(-time.Minute)
	c.put(dir)
	_, err := c.Get(t.Context(), GetOptions{Names: []Path{"d"}, When: When{At: before}, To: t.TempDir()}, nil)
	if !errors.Is(err, ErrNotThen) || !errors.Is(err, ErrNotFound) || strings.Contains(err.Error(), ErrNotFound.Error()) {
		t.Errorf("get: %v", err)
	}
	_, err = c.Restore(t.Context(), RestoreOptions{Names: []Path{"d"}, When: When{At: before}})
	if !errors.Is(err, ErrNotThen) {
		t.Errorf("restore: %v", err)
	}
	_, err = c.Get(t.Context(), GetOptions{Names: []Path{"e"}, To: t.TempDir()}, nil)
	if errors.Is(err, ErrNotThen) || !errors.Is(err, ErrNotFound) {
		t.Errorf("what was never kept: %v", err)
	}
}

// What is not in the trash may be kept all the same.
func TestNotInTheTrash(t *testing.T) {
	c := newCircle(t, 2)
	if _, err := c.RestoreTrash(t.Context(), []string{"d"}); !errors.Is(err, ErrNotTrashed) || strings.Contains(err.Error(), ErrNotFound.Error()) {
		t.Errorf("got %v", err)
	}
}
