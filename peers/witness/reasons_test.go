// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"bytes"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ledger"
)

// bring seals any bytes as a request and brings them, and gives why not.
func (h *home) bring(raw []byte, t *custody.Ticket) custody.Reason {
	h.t.Helper()
	o := &custody.Opening{Request: &custody.Signed[custody.OpenRequest]{Raw: raw}}
	r, err := Client{as{h.svc, h.w.Gateway.Device}}.Letter(h.t.Context(), h.letter(o, t))
	check(h.t, err)
	if len(r.Denial) == 0 {
		return r.Reason
	}
	d, err := custody.Parse[custody.Denial](r.Denial)
	check(h.t, err)
	return d.Body.Reason
}

// change signs the request of an opening anew after f changed it.
func (w *world) change(o *custody.Opening, f func(*custody.OpenRequest)) []byte {
	w.t.Helper()
	body := o.Request.Body
	f(&body)
	s, err := custody.Sign(w.Brand.Member.Device, body)
	check(w.t, err)
	return s.Raw
}

// flipped changes one bit in the middle.
func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

// TestEachReason: what is refused is told the brand with its own reason, and is
// in the owner's log under the same.
func TestEachReason(t *testing.T) {
	raw := func(o *custody.Opening) []byte { return o.Request.Raw }
	hour := func(w *world) *custody.Ticket { return w.grant(3600, nil) }
	certified := func(f func(w *world) []byte) func(w *world, h *home) ([]byte, *custody.Ticket) {
		return func(w *world, h *home) ([]byte, *custody.Ticket) {
			tk := hour(w)
			w.Brand.Member.Cert = f(w)
			return raw(w.request(tk)), tk
		}
	}
	changed := func(f func(w *world, r *custody.OpenRequest)) func(w *world, h *home) ([]byte, *custody.Ticket) {
		return func(w *world, h *home) ([]byte, *custody.Ticket) {
			tk := hour(w)
			return w.change(w.request(tk), func(r *custody.OpenRequest) { f(w, r) }), tk
		}
	}
	for name, c := range map[string]struct {
		want custody.Reason
		make func(w *world, h *home) ([]byte, *custody.Ticket)
	}{
		"before": {custody.TooEarly, func(w *world, h *home) ([]byte, *custody.Ticket) {
			tk := w.grant(3600, func(x *custody.Terms) { x.NotBefore = w.Now + 1 })
			return raw(w.request(tk)), tk
		}},
		"after": {custody.Expired, func(w *world, h *home) ([]byte, *custody.Ticket) {
			tk := w.grant(10, nil)
			w.Now += 10
			return raw(w.request(tk)), tk
		}},
		"withdrawn": {custody.Revoked, func(w *world, h *home) ([]byte, *custody.Ticket) {
			tk := hour(w)
			rev, err := w.Owner.Revoke(tk.Grant.Hash, w.Now, "")
			check(t, err)
			_, err = h.byOwner().Revoke(t.Context(), rev.Raw)
			check(t, err)
			return raw(w.request(tk)), tk
		}},
		"another brand": {custody.WrongBrand, func(w *world, h *home) ([]byte, *custody.Ticket) {
			tk := hour(w)
			w.Brand = w.NewBrand()
			return raw(w.request(tk)), tk
		}},
		"employee of another": {custody.WrongBrand, certified(func(w *world) []byte {
			return w.Certify(custodytest.Key(t), custody.KeyOf(w.Brand.Member.Device), custody.OrgMember, "x", 3600)
		})},
		"employee dismissed": {custody.MemberExpired, certified(func(w *world) []byte {
			return w.Certify(w.Brand.Root, custody.KeyOf(w.Brand.Member.Device), custody.OrgMember, "x", 0)
		})},
		"another employee's certificate": {custody.WrongBrand, certified(func(w *world) []byte {
			return w.Certify(w.Brand.Root, custody.KeyOf(custodytest.Key(t)), custody.OrgMember, "x", 3600)
		})},
		"changed grant":          {custody.BadGrant, changed(func(_ *world, r *custody.OpenRequest) { r.Grant = flipped(r.Grant) })},
		"a package as the grant": {custody.BadGrant, changed(func(_ *world, r *custody.OpenRequest) { r.Grant = r.Package })},
		"another owner's grant": {custody.BadGrant, changed(func(_ *world, r *custody.OpenRequest) {
			r.Grant = newWorld(t, 1).grant(3600, nil).Grant.Raw
		})},
		"changed package":        {custody.BadPackage, changed(func(_ *world, r *custody.OpenRequest) { r.Package = flipped(r.Package) })},
		"a grant as the package": {custody.BadPackage, changed(func(_ *world, r *custody.OpenRequest) { r.Package = r.Grant })},
		"another grant's package": {custody.BadPackage, changed(func(w *world, r *custody.OpenRequest) {
			r.Package = w.grant(3600, nil).Package.Raw
		})},
		"another version": {custody.BadPackage, changed(func(_ *world, r *custody.OpenRequest) { r.Version++ })},
		"another purpose": {custody.Purpose, changed(func(_ *world, r *custody.OpenRequest) { r.Purpose = "advertising" })},
		"from the future": {custody.Stale, changed(func(_ *world, r *custody.OpenRequest) { r.At += 3600 })},
		"no one-time key": {custody.Malformed, changed(func(_ *world, r *custody.OpenRequest) {
			clear(r.Ephemeral[:1184])
			r.Ephemeral[0], r.Ephemeral[1] = 0xff, 0xff
		})},
		"grant as request": {custody.Malformed, func(w *world, h *home) ([]byte, *custody.Ticket) { tk := hour(w); return tk.Grant.Raw, tk }},
		"unknown field": {custody.Malformed, func(w *world, h *home) ([]byte, *custody.Ticket) {
			tk := hour(w)
			b := append(bytes.Clone(raw(w.request(tk))), 5, 0) // a fifth pair: 5: 0
			b[0]++                                             // of the outer map
			return b, tk
		}},
		"wrong signature": {custody.Malformed, func(w *world, h *home) ([]byte, *custody.Ticket) {
			tk := hour(w)
			b := bytes.Clone(raw(w.request(tk)))
			b[len(b)-1] ^= 1
			return b, tk
		}},
		"used up": {custody.UsedUp, func(w *world, h *home) ([]byte, *custody.Ticket) {
			tk := w.grant(3600, func(x *custody.Terms) { x.MaxOpens = 1 })
			want(t, h.reason(w.request(tk), tk), "")
			return raw(w.request(tk)), tk
		}},
		"dated back by a stolen device": {custody.BadDevice, func(w *world, h *home) ([]byte, *custody.Ticket) {
			set := w.deviceSet(2, []custody.Key{custody.KeyOf(custodytest.Key(t))}, nil)
			_, err := h.byOwner().Status(t.Context(), News{Owner: custody.KeyOf(w.Root), DeviceSet: set})
			check(t, err)
			w.Now -= 3000 // the thief's clock
			tk := hour(w)
			w.Now += 3000
			return raw(w.request(tk)), tk
		}},
		"older package": {custody.Superseded, func(w *world, h *home) ([]byte, *custody.Ticket) {
			tk := w.grant(3600, func(x *custody.Terms) { x.Follow = true })
			second := w.pack(tk.Grant, 2, 2)
			want(t, h.reason(w.request(second), second), "")
			return raw(w.request(tk)), tk
		}},
		"no sign of the owner": {custody.OwnerSilent, func(w *world, h *home) ([]byte, *custody.Ticket) {
			tk := w.grant(3600, func(x *custody.Terms) { x.StatusMaxAge = 60 })
			return raw(w.request(tk)), tk
		}},
		"clock in doubt": {custody.ClockDoubt, func(w *world, h *home) ([]byte, *custody.Ticket) {
			tk := hour(w)
			h.svc.Heard(w.owner, w.Now+7200)
			return raw(w.request(tk)), tk
		}},
		"not through a gateway": {custody.NotGateway, func(w *world, h *home) ([]byte, *custody.Ticket) {
			tk := hour(w)
			w.Gateway.Device[0]++
			return raw(w.request(tk)), tk
		}},
		"too often": {custody.Busy, func(w *world, h *home) ([]byte, *custody.Ticket) {
			tk := hour(w)
			for h.svc.limit.Allow(byDevice, custody.KeyOf(w.Brand.Member.Device), perDevice, h.opts.Now()) {
			}
			return raw(w.request(tk)), tk
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			h := w.homes[0]
			request, ticket := c.make(w, h)
			want(t, h.bring(request, ticket), c.want)
			var told []string
			for _, e := range h.entries() {
				if e.Kind == ledger.Refuse {
					told = append(told, e.Detail)
				}
			}
			if len(told) != 1 || told[0] != string(c.want) {
				t.Fatalf("refusals in the log: %q, want %q", told, c.want)
			}
		})
	}
}

// What is too large is not opened at all: nobody can tell whose it is.
func TestOversizeLetter(t *testing.T) {
	w := newWorld(t, 1)
	h := w.homes[0]
	raw, err := custody.Marshal(custody.Letter{Owner: custody.KeyOf(w.Root), Sealed: make([]byte, 1000)})
	check(t, err)
	r, err := Client{as{h.svc, w.Gateway.Device}}.Letter(t.Context(), append(raw, make([]byte, custody.MaxDocument)...))
	check(t, err)
	want(t, r.Reason, custody.Malformed)
}
