// SPDX-License-Identifier: MPL-2.0

package mailbox

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/internal/wire"
	"github.com/preezm/preezm/peers/vault"
)

const (
	// maxIn bounds the messages that are kept to be read; the oldest go.
	maxIn = 512
	// seenTime is how long a message that was taken is remembered, so that its
	// copies elsewhere are not taken again: longer than any can wait.
	seenTime = MaxTime + 24*time.Hour
)

// inbox is what was received. A message of a kind that was delivered leaves
// only its name, so that it is not delivered again.
type inbox struct {
	dir   string
	box   *vault.Box
	codec *wire.Codec
	now   func() time.Time

	mu   sync.Mutex
	seen map[ID]time.Time // when it came
	kept []ID             // those with a body, oldest first
}

// inFile is a message on the disk.
type inFile struct {
	Came int64  `cbor:"1,keyasint"`
	From []byte `cbor:"2,keyasint"`
	Kind string `cbor:"3,keyasint"`
	At   int64  `cbor:"4,keyasint"`
	Body []byte `cbor:"5,keyasint"`
	Kept bool   `cbor:"6,keyasint"`
}

// folder reads the files of a folder of messages into each; a file that cannot
// be read, of a crash or damaged, is removed.
func folder(dir string, box *vault.Box, each func(id ID, raw []byte) error) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		var id ID
		name, err := hex.DecodeString(e.Name())
		if err == nil && copy(id[:], name) == len(id) && len(name) == len(id) {
			var raw []byte
			if raw, err = box.ReadFile(path, 2*maxLetter); err == nil {
				err = each(id, raw)
			}
		} else {
			err = ErrLetter
		}
		if err != nil && damaged(err) {
			err = remove(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// damaged tells a file that is of no use from a disk that cannot be read now.
func damaged(err error) bool {
	for _, e := range []error{ErrLetter, wire.ErrMessage, vault.ErrSealed, vault.ErrPlain, vault.ErrTooLarge} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func openInbox(dir string, box *vault.Box, c *wire.Codec, now func() time.Time) (*inbox, error) {
	b := &inbox{dir: dir, box: box, codec: c, now: now, seen: make(map[ID]time.Time)}
	err := folder(dir, box, func(id ID, raw []byte) error {
		var f inFile
		if err := c.Unmarshal(raw, &f); err != nil {
			return err
		}
		b.seen[id] = time.Unix(f.Came, 0)
		if f.Kept {
			b.kept = append(b.kept, id)
		}
		return nil
	})
	slices.SortFunc(b.kept, func(x, y ID) int { return b.seen[x].Compare(b.seen[y]) })
	return b, err
}

func (b *inbox) path(id ID) string { return filepath.Join(b.dir, hex.EncodeToString(id[:])) }

// has says whether a message came already; called with mu held.
func (b *inbox) has(id ID) bool {
	_, ok := b.seen[id]
	return ok
}

// add notes a message, with its body when it is to be read; called with mu held.
func (b *inbox) add(l Letter, keep bool) error {
	now := b.now()
	f := inFile{Came: now.Unix(), From: l.From[:], Kind: l.Kind, At: l.At.Unix(), Kept: keep}
	if keep {
		f.Body = l.Body
	}
	raw, err := b.codec.Marshal(f)
	if err != nil {
		return err
	}
	if err := b.box.Replace(b.path(l.ID), raw); err != nil {
		return err
	}
	b.seen[l.ID] = now
	if keep {
		b.kept = append(b.kept, l.ID)
	}
	return b.trim(now)
}

// trim forgets what is too old or too much.
func (b *inbox) trim(now time.Time) error {
	var errs []error
	for len(b.kept) > maxIn {
		errs = append(errs, remove(b.path(b.kept[0])))
		b.kept = b.kept[1:]
	}
	for id, came := range b.seen {
		if now.Sub(came) > seenTime && !slices.Contains(b.kept, id) {
			errs = append(errs, remove(b.path(id)))
			delete(b.seen, id)
		}
	}
	return errors.Join(errs...)
}

func (b *inbox) list() ([]Letter, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []Letter
	for _, id := range b.kept {
		raw, err := b.box.ReadFile(b.path(id), 2*maxLetter)
		if err != nil {
			return nil, err
		}
		var f inFile
		if err := b.codec.Unmarshal(raw, &f); err != nil {
			return nil, err
		}
		l := Letter{ID: id, Kind: f.Kind, At: time.Unix(f.At, 0), Body: f.Body}
		copy(l.From[:], f.From)
		out = append(out, l)
	}
	return out, nil
}

// outbox is what this device has to send.
type outbox struct {
	dir   string
	box   *vault.Box
	codec *wire.Codec
	now   func() time.Time

	mu  sync.Mutex
	all map[ID]outgoing
}

type outgoing struct {
	to    peers.DeviceID
	until time.Time
	raw   []byte
	at    []peers.DeviceID // keepers that hold it
}

func (o outgoing) has(d peers.DeviceID) bool { return slices.Contains(o.at, d) }

type outFile struct {
	To    []byte   `cbor:"1,keyasint"`
	Until int64    `cbor:"2,keyasint"`
	Raw   []byte   `cbor:"3,keyasint"`
	At    [][]byte `cbor:"4,keyasint"`
}

// ErrOutbox: too much waits to be sent.
var ErrOutbox = errors.New("too many messages wait to be sent; let their recipients or some keepers come into touch first")

func openOutbox(dir string, box *vault.Box, c *wire.Codec, now func() time.Time) (*outbox, error) {
	b := &outbox{dir: dir, box: box, codec: c, now: now, all: make(map[ID]outgoing)}
	err := folder(dir, box, func(id ID, raw []byte) error {
		var f outFile
		if err := c.Unmarshal(raw, &f); err != nil {
			return err
		}
		o := outgoing{until: time.Unix(f.Until, 0), raw: f.Raw}
		copy(o.to[:], f.To)
		for _, at := range f.At {
			o.at = append(o.at, peers.DeviceID(append(slices.Clip(at), make([]byte, 32)...)[:32]))
		}
		b.all[id] = o
		return nil
	})
	return b, err
}

func (b *outbox) path(id ID) string { return filepath.Join(b.dir, hex.EncodeToString(id[:])) }

// save writes one message; called with mu held.
func (b *outbox) save(id ID, o outgoing) error {
	f := outFile{To: o.to[:], Until: o.until.Unix(), Raw: o.raw, At: [][]byte{}}
	for _, d := range o.at {
		f.At = append(f.At, d[:])
	}
	raw, err := b.codec.Marshal(f)
	if err != nil {
		return err
	}
	if err := b.box.Replace(b.path(id), raw); err != nil {
		return err
	}
	b.all[id] = o
	return nil
}

func (b *outbox) add(id ID, to peers.DeviceID, until time.Time, raw []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.all) >= maxOut {
		return ErrOutbox
	}
	return b.save(id, outgoing{to: to, until: until, raw: raw})
}

func (b *outbox) get(id ID) (outgoing, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.all[id]
	o.at = slices.Clone(o.at)
	return o, ok
}

// left notes that a keeper holds a message.
func (b *outbox) left(id ID, at peers.DeviceID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, ok := b.all[id]
	if !ok {
		return nil
	}
	o.at = append(slices.Clone(o.at), at)
	return b.save(id, o)
}

// done forgets a message.
func (b *outbox) done(id ID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.all, id)
	return remove(b.path(id))
}

// ids are the messages to go on with. Those that are over are forgotten.
func (b *outbox) ids() []ID {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	var out []ID
	for id, o := range b.all {
		if !now.Before(o.until) {
			delete(b.all, id)
			_ = remove(b.path(id)) // tried again at the next start
			continue
		}
		out = append(out, id)
	}
	slices.SortFunc(out, func(x, y ID) int { return strings.Compare(string(x[:]), string(y[:])) })
	return out
}

func (b *outbox) list() []Sent {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []Sent
	for id, o := range b.all {
		out = append(out, Sent{ID: id, To: o.to, Keepers: len(o.at)})
	}
	return out
}
