// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"context"
	"fmt"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
)

// EvidenceQuery asks for what is kept of the releases under one grant, behind
// log entry After.
type EvidenceQuery struct {
	Owner custody.Key  `cbor:"1,keyasint"`
	Grant custody.Hash `cbor:"2,keyasint"`
	After uint64       `cbor:"3,keyasint"`
}

// Evidence is a part of it; More says that there is more behind the last item.
type Evidence struct {
	Items []EvidenceItem `cbor:"1,keyasint"`
	More  bool           `cbor:"2,keyasint"`
}

// EvidenceItem is a request as the brand signed it, and the receipt it got. It
// opens nothing: the receipt is sealed to a key that is gone.
type EvidenceItem struct {
	Seq     uint64 `cbor:"1,keyasint"` // of the log entry
	Request []byte `cbor:"2,keyasint"` // custody.SlimRequest
	Release []byte `cbor:"3,keyasint"`
}

// maxEvidence bounds the bytes of one answer, beyond its first item.
const maxEvidence = 512 << 10

// Evidence answers a person about its own grants; others are told nothing.
func (s *Service) Evidence(ctx context.Context, from peers.DeviceID, raw []byte) ([]byte, error) {
	var q EvidenceQuery
	if err := custody.Unmarshal(raw, &q); err != nil {
		return nil, refused(err)
	}
	o, err := s.attend(ctx, from, q.Owner)
	if err != nil {
		return nil, err
	}
	defer o.mu.Unlock()
	e, err := s.store.evidence(ctx, o.root, q.Grant, q.After)
	if err != nil {
		return nil, err
	}
	return custody.Marshal(e)
}

func (s *store) evidence(ctx context.Context, root custody.Key, grant custody.Hash, after uint64) (*Evidence, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT seq, request, release FROM evidence WHERE owner = ? AND grant_hash = ? AND seq > ? ORDER BY seq",
		root[:], grant[:], int64(after))
	if err != nil {
		return nil, fmt.Errorf("witness.db: %w", err)
	}
	defer rows.Close()
	e := &Evidence{Items: []EvidenceItem{}}
	size := 0
	for rows.Next() {
		var it EvidenceItem
		if err := rows.Scan(&it.Seq, &it.Request, &it.Release); err != nil {
			return nil, fmt.Errorf("witness.db: %w", err)
		}
		if size += len(it.Request) + len(it.Release); size > maxEvidence && len(e.Items) > 0 {
			e.More = true
			return e, nil
		}
		e.Items = append(e.Items, it)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("witness.db: %w", err)
	}
	return e, nil
}
