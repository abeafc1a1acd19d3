// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/custody"
)

// TestOneDamagedGrantHidesNoOther: such as one that was signed with a purpose
// that is not UTF-8, by an earlier program. It is named, and can be withdrawn.
func TestOneDamagedGrantHidesNoOther(t *testing.T) {
	o := newOffice(t)
	o.appoint()
	ctx := t.Context()
	good, err := o.Make(ctx, o.order())
	o.must(err)
	rows, err := o.cat.Grants(ctx)
	o.must(err)
	bad := rows[0]
	bad.Hash[0] ^= 1
	bad.ID[0] ^= 1
	bad.Doc = bytes.Clone(bad.Doc)
	at := bytes.Index(bad.Doc, []byte("After this date"))
	bad.Doc[at] = 0xff
	if _, err := custody.CheckGrant(bad.Doc); err == nil {
		t.Fatal("the damaged one can be read")
	}
	o.must(o.cat.AddGrant(ctx, &bad, good.Package, catalog.Saying{What: "test", Number: 1, Doc: []byte{1}}))

	list, err := o.List(ctx)
	o.must(err)
	if len(list) != 2 {
		t.Fatalf("%d grants are listed", len(list))
	}
	i := slices.IndexFunc(list, func(g Info) bool { return g.State == Unreadable })
	if i < 0 || list[i].Problem == "" || list[i].Files[0] != "papers/lease" || list[1-i].State != Open {
		t.Fatalf("listed: %+v", list)
	}
	for what, err := range map[string]error{
		"a sign of life": func() error { _, err := o.StatusErrand(ctx); return err }(),
		"replanning":     o.Replan(ctx),
		"letting go":     o.Release(ctx),
		"covering":       func() error { _, err := o.Covering(ctx, []string{"papers"}); return err }(),
		"device set":     func() error { _, err := o.DevicesErrand(ctx); return err }(),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	e, err := o.Revoke(ctx, list[i].ID, "damaged")
	o.must(err)
	r, err := custody.CheckRevocation(e.Revocation, o.Root())
	o.must(err)
	if r.Body.Grant != custody.Hash(bad.Hash) || len(e.Untold) != 3 {
		t.Errorf("withdrawn: %+v", e)
	}
	all, err := o.Errands(ctx)
	if err != nil || len(all) != 1 {
		t.Errorf("%d errands, %v", len(all), err)
	}
	in, err := o.Find(ctx, list[i].ID)
	if err != nil || in.State != Revoked || in.Quorum != 3 || in.Told != 0 {
		t.Errorf("%+v, %v", in, err)
	}
	if _, err := o.Extend(ctx, list[i].ID, o.now); err == nil {
		t.Error("a damaged grant was extended")
	}
}

// TestRequestsOfOneID: an ID is what a company likes. Two that begin alike, or
// are the same, are two requests with two names, and one answers the one meant.
func TestRequestsOfOneID(t *testing.T) {
	o := newOffice(t)
	o.appoint()
	ctx := t.Context()
	var taken []*Asked
	for i := range 3 {
		c := newCompany(o)
		c.id = [16]byte{1, 2, 3, 4, byte(i / 2)} // the first two are the same
		a, err := o.TakeRequest(ctx, c.asks(false))
		o.must(err)
		if a.Request.Body.Controller.Root != custody.KeyOf(c.root) {
			t.Fatal("another company's request was given back")
		}
		taken = append(taken, a)
	}
	all, err := o.Requests(ctx)
	o.must(err)
	names := map[string]custody.Hash{}
	for _, a := range all {
		names[a.Name] = a.Hash
	}
	if len(names) != 3 {
		t.Fatalf("the names are %v", names)
	}
	if _, err := o.FindRequest(ctx, "r-01020304"); err == nil {
		t.Error("one of three was found by what they share")
	}
	for name, hash := range names {
		a, err := o.FindRequest(ctx, name)
		if err != nil || a.Hash != hash {
			t.Errorf("%s: %v", name, err)
		}
	}
	i := slices.IndexFunc(all, func(a *Asked) bool { return a.Hash == taken[0].Hash })
	no, err := o.Refuse(ctx, all[i].Name, "")
	o.must(err)
	if no.Hash != taken[0].Hash || no.Refusal == nil {
		t.Errorf("refused: %+v", no)
	}
	i = slices.IndexFunc(all, func(a *Asked) bool { return a.Hash == taken[1].Hash })
	in := o.accepting(taken[1])
	in.ID = all[i].Name
	yes, _, err := o.Accept(ctx, in)
	o.must(err)
	if yes.Hash != taken[1].Hash || yes.State != string(consent.Given) {
		t.Errorf("accepted: %+v", yes)
	}
}

// TestOneDamagedRequestHidesNoOther.
func TestOneDamagedRequestHidesNoOther(t *testing.T) {
	o := newOffice(t)
	o.appoint()
	ctx := t.Context()
	a, err := o.TakeRequest(ctx, newCompany(o).asks(false))
	o.must(err)
	o.must(o.cat.AddRequest(ctx, catalog.Request{Hash: custody.Hash{7}, Doc: "preezm-request1-AAAA", Got: o.now.Unix()}))
	all, err := o.Requests(ctx)
	o.must(err)
	i := slices.IndexFunc(all, func(a *Asked) bool { return a.Problem != nil })
	if len(all) != 2 || i < 0 || all[i].State != RequestUnreadable || all[1-i].Hash != a.Hash {
		t.Fatalf("%+v", all)
	}
	if _, err := o.FindRequest(ctx, all[i].Name); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("the damaged one: %v", err)
	}
	if _, err := o.Refuse(ctx, all[1-i].Name, ""); err != nil {
		t.Error(err)
	}
}
