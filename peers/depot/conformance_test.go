// SPDX-License-Identifier: MPL-2.0

package depot_test

import (
	"log/slog"
	"testing"

	"github.com/preezm/preezm/peers/depot"
	"github.com/preezm/preezm/peers/depot/storagetest"
)

func TestDiskKeepsTheRulesOfStorage(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storagetest.Reopen {
		dir := t.TempDir()
		return func() depot.Storage {
			d, err := depot.OpenDisk(dir, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
	})
}
