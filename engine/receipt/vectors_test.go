// SPDX-License-Identifier: MPL-2.0

package receipt

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/vectortest"
	"github.com/preezm/preezm/peers"
)

const vectorFile = "testdata/receipts.json"

type hexed = vectortest.Hex

// vectors is the form of testdata/receipts.json, which docs/formats.md explains.
// Keys are seeds of Ed25519.
type vectors struct {
	Person  hexed       `json:"person_seed"`
	Machine hexed       `json:"machine_seed"`
	Chain   []oneVector `json:"chain"` // each follows the one before
	Refuse  []struct {
		Why string `json:"why"`
		Raw hexed  `json:"raw"`
	} `json:"refuse"`
}

type oneVector struct {
	Bytes uint64 `json:"bytes"`
	Now   int64  `json:"now"`
	Seq   uint64 `json:"seq"`
	From  int64  `json:"from"`
	Total uint64 `json:"total"`
	Raw   hexed  `json:"raw"` // signed by both
}

func fresh(t *testing.T) *vectors {
	v := &vectors{Person: person.Seed(), Machine: machine.Seed()}
	now := int64(1_800_000_000)
	var last *Statement
	// The first, a plain one, an odd sum, an empty one, and one after that.
	for _, x := range []struct {
		bytes uint64
		after int64
	}{{10_000_000_000, 0}, {10_000_000_000, 1800}, {7, 3601}, {0, 86400}, {5_000_000, 7 * 86400}} {
		now += x.after
		s, err := Next(last, giver, taker, x.bytes, now)
		if err != nil {
			t.Fatal(err)
		}
		v.Chain = append(v.Chain, oneVector{x.bytes, now, s.Seq, s.From, s.Total, joined(t, sign(t, person, s), sign(t, machine, s))})
		last = &s
	}
	refuse := func(why string, raw []byte) {
		v.Refuse = append(v.Refuse, struct {
			Why string `json:"why"`
			Raw hexed  `json:"raw"`
		}{why, raw})
	}
	more := *last
	more.Bytes++
	refuse("the two signed different numbers", joined(t, sign(t, person, *last), sign(t, machine, more)))
	refuse("a machine signed for the person", joined(t, sign(t, machine, *last), sign(t, machine, *last)))
	refuse("the giver's signature is another machine's", joined(t, sign(t, person, *last), sign(t, key(3), *last)))
	bad := sign(t, person, *last)
	bad[len(bad)-1] ^= 1
	refuse("a changed signature", joined(t, bad, sign(t, machine, *last)))
	refuse("one byte more", append(bytes.Clone(v.Chain[0].Raw), 0))
	return v
}

// Receipts that were written before are read, and made, as they were then.
func TestVectors(t *testing.T) {
	vectortest.Update(t, vectorFile, fresh)
	v := vectortest.Read[vectors](t, vectorFile)
	if len(v.Chain) < 5 || len(v.Refuse) < 5 {
		t.Fatalf("%d receipts, %d to refuse", len(v.Chain), len(v.Refuse))
	}
	p, m := ed25519.NewKeyFromSeed(v.Person), ed25519.NewKeyFromSeed(v.Machine)
	var last *Statement
	for i, x := range v.Chain {
		s, err := Next(last, peers.DeviceID{1}, custody.KeyOf(p), x.Bytes, x.Now)
		if err != nil || s.Seq != x.Seq || s.From != x.From || s.Total != x.Total {
			t.Errorf("receipt %d: %+v, %v, want %+v", i, s, err, x)
		}
		if raw := joined(t, sign(t, p, s), sign(t, m, s)); !bytes.Equal(raw, x.Raw) {
			t.Errorf("receipt %d is written otherwise", i)
		}
		if pair, err := ReadPair(x.Raw, m.Public().(ed25519.PublicKey)); err != nil || pair.Statement != s {
			t.Errorf("receipt %d is read as %+v, %v", i, pair, err)
		}
		last = &s
	}
	for _, x := range v.Refuse {
		if _, err := ReadPair(x.Raw, m.Public().(ed25519.PublicKey)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", x.Why, err)
		}
	}
}
