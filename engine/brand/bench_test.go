// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/peers"
)

// BenchmarkKeepRequest is what it costs an opening that it can be repeated.
func BenchmarkKeepRequest(b *testing.B) {
	w := ct.New(b, 5)
	brand := &Brand{dir: filepath.Join(b.TempDir(), "brand"), device: peers.DeviceID{1}}
	t := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	o, err := (&custody.Member{Device: w.Brand.Member.Device, Cert: w.Brand.Member.Cert}).Request(t, ct.File(1), w.Now)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := brand.keepRequest(o); err != nil {
			b.Fatal(err)
		}
		if err := brand.dropRequest(o); err != nil {
			b.Fatal(err)
		}
	}
}
