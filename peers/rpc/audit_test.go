// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"bytes"
	"errors"
	"testing"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

// auditOf makes shards.
func auditOf(t *testing.T, sizes []int64) (ids []peers.ShardID, shards [][]byte, roots []peers.Root) {
	t.Helper()
	for i, n := range sizes {
		b := bytes.Repeat([]byte{byte(i + 1), 7, 3}, int(n)/3+1)[:n]
		ids = append(ids, peers.ShardID{byte(i + 1)})
		shards = append(shards, b)
		roots = append(roots, erasure.ShardRoot(b))
	}
	return ids, shards, roots
}

// honest proves a shard as a keeper does.
func honest(nonce peers.Nonce, id peers.ShardID, shard []byte, spots int) peers.Proof {
	p := peers.Proof{Leaves: erasure.Leaves(nil, shard)}
	for j := range spots {
		i := peers.SpotAt(nonce, id, j, int64(len(shard)))
		leaf, leafLen, spot, n := erasure.SpotPlace(int64(len(shard)), i)
		b := shard[leaf*erasure.LeafSize:][:leafLen]
		at := spot * erasure.SpotSize
		p.Spots = append(p.Spots, peers.SpotProof{Data: b[at : at+n], Siblings: erasure.ProveSpot(b, spot)})
	}
	return p
}

func TestProofMessage(t *testing.T) {
	nonce := peers.Nonce{9}
	ids, shards, roots := auditOf(t, []int64{1, 1024, 5000, 70000, 4 << 20})
	for i := range ids {
		size := int64(len(shards[i]))
		p := honest(nonce, ids[i], shards[i], 3)
		m := newProofMsg(&p)
		got, err := m.proof(nonce, ids[i], size, 3)
		if err != nil || !got.Check(nonce, ids[i], size, roots[i], 3) {
			t.Fatalf("%d bytes: %v", size, err)
		}
		for name, change := range map[string]func(*proofMsg){
			"short": func(m *proofMsg) { m.Spots = m.Spots[:len(m.Spots)-1] },
			"long":  func(m *proofMsg) { m.Spots = append(bytes.Clone(m.Spots), 0) },
			"leaf":  func(m *proofMsg) { m.Leaves = m.Leaves[32:] },
			"found": func(m *proofMsg) { m.Finding = 3 },
			"lacks": func(m *proofMsg) { m.Finding = 1 },
		} {
			bad := m
			change(&bad)
			if _, err := bad.proof(nonce, ids[i], size, 3); !errors.Is(err, peers.ErrProtocol) {
				t.Errorf("%d bytes, %s: %v", size, name, err)
			}
		}
		// Another nonce asks for other places, but of one.
		if got.Check(peers.Nonce{8}, ids[i], size, roots[i], 3) && size > 100000 {
			t.Errorf("%d bytes: an old proof is good again", size)
		}
		if got.Check(nonce, ids[i], size, peers.Root{1}, 3) {
			t.Error("another root")
		}
	}
}
