// SPDX-License-Identifier: MPL-2.0

package ledger_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/engine/vectortest"
)

const vectorFile = "testdata/ledger.json"

type hexed = vectortest.Hex

// vectors is the form of testdata/ledger.json, which docs/formats.md explains.
type vectors struct {
	Logs  []logVector `json:"logs"`
	Proof hexed       `json:"proof"`
	Grant hexed       `json:"proof_grant"` // the hash of the proof's grant
}

type logVector struct {
	Why       string          `json:"why"`
	Owner     hexed           `json:"owner"`
	Custodian hexed           `json:"custodian"`
	Genesis   hexed           `json:"genesis"`
	Records   []recordVector  `json:"records"`
	Witnesses []witnessVector `json:"witnesses,omitempty"`
	Head      hexed           `json:"head,omitempty"`  // of a good log
	First     uint64          `json:"first,omitempty"` // of a bad one: the entries in question
	Last      uint64          `json:"last,omitempty"`
}

type recordVector struct {
	Entry hexed `json:"entry,omitempty"`
	Hash  hexed `json:"hash"`
}

type witnessVector struct {
	Seq  uint64 `json:"seq"`
	Head hexed  `json:"head"`
}

func makeVectors(t *testing.T) *vectors {
	t.Helper()
	w, b := history(t)
	proof, err := ledger.WriteProof(b, &w.Owner, w.Now)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ledger.VerifyProof(proof)
	if err != nil {
		t.Fatal(err)
	}
	v := &vectors{Proof: proof, Grant: r.Grant.Hash[:]}
	c := w.Custodians[0]
	base := logVector{Owner: slices.Clone(c.Log.Owner[:]), Custodian: slices.Clone(c.Log.Custodian[:])}
	genesis := ledger.New(c.Log.Owner, c.Log.Custodian).Head
	base.Genesis = genesis[:]
	add := func(why string, records []ledger.Record, witnesses []ledger.Witness) {
		l := base
		l.Why = why
		for _, r := range records {
			l.Records = append(l.Records, recordVector{r.Entry, slices.Clone(r.Hash[:])})
		}
		for _, w := range witnesses {
			l.Witnesses = append(l.Witnesses, witnessVector{w.Seq, slices.Clone(w.Head[:])})
		}
		end, err := ledger.Verify(c.Log.Owner, c.Log.Custodian, records, witnesses...)
		var bad *ledger.BadEntry
		if errors.As(err, &bad) {
			l.First, l.Last = bad.First, bad.Last
		} else {
			l.Head = end.Head[:]
		}
		v.Logs = append(v.Logs, l)
	}
	var told []ledger.Witness
	for i := range c.Records {
		end, err := ledger.Verify(c.Log.Owner, c.Log.Custodian, c.Records[:i+1])
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, ledger.Witness{Seq: end.Seq, Head: end.Head})
	}
	add("whole", c.Records, told)
	add("entries of another grant left out", ledger.Redact(c.Records, r.Grant.Hash), told)
	bent := slices.Clone(c.Records)
	bent[2].Entry = slices.Clone(bent[2].Entry)
	bent[2].Entry[60] ^= 1
	add("a changed entry", bent, nil)
	bent = ledger.Redact(c.Records, r.Grant.Hash)
	bent[0].Hash[0] ^= 1
	add("a changed hash of an entry that is left out", bent, nil)
	add("an entry removed", slices.Delete(slices.Clone(c.Records), 1, 2), nil)
	add("two entries exchanged", []ledger.Record{c.Records[1], c.Records[0]}, nil)
	add("an end that a witness misses", c.Records[:3], told[4:5])
	other := told[3]
	other.Head[0] ^= 1
	add("a witness of another history", c.Records, []ledger.Witness{told[1], other})
	return v
}

func TestVectors(t *testing.T) {
	vectortest.Update(t, vectorFile, makeVectors)
	v := vectortest.Read[vectors](t, vectorFile)
	for _, l := range v.Logs {
		owner, name := custody.Key(l.Owner), custody.Key(l.Custodian)
		if ledger.New(owner, name).Head != custody.Hash(l.Genesis) {
			t.Errorf("%s: another beginning", l.Why)
		}
		var records []ledger.Record
		for _, r := range l.Records {
			records = append(records, ledger.Record{Entry: r.Entry, Hash: custody.Hash(r.Hash)})
		}
		var witnesses []ledger.Witness
		for _, w := range l.Witnesses {
			witnesses = append(witnesses, ledger.Witness{Seq: w.Seq, Head: custody.Hash(w.Head)})
		}
		end, err := ledger.Verify(owner, name, records, witnesses...)
		var bad *ledger.BadEntry
		switch {
		case l.First == 0 && (err != nil || end.Head != custody.Hash(l.Head)):
			t.Errorf("%s: %v", l.Why, err)
		case l.First != 0 && (!errors.As(err, &bad) || bad.First != l.First || bad.Last != l.Last):
			t.Errorf("%s: %v, want %d to %d", l.Why, err, l.First, l.Last)
		}
	}
	r, err := ledger.VerifyProof(v.Proof)
	if err != nil || r.Grant.Hash != custody.Hash(v.Grant) || len(r.Openings) != 2 || r.RevokedAt == 0 {
		t.Fatalf("the proof: %v", err)
	}
}
