// SPDX-License-Identifier: MPL-2.0

package custody_test

import (
	"bytes"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
)

func TestSlimRequestsComeBackWhole(t *testing.T) {
	w := ct.New(t, 5)
	ticket := w.Grant(w.Terms(3600, 1, 2, 3), ct.Item(1, 1), ct.Item(2, 1), ct.Item(3, 1))
	o, err := w.Brand.Member.Request(ticket, ct.File(2), w.Now)
	if err != nil {
		t.Fatal(err)
	}
	slim, pkg, err := custody.Slim(o.Request.Raw)
	if err != nil || !bytes.Equal(pkg, ticket.Package.Raw) {
		t.Fatal("another package: ", err)
	}
	if len(slim) > 2500 {
		t.Errorf("a slim request has %d bytes", len(slim))
	}
	s, err := custody.ReadSlim(slim)
	if err != nil || s.Package != ticket.Package.Hash {
		t.Fatal("another package's hash: ", err)
	}
	whole, err := s.Whole(ticket.Grant.Raw, pkg)
	if err != nil || !bytes.Equal(whole, o.Request.Raw) {
		t.Fatal("not the request there was: ", err)
	}
	other := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	if _, err := s.Whole(other.Grant.Raw, pkg); err == nil {
		t.Error("put together with another grant")
	}
	if _, err := s.Whole(ticket.Grant.Raw, other.Package.Raw); err == nil {
		t.Error("put together with another package")
	}
	if _, err := custody.ReadSlim(o.Request.Raw); err == nil {
		t.Error("a whole request is taken for a slim one")
	}
	if _, _, err := custody.Slim(ticket.Grant.Raw); err == nil {
		t.Error("a grant was made slim")
	}
}

func FuzzSlim(f *testing.F) {
	w := ct.New(f, 3)
	ticket := w.Grant(w.Terms(3600, 1), ct.Item(1, 1))
	o, err := w.Brand.Member.Request(ticket, ct.File(1), w.Now)
	if err != nil {
		f.Fatal(err)
	}
	slim, _, err := custody.Slim(o.Request.Raw)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(slim)
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := custody.ReadSlim(raw)
		if err != nil {
			return
		}
		whole, err := s.Whole(ticket.Grant.Raw, ticket.Package.Raw)
		if err != nil {
			return
		}
		if again, _, err := custody.Slim(whole); err == nil && s.Package == ticket.Package.Hash && !bytes.Equal(again, raw) {
			t.Fatal("one request has two slim spellings")
		}
	})
}
