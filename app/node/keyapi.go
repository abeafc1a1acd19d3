// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/vault"
)

// KeyAPI is the part of API about the home's key and its owner's words.
type KeyAPI interface {
	// Key tells how the home is sealed. It answers while it is locked.
	Key(ctx context.Context) (KeyState, error)
	// Lock lets the running node shut the owner's part, or sets when it does
	// so by itself.
	Lock(ctx context.Context, o LockOrder) (KeyState, error)
	// Unlock opens it again; without a passphrase when something else keeps
	// the key.
	Unlock(ctx context.Context, passphrase []byte) (KeyState, error)
	// Rewrap changes what keeps the key.
	Rewrap(ctx context.Context, s Seal) (KeyState, error)
	// Words gives the owner's 24 words, until CheckWords was passed.
	Words(ctx context.Context, lang identity.Lang) ([]string, error)
	// CheckWords compares typed words with the home's. Once they are right the
	// machine forgets them.
	CheckWords(ctx context.Context, o WordsOrder) (KeyState, error)
	// Sheet gives what a recovery sheet tells beside the words.
	Sheet(ctx context.Context) (Sheet, error)
}

// KeyState is how a home is sealed.
type KeyState struct {
	Locked  bool     `json:"locked"`
	By      vault.By `json:"by"`      // keeps the key of the owner's part
	Machine vault.By `json:"machine"` // and of the machine's
	// LockAfter is when the running node locks by itself; 0: never.
	LockAfter time.Duration `json:"lock_after_ns"`
	// WordsThere: the machine still holds the words, since nobody proved to
	// have them. Unknown, and false, while the home is locked.
	WordsThere bool `json:"words_there"`
}

// LockOrder locks now, unless After says when to do it by itself from now on.
type LockOrder struct {
	After *time.Duration `json:"after_ns,omitempty"` // 0: never
}

// WordsOrder is words that a person typed: all 24, or those at the places At,
// counted from 1.
type WordsOrder struct {
	Words []string `json:"words"`
	At    []int    `json:"at,omitempty"`
}

// Sheet is what to write down beside the words: where the pieces are.
type Sheet struct {
	Name    string         `json:"name"`
	Device  peers.DeviceID `json:"device"`
	Keepers []SheetKeeper  `json:"keepers"`
}

// SheetKeeper is a machine that leads back to everything.
type SheetKeeper struct {
	Name      string         `json:"name"`
	Device    peers.DeviceID `json:"device"`
	Addresses []string       `json:"addresses"`
}

// sheetKeepers is how many machines a sheet names: one of them is enough.
const sheetKeepers = 3

// errWrongWord is a word that differs from the home's. It does not say which
// one it should be.
type errWrongWord int

func (e errWrongWord) Error() string { return e.Said().Text }

// Said gives the sentence its code.
func (e errWrongWord) Said() said.Note {
	return said.As("wrong-word", "word {number} is not the one of this home", "number", strconv.Itoa(int(e)))
}

var (
	// ErrWordsGone: the machine does not hold the words any more.
	ErrWordsGone = said.Error("words-gone", "this machine does not hold your 24 words any more, since you proved to have them: compare all of them with 'preezm words check --all'")
	// ErrNothingRuns: there is no running node to lock.
	ErrNothingRuns = said.Error("nothing-runs", "nothing runs for this home, and at rest it is sealed already")
	// ErrWindowRuns: the window has the home open.
	ErrWindowRuns = said.Error("window-runs", "the window has this home open: close it, and the home is sealed; 'preezm serve' goes on keeping for others meanwhile")
)

// Key is part of KeyAPI.
func (n *Node) Key(context.Context) (KeyState, error) {
	n.ownerMu.Lock()
	_, there := n.owner.Master()
	n.ownerMu.Unlock()
	return KeyState{
		Locked: n.shut, By: n.vault.By(vault.Owner), Machine: n.vault.By(vault.Machine),
		LockAfter: n.lockAfter(), WordsThere: there && !n.shut,
	}, nil
}

func (n *Node) lockAfter() time.Duration { return time.Duration(n.lockIdle.Load()) }

// Lock is part of KeyAPI. The node goes on as soon as this was answered: it
// shuts down and comes back without the owner's part.
func (n *Node) Lock(ctx context.Context, o LockOrder) (KeyState, error) {
	if o.After != nil {
		return n.setLockAfter(ctx, *o.After)
	}
	switch n.role {
	case RoleServe:
	case RoleWindow:
		return KeyState{}, ErrWindowRuns
	default:
		return KeyState{}, ErrNothingRuns
	}
	if !n.shut {
		n.again(&reopening{box: n.box})
	}
	return n.Key(ctx)
}

func (n *Node) setLockAfter(ctx context.Context, after time.Duration) (KeyState, error) {
	if after != 0 && after < time.Minute {
		return KeyState{}, fmt.Errorf("%w: it locks after a minute at the soonest, or never (0)", ErrBadRequest)
	}
	n.boundMu.Lock()
	defer n.boundMu.Unlock()
	s := n.settings
	s.LockAfter = int64(after / time.Second)
	if err := s.write(n.home); err != nil {
		return KeyState{}, err
	}
	n.settings.LockAfter = s.LockAfter
	n.lockIdle.Store(int64(after))
	return n.Key(ctx)
}

// Unlock is part of KeyAPI.
func (n *Node) Unlock(ctx context.Context, passphrase []byte) (KeyState, error) {
	if !n.shut {
		return n.Key(ctx)
	}
	boxes, err := n.vault.Unlock(func() ([]byte, error) { return passphrase, nil }, vault.Owner)
	if err != nil {
		return KeyState{}, err
	}
	n.again(&reopening{box: n.box, owner: boxes[vault.Owner]})
	return n.Key(ctx)
}

// Rewrap is part of KeyAPI.
func (n *Node) Rewrap(ctx context.Context, s Seal) (KeyState, error) {
	if n.shut {
		return KeyState{}, ErrLocked
	}
	n.ownerMu.Lock()
	err := n.vault.Rewrap(map[vault.Part]*vault.Box{vault.Machine: n.box, vault.Owner: n.ownerBox}, s.hows(n.keychain))
	n.ownerMu.Unlock()
	if err != nil {
		return KeyState{}, err
	}
	return n.Key(ctx)
}

// Words is part of KeyAPI.
func (n *Node) Words(_ context.Context, lang identity.Lang) ([]string, error) {
	if n.shut {
		return nil, ErrLocked
	}
	n.ownerMu.Lock()
	defer n.ownerMu.Unlock()
	master, ok := n.owner.Master()
	if !ok {
		return nil, ErrWordsGone
	}
	return identity.WordsOf(master, lang)
}

// CheckWords is part of KeyAPI.
func (n *Node) CheckWords(ctx context.Context, o WordsOrder) (KeyState, error) {
	if n.shut {
		return KeyState{}, ErrLocked
	}
	if err := n.checkWords(o); err != nil {
		return KeyState{}, err
	}
	return n.Key(ctx)
}

func (n *Node) checkWords(o WordsOrder) error {
	n.ownerMu.Lock()
	defer n.ownerMu.Unlock()
	master, there := n.owner.Master()
	if len(o.At) == 0 {
		typed, _, err := identity.MasterOf(o.Words)
		if err != nil {
			return err
		}
		if !n.owner.Is(typed) {
			return ErrOtherOwner
		}
	} else {
		if !there {
			return ErrWordsGone
		}
		if err := compareSome(master, o); err != nil {
			return err
		}
	}
	if !there {
		return nil
	}
	left := n.owner.WithoutMaster()
	if err := left.Replace(n.ownerBox, filepath.Join(n.home, ownerFile)); err != nil {
		return err
	}
	n.owner = left
	return nil
}

// minSome is how many words prove that a person has all of them.
const minSome = 3

// compareSome compares words at some places, in whichever language.
func compareSome(master [32]byte, o WordsOrder) error {
	different := map[int]bool{}
	for _, at := range o.At {
		different[at] = at >= 1 && at <= identity.WordCount
	}
	if len(o.Words) != len(o.At) || len(different) < minSome || len(different) != len(o.At) {
		return fmt.Errorf("%w: %d different words are asked for", ErrBadRequest, minSome)
	}
	for i, at := range o.At {
		if !different[at] {
			return fmt.Errorf("%w: there is no word %d", ErrBadRequest, at)
		}
		if !identity.IsWord(master, at, o.Words[i]) {
			return errWrongWord(at)
		}
	}
	return nil
}

// Sheet is part of KeyAPI. Machines that were heard of last come first: they
// are the likeliest to answer where they are said to be.
func (n *Node) Sheet(context.Context) (Sheet, error) {
	s := Sheet{Name: n.settings.Name, Device: n.device, Keepers: []SheetKeeper{}}
	for _, p := range latest(n.book.Peers()) {
		if p.Keeper && len(s.Keepers) < sheetKeepers {
			s.Keepers = append(s.Keepers, SheetKeeper{p.Name, p.Device, p.Addresses})
		}
	}
	return s, nil
}

// The calls of KeyAPI.
const (
	pathKey        = "/v1/key"
	pathLock       = "/v1/lock"
	pathUnlock     = "/v1/unlock"
	pathRewrap     = "/v1/rewrap"
	pathWords      = "/v1/words"
	pathCheckWords = "/v1/words/check"
	pathSheet      = "/v1/sheet"
)

type (
	unlockRequest struct{ Passphrase []byte }
	wordsRequest  struct{ Lang identity.Lang }
)

func (s *localServer) keyCalls(mux *http.ServeMux) {
	handle(mux, s, pathKey, call0(s.api.Key))
	handle(mux, s, pathLock, call1(s.api.Lock))
	handle(mux, s, pathUnlock, call1(func(ctx context.Context, r unlockRequest) (KeyState, error) { return s.api.Unlock(ctx, r.Passphrase) }))
	handle(mux, s, pathRewrap, call1(s.api.Rewrap))
	handle(mux, s, pathWords, call1(func(ctx context.Context, r wordsRequest) ([]string, error) { return s.api.Words(ctx, r.Lang) }))
	handle(mux, s, pathCheckWords, call1(s.api.CheckWords))
	handle(mux, s, pathSheet, call0(s.api.Sheet))
}

func (c *client) Key(ctx context.Context) (KeyState, error) {
	return invoke[KeyState](ctx, c, pathKey, empty{}, nil)
}

func (c *client) Lock(ctx context.Context, o LockOrder) (KeyState, error) {
	return invoke[KeyState](ctx, c, pathLock, o, nil)
}

func (c *client) Unlock(ctx context.Context, passphrase []byte) (KeyState, error) {
	return invoke[KeyState](ctx, c, pathUnlock, unlockRequest{passphrase}, nil)
}

func (c *client) Rewrap(ctx context.Context, s Seal) (KeyState, error) {
	return invoke[KeyState](ctx, c, pathRewrap, s, nil)
}

func (c *client) Words(ctx context.Context, lang identity.Lang) ([]string, error) {
	return invoke[[]string](ctx, c, pathWords, wordsRequest{lang}, nil)
}

func (c *client) CheckWords(ctx context.Context, o WordsOrder) (KeyState, error) {
	return invoke[KeyState](ctx, c, pathCheckWords, o, nil)
}

func (c *client) Sheet(ctx context.Context) (Sheet, error) {
	return invoke[Sheet](ctx, c, pathSheet, empty{}, nil)
}
