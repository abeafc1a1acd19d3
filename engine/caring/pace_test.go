// SPDX-License-Identifier: MPL-2.0

package caring

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/caretaker"
	"github.com/preezm/preezm/peers/caretask"
	"github.com/preezm/preezm/peers/depot"
)

// counted is a keeper that is away, and when it was asked.
type counted struct {
	mu    sync.Mutex
	asked []time.Time
}

func (k *counted) Care(context.Context, string, []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = append(k.asked, time.Now())
	return nil, peers.ErrUnreachable
}

func (k *counted) times() []time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked
}

func (k *counted) ReadCared(context.Context, peers.ShardID, []byte) error {
	return peers.ErrUnreachable
}
func (k *counted) PutCared(context.Context, peers.ShardID, peers.Root, []byte) error {
	return peers.ErrUnreachable
}

// An owner decides how long keepers are waited for, and says something new as
// often as it likes. Neither makes a caretaker ask them more often than it will.
func TestLeastLook(t *testing.T) {
	const least = 200 * time.Millisecond
	owner, self := peers.DeviceID{1}, peers.DeviceID{2}
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := depot.Open(t.Context(), t.TempDir(), depot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := caretaker.Open(t.Context(), caretaker.Options{
		Device: self, Path: filepath.Join(t.TempDir(), caretaker.File), Depot: d, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		Sign: func(peers.DeviceID) []byte { return pub }, Same: func(a, b peers.DeviceID) bool { return a == b },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), d.Close()); err != nil {
			t.Error(err)
		}
	})
	say := func(number uint64) {
		now := time.Now().Unix()
		task, err := custody.Sign(key, caretask.Task{
			Owner: owner, Caretaker: self, Number: number, At: now, Until: now + 3600, Grace: 0,
			Keepers: []caretask.Keeper{{Device: peers.DeviceID{3}, Addresses: []string{}}}, Parts: []custody.Hash{},
		})
		if err == nil {
			_, err = s.Answer(t.Context(), caretaker.VerbTask, owner, task.Raw)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	k := &counted{}
	config := Config{
		Service: s, Reach: func(peers.DeviceID, []string) Keeper { return k }, Seen: func(peers.DeviceID) time.Time { return time.Now() },
		Rest: func() bool { return false }, Pace: func(context.Context, peers.DeviceID, int, int) error { return nil },
		Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	say(1)
	if next := New(config).round(t.Context()); next != time.Minute {
		t.Errorf("the next look is in %v", next)
	}
	k.asked = nil
	config.LeastLook = least
	began := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		New(config).Run(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	const looks = 4
	for number := uint64(2); len(k.times()) < looks; number++ {
		if time.Since(began) > time.Minute {
			t.Fatalf("%d looks in a minute", len(k.times()))
		}
		say(number)
	}
	if took := k.times()[looks-1].Sub(began); took < (looks-1)*least {
		t.Errorf("%d looks in %v", looks, took)
	}
}
