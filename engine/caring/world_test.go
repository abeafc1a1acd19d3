// SPDX-License-Identifier: MPL-2.0

package caring

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretaker"
	"github.com/preezm/preezm/peers/caretask"
	"github.com/preezm/preezm/peers/depot"
)

// An owner, its caretaker, and its keepers. The first three hold one piece each.
var (
	owner                = peers.DeviceID{1}
	nas                  = peers.DeviceID{9}
	anna, bert, carl, di = peers.DeviceID{3}, peers.DeviceID{4}, peers.DeviceID{5}, peers.DeviceID{6}
	keepers              = []peers.DeviceID{anna, bert, carl, di}
	key                  = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
)

// grace is how long keepers are waited for, step how far apart the looks are.
const (
	grace = time.Minute
	step  = 25 * time.Second
)

// house is a keeper: its depot, and its books of tasks.
type house struct {
	*caretaker.Service
	depot *depot.Depot
}

// world is a caretaker at work, with the books that real machines have and no
// sockets. What keepers say and give can be changed on the way.
type world struct {
	*testing.T
	worker    *Worker
	houses    map[peers.DeviceID]*house
	now       time.Time
	ownerSeen time.Time
	rests     bool
	task      *custody.Signed[caretask.Task]
	part      caretask.Part
	segs      []*caretask.Segment
	data      [][][]byte // by segment and piece

	mu    sync.Mutex
	off   map[peers.DeviceID]bool
	says  map[peers.DeviceID]func(verb string, raw, answer []byte, err error) ([]byte, error)
	gives map[peers.DeviceID]func(dst []byte, err error) error
	sends func(id *peers.ShardID, root *peers.Root, data *[]byte) // what leaves the caretaker
	calls map[string]int                                          // by verb
	puts  int                                                     // that were taken
	tries int
}

func newWorld(t *testing.T, segments int) *world {
	t.Helper()
	w := &world{
		T: t, houses: map[peers.DeviceID]*house{}, now: time.Unix(1_800_000_000, 0), off: map[peers.DeviceID]bool{},
		says:  map[peers.DeviceID]func(string, []byte, []byte, error) ([]byte, error){},
		gives: map[peers.DeviceID]func([]byte, error) error{}, calls: map[string]int{},
	}
	w.ownerSeen = w.now.Add(-24 * time.Hour)
	codec, err := erasure.New(erasure.Geometry{K: 2, N: 3})
	w.must(err)
	rng := rand.NewChaCha8([32]byte{7})
	for s := range segments {
		shards := make([][]byte, 3)
		for i := range shards {
			shards[i] = make([]byte, 5000)
			rng.Read(shards[i])
		}
		w.must(codec.Encode(shards))
		seg := &caretask.Segment{K: 2, Size: 5000}
		for i, b := range shards {
			seg.Pieces = append(seg.Pieces, caretask.Piece{Keeper: uint8(i), ID: peers.ShardID{byte(i + 1), byte(s)}, Root: erasure.ShardRoot(b)})
		}
		w.segs, w.data = append(w.segs, seg), append(w.data, shards)
	}
	for _, d := range append([]peers.DeviceID{nas}, keepers...) {
		w.houses[d] = w.newHouse(d)
	}
	for s, seg := range w.segs {
		for i, d := range keepers[:3] {
			w.put(d, seg.Pieces[i].ID, w.data[s][i])
		}
	}
	w.give(5, nil)
	w.begin()
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) newHouse(d peers.DeviceID) *house {
	w.Helper()
	dep, err := depot.Open(w.Context(), w.TempDir(), depot.Options{Offer: 1 << 30})
	w.must(err)
	s, err := caretaker.Open(w.Context(), caretaker.Options{
		Device: d, Path: filepath.Join(w.TempDir(), caretaker.File), Depot: dep, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return w.now },
		Sign: func(x peers.DeviceID) []byte {
			if x != owner {
				return nil
			}
			return key.Public().(ed25519.PublicKey)
		},
		Same: func(a, b peers.DeviceID) bool { return a == b },
	})
	w.must(err)
	w.Cleanup(func() {
		if err := s.Close(); err != nil {
			w.Error(err)
		}
		if err := dep.Close(); err != nil {
			w.Error(err)
		}
	})
	return &house{s, dep}
}

func (w *world) put(d peers.DeviceID, id peers.ShardID, b []byte) {
	w.Helper()
	w.must(w.houses[d].depot.Put(w.Context(), owner, id, erasure.ShardRoot(b), int64(len(b)), bytes.NewReader(b)))
}

// sign makes a task about all segments.
func (w *world) sign(number uint64, change func(*caretask.Task)) *custody.Signed[caretask.Task] {
	w.Helper()
	w.part = nil
	for _, s := range w.segs {
		raw, err := s.Encode()
		w.must(err)
		w.part = append(w.part, raw)
	}
	t := caretask.Task{
		Owner: owner, Caretaker: nas, Number: number, At: w.now.Unix(), Until: w.now.Add(30 * 24 * time.Hour).Unix(), Grace: int64(grace / time.Second),
		Parts: []custody.Hash{w.part.Hash()}, Segments: uint64(len(w.segs)),
	}
	for _, d := range keepers {
		t.Keepers = append(t.Keepers, caretask.Keeper{Device: d, Addresses: []string{}})
	}
	if change != nil {
		change(&t)
	}
	signed, err := custody.Sign(key, t)
	w.must(err)
	return signed
}

// give has the owner say a task to all machines that are there, and its part to
// the caretaker.
func (w *world) give(number uint64, change func(*caretask.Task)) {
	w.Helper()
	w.task = w.sign(number, change)
	for d, h := range w.houses {
		if !w.off[d] {
			_, err := h.Answer(w.Context(), caretaker.VerbTask, owner, w.task.Raw)
			w.must(err)
		}
	}
	if w.task.Body.Ended() || w.task.Body.Caretaker != nas {
		return
	}
	raw, err := caretaker.EncodePart(number, 0, w.part)
	w.must(err)
	_, err = w.houses[nas].Answer(w.Context(), caretaker.VerbPart, owner, raw)
	w.must(err)
}

// begin is a start of the caretaker's program.
func (w *world) begin() {
	w.worker = New(Config{
		Service: w.houses[nas].Service, Logger: slog.New(slog.DiscardHandler),
		Reach: func(d peers.DeviceID, _ []string) Keeper { return line{w, d} },
		Seen:  func(peers.DeviceID) time.Time { return w.ownerSeen },
		Rest:  func() bool { return w.rests },
		Pace:  func(context.Context, peers.DeviceID, int, int) error { return nil },
		Now:   func() time.Time { return w.now },

		LeastLook: time.Millisecond,
	})
}

// silent is a keeper that says something else, whatever it is asked.
func silent(err error) func(string, []byte, []byte, error) ([]byte, error) {
	return func(string, []byte, []byte, error) ([]byte, error) { return nil, err }
}

// look lets a number of rounds pass.
func (w *world) look(rounds int) {
	w.Helper()
	for range rounds {
		w.now = w.now.Add(step)
		w.worker.round(w.Context())
	}
}

// made gives what is at a keeper under the name of a piece made anew, in the
// right form: all of it must be as the owner made it.
func (w *world) made(d peers.DeviceID) (pieces int) {
	w.Helper()
	for s, seg := range w.segs {
		for i := range seg.Pieces {
			sh, err := w.houses[d].depot.Get(w.Context(), owner, caretask.Moved(seg.Pieces[i].ID, d))
			if err != nil {
				continue
			}
			b := make([]byte, sh.Size())
			_, err = sh.ReadAt(b, 0)
			w.must(err)
			w.must(sh.Close())
			if !bytes.Equal(b, w.data[s][i]) {
				w.Errorf("piece %d of segment %d is another at %s", i, s, d.Short())
			}
			pieces++
		}
	}
	return pieces
}

// allMade counts them at all keepers.
func (w *world) allMade() (n int) {
	w.Helper()
	for _, d := range keepers {
		n += w.made(d)
	}
	return n
}

func (w *world) report() caretaker.Report {
	w.Helper()
	rs, err := w.houses[nas].Reports(w.Context())
	w.must(err)
	if len(rs) != 1 {
		w.Fatalf("%d reports", len(rs))
	}
	return rs[0]
}

// line is the way to a keeper.
type line struct {
	w *world
	d peers.DeviceID
}

func (l line) enter(what string) error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.calls[what]++
	if l.w.off[l.d] {
		return peers.ErrUnreachable
	}
	return nil
}

// Care implements Keeper.
func (l line) Care(ctx context.Context, verb string, raw []byte) ([]byte, error) {
	if err := l.enter(verb); err != nil {
		return nil, err
	}
	answer, err := l.w.houses[l.d].Answer(ctx, verb, nas, raw)
	if says := l.w.says[l.d]; says != nil {
		return says(verb, raw, answer, err)
	}
	return answer, err
}

// ReadCared implements Keeper.
func (l line) ReadCared(ctx context.Context, id peers.ShardID, dst []byte) error {
	if err := l.enter("read"); err != nil {
		return err
	}
	h := l.w.houses[l.d]
	err := func() error {
		as, err := h.Reads(nas, id)
		if err != nil {
			return err
		}
		sh, err := h.depot.Get(ctx, as, id)
		if err != nil {
			return err
		}
		defer sh.Close()
		_, err = sh.ReadAt(dst, 0)
		return err
	}()
	if gives := l.w.gives[l.d]; gives != nil {
		return gives(dst, err)
	}
	return err
}

// PutCared implements Keeper.
func (l line) PutCared(ctx context.Context, id peers.ShardID, root peers.Root, data []byte) error {
	if err := l.enter("put"); err != nil {
		return err
	}
	if l.w.sends != nil {
		l.w.sends(&id, &root, &data)
	}
	l.w.mu.Lock()
	l.w.tries++
	l.w.mu.Unlock()
	h := l.w.houses[l.d]
	as, done, err := h.Writes(ctx, nas, id, root, int64(len(data)))
	if err != nil {
		return err
	}
	defer done()
	if err := h.depot.Put(ctx, as, id, root, int64(len(data)), bytes.NewReader(data)); err != nil {
		return err
	}
	l.w.mu.Lock()
	l.w.puts++
	l.w.mu.Unlock()
	return nil
}
