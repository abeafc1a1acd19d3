// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// Ledger is what the custodians' logs tell, together.
type Ledger struct {
	Entries []Line
	heads   map[peers.DeviceID]time.Time
	begun   map[peers.DeviceID]time.Time // logs in the place of lost ones
}

// Line is an entry of a custodian's log.
type Line struct {
	Custodian string         `json:"custodian"`
	Device    peers.DeviceID `json:"custodian_device"`
	Lost      int            `json:"lost_log,omitempty"` // of a log that it lost since, by its number
	Seq       uint64         `json:"seq"`
	At        time.Time      `json:"at"`
	Kind      string         `json:"kind"`
	Grant     string         `json:"grant,omitempty"`
	Request   string         `json:"request,omitempty"`
	DeviceKey string         `json:"device_key,omitempty"`
	Path      string         `json:"path,omitempty"`
	Version   uint64         `json:"version,omitempty"`
	Detail    string         `json:"detail,omitempty"`
	Who       string         `json:"who,omitempty"` // of a release: the brand, and which of its machines

	entry ledger.Entry
}

// Ledger reads all logs as they were received, by time.
func (d *Desk) Ledger(ctx context.Context) (*Ledger, error) {
	cs, err := d.cat.Custodians(ctx)
	if err != nil {
		return nil, err
	}
	gs, err := d.cat.Grants(ctx)
	if err != nil {
		return nil, err
	}
	brands, err := d.cat.Brands(ctx)
	if err != nil {
		return nil, err
	}
	called := map[[32]byte]string{}
	for _, b := range brands {
		called[b.Root] = b.Name
	}
	paths := map[custody.FileID]string{}
	ids := map[custody.Hash]string{}
	whose := map[custody.Hash]string{}
	for _, g := range gs {
		ids[g.Hash] = ticket.ShortID(g.ID)
		whose[g.Hash] = called[g.Brand]
		for _, f := range g.Files {
			paths[f.File] = f.Path
		}
	}
	l := &Ledger{Entries: []Line{}, heads: map[peers.DeviceID]time.Time{}, begun: map[peers.DeviceID]time.Time{}}
	names := map[peers.DeviceID]string{}
	add := func(d peers.DeviceID, lost int, entries [][]byte) error {
		for _, raw := range entries {
			s, err := custody.Reread[ledger.Entry](raw)
			if err != nil {
				return fmt.Errorf("the log of %s is damaged: %w", names[d], err)
			}
			e := s.Body
			line := Line{
				Custodian: names[d], Device: d, Lost: lost, Seq: e.Seq, At: time.Unix(e.At, 0),
				Kind: string(e.Kind), Detail: e.Detail, entry: e,
			}
			if e.Grant != (custody.Hash{}) {
				if line.Grant = ids[e.Grant]; line.Grant == "" {
					line.Grant = e.Grant.String()
				}
			}
			if e.Request != (custody.Hash{}) {
				line.Request, line.DeviceKey = e.Request.String(), e.Device.String()
				line.Path, line.Version = paths[e.File], e.Version
			}
			if e.Kind == ledger.Release {
				line.Who = who(whose[e.Grant], e.Detail)
			}
			if e.Kind == ledger.Begin && lost == 0 {
				l.begun[d] = line.At
			}
			l.Entries = append(l.Entries, line)
		}
		return nil
	}
	for _, c := range cs {
		names[c.Device] = c.Name
		entries, head, err := d.cat.Log(ctx, c.Device)
		if err != nil {
			return nil, err
		}
		if h, err := custody.Reread[ledger.Head](head); err == nil {
			l.heads[c.Device] = time.Unix(h.Body.At, 0)
		}
		if err := add(c.Device, 0, entries); err != nil {
			return nil, err
		}
	}
	lost, err := d.cat.LostLogs(ctx)
	if err != nil {
		return nil, err
	}
	for _, old := range lost {
		if err := add(old.Device, old.Number, old.Entries); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(l.Entries, func(a, b Line) int { return a.At.Compare(b.At) })
	return l, nil
}

// who names a machine of a brand, as in "ACME / claims desk 2".
func who(brand, label string) string {
	switch {
	case brand == "":
		return label
	case label == "":
		return brand
	}
	return brand + " / " + label
}

// about gathers the openings of one grant, by time, and counts refusals.
func (l *Ledger) about(g *catalog.Grant, k int) ([]Opening, int) {
	by := map[custody.Hash]*Opening{}
	type teller struct {
		custodian peers.DeviceID
		request   custody.Hash
	}
	told := map[teller]bool{}
	refusals := 0
	for i := range l.Entries {
		e := &l.Entries[i].entry
		if e.Grant != custody.Hash(g.Hash) {
			continue
		}
		switch e.Kind {
		case ledger.Refuse:
			refusals++
		case ledger.Release:
			o := by[e.Request]
			if o == nil {
				o = &Opening{At: l.Entries[i].At, Device: e.Detail, Who: l.Entries[i].Who, DeviceKey: e.Device.String(), Path: l.Entries[i].Path, Version: e.Version}
				by[e.Request] = o
			}
			if key := (teller{l.Entries[i].Device, e.Request}); !told[key] {
				told[key] = true
				o.Custodians++
			}
		}
	}
	out := []Opening{}
	for _, o := range by {
		o.Enough = o.Custodians >= k
		out = append(out, *o)
	}
	slices.SortFunc(out, func(a, b Opening) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Path, b.Path)) })
	return out, refusals
}

// Known is up to which entry a custodian's log was received.
func (d *Desk) Known(ctx context.Context, c peers.DeviceID) (uint64, error) {
	l, err := d.end(ctx, catalog.Custodian{Device: c})
	return l.Seq, err
}

// end is the end of what was received of a log, all of which was verified then.
func (d *Desk) end(ctx context.Context, c catalog.Custodian) (ledger.Log, error) {
	l := ledger.New(d.Root(), c.LogKey)
	seq, head, ok, err := d.cat.LogEnd(ctx, c.Device)
	if ok {
		l.Seq, l.Head = seq, head
		return l, nil
	}
	entries, _, lerr := d.cat.Log(ctx, c.Device)
	if err = errors.Join(err, lerr); err != nil || len(entries) == 0 {
		return l, err
	}
	records, err := recordsOf(entries)
	if err != nil {
		return l, err
	}
	return ledger.VerifyFrom(l, records)
}

// TakeLog adds what a custodian told of its log behind entry after, once all of
// it was checked. The error wraps a *ledger.BadEntry when the log was changed.
func (d *Desk) TakeLog(ctx context.Context, c catalog.Custodian, after uint64, records []ledger.Record, head []byte, more bool) error {
	l, err := d.end(ctx, c)
	if err != nil {
		return err
	}
	if l.Seq != after {
		return said.Error("log-read-twice", "the log was read by somebody else meanwhile")
	}
	h, err := custody.Parse[ledger.Head](head)
	if err != nil || h.Signer != custody.Key(c.LogKey) || h.Body.Owner != d.Root() {
		return said.Error("log-head", "{name}: the head of its log is not its own", "name", c.Name)
	}
	if h.Body.Seq < after {
		return fmt.Errorf("the log of %s: %w", c.Name, &ledger.BadEntry{
			First: h.Body.Seq + 1, Last: after, Why: "missing, though the custodian showed them before",
		})
	}
	if h.Body.Seq == after && h.Body.Head != l.Head {
		return fmt.Errorf("the log of %s: %w", c.Name, &ledger.BadEntry{First: 1, Last: after, Why: "differs from what the custodian told before"})
	}
	var fresh [][]byte
	for _, r := range records {
		if len(r.Entry) == 0 {
			return fmt.Errorf("the log of %s: %w (an entry is left out)", c.Name, peers.ErrProtocol)
		}
		fresh = append(fresh, r.Entry)
	}
	var seen []ledger.Witness
	if !more {
		seen = append(seen, ledger.Witness{Seq: h.Body.Seq, Head: h.Body.Head})
	}
	if l, err = ledger.VerifyFrom(l, records, seen...); err != nil {
		return fmt.Errorf("the log of %s: %w", c.Name, err)
	}
	return d.cat.AppendLog(ctx, c.Device, after, fresh, head, l.Head)
}

// ErrNewLog: a custodian lost its log and owns up to it with the first entry of
// a new one. What was received of the old one is kept.
var ErrNewLog = said.Error("new-log", "lost its log and began a new one")

// BeginLog puts a custodian's log aside when the first records that it shows now
// are those of one in its place, signed with the same key; else it changes
// nothing. The error is ErrNewLog when it did.
func (d *Desk) BeginLog(ctx context.Context, c catalog.Custodian, records []ledger.Record) error {
	if !ledger.Begins(records) {
		return nil
	}
	if _, err := ledger.Verify(d.Root(), c.LogKey, records[:1]); err != nil {
		return err
	}
	entries, _, err := d.cat.Log(ctx, c.Device)
	if err != nil || len(entries) == 0 || bytes.Equal(entries[0], records[0].Entry) {
		return err
	}
	if err := d.cat.LoseLog(ctx, c.Device); err != nil {
		return err
	}
	return said.Wrap(ErrNewLog, "log-begun", "{name} {why}; {n} entries of the old one were received and are kept", "name", c.Name, "n", strconv.Itoa(len(entries)))
}

func recordsOf(entries [][]byte) ([]ledger.Record, error) {
	out := make([]ledger.Record, len(entries))
	for i, raw := range entries {
		s, err := custody.Parse[ledger.Entry](raw)
		if err != nil {
			return nil, &ledger.BadEntry{First: uint64(i) + 1, Last: uint64(i) + 1, Why: err.Error()}
		}
		out[i] = ledger.NewRecord(s)
	}
	return out, nil
}

// Checked is what VerifyLedger found of one custodian's log.
type Checked struct {
	Custodian string         `json:"custodian"`
	Device    peers.DeviceID `json:"device"`
	Entries   int            `json:"entries"`
	Good      bool           `json:"good"`
	Why       said.Note      `json:"text,omitzero"`      // the first bad entry
	Lost      int            `json:"lost_log,omitempty"` // a log that it lost since, by its number
}

// VerifyLedger checks every log as it was received, and against its head.
func (d *Desk) VerifyLedger(ctx context.Context) ([]Checked, error) {
	cs, err := d.cat.Custodians(ctx)
	if err != nil {
		return nil, err
	}
	out := []Checked{}
	for _, c := range cs {
		entries, head, err := d.cat.Log(ctx, c.Device)
		if err != nil {
			return nil, err
		}
		ch := Checked{Custodian: c.Name, Device: c.Device, Entries: len(entries), Good: true}
		if err := d.checkLog(c, entries, head); err != nil {
			ch.Good, ch.Why = false, said.By(err)
		}
		out = append(out, ch)
	}
	lost, err := d.cat.LostLogs(ctx)
	if err != nil {
		return nil, err
	}
	for _, old := range lost {
		for _, c := range cs {
			if c.Device == old.Device {
				out = append(out, Checked{
					Custodian: c.Name, Device: c.Device, Entries: len(old.Entries), Good: true, Lost: old.Number,
					Why: said.As("log-lost", "it lost this log and began a new one; what was received before is kept"),
				})
			}
		}
	}
	return out, nil
}

func (d *Desk) checkLog(c catalog.Custodian, entries [][]byte, head []byte) error {
	if head == nil && len(entries) == 0 {
		return nil // nothing was received yet
	}
	records, err := recordsOf(entries)
	if err != nil {
		return err
	}
	h, err := custody.Parse[ledger.Head](head)
	if err != nil {
		return fmt.Errorf("its head: %w", err)
	}
	if h.Signer != custody.Key(c.LogKey) || h.Body.Owner != d.Root() {
		return said.Error("head-not-own", "its head is not its own")
	}
	_, err = ledger.Verify(d.Root(), custody.Key(c.LogKey), records, ledger.Witness{Seq: h.Body.Seq, Head: h.Body.Head})
	return err
}
