// SPDX-License-Identifier: MPL-2.0

// Package heads keeps the heads of other people's catalog backups: for each
// machine of a person the last 30, as small files under the locator that the
// person chose. A newer head never gives way to an older one, so that an old
// copy of a machine, or a thief's, cannot hide what came after it. What is in a
// head only its owner can read.
package heads

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/durable"
)

// Limits. A person takes at most maxLocators * maxMachines * Kept * MaxHead
// bytes here, beside the quota: what brings everything back must not fail for
// a full one.
const (
	// Kept is how many heads of one machine stay.
	Kept = 30

	maxMachines = 32
	maxLocators = 2
	ownerName   = "owner"
)

// Store is the heads on disk. It is safe for concurrent use by one process.
type Store struct {
	dir     string
	account func(peers.DeviceID) peers.DeviceID

	mu     sync.Mutex
	owners map[peers.Locator]peers.DeviceID
}

// Open reads which locators are in use below dir, which need not be there.
// account is as in depot.Options.
func Open(dir string, account func(peers.DeviceID) peers.DeviceID) (*Store, error) {
	s := &Store{dir: dir, account: account, owners: map[peers.Locator]peers.DeviceID{}}
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("heads: %w", err)
	}
	for _, e := range list {
		var l peers.Locator
		var d peers.DeviceID
		if !parse(l[:], e.Name()) {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, e.Name(), ownerName))
		if err == nil && parse(d[:], string(raw)) {
			s.owners[l] = d
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("heads: %w", err)
		}
	}
	return s, nil
}

func parse(dst []byte, s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && copy(dst, b) == len(dst) && len(b) == len(dst) && hex.EncodeToString(b) == s
}

// Put keeps a head of the machine from. The same again is no error;
// peers.ErrStale when a newer one of that machine is here.
func (s *Store) Put(_ context.Context, from peers.DeviceID, l peers.Locator, number uint64, sealed []byte) error {
	if len(sealed) == 0 || len(sealed) > peers.MaxHead || number == 0 {
		return fmt.Errorf("a head of %d bytes: %w", len(sealed), peers.ErrRefused)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.own(from, l); err != nil {
		return err
	}
	dir := filepath.Join(s.dir, hex.EncodeToString(l[:]), hex.EncodeToString(from[:]))
	have, err := numbers(dir)
	if err != nil {
		return fmt.Errorf("heads: %w", err)
	}
	if len(have) == 0 {
		if err := s.machine(dir); err != nil {
			return fmt.Errorf("heads: %w", err)
		}
	} else if last := have[len(have)-1]; number < last {
		return peers.ErrStale
	} else if number == last {
		old, err := os.ReadFile(filepath.Join(dir, name(last)))
		if err == nil && bytes.Equal(old, sealed) {
			return nil
		}
		return peers.ErrStale
	}
	if err := durable.Replace(filepath.Join(dir, name(number)), sealed); err != nil {
		return fmt.Errorf("heads: %w", err)
	}
	for len(have) >= Kept {
		if err := os.Remove(filepath.Join(dir, name(have[0]))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("heads: %w", err)
		}
		have = have[1:]
	}
	return nil
}

// own sees to it that the locator is from's person's.
func (s *Store) own(from peers.DeviceID, l peers.Locator) error {
	mine := s.account(from)
	if o, ok := s.owners[l]; ok {
		if s.account(o) != mine {
			return fmt.Errorf("that locator is another's: %w", peers.ErrRefused)
		}
		return nil
	}
	count := 0
	for _, o := range s.owners {
		if s.account(o) == mine {
			count++
		}
	}
	if count >= maxLocators {
		return fmt.Errorf("%d locators already: %w", count, peers.ErrRefused)
	}
	dir := filepath.Join(s.dir, hex.EncodeToString(l[:]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("heads: %w", err)
	}
	if err := durable.Replace(filepath.Join(dir, ownerName), []byte(hex.EncodeToString(from[:]))); err != nil {
		return fmt.Errorf("heads: %w", err)
	}
	if err := durable.SyncDir(s.dir); err != nil {
		return fmt.Errorf("heads: %w", err)
	}
	s.owners[l] = from
	return nil
}

// machine makes the folder of a machine; that of the one silent for longest
// makes room.
func (s *Store) machine(dir string) error {
	up := filepath.Dir(dir)
	list, err := machines(up)
	if err != nil {
		return err
	}
	if len(list) >= maxMachines {
		oldest, at := "", int64(0)
		for _, d := range list {
			fi, err := os.Stat(filepath.Join(up, hex.EncodeToString(d[:])))
			if err != nil {
				return err
			}
			if t := fi.ModTime().UnixNano(); oldest == "" || t < at {
				oldest, at = fi.Name(), t
			}
		}
		if err := os.RemoveAll(filepath.Join(up, oldest)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return durable.SyncDir(up)
}

// Get gives the newest head of each machine of the person whose locator it is,
// or, with a machine given, of that one: the newest not above number, which 0
// leaves open. A machine may ask for what its person's keep, and nobody else's.
func (s *Store) Get(_ context.Context, from peers.DeviceID, l peers.Locator, machine peers.DeviceID, number uint64) ([]peers.Head, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.owners[l]
	if !ok || s.account(o) != s.account(from) {
		return nil, nil
	}
	up := filepath.Join(s.dir, hex.EncodeToString(l[:]))
	list := []peers.DeviceID{machine}
	if machine == (peers.DeviceID{}) {
		var err error
		if list, err = machines(up); err != nil {
			return nil, fmt.Errorf("heads: %w", err)
		}
	}
	var out []peers.Head
	for _, d := range list {
		dir := filepath.Join(up, hex.EncodeToString(d[:]))
		have, err := numbers(dir)
		if err != nil {
			return nil, fmt.Errorf("heads: %w", err)
		}
		want := have
		if number > 0 {
			want = slices.DeleteFunc(slices.Clone(have), func(n uint64) bool { return n > number })
		}
		if len(want) == 0 {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, name(want[len(want)-1])))
		if err != nil {
			return nil, fmt.Errorf("heads: %w", err)
		}
		out = append(out, peers.Head{Device: d, Number: want[len(want)-1], Sealed: raw, Oldest: have[0]})
	}
	return out, nil
}

func name(number uint64) string { return fmt.Sprintf("%016x", number) }

// numbers lists the heads in a machine's folder, ascending.
func numbers(dir string) ([]uint64, error) {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, e := range list {
		n, err := strconv.ParseUint(e.Name(), 16, 64)
		if err == nil && name(n) == e.Name() {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

func machines(dir string) ([]peers.DeviceID, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []peers.DeviceID
	for _, e := range list {
		var d peers.DeviceID
		if e.IsDir() && parse(d[:], e.Name()) {
			out = append(out, d)
		}
	}
	return out, nil
}
