// SPDX-License-Identifier: MPL-2.0

package witness

import (
	"bytes"
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers/durable"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/vault"
)

// ErrRatchet: the secret chains cannot be read. There is no second copy: the
// owners appoint this custodian anew, with a new generation.
var ErrRatchet = said.Error("ratchet", "the custodian's secret chains are damaged")

// seat is one chain: an owner's, in one generation.
type seat struct {
	owner      custody.Key
	generation uint32
}

// ratchet keeps the chains in a folder of their own. One state is two files,
// NUMBER.key and NUMBER.box; the box holds the chains, sealed with the key,
// which is drawn anew for each state. A disk may keep what was overwritten: to
// bring a state back takes both. A state counts from the moment its box has its
// name; only then are older ones destroyed, and Open destroys what a crash left.
type ratchet struct {
	dir    string
	box    *vault.Box // seals the keys once more; nil: not
	number uint64
	used   uint64 // the highest number that may have files
	chains map[seat]custody.Chain
	step   func(string) // tests die here; may be nil
}

const (
	keySuffix  = ".key"
	boxSuffix  = ".box"
	newSuffix  = ".new"
	tagFile    = "CACHEDIR.TAG"
	tagText    = "Signature: 8a477f597d28d172789f06886806bc55\n# Never back this folder up: a copy brings back keys that are meant to be gone.\n"
	maxRatchet = 4 << 20
)

// sealedChains is the content of a box.
type sealedChains struct {
	Number uint64        `cbor:"1,keyasint"`
	Chains []sealedChain `cbor:"2,keyasint"`
}

type sealedChain struct {
	Owner      custody.Key `cbor:"1,keyasint"`
	Generation uint32      `cbor:"2,keyasint"`
	Day        uint32      `cbor:"3,keyasint"`
	Key        [32]byte    `cbor:"4,keyasint"`
}

func openRatchet(box *vault.Box, dir string, step func(string)) (*ratchet, error) {
	r := &ratchet{dir: dir, box: box, chains: map[seat]custody.Chain{}, step: step}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("ratchet: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, tagFile), []byte(tagText), 0o600); err != nil {
		return nil, fmt.Errorf("ratchet: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("ratchet: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), boxSuffix)
		if n, err := strconv.ParseUint(name, 10, 64); ok && err == nil {
			r.number = max(r.number, n)
		}
	}
	r.used = r.number
	if r.number > 0 {
		if err := r.load(); err != nil {
			return nil, err
		}
	}
	return r, r.forget()
}

func (r *ratchet) file(number uint64, suffix string) string {
	return filepath.Join(r.dir, strconv.FormatUint(number, 10)+suffix)
}

// load reads the newest state. An older one is never taken in its place: it may
// hold what is meant to be gone, and a newest one that was named is whole.
func (r *ratchet) load() error {
	key, err := readSmall(r.file(r.number, keySuffix))
	if err == nil {
		key, err = r.box.Open(r.file(r.number, keySuffix), key)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRatchet, err)
	}
	box, err := readSmall(r.file(r.number, boxSuffix))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRatchet, err)
	}
	g, err := boxCipher(key)
	if err != nil {
		return err
	}
	plain, err := g.Open(nil, make([]byte, g.NonceSize()), box, []byte("preezm/v1/ratchet"))
	if err != nil {
		return ErrRatchet
	}
	defer clear(plain)
	var s sealedChains
	if err := custody.Unmarshal(plain, &s); err != nil || s.Number != r.number {
		return ErrRatchet
	}
	for _, c := range s.Chains {
		r.chains[seat{c.Owner, c.Generation}] = custody.Chain{Generation: c.Generation, Day: c.Day, Key: c.Key}
	}
	return nil
}

// save makes chains the state and destroys the one before. When it fails the
// state is the old one, in memory and, unless the power went, on the disk; what
// is left over is destroyed at the next success or start.
func (r *ratchet) save(chains map[seat]custody.Chain) error {
	// Not a number that a save which failed has used: its box may have its name
	// already, and a new key beside it would make both worthless.
	r.used++
	s := sealedChains{Number: r.used}
	for k, c := range chains {
		s.Chains = append(s.Chains, sealedChain{k.owner, k.generation, c.Day, c.Key})
	}
	slices.SortFunc(s.Chains, func(a, b sealedChain) int {
		return cmp.Or(bytes.Compare(a.Owner[:], b.Owner[:]), cmp.Compare(a.Generation, b.Generation))
	})
	plain, err := custody.Marshal(s)
	if err != nil {
		return err
	}
	defer clear(plain)
	key := make([]byte, 32)
	rand.Read(key)
	g, err := boxCipher(key)
	if err != nil {
		return err
	}
	box := g.Seal(nil, make([]byte, g.NonceSize()), plain, []byte("preezm/v1/ratchet"))
	sealed, err := r.box.Seal(r.file(s.Number, keySuffix), key)
	if err != nil {
		return fmt.Errorf("ratchet: %w", err)
	}
	if err := r.write(s.Number, keySuffix, sealed); err != nil {
		return fmt.Errorf("ratchet: %w", err)
	}
	clear(key)
	r.at("key written")
	if err := r.write(s.Number, boxSuffix, box); err != nil {
		return fmt.Errorf("ratchet: %w", err)
	}
	r.at("box named")
	r.number, r.chains = s.Number, chains
	return r.forget()
}

func (r *ratchet) write(number uint64, suffix string, data []byte) error {
	path := r.file(number, suffix)
	f, err := os.OpenFile(path+newSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	r.at(suffix + " synced")
	if err := os.Rename(path+newSuffix, path); err != nil {
		return err
	}
	return durable.SyncDir(r.dir)
}

// forget destroys every file that is not of the present state: it is written
// over, as far as disks do that, before it goes.
func (r *ratchet) forget() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return fmt.Errorf("ratchet: %w", err)
	}
	keep := []string{tagFile}
	if r.number > 0 {
		keep = append(keep, filepath.Base(r.file(r.number, keySuffix)), filepath.Base(r.file(r.number, boxSuffix)))
	}
	gone := 0
	for _, e := range entries {
		if slices.Contains(keep, e.Name()) || !ours(e.Name()) {
			continue
		}
		if err := shred(filepath.Join(r.dir, e.Name())); err != nil {
			return fmt.Errorf("ratchet: forget: %w", err)
		}
		gone++
		r.at("forgotten one")
	}
	if gone == 0 {
		return nil
	}
	return durable.SyncDir(r.dir)
}

// ours: files that people put there are not destroyed.
func ours(name string) bool {
	name = strings.TrimSuffix(name, newSuffix)
	return strings.HasSuffix(name, keySuffix) || strings.HasSuffix(name, boxSuffix)
}

func shred(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err == nil {
		_, err = f.Write(make([]byte, min(fi.Size(), maxRatchet)))
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), os.Remove(path))
}

// SealFolder seals what lies open in the custodian's folder of an old home.
func SealFolder(box *vault.Box, dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), keySuffix) {
			if err := box.SealFile(filepath.Join(dir, e.Name()), maxRatchet); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *ratchet) at(point string) {
	if r.step != nil {
		r.step(point)
	}
}

func boxCipher(key []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, ErrRatchet
	}
	return cipher.NewGCM(b) // the nonce is fixed: each key seals one box
}

func readSmall(path string) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.Size() > maxRatchet {
		return nil, fmt.Errorf("%s: %d bytes: %w", path, fi.Size(), fs.ErrInvalid)
	}
	return os.ReadFile(path)
}
