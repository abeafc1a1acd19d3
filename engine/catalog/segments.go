// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/preezm/preezm/engine/seal"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/sqlite"
)

// ShardState says what is known of a shard.
type ShardState uint8

// The states, as stored.
const (
	Owed  ShardState = iota // the keeper has not acknowledged it
	There                   // acknowledged as durable
	Lost                    // the keeper said it lacks it, or gave wrong bytes
)

// Shard is one piece of a segment and where it is.
type Shard struct {
	Keeper peers.DeviceID
	ID     peers.ShardID
	Root   peers.Root
	State  ShardState
	Moved  int64 // how many others had its place before; see follow.go
}

// Segment is the unit of erasure coding: K of its N shards bring it back.
type Segment struct {
	ID       int64
	K, N     int
	ShardLen int  // bytes
	DataLen  int  // bytes used of K*ShardLen
	Backup   bool // holds backups of the catalog; only Intend looks at it
	Shards   []Shard
	coding   coding
}

// Chunk is a piece of a file inside a segment.
type Chunk struct {
	ID      int64
	Name    [32]byte // keyed hash of the plaintext
	Segment int64
	Off     int // in the segment's data
	Sealed  int // bytes there
	Plain   int // bytes of the file
	Zstd    bool
	Key     seal.Key
}

// NextIDs gives row numbers above every one that was ever used, for segments
// and chunks.
func (c *Catalog) NextIDs(ctx context.Context) (segment, chunk int64, err error) {
	err = c.w.QueryRowContext(ctx, `SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'segments'), 0) + 1,
		coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'chunks'), 0) + 1`).Scan(&segment, &chunk)
	if err != nil {
		return 0, 0, fmt.Errorf("catalog: %w", explain(err))
	}
	return segment, chunk, nil
}

func keeperID(ctx context.Context, tx handle, d peers.DeviceID) (int64, error) {
	var id int64
	err := tx.QueryRowContext(ctx, "SELECT id FROM keepers WHERE device = ?", d[:]).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		var res sql.Result
		if res, err = tx.ExecContext(ctx, "INSERT INTO keepers(device) VALUES(?)", d[:]); err == nil {
			id, err = res.LastInsertId()
		}
	}
	return id, err
}

// Intend records segments that are about to be written, before the first of
// their shards leaves this machine, and names those that have no name yet.
func (c *Catalog) Intend(ctx context.Context, segs []*Segment, now int64) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		for _, s := range segs {
			for i := range s.Shards {
				if s.Shards[i].ID == (peers.ShardID{}) {
					if err := c.name(ctx, tx, &s.Shards[i].ID); err != nil {
						return err
					}
				}
			}
			_, err := tx.ExecContext(ctx, "INSERT INTO segments(id, k, n, shard_len, data_len, state, made, backup, origin) VALUES(?,?,?,?,?,0,?,?,?)",
				s.ID, s.K, s.N, s.ShardLen, s.DataLen, now, s.Backup, s.Shards[0].ID[:])
			if err != nil {
				return err
			}
			for i := range s.Shards {
				if err := insertShard(ctx, tx, s.ID, i, &s.Shards[i]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func insertShard(ctx context.Context, tx handle, segment int64, idx int, sh *Shard) error {
	k, err := keeperID(ctx, tx, sh.Keeper)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO shards(segment, idx, keeper, shard, root, state, moved) VALUES(?,?,?,?,?,?,?)",
		segment, idx, k, sh.ID[:], sh.Root[:], sh.State, sh.Moved)
	return err
}

// Batch is what one transaction of a put makes true: segments whose shards
// are durable, the chunks in them, and versions that need nothing more.
type Batch struct {
	Segments []*Segment // with the shards' states
	Chunks   []Chunk
	Versions []*Version
	Moved    []Moved // chunks that lie in these segments from now on
	After    int64   // keepers are told of what these left behind then; nanoseconds since 1970
}

// Commit applies a batch.
func (c *Catalog) Commit(ctx context.Context, b *Batch) error {
	return c.write(ctx, func(tx *sql.Tx) error {
		for _, s := range b.Segments {
			if _, err := tx.ExecContext(ctx, "UPDATE segments SET state = 1 WHERE id = ?", s.ID); err != nil {
				return err
			}
			for i, sh := range s.Shards {
				if _, err := tx.ExecContext(ctx, "UPDATE shards SET state = ? WHERE segment = ? AND idx = ?", sh.State, s.ID, i); err != nil {
					return err
				}
			}
		}
		if err := moveChunks(ctx, tx, b.Moved, b.After); err != nil {
			return err
		}
		// The versions first: a chunk is then written once, with its count.
		refs := make(map[int64]int64, len(b.Chunks))
		for i := range b.Chunks {
			refs[b.Chunks[i].ID] = 0
		}
		if err := c.upsertAll(ctx, tx, b.Versions, refs); err != nil {
			return err
		}
		return insertChunks(ctx, tx, b.Chunks, refs)
	})
}

// chunksPerInsert rows are written by one statement: each has a cost of its own.
const chunksPerInsert = 16

// insertChunks writes new chunks with the counts that refs gives.
func insertChunks(ctx context.Context, tx *sql.Tx, chunks []Chunk, refs map[int64]int64) error {
	var ins *sql.Stmt
	rows := 0
	for part := range slices.Chunk(chunks, chunksPerInsert) {
		if len(part) != rows { // the first, and the last if it is shorter
			rows = len(part)
			var err error
			ins, err = tx.PrepareContext(ctx, "INSERT INTO chunks(id, cid, segment, off, sealed, plain, coding, key, refs) VALUES(?,?,?,?,?,?,?,?,?)"+
				strings.Repeat(",(?,?,?,?,?,?,?,?,?)", rows-1))
			if err != nil {
				return err
			}
			defer ins.Close()
		}
		args := make([]any, 0, 9*chunksPerInsert)
		for i := range part {
			k := &part[i]
			args = append(args, k.ID, k.Name[:], k.Segment, k.Off, k.Sealed, k.Plain, k.Zstd, k.Key[:], refs[k.ID])
		}
		if _, err := ins.ExecContext(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

const chunkColumns = "id, cid, segment, off, sealed, plain, coding, key"

func scanChunk(rows *sql.Rows) (Chunk, error) {
	var k Chunk
	var name, key []byte
	if err := rows.Scan(&k.ID, &name, &k.Segment, &k.Off, &k.Sealed, &k.Plain, &k.Zstd, &key); err != nil {
		return k, err
	}
	if len(name) != 32 || len(key) != 32 {
		return k, fmt.Errorf("chunk %d is damaged in the catalog", k.ID)
	}
	copy(k.Name[:], name)
	copy(k.Key[:], key)
	return k, nil
}

// Finder looks chunks up by name; one goroutine at a time.
type Finder struct{ lookup *sqlite.Lookup }

// NewFinder prepares a Finder. Close it.
func (c *Catalog) NewFinder(ctx context.Context) (*Finder, error) {
	l, err := sqlite.NewLookup(ctx, c.r, "SELECT id FROM chunks WHERE cid = ?")
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", explain(err))
	}
	return &Finder{l}, nil
}

// Find gives the row of the chunk with that name, or 0.
func (f *Finder) Find(name [32]byte) (int64, error) {
	id, _, err := f.lookup.Find(name[:])
	if err != nil {
		return 0, fmt.Errorf("catalog: %w", explain(err))
	}
	return id, nil
}

// Hold makes Find see what is committed by now, and with on not what comes after
// it until the next Hold, which costs less. A Commit beside it needs Hold(false)
// first, or the log of the catalog grows on and on.
func (f *Finder) Hold(on bool) error {
	if err := f.lookup.Hold(on); err != nil {
		return fmt.Errorf("catalog: %w", explain(err))
	}
	return nil
}

// Close gives its connection back.
func (f *Finder) Close() error { return f.lookup.Close() }

// ErrGone: what was asked for was there a moment ago and is not any more.
var ErrGone = said.Error("file-gone", "was removed or replaced meanwhile")

// chunksPerQuery is how many chunks are asked for at once: each query is one
// locking of the database.
const chunksPerQuery = 128

// Chunks gives the chunks with the given rows, by row, or ErrGone when one is
// missing.
func (c *Catalog) Chunks(ctx context.Context, ids []int64) (map[int64]Chunk, error) {
	out := make(map[int64]Chunk, len(ids))
	if len(ids) == 0 {
		return out, nil
	}
	each := min(len(ids), chunksPerQuery)
	stmt, err := c.r.PrepareContext(ctx, "SELECT "+chunkColumns+" FROM chunks WHERE id IN (?"+strings.Repeat(",?", each-1)+")")
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", explain(err))
	}
	defer stmt.Close()
	args := make([]any, each)
	for part := range slices.Chunk(ids, each) {
		for i := range args { // the last part may be shorter: its last one again
			args[i] = part[min(i, len(part)-1)]
		}
		rows, err := stmt.QueryContext(ctx, args...)
		if err != nil {
			return nil, fmt.Errorf("catalog: %w", explain(err))
		}
		for rows.Next() && err == nil {
			var k Chunk
			k, err = scanChunk(rows)
			out[k.ID] = k
		}
		if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
			return nil, fmt.Errorf("catalog: %w", explain(err))
		}
	}
	for _, id := range ids {
		if _, ok := out[id]; !ok {
			return nil, ErrGone
		}
	}
	return out, nil
}

// Segment gives one segment with its shards, or ErrGone. It is one query: between
// two, a repair could give the segment another k and n.
func (c *Catalog) Segment(ctx context.Context, id int64) (*Segment, error) {
	return readSegment(ctx, c.r, id)
}

// segmentQuery gives a row for each shard of a segment, or one without a shard.
const segmentQuery = `SELECT g.k, g.n, g.shard_len, g.data_len, g.recoded, g.coding, k.device, s.shard, s.root, coalesce(s.state, 0), coalesce(s.moved, 0)
	FROM segments g LEFT JOIN shards s ON s.segment = g.id LEFT JOIN keepers k ON k.id = s.keeper WHERE g.id = ? ORDER BY s.idx`

func readSegment(ctx context.Context, db queryer, id int64) (*Segment, error) {
	s := &Segment{ID: id}
	rows, err := collect(ctx, db, func(rows *sql.Rows) (struct{}, error) {
		var dev, shard, root []byte
		var state ShardState
		var moved int64
		if err := rows.Scan(&s.K, &s.N, &s.ShardLen, &s.DataLen, &s.coding.times, &s.coding.tag, &dev, &shard, &root, &state, &moved); err != nil || dev == nil {
			return struct{}{}, err // dev is nil when it has no shard at all
		}
		sh, err := shardOf(dev, shard, root, state)
		sh.Moved = moved
		s.Shards = append(s.Shards, sh)
		return struct{}{}, err
	}, segmentQuery, id)
	if err == nil && len(rows) == 0 {
		return nil, ErrGone
	}
	if err == nil && (len(s.Shards) != s.N || s.K < 1 || s.K > s.N || s.N > erasure.MaxShards || s.DataLen < 0 || s.ShardLen < 1 || s.ShardLen > peers.MaxShard || s.DataLen > s.K*s.ShardLen) {
		err = fmt.Errorf("catalog: segment %d is damaged in the catalog", id)
	}
	return s, err
}

func scanShard(rows *sql.Rows) (Shard, error) {
	var dev, id, root []byte
	var state ShardState
	var moved int64
	if err := rows.Scan(&dev, &id, &root, &state, &moved); err != nil {
		return Shard{}, err
	}
	sh, err := shardOf(dev, id, root, state)
	sh.Moved = moved
	return sh, err
}

func shardOf(dev, id, root []byte, state ShardState) (Shard, error) {
	s := Shard{State: state}
	if len(dev) != 32 || len(id) != 32 || len(root) != 32 {
		return s, errors.New("a shard is damaged in the catalog")
	}
	copy(s.Keeper[:], dev)
	copy(s.ID[:], id)
	copy(s.Root[:], root)
	return s, nil
}

// Widest gives the most shards that any segment has; 0 when there is none.
func (c *Catalog) Widest(ctx context.Context) (n int, err error) {
	if err := c.r.QueryRowContext(ctx, "SELECT coalesce(max(n), 0) FROM segments").Scan(&n); err != nil {
		return 0, fmt.Errorf("catalog: %w", explain(err))
	}
	return n, nil
}

// Lengths gives how many bytes of the file each part is, or ErrGone.
func (c *Catalog) Lengths(ctx context.Context, parts []Part) ([]int64, error) {
	rows := ChunkRows(parts)
	plain := make(map[int64]int64, len(rows))
	if len(rows) > 0 {
		type pair struct{ id, n int64 }
		scan := func(rows *sql.Rows) (p pair, err error) {
			err = rows.Scan(&p.id, &p.n)
			return p, err
		}
		lo, hi := slices.Min(rows), slices.Max(rows)
		// The chunks of a file that was put at once are neighbours, and one
		// run over them takes a tenth of a query for each.
		if hi-lo < 4*int64(len(rows)) {
			got, err := collect(ctx, c.r, scan, "SELECT id, plain FROM chunks WHERE id BETWEEN ? AND ?", lo, hi)
			if err != nil {
				return nil, err
			}
			for _, p := range got {
				plain[p.id] = p.n
			}
		} else {
			got, err := c.Chunks(ctx, rows)
			if err != nil {
				return nil, err
			}
			for id, k := range got {
				plain[id] = int64(k.Plain)
			}
		}
	}
	out := make([]int64, len(parts))
	for i, p := range parts {
		if out[i] = p.Hole; p.Chunk != 0 {
			n, ok := plain[p.Chunk]
			if !ok {
				return nil, ErrGone
			}
			out[i] = n
		}
	}
	return out, nil
}
