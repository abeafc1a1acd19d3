// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
)

// parts gives the chunks here that those of the other machine are; segments that
// are not known here are taken over with all that is in them.
func (m *merger) parts(theirs []Part) ([]Part, error) {
	out := make([]Part, len(theirs))
	for i, p := range theirs {
		if p.Chunk == 0 {
			out[i] = p
			continue
		}
		id, err := m.chunk(p.Chunk)
		if err != nil {
			return nil, err
		}
		out[i] = Part{Chunk: id}
	}
	return out, nil
}

func (m *merger) chunk(theirs int64) (int64, error) {
	if id := m.chunks[theirs]; id != 0 {
		return id, nil
	}
	rows, err := m.o.Theirs.Chunks(m.ctx, []int64{theirs})
	if err != nil {
		return 0, err
	}
	k := rows[theirs]
	id, err := m.find(&k)
	if err != nil {
		return 0, err
	}
	if id == 0 {
		here, err := m.segmentHere(k.Segment)
		if err != nil {
			return 0, err
		}
		if here != 0 { // moved away here, and let go of
			err = m.insert(&k, here)
		} else {
			err = m.segment(k.Segment)
		}
		if err != nil {
			return 0, err
		}
		if id = m.chunks[theirs]; id == 0 {
			return 0, fmt.Errorf("chunk %d of the other machine is nowhere", theirs)
		}
	}
	m.chunks[theirs] = id
	return id, nil
}

// find looks for a chunk here: the same data, or the same place.
func (m *merger) find(k *Chunk) (id int64, err error) {
	err = m.tx.QueryRowContext(m.ctx, "SELECT id FROM chunks WHERE cid = ?", k.Name[:]).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		seg, err := m.segmentHere(k.Segment)
		if err != nil || seg == 0 {
			return 0, err
		}
		err = m.tx.QueryRowContext(m.ctx, "SELECT id FROM chunks WHERE segment = ? AND off = ? AND key = ?", seg, k.Off, k.Key[:]).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return 0, nil
		}
		return id, err
	}
	return id, err
}

// origin gives the first name of a segment of the other machine.
func (m *merger) origin(theirs int64) (o []byte, err error) {
	err = m.theirs.QueryRowContext(m.ctx, "SELECT origin FROM segments WHERE id = ?", theirs).Scan(&o)
	return o, explain(err)
}

// segmentHere gives the row here of a segment there, by its first name or by any
// shard that both know; 0 when there is none.
func (m *merger) segmentHere(theirs int64) (id int64, err error) {
	if id, ok := m.segments[theirs]; ok {
		return id, nil
	}
	origin, err := m.origin(theirs)
	if err != nil {
		return 0, err
	}
	err = m.tx.QueryRowContext(m.ctx, "SELECT id FROM segments WHERE origin = ? AND length(origin) > 0", origin).Scan(&id)
	if err == nil {
		m.segments[theirs] = id
		return id, nil
	} else if !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	shards, err := collect(m.ctx, m.theirs, scanBlob, "SELECT shard FROM shards WHERE segment = ?", theirs)
	if err != nil {
		return 0, err
	}
	for _, s := range shards {
		var id int64
		err := m.tx.QueryRowContext(m.ctx, "SELECT segment FROM shards WHERE shard = ?", s).Scan(&id)
		if err == nil {
			m.segments[theirs] = id
			return id, nil
		} else if !errors.Is(err, sql.ErrNoRows) {
			return 0, err
		}
	}
	m.segments[theirs] = 0
	return 0, nil
}

// segment takes a segment over, with its chunks and shards.
func (m *merger) segment(theirs int64) error {
	s, err := readSegment(m.ctx, m.theirs, theirs)
	if err != nil {
		return err
	}
	origin, err := m.origin(theirs)
	if err != nil {
		return err
	}
	res, err := m.tx.ExecContext(m.ctx, "INSERT INTO segments(k, n, shard_len, data_len, state, made, origin, recoded, coding) VALUES(?,?,?,?,1,?,?,?,?)",
		s.K, s.N, s.ShardLen, s.DataLen, m.u.now().UnixNano(), origin, s.coding.times, s.coding.tag)
	if err != nil {
		return err
	}
	id, err := res.LastInsertId()
	if err != nil {
		return err
	}
	for i := range s.Shards {
		if err := insertShard(m.ctx, m.tx, id, i, &s.Shards[i]); err != nil {
			return err
		}
		if s.Shards[i].State == There {
			m.left[s.Shards[i].Keeper] = false
		}
	}
	m.segments[theirs] = id
	chunks, err := collect(m.ctx, m.theirs, scanChunk, "SELECT "+chunkColumns+" FROM chunks WHERE segment = ?", theirs)
	if err != nil {
		return err
	}
	for i := range chunks {
		if err := m.insert(&chunks[i], id); err != nil {
			return err
		}
	}
	return nil
}

// insert takes a chunk over into a segment here.
func (m *merger) insert(k *Chunk, segment int64) error {
	name := k.Name[:]
	here, err := exists(m.ctx, m.tx, "SELECT 1 FROM chunks WHERE cid = ?", name)
	if err != nil {
		return err
	}
	if here {
		name = make([]byte, 32) // kept here already: this copy is not to be found
		rand.Read(name)
	}
	res, err := m.tx.ExecContext(m.ctx, "INSERT INTO chunks(cid, segment, off, sealed, plain, coding, key, refs) VALUES(?,?,?,?,?,?,?,0)",
		name, segment, k.Off, k.Sealed, k.Plain, k.Zstd, k.Key[:])
	if err != nil {
		return err
	}
	m.chunks[k.ID], err = res.LastInsertId()
	return err
}
