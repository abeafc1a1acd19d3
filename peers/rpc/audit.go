// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"fmt"
	"net/http"

	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
)

const (
	pathAudit = "/v1/audit"
	// maxAudit is the size of the largest answer, in bytes: for each shard
	// its leaves' hashes, and for each spot the bytes and six hashes.
	maxAudit = peers.MaxAudited * (64*32 + peers.MaxSpots*(erasure.SpotSize+6*32) + 64)
	// auditsAtOnce bounds what audits take of this machine: each may read and
	// hash half a thousand leaves.
	auditsAtOnce = 2
)

// Auditor is a Depot that can prove what it holds.
type Auditor interface {
	Audit(ctx context.Context, owner peers.DeviceID, nonce peers.Nonce, ids []peers.ShardID, spots int) ([]peers.Proof, error)
}

// Audit implements Auditor where the Store does.
func (k kept[S, U]) Audit(ctx context.Context, owner peers.DeviceID, nonce peers.Nonce, ids []peers.ShardID, spots int) ([]peers.Proof, error) {
	a, ok := any(k.Store).(Auditor)
	if !ok {
		return nil, errPath
	}
	return a.Audit(ctx, owner, nonce, ids, spots)
}

// auditMsg asks for proofs.
type auditMsg struct {
	Nonce []byte `cbor:"1,keyasint"`
	IDs   []byte `cbor:"2,keyasint"`
	Spots uint8  `cbor:"3,keyasint"`
}

// auditAnswer has one entry for each shard, in the same order.
type auditAnswer struct {
	Proofs []proofMsg `cbor:"1,keyasint"`
}

// proofMsg is a proof with everything whose length follows from the shard's
// size one after the other.
type proofMsg struct {
	Finding uint8  `cbor:"1,keyasint"`
	Leaves  []byte `cbor:"2,keyasint"` // 32 bytes each
	Spots   []byte `cbor:"3,keyasint"` // each its bytes, then its hashes
}

func (v *server) audit(w http.ResponseWriter, r *http.Request, owner peers.DeviceID) error {
	return v.prove(w, r, func([]peers.ShardID) (peers.DeviceID, error) { return owner, nil })
}

// prove answers with proofs of shards; whose says in whose account they are.
func (v *server) prove(w http.ResponseWriter, r *http.Request, whose func([]peers.ShardID) (peers.DeviceID, error)) error {
	var in auditMsg
	if err := v.read(w, r, 32*peers.MaxAudited+64, &in); err != nil {
		return err
	}
	ids, err := shardsMsg{IDs: in.IDs}.ids()
	if err != nil {
		return err
	}
	if len(in.Nonce) != len(peers.Nonce{}) || len(ids) > peers.MaxAudited || in.Spots < 1 || in.Spots > peers.MaxSpots {
		return fmt.Errorf("%w: audit of %d spots of %d shards", errMessage, in.Spots, len(ids))
	}
	a, ok := v.s.cfg.Depot.(Auditor)
	if !ok {
		return errPath
	}
	leave, err := enter(v.audits)
	if err != nil {
		return err
	}
	defer leave()
	owner, err := whose(ids)
	if err != nil {
		return err
	}
	proofs, err := a.Audit(r.Context(), owner, peers.Nonce(in.Nonce), ids, int(in.Spots))
	if err != nil {
		return err
	}
	out := auditAnswer{Proofs: make([]proofMsg, len(proofs))}
	for i := range proofs {
		out.Proofs[i] = newProofMsg(&proofs[i])
	}
	v.answer(w, http.StatusOK, out)
	return nil
}

func newProofMsg(p *peers.Proof) proofMsg {
	m := proofMsg{Finding: uint8(p.Finding), Leaves: []byte{}, Spots: []byte{}}
	for i := range p.Leaves {
		m.Leaves = append(m.Leaves, p.Leaves[i][:]...)
	}
	for _, s := range p.Spots {
		m.Spots = append(m.Spots, s.Data...)
		for i := range s.Siblings {
			m.Spots = append(m.Spots, s.Siblings[i][:]...)
		}
	}
	return m
}

// proof takes a message apart, by what its lengths have to be.
func (m *proofMsg) proof(nonce peers.Nonce, id peers.ShardID, size int64, spots int) (peers.Proof, error) {
	p := peers.Proof{Finding: peers.Finding(m.Finding)}
	bad := fmt.Errorf("%w (a proof of another form than asked for)", peers.ErrProtocol)
	switch p.Finding {
	case peers.Lacking, peers.Broken:
		if len(m.Leaves)+len(m.Spots) > 0 {
			return p, bad
		}
		return p, nil
	case peers.Proven:
	default:
		return p, bad
	}
	if len(m.Leaves) != 32*erasure.LeafCount(size) {
		return p, bad
	}
	p.Leaves = hashes(m.Leaves)
	rest := m.Spots
	for j := range spots {
		_, leafLen, spot, n := erasure.SpotPlace(size, peers.SpotAt(nonce, id, j, size))
		need := n + 32*erasure.Siblings(leafLen, spot)
		if len(rest) < need {
			return p, bad
		}
		p.Spots = append(p.Spots, peers.SpotProof{Data: rest[:n:n], Siblings: hashes(rest[n:need])})
		rest = rest[need:]
	}
	if len(rest) > 0 {
		return p, bad
	}
	return p, nil
}

func hashes(b []byte) [][32]byte {
	out := make([][32]byte, len(b)/32)
	for i := range out {
		out[i] = [32]byte(b[32*i:])
	}
	return out
}

// AuditShards implements peers.Auditee.
func (c *Client) AuditShards(ctx context.Context, nonce peers.Nonce, ids []peers.ShardID, sizes []int64, spots int) ([]peers.Proof, error) {
	return c.proofs(ctx, pathAudit, nonce, ids, sizes, spots)
}

func (c *Client) proofs(ctx context.Context, path string, nonce peers.Nonce, ids []peers.ShardID, sizes []int64, spots int) ([]peers.Proof, error) {
	if len(ids) > peers.MaxAudited || len(ids) != len(sizes) || spots < 1 || spots > peers.MaxSpots {
		return nil, c.wrap(fmt.Errorf("%w (an audit of %d spots of %d shards)", peers.ErrRefused, spots, len(ids)))
	}
	var a auditAnswer
	msg := auditMsg{Nonce: nonce[:], IDs: newShardsMsg(ids).IDs, Spots: uint8(spots)}
	if err := c.call(ctx, path, msg, maxAudit, &a); err != nil {
		return nil, c.wrap(err)
	}
	if len(a.Proofs) != len(ids) {
		return nil, c.wrap(fmt.Errorf("%w (%d proofs for %d shards)", peers.ErrProtocol, len(a.Proofs), len(ids)))
	}
	out := make([]peers.Proof, len(ids))
	for i := range out {
		var err error
		if out[i], err = a.Proofs[i].proof(nonce, ids[i], sizes[i], spots); err != nil {
			return nil, c.wrap(err)
		}
	}
	return out, c.wrap(nil)
}
