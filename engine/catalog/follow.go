// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"bytes"
	"cmp"
	"database/sql"
	"errors"
	"slices"
)

// placeSchema is a step of migrations.
const placeSchema = `
-- The name of its first shard when it was written: all of the owner's machines
-- know a segment by it, wherever its shards are by now.
ALTER TABLE segments ADD COLUMN origin BLOB NOT NULL DEFAULT x'';
UPDATE segments SET origin = coalesce((SELECT shard FROM shards WHERE segment = segments.id AND idx = 0), x'');
CREATE INDEX segments_origin ON segments(origin);

-- Which of two machines knows better where shards are.
ALTER TABLE segments ADD COLUMN recoded INTEGER NOT NULL DEFAULT 0;  -- how often all its shards were made anew
ALTER TABLE segments ADD COLUMN coding BLOB NOT NULL DEFAULT x'';    -- 8 random bytes of the last time
ALTER TABLE shards ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;      -- how many others had this place before; of one that was added later, one more
`

// coding is which set of shards a segment has. Of two the later holds, and of two
// that were made at the same time the one with the larger tag. Within a coding
// the same goes for each shard by itself. So all machines hold the same ones in the
// end, in whatever order they hear of them; and what holds was never deleted, since
// a machine deletes only what comes before something that it knows.
type coding struct {
	times int64
	tag   []byte
}

func (c coding) compare(o coding) int {
	return cmp.Or(cmp.Compare(c.times, o.times), bytes.Compare(c.tag, o.tag))
}

// compareCoding compares the codings of two machines' rows of one segment. Those
// that machines made before codings were counted differ in k, or in their roots:
// shards of two codings together bring nothing back.
func (s *Segment) compareCoding(o *Segment) int {
	c := cmp.Or(s.coding.compare(o.coding), cmp.Compare(s.K, o.K))
	for i := range min(s.N, o.N) {
		c = cmp.Or(c, bytes.Compare(s.Shards[i].Root[:], o.Shards[i].Root[:]))
	}
	return c
}

// sound counts the shards that are not known to be missing.
func (s *Segment) sound() (n int) {
	for i := range s.Shards {
		if s.Shards[i].State == There {
			n++
		}
	}
	return n
}

// before tells it of two shards that two machines have for one place.
func (s *Shard) before(o *Shard) bool {
	return cmp.Or(cmp.Compare(s.Moved, o.Moved), bytes.Compare(s.ID[:], o.ID[:])) < 0
}

// follow takes over where the other machine has moved shards of segments that
// both have, and what it coded anew. What this machine had in their place is queued
// for deletion.
func (m *merger) follow() error {
	differ, err := m.differing()
	if err != nil {
		return err
	}
	for _, id := range differ {
		here, err := m.segmentHere(id)
		if err != nil {
			return err
		}
		if here == 0 {
			continue
		}
		theirs, err := readSegment(m.ctx, m.theirs, id)
		if err != nil {
			return err
		}
		ours, err := readSegment(m.ctx, m.tx, here)
		if err != nil {
			return err
		}
		if err := m.followOne(ours, theirs); err != nil {
			return err
		}
	}
	return m.shun()
}

// moved notes that the other machine moved a shard. A keeper that it brings some to
// it does not shun, whatever it took away there.
func (m *merger) moved(from, to *Shard) {
	if from.Keeper == to.Keeper {
		return
	}
	if _, ok := m.left[from.Keeper]; !ok && from.State == There {
		m.left[from.Keeper] = true
	}
	m.left[to.Keeper] = false
}

// shape is all that followOne compares: two machines whose rows give the same
// text know the same shards of a segment, in the same coding.
const shape = `id, origin, data_len || ',' || k || ',' || shard_len || ',' || recoded || ',' || hex(coding) || ',' ||
	(SELECT coalesce(group_concat(hex(shard) || ',' || moved), '') FROM (SELECT shard, moved FROM shards WHERE segment = segments.id ORDER BY idx))`

// differing gives the segments of which shards were moved or coded anew there, by
// their rows there, but for those of which the same is known here: in one pass over
// both catalogs, as after a circle has grown it is nearly all of them, every time.
func (m *merger) differing() (out []int64, err error) {
	theirs, err := m.byName(m.theirs, `SELECT `+shape+` FROM segments
		WHERE state = 1 AND (recoded > 0 OR id IN (SELECT segment FROM shards WHERE moved > 0)) ORDER BY origin`)
	if err != nil {
		return nil, err
	}
	defer theirs.close()
	if !theirs.next() {
		return nil, theirs.close()
	}
	ours, err := m.byName(m.tx, "SELECT "+shape+" FROM segments ORDER BY origin")
	if err != nil {
		return nil, err
	}
	defer ours.close()
	ours.next()
	for ok := true; ok; ok = theirs.next() {
		for ours.id != 0 && bytes.Compare(ours.name, theirs.name) < 0 {
			ours.next()
		}
		if ours.id == 0 || len(theirs.name) == 0 || !bytes.Equal(ours.name, theirs.name) || !bytes.Equal(ours.shape, theirs.shape) {
			out = append(out, theirs.id)
		}
	}
	return out, errors.Join(theirs.close(), ours.close())
}

// match finds the segments that both machines know by the same first name.
func (m *merger) match() error {
	const q = "SELECT id, origin, x'' FROM segments WHERE length(origin) > 0 ORDER BY origin"
	theirs, err := m.byName(m.theirs, q)
	if err != nil {
		return err
	}
	defer theirs.close()
	ours, err := m.byName(m.tx, q)
	if err != nil {
		return err
	}
	defer ours.close()
	ours.next()
	for theirs.next() {
		for ours.id != 0 && bytes.Compare(ours.name, theirs.name) < 0 {
			ours.next()
		}
		if ours.id != 0 && bytes.Equal(ours.name, theirs.name) {
			m.segments[theirs.id] = ours.id
		}
	}
	return errors.Join(theirs.close(), ours.close())
}

// named is a walk over segments in the order of their first names.
type named struct {
	rows  *sql.Rows
	id    int64 // 0: there are no more
	name  sql.RawBytes
	shape sql.RawBytes
	err   error
}

func (m *merger) byName(db queryer, query string) (*named, error) {
	rows, err := db.QueryContext(m.ctx, query)
	return &named{rows: rows}, explain(err)
}

func (n *named) next() bool {
	n.id = 0
	if n.err == nil && n.rows.Next() {
		n.err = n.rows.Scan(&n.id, &n.name, &n.shape)
	}
	return n.id != 0
}

// close ends the walk and says why it ended, if that was not the last segment.
func (n *named) close() error {
	return explain(errors.Join(n.err, n.rows.Close(), n.rows.Err()))
}

func (m *merger) followOne(ours, theirs *Segment) error {
	if ours.DataLen != theirs.DataLen {
		return errors.New("a segment of the other machine does not hold what it holds here")
	}
	now, changed := *ours, false
	switch ours.compareCoding(theirs) {
	case -1:
		if theirs.sound() < theirs.K && ours.sound() >= ours.K {
			return nil // it brings nothing back there, and here it does
		}
		now, changed = *theirs, true
	case 0:
		if now.ShardLen != theirs.ShardLen {
			return errors.New("a segment of the other machine is coded in another way than it is here")
		}
		now.Shards = slices.Clone(now.Shards)
		for i := range theirs.Shards {
			switch sh := &theirs.Shards[i]; {
			case i == now.N:
				now.N, now.Shards, changed = i+1, append(now.Shards, *sh), true
			case sh.Moved == now.Shards[i].Moved && sh.State != There && now.Shards[i].State == There:
				// Both moved it at once, and ours is there. The other machine makes
				// its own anew and counts on. With a higher number it would be known
				// to have deleted what was here before.
			case now.Shards[i].before(sh):
				m.moved(&now.Shards[i], sh)
				now.Shards[i], changed = *sh, true
			}
		}
	}
	if !changed {
		return nil
	}
	if err := putShards(m.ctx, m.tx, ours.ID, &now); err != nil {
		return err
	}
	_, err := m.tx.ExecContext(m.ctx, "UPDATE segments SET recoded = ?, coding = ? WHERE id = ?", now.coding.times, now.coding.tag, ours.ID)
	if err != nil {
		return err
	}
	return dropUnused(m.ctx, m.tx, ours, now.Shards, true)
}
