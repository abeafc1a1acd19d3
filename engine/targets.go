// SPDX-License-Identifier: MPL-2.0

package engine

import (
	"os"
	"slices"
	"sync"

	"github.com/preezm/preezm/peers/said"
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
		return nil, said.Error("get-runs", "another get is bringing files back into \"{path}\": wait for it or choose another folder", "path", root.Name())
	}
	t.busy = append(t.busy, fi)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.busy = slices.DeleteFunc(t.busy, same)
	}, nil
}
