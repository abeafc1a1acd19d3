// SPDX-License-Identifier: MPL-2.0

// Package shardlist is how an owner tells a keeper which of its shards are
// still needed, so that the keeper can forget those that nobody knows any more.
//
// A shard's name is 16 random bytes, an epoch of 8 and a number of 8. An epoch
// is one opening of a catalog, and its numbers are given in the order in which
// the catalog writes shards down. A list speaks, for each epoch it knows, of
// the numbers up to the highest it knows, and says which of them are needed;
// of what other machines of the owner named it says only what it needs.
// So whatever a newer catalog has stored (in epochs that this one does not
// know, or under higher numbers) is not spoken of, and a catalog that was
// brought back from an older copy can have nothing of it deleted.
package shardlist

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/internal/wire"
)

// Limits of a list.
const (
	MaxSize   = 2 << 20  // bytes, signed
	MaxRanges = 64 << 10 // of all epochs
	MaxEpochs = 4000
)

// ErrList: a list is malformed, or not signed by who it is from.
var ErrList = errors.New("is no list of shards that could be followed")

// Tag names an epoch.
type Tag [8]byte

// Split gives the epoch and the number in a shard's name.
func Split(id peers.ShardID) (Tag, uint64) {
	return Tag(id[16:24]), binary.BigEndian.Uint64(id[24:])
}

// Join writes an epoch and a number into a shard's name, the rest of which is
// random.
func Join(id *peers.ShardID, t Tag, number uint64) {
	copy(id[16:24], t[:])
	binary.BigEndian.PutUint64(id[24:], number)
}

// Range is the numbers from Lo to Hi, both included.
type Range struct{ Lo, Hi uint64 }

// Epoch is what a list says of one epoch.
type Epoch struct {
	Tag  Tag
	Upto uint64
	Keep []Range // rising, with gaps between
}

// List is what one keeper is told by one machine of an owner.
type List struct {
	Owner  peers.DeviceID
	Keeper peers.DeviceID
	Number uint64  // rises with each list
	Epochs []Epoch // by tag
}

const version = 1

// Swept is what came of a list at its keeper, in shards.
type Swept struct {
	Waiting int64 `cbor:"1,keyasint"` // go when their grace is over
	Gone    int64 `cbor:"2,keyasint"` // went now
}

// Verdict is what a list says of a shard.
type Verdict uint8

// The verdicts.
const (
	Unknown Verdict = iota // not spoken of
	Needed
	Unneeded
)

// Says gives the verdict on a shard.
func (l *List) Says(id peers.ShardID) Verdict {
	t, n := Split(id)
	i, ok := slices.BinarySearchFunc(l.Epochs, t, func(e Epoch, t Tag) int { return compare(e.Tag, t) })
	if !ok {
		return Unknown
	}
	keep := l.Epochs[i].Keep
	j, _ := slices.BinarySearchFunc(keep, n, func(r Range, n uint64) int {
		switch {
		case r.Hi < n:
			return -1
		case r.Lo > n:
			return 1
		}
		return 0
	})
	if j < len(keep) && keep[j].Lo <= n && n <= keep[j].Hi {
		return Needed
	}
	if n > l.Epochs[i].Upto {
		return Unknown
	}
	return Unneeded
}

func compare(a, b Tag) int { return slices.Compare(a[:], b[:]) }

// Builder gathers a list.
type Builder struct{ of map[Tag]*gathered }

type gathered struct {
	foreign bool
	upto    uint64
	keep    []uint64
}

// NewBuilder speaks of the given epochs only. Of foreign ones, which belong to
// the catalog of another machine of the owner, it says what is needed and
// nothing else.
func NewBuilder(own, foreign []Tag) *Builder {
	b := &Builder{of: make(map[Tag]*gathered, len(own)+len(foreign))}
	for _, t := range foreign {
		b.of[t] = &gathered{foreign: true}
	}
	for _, t := range own {
		b.of[t] = &gathered{}
	}
	return b
}

// Add takes a shard in that the catalog knows.
func (b *Builder) Add(id peers.ShardID, needed bool) {
	t, n := Split(id)
	g := b.of[t]
	if g == nil {
		return
	}
	if !g.foreign {
		g.upto = max(g.upto, n)
	}
	if needed {
		g.keep = append(g.keep, n)
	}
}

// List gives the list. Where it would be too long it does not speak of the
// epochs that take the most.
func (b *Builder) List(owner, keeper peers.DeviceID, number uint64) *List {
	l := &List{Owner: owner, Keeper: keeper, Number: number, Epochs: []Epoch{}}
	for t, g := range b.of {
		if g.upto == 0 && len(g.keep) == 0 {
			continue
		}
		e := Epoch{Tag: t, Upto: g.upto, Keep: []Range{}}
		slices.Sort(g.keep)
		for _, n := range g.keep {
			if last := len(e.Keep) - 1; last >= 0 && n <= e.Keep[last].Hi+1 {
				e.Keep[last].Hi = n
			} else {
				e.Keep = append(e.Keep, Range{n, n})
			}
		}
		l.Epochs = append(l.Epochs, e)
	}
	slices.SortFunc(l.Epochs, func(a, b Epoch) int { return len(a.Keep) - len(b.Keep) })
	ranges := 0
	for i := range l.Epochs {
		if ranges += len(l.Epochs[i].Keep); ranges > MaxRanges || i >= MaxEpochs {
			l.Epochs = l.Epochs[:i]
			break
		}
	}
	slices.SortFunc(l.Epochs, func(a, b Epoch) int { return compare(a.Tag, b.Tag) })
	return l
}

// check refuses what Says could not follow.
func (l *List) check() error {
	bad := func(why string) error { return fmt.Errorf("%w: %s", ErrList, why) }
	if len(l.Epochs) > MaxEpochs {
		return bad("too many epochs")
	}
	ranges := 0
	for i, e := range l.Epochs {
		if i > 0 && compare(l.Epochs[i-1].Tag, e.Tag) >= 0 {
			return bad("epochs out of order")
		}
		if ranges += len(e.Keep); ranges > MaxRanges {
			return bad("too many ranges")
		}
		for j, r := range e.Keep {
			if r.Lo > r.Hi || j > 0 && r.Lo <= e.Keep[j-1].Hi+1 {
				return bad("ranges out of order")
			}
		}
	}
	return nil
}

// domain keeps a signature from meaning anything else.
const domain = "preezm shard list v1\x00"

type signed struct {
	List []byte `cbor:"1,keyasint"`
	Sig  []byte `cbor:"2,keyasint"`
}

type listMsg struct {
	Version uint64         `cbor:"1,keyasint"`
	Owner   peers.DeviceID `cbor:"2,keyasint"`
	Keeper  peers.DeviceID `cbor:"3,keyasint"`
	Number  uint64         `cbor:"4,keyasint"`
	Epochs  []epochMsg     `cbor:"5,keyasint"`
}

// epochMsg has its ranges as varints: of each how far after the last one it
// begins, and how many numbers follow its first.
type epochMsg struct {
	Tag  Tag    `cbor:"1,keyasint"`
	Upto uint64 `cbor:"2,keyasint"`
	Keep []byte `cbor:"3,keyasint"`
}

func (l *List) message() listMsg {
	m := listMsg{Version: version, Owner: l.Owner, Keeper: l.Keeper, Number: l.Number, Epochs: []epochMsg{}}
	for _, e := range l.Epochs {
		x := epochMsg{Tag: e.Tag, Upto: e.Upto, Keep: []byte{}}
		last := uint64(0)
		for _, r := range e.Keep {
			x.Keep = binary.AppendUvarint(x.Keep, r.Lo-last)
			x.Keep = binary.AppendUvarint(x.Keep, r.Hi-r.Lo)
			last = r.Hi
		}
		m.Epochs = append(m.Epochs, x)
	}
	return m
}

// list reads a message; sums that wrap around come out of order and check
// refuses them.
func (m *listMsg) list() (*List, error) {
	if m.Version != version {
		return nil, fmt.Errorf("%w: version %d", ErrList, m.Version)
	}
	if len(m.Epochs) > MaxEpochs {
		return nil, fmt.Errorf("%w: too many epochs", ErrList)
	}
	l := &List{Owner: m.Owner, Keeper: m.Keeper, Number: m.Number, Epochs: make([]Epoch, 0, len(m.Epochs))}
	ranges := 0
	for _, x := range m.Epochs {
		e := Epoch{Tag: x.Tag, Upto: x.Upto, Keep: []Range{}}
		last := uint64(0)
		for b := x.Keep; len(b) > 0; {
			gap, n := binary.Uvarint(b)
			if n <= 0 {
				return nil, fmt.Errorf("%w: bad ranges", ErrList)
			}
			more, k := binary.Uvarint(b[n:])
			if k <= 0 {
				return nil, fmt.Errorf("%w: bad ranges", ErrList)
			}
			b = b[n+k:]
			if ranges++; ranges > MaxRanges {
				return nil, fmt.Errorf("%w: too many ranges", ErrList)
			}
			e.Keep = append(e.Keep, Range{last + gap, last + gap + more})
			last += gap + more
		}
		l.Epochs = append(l.Epochs, e)
	}
	return l, l.check()
}

// Sign gives the list as it travels.
func (l *List) Sign(key ed25519.PrivateKey) ([]byte, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	c, err := wire.New()
	if err != nil {
		return nil, err
	}
	raw, err := c.Marshal(l.message())
	if err != nil {
		return nil, err
	}
	return c.Marshal(signed{raw, ed25519.Sign(key, append([]byte(domain), raw...))})
}

// Parse reads a list for a keeper and checks that owner signed it.
func Parse(raw []byte, owner, keeper peers.DeviceID, key ed25519.PublicKey) (*List, error) {
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrList, MaxSize)
	}
	l, s, err := decode(raw)
	if err != nil {
		return nil, err
	}
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, append([]byte(domain), s.List...), s.Sig) {
		return nil, fmt.Errorf("%w: the signature is not its owner's", ErrList)
	}
	if l.Owner != owner || l.Keeper != keeper {
		return nil, fmt.Errorf("%w: it is for others", ErrList)
	}
	return l, nil
}

func decode(raw []byte) (*List, *signed, error) {
	c, err := wire.New()
	if err != nil {
		return nil, nil, err
	}
	var s signed
	var m listMsg
	if err := c.Unmarshal(raw, &s); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrList, err)
	}
	if err := c.Unmarshal(s.List, &m); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrList, err)
	}
	l, err := m.list()
	return l, &s, err
}

// Stored reads a list that Parse took before.
func Stored(raw []byte) (*List, error) {
	l, _, err := decode(raw)
	return l, err
}
