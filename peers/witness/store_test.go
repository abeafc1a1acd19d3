// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// The log says who opened what: it is for nobody else on the machine.
func TestStoreIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no modes")
	}
	path := filepath.Join(t.TempDir(), File)
	s, err := openStore(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	all, err := filepath.Glob(path + "*")
	if err != nil || len(all) == 0 {
		t.Fatalf("%q, %v", all, err)
	}
	for _, f := range all {
		if fi, err := os.Stat(f); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", filepath.Base(f), fi.Mode(), err)
		}
	}
}
