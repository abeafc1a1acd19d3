// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/internal/wire"
	"github.com/preezm/preezm/peers/shardlist"
)

// fuzzMessage checks that what a message is read from is what it is written
// as, and that nothing else is read.
func fuzzMessage[M any](f *testing.F, seed M) {
	codec, err := wire.New()
	if err != nil {
		f.Fatal(err)
	}
	raw, err := codec.Marshal(seed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m M
		if codec.Read(bytes.NewReader(b), maxList, &m) != nil {
			return
		}
		again, err := codec.Marshal(m)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x is also written as %x (%v)", b, again, err)
		}
		if s, ok := any(m).(shardsMsg); ok {
			if ids, err := s.ids(); err == nil && !bytes.Equal(newShardsMsg(ids).IDs, s.IDs) {
				t.Error("other shards")
			}
		}
	})
}

func FuzzHello(f *testing.F) {
	fuzzMessage(f, helloMsg{Name: "a", Version: "1", Addresses: []string{"h:1"}})
}

func FuzzHelloAnswer(f *testing.F) {
	fuzzMessage(f, helloAnswer{Name: "a", Version: "1", Quota: 1 << 40, UnixTime: 1 << 31})
}

func FuzzJoin(f *testing.F) {
	fuzzMessage(f, joinMsg{Token: make([]byte, 16), Name: "a", Addresses: []string{"h:1"}})
}

func FuzzJoinAnswer(f *testing.F) { fuzzMessage(f, joinAnswer{Name: "a", Addresses: []string{"h:1"}}) }
func FuzzShards(f *testing.F)     { fuzzMessage(f, newShardsMsg([]peers.ShardID{{1}, {2}})) }
func FuzzStatAnswer(f *testing.F) { fuzzMessage(f, statAnswer{Sizes: []int64{-1, 0, 4 << 20}}) }
func FuzzError(f *testing.F)      { fuzzMessage(f, errorMsg{Code: "quota"}) }

func FuzzClaim(f *testing.F) {
	fuzzMessage(f, claimMsg{List: []byte{1}, Name: "a", Addresses: []string{"h:1"}})
}

func FuzzClaimAnswer(f *testing.F) {
	fuzzMessage(f, claimAnswer{Admitted: true, List: []byte{1}, Name: "a", Addresses: []string{"h:1"}})
}

func FuzzPair(f *testing.F)       { fuzzMessage(f, PairRequest{Token: [16]byte{1}, Name: "a"}) }
func FuzzPairAnswer(f *testing.F) { fuzzMessage(f, PairAnswer{Wait: true, Sealed: []byte{1}}) }
func FuzzPutHead(f *testing.F)    { fuzzMessage(f, putHeadMsg{Number: 1, Sealed: []byte{1}}) }
func FuzzGetHeads(f *testing.F)   { fuzzMessage(f, getHeadsMsg{Number: 1}) }

func FuzzHeads(f *testing.F) {
	fuzzMessage(f, headsAnswer{Heads: []peers.Head{{Device: peers.DeviceID{1}, Number: 1, Sealed: []byte{1}, Oldest: 1}}})
}

func FuzzMail(f *testing.F)     { fuzzMessage(f, mailMsg{List: [][]byte{{1}, {}}}) }
func FuzzNeeded(f *testing.F)   { fuzzMessage(f, neededMsg{List: []byte{1}}) }
func FuzzSwept(f *testing.F)    { fuzzMessage(f, shardlist.Swept{Waiting: 1, Gone: 2}) }
func FuzzFarewell(f *testing.F) { fuzzMessage(f, farewellMsg{}) }

// Where somebody may be by UDP, and for whom it says so, comes from others.
func FuzzPunch(f *testing.F) {
	k := make([]byte, 16)
	fuzzMessage(f, controlMsg{What: controlPunch, Token: k, Addresses: []string{"203.0.113.1:1"}, Device: make([]byte, 32), Answer: true})
}

func FuzzRange(f *testing.F) {
	f.Add("bytes=0-0")
	f.Add("bytes=65536-4194303")
	f.Fuzz(func(t *testing.T, s string) {
		first, last, err := parseRange(s)
		if err != nil {
			return
		}
		if first < 0 || last < first || s != fmt.Sprintf("bytes=%d-%d", first, last) {
			t.Errorf("%q: %d %d", s, first, last)
		}
	})
}

func FuzzShardID(f *testing.F) {
	f.Add(peers.ShardID{1, 2}.String())
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := parseShardID(s); err == nil && id.String() != s {
			t.Errorf("%q is also %q", s, id)
		}
	})
}

func TestEveryFailureTravels(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range failures() {
		if seen[f.code] {
			t.Errorf("%s twice", f.code)
		}
		seen[f.code] = true
		if got := failureOf(fmt.Errorf("wrapped: %w", f.err)); got.code != f.code {
			t.Errorf("%s travels as %s", f.code, got.code)
		}
		if remoteError(f.code) == nil {
			t.Errorf("%s is no error", f.code)
		}
	}
}

func FuzzAudit(f *testing.F) {
	fuzzMessage(f, auditMsg{Nonce: make([]byte, 16), IDs: make([]byte, 64), Spots: 3})
}

func FuzzAuditAnswer(f *testing.F) {
	fuzzMessage(f, auditAnswer{Proofs: []proofMsg{{Leaves: make([]byte, 64), Spots: []byte("x")}, {Finding: 1, Leaves: []byte{}, Spots: []byte{}}}})
}

// A proof of any form is refused or taken apart without a panic, and checks
// for no root that it does not lead to.
func FuzzProof(f *testing.F) {
	f.Add(uint8(0), make([]byte, 32), make([]byte, 1024), int64(1024), 1)
	f.Fuzz(func(t *testing.T, finding uint8, leaves, spots []byte, size int64, n int) {
		if size < 1 || size > peers.MaxShard || n < 1 || n > peers.MaxSpots {
			return
		}
		m := proofMsg{Finding: finding, Leaves: leaves, Spots: spots}
		p, err := m.proof(peers.Nonce{}, peers.ShardID{1}, size, n)
		if err == nil && p.Check(peers.Nonce{}, peers.ShardID{1}, size, peers.Root{1}, n) {
			t.Error("it checks")
		}
	})
}

func FuzzReceipt(f *testing.F) {
	fuzzMessage(f, receiptMsg{Signed: []byte("x"), Others: [][]byte{[]byte("y")}})
}
func FuzzReceiptAnswer(f *testing.F) {
	fuzzMessage(f, receiptAnswer{Signed: []byte("x"), Last: []byte{}})
}
