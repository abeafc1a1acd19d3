// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"fmt"
	"os"
	"slices"
	"sync"
)

// targets keeps two gets out of one folder: each would take the other's files
// for leftovers or for somebody else's.
type targets struct {
	mu   sync.Mutex
	busy []os.FileInfo
}

// claim takes a folder and returns how to give it back.
func (t *targets) claim(root *os.Root) (release func(), err error) {
	fi, err := root.Stat(".")
	if err != nil {
		return nil, err
	}
	same := func(other os.FileInfo) bool { return os.SameFile(fi, other) }
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.ContainsFunc(t.busy, same) {
		return nil, fmt.Errorf("another get is bringing files back into %q: wait for it or choose another folder", root.Name())
	}
	t.busy = append(t.busy, fi)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.busy = slices.DeleteFunc(t.busy, same)
	}, nil
}
