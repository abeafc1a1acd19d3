// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"context"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

// TestFellowsAreAskedForWithdrawals: a custodian that was not told of one
// refuses, when it can reach one that was.
func TestFellowsAreAskedForWithdrawals(t *testing.T) {
	w := newWorld(t, 3)
	w.name()
	a, b := w.homes[0], w.homes[1]
	other, ticket := w.grant(3600, nil), w.grant(3600, nil)
	rev, err := w.Owner.Revoke(ticket.Grant.Hash, w.Now, "")
	check(t, err)
	_, err = a.byOwner().Revoke(t.Context(), rev.Raw)
	check(t, err)
	want(t, b.reason(w.request(ticket), ticket), "") // alone it cannot know

	find := w.find(b)
	b.svc.find.Store(&find)
	for _, h := range w.homes {
		b.svc.near.set(h.opts.Device, true)
	}
	want(t, b.reason(w.request(other), other), "")
	want(t, b.reason(w.request(ticket), ticket), custody.Revoked)
	if n := b.count("revoke"); n != 1 {
		t.Errorf("its log tells of %d withdrawals", n)
	}
}

// stuck takes a message and says nothing.
type stuck struct{}

func (stuck) Witness(ctx context.Context, _ string, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// TestSlowFellowDelaysOnce: half a second, and then it is not waited for.
func TestSlowFellowDelaysOnce(t *testing.T) {
	w := newWorld(t, 2)
	w.name()
	a, b := w.homes[0], w.homes[1]
	find := Finder(func(peers.DeviceID, []string) Caller { return stuck{} })
	a.svc.find.Store(&find)
	a.svc.near.set(b.opts.Device, true)
	ticket := w.grant(3600, nil)
	begin := time.Now()
	want(t, a.reason(w.request(ticket), ticket), "")
	if d := time.Since(begin); d < consultTime || d > 10*consultTime {
		t.Errorf("the first request took %v", d)
	}
	begin = time.Now()
	want(t, a.reason(w.request(ticket), ticket), "")
	if d := time.Since(begin); d >= consultTime {
		t.Errorf("the second one took %v", d)
	}
}

func TestStrangersAreToldOfNoWithdrawal(t *testing.T) {
	w := newWorld(t, 2)
	a := w.homes[0]
	q := RevokedQuery{Owner: custody.KeyOf(w.Root)}
	if _, err := (Client{as{a.svc, peers.DeviceID{9}}}).revoked(t.Context(), q); err == nil {
		t.Error("a stranger was answered")
	}
	if r, err := (Client{as{a.svc, w.owner}}).revoked(t.Context(), q); err != nil || len(r.Revocation) != 0 {
		t.Errorf("the owner: %v", err)
	}
}
