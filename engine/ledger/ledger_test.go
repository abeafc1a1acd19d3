// SPDX-License-Identifier: MPL-2.0

package ledger_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ledger"
)

func badEntry(t *testing.T, err error, first, last uint64) {
	t.Helper()
	var b *ledger.BadEntry
	if !errors.As(err, &b) || b.First != first || b.Last != last {
		t.Fatalf("%v, want entries %d to %d", err, first, last)
	}
}

func TestLogTellsAndCannotBeRewritten(t *testing.T) {
	w := ct.New(t, 3)
	a := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	b := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	c := w.Custodians[0]
	var told []ledger.Witness
	for range 3 {
		for _, ticket := range []*custody.Ticket{a, b} {
			o, err := w.Brand.Member.Request(ticket, ct.File(1), w.Now)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := c.Answer(o.Request.Raw, w.Gateway.Device)
			if err != nil {
				t.Fatal(err)
			}
			r, err := custody.CheckRelease(raw, ticket.Grant)
			if err != nil {
				t.Fatal(err)
			}
			told = append(told, ledger.Witness{Seq: r.Body.LogSeq, Head: r.Body.LogHead})
			w.Now++
		}
	}
	owner, name := custody.KeyOf(w.Root), custody.KeyOf(c.LogKey)
	end, err := ledger.Verify(owner, name, c.Records, told...)
	if err != nil || end != c.Log {
		t.Fatal("an honest log: ", err)
	}
	e, err := custody.Parse[ledger.Entry](c.Records[2].Entry)
	if err != nil {
		t.Fatal(err)
	}
	if e.Body.Kind != ledger.Release || e.Body.Grant != a.Grant.Hash || e.Body.Detail != "claims desk 2" ||
		e.Body.Device != custody.KeyOf(w.Brand.Member.Device) || e.Body.At != ct.Start+2 {
		t.Fatalf("the log does not tell: %+v", e.Body)
	}

	// Without the key, any change shows at its entry.
	for i := range c.Records {
		seq := uint64(i) + 1
		bent := slices.Clone(c.Records)
		bent[i].Entry = slices.Clone(bent[i].Entry)
		bent[i].Entry[40] ^= 1
		_, err := ledger.Verify(owner, name, bent)
		badEntry(t, err, seq, seq)
		_, err = ledger.Verify(owner, name, slices.Delete(slices.Clone(c.Records), i, i+1))
		if i < len(c.Records)-1 {
			badEntry(t, err, seq, seq)
		} else if err != nil {
			t.Fatal(err) // nothing in a log shows that its end is missing ...
		}
		// ... but those who were told of it know.
		_, err = ledger.Verify(owner, name, c.Records[:i], told...)
		badEntry(t, err, seq, uint64(min(i+1, 6)))
	}

	// With the custodian's own key: entry 3 is removed, the rest made anew.
	l, forged := ledger.New(owner, name), []ledger.Record(nil)
	for i, r := range c.Records {
		if i == 2 {
			continue
		}
		e, err := custody.Parse[ledger.Entry](r.Entry)
		if err != nil {
			t.Fatal(err)
		}
		next, s, err := l.Append(c.LogKey, e.Body)
		if err != nil {
			t.Fatal(err)
		}
		l, forged = next, append(forged, ledger.NewRecord(s))
	}
	if _, err := ledger.Verify(owner, name, forged); err != nil {
		t.Fatal("a forged log is not even consistent: ", err)
	}
	_, err = ledger.Verify(owner, name, forged, told...)
	badEntry(t, err, 3, 3)
	// Whoever was told less says less exactly.
	_, err = ledger.Verify(owner, name, forged, told[0], told[4])
	badEntry(t, err, 2, 5)
	// A log of another owner, or of another custodian, is not this one.
	_, err = ledger.Verify(custody.Key{1}, name, c.Records)
	badEntry(t, err, 1, 1)
	_, err = ledger.Verify(owner, custody.KeyOf(w.Custodians[1].LogKey), c.Records)
	badEntry(t, err, 1, 1)
}

func TestRefusalsAreGathered(t *testing.T) {
	var r ledger.Refusals
	refuse := func(at int64, device byte, why custody.Reason) []ledger.Entry {
		return r.Add(&custody.Refusal{Reason: why, At: at, Subject: custody.Subject{Device: custody.Key{device}}})
	}
	written := 0
	const hour = ct.Start / 3600 * 3600
	for i := range int64(1000) {
		written += len(refuse(hour+i, 1, custody.Expired))
		written += len(refuse(hour+i, 1, custody.Revoked))
	}
	if written != 2 {
		t.Fatalf("%d entries in the hour, want the first of each", written)
	}
	out := refuse(hour+3600, 1, custody.Expired)
	var got []string
	for _, e := range out {
		got = append(got, fmt.Sprint(e.Kind, " ", e.At-hour, " ", e.Detail))
	}
	if s := strings.Join(got, ", "); s != "refuse 999 expired x999, refuse 999 revoked x999, refuse 3600 expired" {
		t.Fatal(s)
	}
	if r.Flush(hour+7200) != nil {
		t.Fatal("a single refusal is written twice")
	}
	// Many devices cannot grow it, nor the log, without bound.
	written = 0
	for i := range 5000 {
		d := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
		written += len(r.Add(&custody.Refusal{Reason: custody.Malformed, At: hour + 7200, Subject: custody.Subject{Device: d}}))
	}
	if written != 256 {
		t.Fatalf("%d entries, want 256", written)
	}
	out = r.Flush(hour + 10800)
	if len(out) != 1 || out[0].Detail != "other x4744" {
		t.Fatalf("%+v", out)
	}
}

// history is a grant that was opened, refused and withdrawn, and its proof.
func history(t testing.TB) (*ct.World, *ledger.Bundle) {
	t.Helper()
	w := ct.New(t, 3)
	terms := w.Terms(3600, 1)
	other := w.Grant(terms, ct.Item(1, 1))
	if _, err := w.Open(other, 1); err != nil {
		t.Fatal(err)
	}
	ticket := w.Grant(terms, ct.Item(1, 1))
	b := &ledger.Bundle{Grant: ticket.Grant.Raw, Packages: [][]byte{ticket.Package.Raw}}
	for range 2 {
		w.Now += 5
		o, err := w.Brand.Member.Request(ticket, ct.File(1), w.Now)
		if err != nil {
			t.Fatal(err)
		}
		b.Requests = append(b.Requests, o.Request.Raw)
		releases, err := w.Ask(o, w.Custodians...)
		if err != nil {
			t.Fatal(err)
		}
		b.Releases = append(b.Releases, releases...)
	}
	rev, err := w.Owner.Revoke(ticket.Grant.Hash, w.Now, "moved out")
	if err != nil {
		t.Fatal(err)
	}
	b.Revocations = append(b.Revocations, rev.Raw)
	for _, c := range w.Custodians {
		if err := c.Revoke(rev.Raw); err != nil {
			t.Fatal(err)
		}
		c.Write(ledger.Entry{At: w.Now, Kind: ledger.Revoke, Grant: ticket.Grant.Hash})
	}
	if _, err := w.Open(ticket, 1); err == nil {
		t.Fatal("opens after it was revoked")
	}
	for _, c := range w.Custodians {
		h, err := c.Log.Sign(c.LogKey, w.Now)
		if err != nil {
			t.Fatal(err)
		}
		b.Logs = append(b.Logs, ledger.Extract{Head: h.Raw, Records: ledger.Redact(c.Records, ticket.Grant.Hash)})
	}
	return w, b
}

func TestProofVerifiesOffline(t *testing.T) {
	w, b := history(t)
	proof, err := ledger.WriteProof(b, &w.Owner, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ledger.VerifyProof(proof)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Openings) != 2 || r.Refusals != 3 || r.RevokedAt != w.Now || r.Logs != 3 {
		t.Fatalf("%+v", r)
	}
	for i, o := range r.Openings {
		if o.Custodians != 3 || !o.Enough || o.Label != "claims desk 2" || o.At != ct.Start+int64(5*(i+1)) {
			t.Fatalf("%+v", o)
		}
	}
	// Any changed byte, wherever it is, and any missing end.
	step := 1 + len(proof)/300
	for i := 0; i < len(proof); i += step {
		bent := slices.Clone(proof)
		bent[i] ^= 1 << (i % 8)
		if _, err := ledger.VerifyProof(bent); !errors.Is(err, ledger.ErrProof) {
			t.Fatalf("byte %d of %d changed: %v", i, len(proof), err)
		}
	}
	for _, bent := range [][]byte{nil, proof[:len(proof)-1], append(slices.Clone(proof), 0), append([]byte{0}, proof...)} {
		if _, err := ledger.VerifyProof(bent); !errors.Is(err, ledger.ErrProof) {
			t.Fatal("bytes were added or taken away: ", err)
		}
	}
}

// TestOneBadPieceIsAFinding: what one custodian or brand gets wrong is named, and
// takes nothing from what the others prove.
func TestOneBadPieceIsAFinding(t *testing.T) {
	w, b := history(t)
	forged := func(b *ledger.Bundle) { // with the custodian's own key, entry 2 left out
		c := w.Custodians[1]
		l := ledger.New(c.Log.Owner, c.Log.Custodian)
		b.Logs[1].Records = nil
		for i, r := range c.Records {
			if i == 1 {
				continue
			}
			e, err := custody.Parse[ledger.Entry](r.Entry)
			if err != nil {
				t.Fatal(err)
			}
			next, s, err := l.Append(c.LogKey, e.Body)
			if err != nil {
				t.Fatal(err)
			}
			l = next
			b.Logs[1].Records = append(b.Logs[1].Records, ledger.NewRecord(s))
		}
		h, err := l.Sign(c.LogKey, w.Now)
		if err != nil {
			t.Fatal(err)
		}
		b.Logs[1].Head = h.Raw
		b.Logs[1].Records = ledger.Redact(b.Logs[1].Records, mustGrant(t, b).Hash)
	}
	for name, c := range map[string]struct {
		change   func(*ledger.Bundle)
		part     string
		entry    uint64
		openings int
		logs     int
	}{
		"nothing is wrong":           {func(*ledger.Bundle) {}, "", 0, 2, 3},
		"a request is missing":       {func(b *ledger.Bundle) { b.Requests = b.Requests[1:] }, "log 1", 2, 1, 3},
		"a log is missing":           {func(b *ledger.Bundle) { b.Logs = b.Logs[1:] }, "release 1", 0, 2, 2},
		"a log is there twice":       {func(b *ledger.Bundle) { b.Logs = append(b.Logs, b.Logs[0]) }, "log 4", 0, 2, 3},
		"a log was cut":              {func(b *ledger.Bundle) { b.Logs[0].Records = b.Logs[0].Records[:2] }, "log 1", 3, 2, 3},
		"a log was rewritten":        {forged, "release 2", 0, 2, 3},
		"a changed entry":            {func(b *ledger.Bundle) { b.Logs[2].Records[2].Entry[60] ^= 1 }, "log 3", 3, 2, 3},
		"a head is none":             {func(b *ledger.Bundle) { b.Logs[2].Head = b.Grant }, "log 3", 0, 2, 2},
		"another grant's revocation": {func(b *ledger.Bundle) { b.Revocations[0] = revokeOther(t, w) }, "revocation 1", 0, 2, 3},
		"a package is no package":    {func(b *ledger.Bundle) { b.Packages[0] = b.Grant }, "package 1", 0, 2, 3},
		"a request is none":          {func(b *ledger.Bundle) { b.Requests[0] = b.Grant }, "request 1", 0, 1, 3},
		"a release is none":          {func(b *ledger.Bundle) { b.Releases[4] = b.Grant }, "release 5", 0, 2, 3},
	} {
		_, fresh := w, copyOf(b)
		c.change(fresh)
		proof, err := ledger.WriteProof(fresh, &w.Owner, w.Now)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r, err := ledger.VerifyProof(proof)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(r.Openings) != c.openings || r.Logs != c.logs {
			t.Errorf("%s: %d openings by %d logs, want %d by %d", name, len(r.Openings), r.Logs, c.openings, c.logs)
		}
		if (len(r.Findings) == 0) != (c.part == "") || c.part != "" && (r.Findings[0].Part != c.part || r.Findings[0].Entry != c.entry) {
			t.Errorf("%s: %v", name, r.Findings)
		}
	}
	thief := custody.Owner{Device: ct.Key(t), Cert: w.Owner.Cert}
	if _, err := ledger.WriteProof(b, &thief, w.Now); !errors.Is(err, ledger.ErrProof) {
		t.Errorf("a proof put together by somebody else: %v", err)
	}
}

func mustGrant(t *testing.T, b *ledger.Bundle) *custody.Signed[custody.Grant] {
	t.Helper()
	g, err := custody.CheckGrant(b.Grant)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// copyOf is a bundle that can be changed without the one it is of.
func copyOf(b *ledger.Bundle) *ledger.Bundle {
	c := *b
	c.Packages, c.Revocations = slices.Clone(b.Packages), slices.Clone(b.Revocations)
	c.Requests, c.Releases, c.Logs = slices.Clone(b.Requests), slices.Clone(b.Releases), slices.Clone(b.Logs)
	for i := range c.Logs {
		c.Logs[i].Records = slices.Clone(c.Logs[i].Records)
		for j := range c.Logs[i].Records {
			c.Logs[i].Records[j].Entry = slices.Clone(c.Logs[i].Records[j].Entry)
		}
	}
	return &c
}

// A custodian that lost its log and says so has two, and both count.
func TestLogThatBeganAnew(t *testing.T) {
	w, b := history(t)
	c := w.Custodians[0]
	l, s, err := ledger.New(c.Log.Owner, c.Log.Custodian).Append(c.LogKey, ledger.Entry{At: w.Now, Kind: ledger.Begin})
	if err != nil {
		t.Fatal(err)
	}
	h, err := l.Sign(c.LogKey, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	records := ledger.Redact([]ledger.Record{ledger.NewRecord(s)}, mustGrant(t, b).Hash)
	b.Logs = append(b.Logs, ledger.Extract{Head: h.Raw, Records: records})
	proof, err := ledger.WriteProof(b, &w.Owner, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ledger.VerifyProof(proof)
	if err != nil || len(r.Findings) != 0 || r.Logs != 3 || len(r.Openings) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func revokeOther(t *testing.T, w *ct.World) []byte {
	t.Helper()
	r, err := w.Owner.Revoke(custody.Hash{1}, w.Now, "")
	if err != nil {
		t.Fatal(err)
	}
	return r.Raw
}

func FuzzEntry(f *testing.F) {
	_, b := history(f)
	f.Add(b.Logs[0].Records[2].Entry)
	f.Add(b.Logs[0].Head)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, err := custody.Parse[ledger.Entry](raw); err == nil && s.Body.Check() != nil {
			t.Fatal("an entry that does not check was parsed")
		}
		_, _ = custody.Parse[ledger.Head](raw)
		var x ledger.Extract
		_ = custody.Unmarshal(raw, &x)
	})
}

func FuzzVerifyProof(f *testing.F) {
	w, b := history(f)
	proof, err := ledger.WriteProof(b, &w.Owner, w.Now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(proof)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if r, err := ledger.VerifyProof(raw); (err == nil) != (r != nil) {
			t.Fatal("neither a report nor an error")
		}
	})
}

// Ten thousand openings with five custodians fit: each takes a tenth of a
// thousandth of the room, when a thousand do.
func TestManyOpeningsFit(t *testing.T) {
	w, b := history(t)
	const openings, custodians = 250, 5
	request, release := b.Requests[0], b.Releases[0]
	b.Requests, b.Releases = nil, nil
	for range openings {
		b.Requests = append(b.Requests, request)
		for range custodians {
			b.Releases = append(b.Releases, release)
		}
	}
	proof, err := ledger.WriteProof(b, &w.Owner, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	// An entry in a log is some 380 bytes.
	if size := len(proof) + openings*custodians*380; size > ledger.MaxProof/40 { // so that ten thousand fit
		t.Errorf("%d openings take %d bytes", openings, size)
	}
	r, err := ledger.VerifyProof(proof)
	if err != nil || len(r.Openings) != 1 {
		t.Errorf("%v", err)
	}
}
