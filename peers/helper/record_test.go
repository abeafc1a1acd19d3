// SPDX-License-Identifier: MPL-2.0

package helper

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"

	"github.com/preezm/preezm/engine/helpers"
	"github.com/preezm/preezm/peers"
)

// The record of helpers travels without any part, a newer one wins, and one that
// says that there are none any more is newer too.
func TestRecordTravels(t *testing.T) {
	r := newRing(t)
	owner := r.all[ownerDevice]
	m := Mine{Number: 7, K: 2, Kind: helpers.Root, Delay: 3600, At: r.now, Devices: []peers.DeviceID{ownerDevice}}
	for i := range 3 {
		m.Helpers = append(m.Helpers, MineHelper{Helper: helpers.Helper{Device: peers.DeviceID{byte(i + 1)}, Name: "helper"}})
	}
	if err := owner.SetMine(m, r.docs, nil, nil); err != nil {
		t.Fatal(err)
	}
	first := must(owner.Record())(t)
	r.deliver(ownerDevice)
	owner = r.all[ownerDevice]
	second := must(owner.Record())(t)
	for _, doc := range r.docs {
		// As the file of the state has it.
		if bytes.Contains(second, must(json.Marshal(doc))(t)[1:40]) {
			t.Error("a part is in the record")
		}
	}
	other := must(Open(Options{Path: filepath.Join(t.TempDir(), "other"), Now: owner.o.Now, Logger: owner.o.Logger}))(t)
	adopt := func(raw []byte) Mine {
		t.Helper()
		if err := other.Adopt(raw); err != nil {
			t.Fatal(err)
		}
		got, _ := other.Mine()
		return got
	}
	if got := adopt(first); got.Number != 7 || len(got.Helpers) != 3 || !got.Helpers[0].Kept.IsZero() || got.Devices[0] != ownerDevice {
		t.Errorf("%+v", got)
	}
	if got := adopt(second); got.Helpers[0].Kept.IsZero() {
		t.Errorf("who has its part did not come with it: %+v", got)
	}
	m.Number, m.Helpers = 8, nil
	if err := owner.SetMine(m, nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := adopt(must(owner.Record())(t)); got.Number != 8 || len(got.Helpers) != 0 {
		t.Errorf("%+v", got)
	}
	if got := adopt(second); got.Number != 8 {
		t.Errorf("an older record won: %+v", got)
	}
	for _, bad := range []string{"x", "{}", `{"number":9,"k":1,"helpers":[{},{},{}]}`, `{"number":9,"delay":-1}`} {
		if err := other.Adopt([]byte(bad)); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
