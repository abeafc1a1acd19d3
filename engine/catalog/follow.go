// SPDX-License-Identifier: MPL-2.0

package catalog

import (
	"bytes"
	"cmp"
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
	changed, err := collect(m.ctx, m.o.Theirs.r, scanInt, `SELECT id FROM segments WHERE state = 1
		AND (recoded > 0 OR id IN (SELECT segment FROM shards WHERE moved > 0)) ORDER BY id`)
	if err != nil {
		return err
	}
	for _, id := range changed {
		here, err := m.segmentHere(id)
		if err != nil {
			return err
		}
		if here == 0 {
			continue
		}
		theirs, err := m.o.Theirs.Segment(m.ctx, id)
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
	return nil
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
