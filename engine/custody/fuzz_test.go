// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"errors"
	"testing"

	"github.com/preezm/preezm/engine/vectortest"
)

// FuzzDocument reads foreign bytes as every type.
func FuzzDocument(f *testing.F) {
	v := vectortest.Read[vectors](f, vectorFile)
	for _, d := range v.Documents {
		f.Add([]byte(d.Raw))
	}
	for _, d := range v.Refuse {
		f.Add([]byte(d.Raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		n := 0
		for _, parse := range parsers {
			_, _, err := parse(raw)
			if err == nil {
				n++
			} else if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
		}
		if n > 1 {
			t.Fatal("one document passes for two types")
		}
	})
}

// payload reads bytes as a type's payload, as if its signature had been good.
func payload[T Document](t *testing.T, b []byte) {
	var body T
	if Unmarshal(b, &body) != nil || body.Check() != nil {
		return
	}
	again, err := Marshal(body)
	if err != nil || !bytes.Equal(again, b) {
		t.Fatalf("a %s has two encodings: %v", body.Type(), err)
	}
}

// FuzzPayload goes where FuzzDocument's signature check ends.
func FuzzPayload(f *testing.F) {
	for _, d := range vectortest.Read[vectors](f, vectorFile).Documents {
		var e envelope
		if err := Unmarshal(d.Raw, &e); err != nil {
			f.Fatal(err)
		}
		f.Add(e.Payload)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		payload[DeviceCert](t, b)
		payload[DeviceSet](t, b)
		payload[Appointment](t, b)
		payload[Grant](t, b)
		payload[KeyPackage](t, b)
		payload[Revocation](t, b)
		payload[OwnerStatus](t, b)
		payload[OpenRequest](t, b)
		payload[Release](t, b)
		payload[Denial](t, b)
		payload[Card](t, b)
		payload[MemberRevocations](t, b)
	})
}

// FuzzDecide signs whatever it gets with the brand's and the owner's own keys:
// both are hostile to a custodian.
func FuzzDecide(f *testing.F) {
	v := vectortest.Read[vectors](f, vectorFile)
	base := v.Decide[0]
	var e, g, p envelope
	var req OpenRequest
	for _, err := range []error{
		Unmarshal(v.Open[0].Request, &e), Unmarshal(e.Payload, &req),
		Unmarshal(req.Grant, &g), Unmarshal(req.Package, &p),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
	f.Add([]byte(v.Open[0].Request), e.Payload, g.Payload, p.Payload)
	member, device := fixedKey("brand device"), fixedKey("owner device")
	f.Fuzz(func(t *testing.T, raw, request, grant, pkg []byte) {
		for _, in := range [][]byte{raw, rawSignedOr(member, OpenRequest{}.Type(), request), nested(member, req, device, grant, pkg)} {
			d, err := Decide(in, [32]byte(base.Via), decideState{&base})
			var r *Refusal
			if err != nil && !errors.As(err, &r) || err == nil && d.Grant == nil {
				t.Fatalf("neither yes nor no: %v", err)
			}
		}
	})
}

func FuzzLetter(f *testing.F) {
	l := vectortest.Read[vectors](f, vectorFile).Letters[0]
	f.Add([]byte(l.Raw))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if l2, err := ReadLetter(raw); err == nil {
			_, _ = l2.Open(Chain{l.Generation, l.Day, [32]byte(l.Chain)})
		}
	})
}

func FuzzText(f *testing.F) {
	kem, err := hpke.MLKEM768X25519().NewPrivateKey(make([]byte, 32))
	if err != nil {
		f.Fatal(err)
	}
	text, err := NewCard(ed25519.NewKeyFromSeed(make([]byte, 32)), "a company", kem.PublicKey(), vectorTime)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseCard(text); (err == nil) != (c != nil) {
			t.Fatal("neither a card nor an error")
		}
	})
}

// FuzzRelease brings foreign answers to a brand.
func FuzzRelease(f *testing.F) {
	o := vectortest.Read[vectors](f, vectorFile).Open[0]
	ticket, err := ReadTicket(o.Grant, o.Package)
	if err != nil {
		f.Fatal(err)
	}
	req, err := Parse[OpenRequest](o.Request)
	if err != nil {
		f.Fatal(err)
	}
	eph, err := openKEM(o.Ephemeral)
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range o.Releases {
		f.Add([]byte(r))
	}
	f.Add([]byte(o.Liar))
	f.Fuzz(func(t *testing.T, raw []byte) {
		op := &Opening{
			Request: req, ticket: ticket, ephemeral: eph, pads: map[int][32]byte{}, releases: map[int][]byte{},
			entry: ticket.Package.Body.entry(req.Body.File, req.Body.Version),
		}
		if op.Add(raw) == nil && op.Have() != 1 {
			t.Fatal("taken in, but not counted")
		}
		_, _, _ = op.Denied(raw)
	})
}
