// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"errors"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
)

// TestLostLogIsKept: what a custodian told before it lost its log still counts,
// and it cannot vouch for what it does not know.
func TestLostLogIsKept(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	o.appoint()
	made, err := o.Make(ctx, o.order())
	o.must(err)
	for i := range 3 {
		o.opened(made, i)
	}
	cs, err := o.Custodians(ctx)
	o.must(err)
	c, key := cs[0], o.logs[0]
	o.now = o.now.Add(time.Minute)
	log, first, err := ledger.New(o.Root(), custody.KeyOf(key)).Append(key, ledger.Entry{At: o.now.Unix(), Kind: ledger.Begin})
	o.must(err)
	other, rewritten, err := ledger.New(o.Root(), custody.KeyOf(key)).Append(key, ledger.Entry{At: o.now.Unix(), Kind: ledger.Erase})
	o.must(err)
	forged, err := other.Sign(key, o.now.Unix())
	o.must(err)
	head, err := log.Sign(key, o.now.Unix())
	o.must(err)

	// A log that was rewritten without a word is no new one.
	var bad *ledger.BadEntry
	if err := o.TakeLog(ctx, c, 1, nil, forged.Raw, false); !errors.As(err, &bad) {
		t.Fatalf("another log of the same length: %v", err)
	}
	o.must(o.BeginLog(ctx, c, []ledger.Record{ledger.NewRecord(rewritten)}))
	if n, err := o.Known(ctx, c.Device); err != nil || n != 1 {
		t.Fatalf("%d entries are left, %v", n, err)
	}

	records := []ledger.Record{ledger.NewRecord(first)}
	if err := o.BeginLog(ctx, c, records); !errors.Is(err, ErrNewLog) {
		t.Fatalf("a new log: %v", err)
	}
	o.must(o.TakeLog(ctx, c, 0, records, head.Raw, false))
	o.must(o.BeginLog(ctx, c, records)) // known by now
	in, err := o.Find(ctx, idOf(made))
	o.must(err)
	if len(in.Openings) != 3 || in.Reported != 2 {
		t.Errorf("%d openings are known, %d custodians can say", len(in.Openings), in.Reported)
	}
	checked, err := o.VerifyLedger(ctx)
	o.must(err)
	lost := 0
	for _, ch := range checked {
		if !ch.Good {
			t.Errorf("%+v", ch)
		}
		if ch.Lost > 0 && ch.Device == c.Device && ch.Entries == 1 {
			lost++
		}
	}
	if lost != 1 {
		t.Errorf("checked %+v", checked)
	}
	// What others heard of the lost log does not accuse the new one.
	old := ledger.New(o.Root(), custody.KeyOf(key))
	old.Seq, old.Head = 9, custody.Hash{9}
	heard, err := old.Sign(key, o.now.Unix()-1)
	o.must(err)
	wrong, gaps, err := o.CheckHeads(ctx, [][]byte{heard.Raw})
	if err != nil || len(wrong) != 0 || len(gaps) != 0 {
		t.Errorf("accused: %v, %v, %v", wrong, gaps, err)
	}
	late, err := old.Sign(key, o.now.Unix()+1)
	o.must(err)
	if wrong, gaps, err = o.CheckHeads(ctx, [][]byte{late.Raw}); err != nil || len(wrong) != 1 || len(gaps) != 1 {
		t.Errorf("a head of the new log that it does not have: %v, %v, %v", wrong, gaps, err)
	}
}
