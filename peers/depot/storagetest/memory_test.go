// SPDX-License-Identifier: MPL-2.0

package storagetest_test

import (
	"testing"

	"github.com/preezm/preezm/peers/depot"
	"github.com/preezm/preezm/peers/depot/storagetest"
)

func TestMemoryKeepsTheRulesOfStorage(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storagetest.Reopen {
		m := &storagetest.Memory{}
		return func() depot.Storage { return m }
	})
}
