// SPDX-License-Identifier: MPL-2.0

package custody_test

import (
	"fmt"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
)

func items(n int) (files []custody.FileID, out []custody.Item) {
	for i := range n {
		f := custody.FileID{byte(i >> 8), byte(i)}
		files = append(files, f)
		out = append(out, custody.Item{File: f, Version: 1, Key: ct.Secret(byte(i), 1)})
	}
	return files, out
}

// BenchmarkGrant is all an owner computes: the grant and its package.
func BenchmarkGrant(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("%d files", n), func(b *testing.B) {
			w := ct.New(b, 5)
			files, list := items(n)
			terms := w.Terms(30*ct.Day, 0)
			terms.Files = files
			size := 0
			for b.Loop() {
				t := w.Grant(terms, list...)
				size = len(t.Package.Raw)
			}
			b.ReportMetric(float64(size), "B/package")
		})
	}
}

// BenchmarkDecide is one request at one custodian: checked and sealed.
func BenchmarkDecide(b *testing.B) {
	w := ct.New(b, 5)
	ticket := w.Grant(w.Terms(30*ct.Day, 1), ct.Item(1, 1))
	o, err := w.Brand.Member.Request(ticket, ct.File(1), w.Now)
	if err != nil {
		b.Fatal(err)
	}
	var size int
	for b.Loop() {
		d, err := custody.Decide(o.Request.Raw, w.Gateway.Device, w.Custodians[0])
		if err != nil {
			b.Fatal(err)
		}
		r, err := d.Release(1, custody.Hash{})
		if err != nil {
			b.Fatal(err)
		}
		size = len(r.Raw)
	}
	b.ReportMetric(float64(len(o.Request.Raw)), "B/request")
	b.ReportMetric(float64(size), "B/release")
	b.ReportMetric(float64(len(ticket.Grant.Raw)), "B/grant")
}

// BenchmarkCombine is a brand's part: three releases to a key.
func BenchmarkCombine(b *testing.B) {
	w := ct.New(b, 5)
	ticket := w.Grant(w.Terms(30*ct.Day, 1), ct.Item(1, 1))
	for b.Loop() {
		b.StopTimer()
		o, err := w.Brand.Member.Request(ticket, ct.File(1), w.Now)
		if err != nil {
			b.Fatal(err)
		}
		var releases [][]byte
		for _, c := range w.Custodians[:3] {
			r, err := c.Answer(o.Request.Raw, w.Gateway.Device)
			if err != nil {
				b.Fatal(err)
			}
			releases = append(releases, r)
		}
		b.StartTimer()
		for _, r := range releases {
			if err := o.Add(r); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := o.Key(w.Brand.KEM); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen is the whole of an opening without a network: five custodians
// asked one after the other.
func BenchmarkOpen(b *testing.B) {
	w := ct.New(b, 5)
	ticket := w.Grant(w.Terms(30*ct.Day, 1), ct.Item(1, 1))
	for b.Loop() {
		if _, err := w.Open(ticket, 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRatchetTenYears(b *testing.B) {
	c := custody.NewChain([32]byte{1}, custody.Seat{2}, 0)
	for b.Loop() {
		if _, err := c.At(c.Day + 3652); err != nil {
			b.Fatal(err)
		}
	}
}
