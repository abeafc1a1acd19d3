// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"testing"
	"time"

	"github.com/preezm/preezm/engine/custody"
)

// TestSignsOfLifeComeInTime: numbered upwards, as often as the grants need, and
// at once after a withdrawal.
func TestSignsOfLifeComeInTime(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	o.appoint()
	var last *custody.Signed[custody.OwnerStatus]
	after := func(d time.Duration, fresh bool) {
		t.Helper()
		o.now = o.now.Add(d)
		s, err := o.StatusErrand(ctx)
		o.must(err)
		seq := uint64(0)
		if last != nil {
			seq = last.Body.Seq
		}
		if got := s.Number > seq; got != fresh {
			t.Errorf("after %v a new one: %v", d, got)
		}
		if len(s.Untold) != 3 {
			t.Errorf("it is to be told to %d", len(s.Untold))
		}
		set, err := o.DeviceSet(ctx)
		o.must(err)
		if fresh {
			last, err = custody.CheckStatus(s.Doc, o.Root(), &set.Body, seq, o.now.Unix())
			o.must(err)
		}
	}
	after(0, true)
	after(59*time.Minute, false)
	after(time.Minute, true)
	after(-2*time.Hour, true) // the clock was set back
	or := o.order()
	or.StatusMaxAge = 20 * time.Minute
	made, err := o.Make(ctx, or)
	o.must(err)
	if made.Grant.Body.StatusMaxAge != 1200 {
		t.Fatalf("the grant asks for %d s", made.Grant.Body.StatusMaxAge)
	}
	after(4*time.Minute, false)
	after(time.Minute, true)
	_, err = o.Revoke(ctx, idOf(made), "")
	o.must(err)
	after(0, true)
	if last.Body.Revs != custody.RevocationsHash([]custody.Hash{made.Grant.Hash}) {
		t.Error("it tells of other withdrawals")
	}
	after(5*time.Minute, false) // no grant needs them any more
	or.StatusMaxAge = time.Second
	if _, err := o.Make(ctx, or); err == nil {
		t.Error("a grant that a second's silence closes was made")
	}
}
