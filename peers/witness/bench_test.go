// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"testing"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/peers/limit"
)

// BenchmarkLetter is one request answered, the log synced to the disk.
func BenchmarkLetter(b *testing.B) {
	w := custodytest.New(b, 0)
	o := Options{Sign: custodytest.Key(b), KEM: custodytest.NewKEM(b)}
	o.Device[0] = 1
	o.Now = func() time.Time { return time.Unix(w.Now, 0) }
	s, err := Open(b.Context(), b.TempDir(), o)
	check(b, err)
	defer s.Close()
	seats := []custody.Seat{custody.Seat(o.Device)}
	a, err := custody.Appoint(w.Root, w.Owner.Custody, seats[0], o.KEM.PublicKey().Bytes(), 0, w.Now)
	check(b, err)
	set, err := custody.Sign(w.Root, custody.DeviceSet{
		Root: custody.KeyOf(w.Root), Epoch: 1, Devices: []custody.Key{custody.KeyOf(w.Owner.Device)}, At: w.Now,
	})
	check(b, err)
	owner := Client{as{s, [32]byte{2}}}
	_, err = owner.Appoint(b.Context(), Appointing{Appointment: a.Raw, DeviceSet: set.Raw})
	check(b, err)
	terms := w.Terms(3600, 1)
	terms.Custodians = seats
	g, err := w.Owner.Grant(w.Now, terms)
	check(b, err)
	p, err := w.Owner.Package(g, seats, w.Brand.KEM.PublicKey().Bytes(), 1, []custody.Item{custodytest.Item(1, 1)})
	check(b, err)
	ticket, err := custody.ReadTicket(g.Raw, p.Raw)
	check(b, err)
	via := Client{as{s, w.Gateway.Device}}
	for b.Loop() {
		b.StopTimer()
		s.limit = limit.New()
		q, err := w.Brand.Member.Request(ticket, custodytest.File(1), w.Now)
		check(b, err)
		letter, err := custody.SealLetter(q.Request.Raw, g, 0)
		check(b, err)
		b.StartTimer()
		r, err := via.Letter(b.Context(), letter)
		check(b, err)
		if len(r.Release) == 0 {
			b.Fatal(r.Reason)
		}
	}
}

// FuzzAnswer brings anything to a custodian: it may refuse, not break.
func FuzzAnswer(f *testing.F) {
	o := Options{Sign: custodytest.Key(f), KEM: custodytest.NewKEM(f)}
	s, err := Open(f.Context(), f.TempDir(), o)
	check(f, err)
	f.Cleanup(func() { s.Close() })
	for _, msg := range []any{Appointing{}, Reply{}, News{}, LogQuery{}, Whispers{}, custody.Letter{}} {
		raw, err := custody.Marshal(msg)
		check(f, err)
		for verb := range byte(7) {
			f.Add(verb, raw)
		}
	}
	verbs := []string{verbAppoint, verbLetter, verbRevoke, verbStatus, verbLog, verbGossip, verbEvidence}
	f.Fuzz(func(t *testing.T, verb byte, raw []byte) {
		answer, err := s.Answer(t.Context(), verbs[int(verb)%len(verbs)], [32]byte{1}, raw)
		if err == nil && len(answer) == 0 {
			t.Fatal("neither an answer nor an error")
		}
	})
}
