// SPDX-License-Identifier: MPL-2.0

package mailbox

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/internal/wire"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/vault"
)

// Limits of what a keeper holds.
const (
	perSender    = 64      // messages of one device
	perRecipient = 256     // messages for one device
	senderBytes  = 1 << 20 // of one device
	maxHeld      = 64 << 20
	// MaxTime is the longest that a message can wait.
	MaxTime = 7 * 24 * time.Hour
	// burst is how many messages a device can leave at once, and refill how
	// soon one more.
	burst  = 32
	refill = 5 * time.Second
	// maxFetched bounds an answer with messages, in bytes.
	maxFetched = 1 << 20
)

// ErrFull: the keeper holds as much of that sender, or for that recipient, as
// it takes.
var ErrFull = said.Error("mail-full", "holds no more letters for now")

// held is a message that a keeper holds; the file has the envelope.
type held struct {
	from  peers.DeviceID
	to    peers.DeviceID
	id    ID
	until time.Time
	size  int64
	file  string
}

// heldFile is what lies on the disk.
type heldFile struct {
	From []byte `cbor:"1,keyasint"`
	Raw  []byte `cbor:"2,keyasint"`
}

// store is what a keeper holds for others: one file for each message.
type store struct {
	dir   string
	box   *vault.Box
	codec *wire.Codec
	now   func() time.Time

	mu     sync.Mutex
	all    []held // in the order in which they came
	tokens map[peers.DeviceID]bucket
}

// bucket is a sender's allowance.
type bucket struct {
	left int
	at   time.Time
}

func openStore(dir string, box *vault.Box, c *wire.Codec, now func() time.Time) (*store, error) {
	s := &store{dir: dir, box: box, codec: c, now: now, tokens: make(map[peers.DeviceID]bucket)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		h, err := s.load(path)
		if err != nil {
			// Half a file of a crash was promised to nobody; a damaged one is lost.
			if damaged(err) {
				err = remove(path)
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		s.all = append(s.all, h)
	}
	slices.SortStableFunc(s.all, func(a, b held) int { return a.until.Compare(b.until) })
	return s, s.expire()
}

func (s *store) load(path string) (held, error) {
	fi, err := os.Lstat(path)
	if err != nil || !fi.Mode().IsRegular() || fi.Size() > 2*maxLetter || strings.HasPrefix(fi.Name(), ".") {
		return held{}, errors.Join(err, ErrLetter)
	}
	f, err := s.read(path)
	if err != nil {
		return held{}, err
	}
	e, to, id, err := readEnvelope(s.codec, f.Raw)
	if err != nil {
		return held{}, err
	}
	h := held{to: to, id: id, until: time.Unix(e.Until, 0), size: int64(len(f.Raw)), file: path}
	if copy(h.from[:], f.From) != len(h.from) {
		return held{}, ErrLetter
	}
	return h, nil
}

func (s *store) read(path string) (heldFile, error) {
	var f heldFile
	raw, err := s.box.ReadFile(path, 2*maxLetter)
	if err != nil {
		return f, err
	}
	return f, s.codec.Unmarshal(raw, &f)
}

// expire forgets what is over; called with mu held, or before anybody else has
// the store.
func (s *store) expire() error {
	now := s.now()
	var errs []error
	s.all = slices.DeleteFunc(s.all, func(h held) bool {
		if now.Before(h.until) {
			return false
		}
		errs = append(errs, remove(h.file))
		return true
	})
	return errors.Join(errs...)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// allow takes one of a sender's tokens.
func (s *store) allow(from peers.DeviceID) bool {
	now := s.now()
	b, ok := s.tokens[from]
	if !ok {
		b = bucket{burst, now}
	}
	if n := int(now.Sub(b.at) / refill); n > 0 {
		b.left, b.at = min(burst, b.left+n), b.at.Add(time.Duration(n)*refill)
	}
	if b.left == 0 {
		s.tokens[from] = b
		return false
	}
	b.left--
	s.tokens[from] = b
	return true
}

// keep takes a message of a sender; one that is there already is no error.
func (s *store) keep(from peers.DeviceID, raw []byte) (to peers.DeviceID, err error) {
	e, to, id, err := readEnvelope(s.codec, raw)
	if err != nil {
		return to, err
	}
	now, until := s.now(), time.Unix(e.Until, 0)
	if !now.Before(until) || until.After(now.Add(MaxTime+time.Hour)) {
		return to, fmt.Errorf("%w: it is over, or lasts too long", ErrLetter)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.expire(); err != nil {
		return to, err
	}
	var senders, recipients int
	var bytes, total int64
	for _, h := range s.all {
		if h.to == to && h.id == id {
			return to, nil
		}
		total += h.size
		if h.from == from {
			senders++
			bytes += h.size
		}
		if h.to == to {
			recipients++
		}
	}
	size := int64(len(raw))
	if !s.allow(from) || senders >= perSender || bytes+size > senderBytes || recipients >= perRecipient || total+size > maxHeld {
		return to, ErrFull
	}
	file, err := s.codec.Marshal(heldFile{from[:], raw})
	if err != nil {
		return to, err
	}
	path := filepath.Join(s.dir, hex.EncodeToString(to[:4])+"-"+hex.EncodeToString(id[:]))
	if err := s.box.Replace(path, file); err != nil {
		return to, err
	}
	s.all = append(s.all, held{from, to, id, until, size, path})
	return to, nil
}

// fetch gives the messages for a recipient, the oldest first, as many as go
// into one answer.
func (s *store) fetch(to peers.DeviceID) ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.expire(); err != nil {
		return nil, err
	}
	var out [][]byte
	var total int64
	for _, h := range s.all {
		if h.to != to || total+h.size > maxFetched-4096 {
			continue
		}
		f, err := s.read(h.file)
		if err != nil {
			return nil, err
		}
		total += h.size
		out = append(out, f.Raw)
	}
	return out, nil
}

// taken forgets messages that their recipient has.
func (s *store) taken(to peers.DeviceID, ids []ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	s.all = slices.DeleteFunc(s.all, func(h held) bool {
		if h.to != to || !slices.Contains(ids, h.id) {
			return false
		}
		errs = append(errs, remove(h.file))
		return true
	})
	return errors.Join(errs...)
}

// count is how many messages are held, and their bytes.
func (s *store) count() (n int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.all {
		bytes += h.size
	}
	return len(s.all), bytes
}
