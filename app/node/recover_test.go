// SPDX-License-Identifier: MPL-2.0

package node

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/engine/brand"
)

// Files come back whatever is damaged in the copy of a company beside them.
func TestRecoveryPassesOverADamagedCompany(t *testing.T) {
	office := filepath.Join(t.TempDir(), "brand")
	if err := brand.Create(office, "ACME", "desk"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(office, "revoked.list"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := brand.NewCopier(nil, office).Copy()
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{"no copy": []byte("damaged"), "the list of those shut out": list} {
		noted := 0
		r := recovery{home: t.TempDir(), o: RecoverOptions{Note: func(string) { noted++ }}}
		if back, err := r.takeBrand(raw); back != nil || err != nil || noted != 1 {
			t.Errorf("%s: %+v, %v, %d notes", name, back, err, noted)
		}
	}
}
