// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/helpers"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/helper"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/vault"
)

// attemptFile is what a machine that is being brought back by helpers remembers.
const (
	attemptFile = "helpers.attempt"
	maxAttempt  = 16 << 10
)

// HelpOptions say whom to bring back and by whose invites.
type HelpOptions struct {
	Recover RecoverOptions // but for Master and From
	Owner   string         // the name that the helpers know, or the root; empty: as before
	Invites []string       // of helpers that this machine did not join yet
	// Joined gets the words of each helper that was joined, by language; nil:
	// they are a note.
	Joined func(name string, words map[string][]string)
}

// Asked is how far one helper is.
type Asked struct {
	Name   string              `json:"name"`
	Device peers.DeviceID      `json:"device"`
	State  string              `json:"state"`
	ID     string              `json:"id,omitempty"`
	Until  time.Time           `json:"until,omitzero"`
	Words  map[string][]string `json:"words,omitempty"` // to read out
	Why    said.Note           `json:"text,omitzero"`   // it did not do so
}

// Help is how far a recovery by helpers is. Recovered is nil before its end.
type Help struct {
	Owner     string     `json:"owner"`
	Need      int        `json:"need"` // 0: no helper has said
	Of        int        `json:"of"`
	Agreed    int        `json:"agreed"`
	Given     int        `json:"given"`
	Until     time.Time  `json:"until,omitzero"` // when enough of them can be given, as far as is known
	Helpers   []Asked    `json:"helpers"`
	Bad       []string   `json:"bad,omitempty"` // gave a share that is not the one that was made
	Recovered *Recovered `json:"recovered,omitempty"`
}

type attempt struct {
	Owner string `json:"owner"`
	Seed  []byte `json:"seed"` // of the key that shares are sealed to
}

// RecoverByHelpers makes a home on a new machine for a person who lost the words.
// Each run does what can be done now; the same again goes on.
func RecoverByHelpers(ctx context.Context, home string, o HelpOptions, progress func(engine.Progress)) (*Help, error) {
	r, unlock, err := beginRecovery(home, o.Recover, progress)
	if err != nil {
		return nil, err
	}
	o.Recover = r.o
	h := &helping{o: o, home: r.home, settings: r.settings}
	out, owner, err := h.run(ctx)
	err = errors.Join(err, h.close())
	if err == nil && owner != nil {
		r.owner, r.started = owner, time.Now() // what the helpers took is theirs
		out.Recovered, err = r.run(ctx)
		err = errors.Join(err, r.close())
		if err == nil {
			err = os.Remove(filepath.Join(r.home, attemptFile))
		}
	}
	return out, errors.Join(err, unlock())
}

// helping is one run of RecoverByHelpers, up to the secret.
type helping struct {
	o        HelpOptions
	home     string
	settings Settings
	box      *vault.Box
	attempt  attempt
	key      hpke.PrivateKey
	id       peers.DeviceID
	book     *circle.Book
	net      *rpc.Service
}

func (h *helping) close() error {
	if h.net == nil {
		return nil
	}
	return h.net.Close()
}

func (h *helping) run(ctx context.Context) (*Help, *identity.OwnerKey, error) {
	if err := h.open(); err != nil {
		return nil, nil, err
	}
	for _, code := range h.o.Invites {
		if err := h.join(ctx, code); err != nil {
			return nil, nil, err
		}
	}
	out := &Help{Owner: h.attempt.Owner, Helpers: []Asked{}}
	var got []helpers.Released
	for _, p := range h.book.Peers() {
		a, r := h.one(ctx, p, out)
		if a.Why.IsZero() && (a.State == string(helper.Agreed) || a.State == string(helper.Given)) {
			out.Agreed++
		}
		if r != nil {
			got = append(got, *r)
		}
		out.Helpers = append(out.Helpers, a)
	}
	out.Given = len(got)
	if err := ctx.Err(); err != nil {
		return out, nil, err
	}
	if got = enough(got); got == nil {
		return out, nil, nil
	}
	secret, bad, err := helpers.Combine(got)
	out.Bad = append(out.Bad, bad...)
	if err != nil {
		return out, nil, err
	}
	owner := identity.OwnerOf(secret)
	if got[0].Doc.Kind == helpers.Root {
		owner = identity.OwnerOfRoot(secret)
	}
	clear(secret[:])
	secrets := owner.Secrets()
	if custody.KeyOf(secrets.RootKey()) != got[0].Doc.Owner {
		return out, nil, fmt.Errorf("the secret that came back is not that of %s: %w", got[0].Doc.Name, helpers.ErrBadShare)
	}
	return out, &owner, nil
}

// enough gives the shares of the newest set of which there are enough. A helper
// that was away when a set was made still holds one of the set before.
func enough(all []helpers.Released) (best []helpers.Released) {
	sets := map[[16]byte][]helpers.Released{}
	for _, r := range all {
		sets[r.Doc.Set] = append(sets[r.Doc.Set], r)
	}
	for _, rs := range sets {
		if d := rs[0].Doc; len(rs) >= int(d.K) && (best == nil || d.Number > best[0].Doc.Number) {
			best = rs
		}
	}
	return best
}

// open makes the machine's keys, or takes those of a run before.
func (h *helping) open() error {
	boxes, err := makeVault(h.home, InitOptions{Seal: h.o.Recover.Seal, Keychain: h.o.Recover.Keychain})
	if err != nil {
		return err
	}
	h.box = boxes[vault.Machine]
	if err := makeIdentity(h.box, h.home); err != nil {
		return err
	}
	id, err := loadIdentity(h.box, h.home)
	if err != nil {
		return err
	}
	h.id = id.Device()
	device, err := identity.OpenDevice(h.box, h.home)
	if err != nil {
		return err
	}
	if h.book, err = circle.OpenIn(h.box, filepath.Join(h.home, circleFile)); err != nil {
		return err
	}
	if err := h.remember(); err != nil {
		return err
	}
	h.net, err = rpc.New(rpc.Config{
		Identity: id, Book: h.book, Name: func() string { return h.settings.Name }, Version: h.o.Recover.Version, Logger: h.o.Recover.Logger, QUIC: !h.settings.NoQUIC,
		Keys: rpc.Keys{Sign: device.Sign.Public().(ed25519.PublicKey), KEM: device.KEM.PublicKey().Bytes()},
	})
	return err
}

// remember reads the attempt, or begins one.
func (h *helping) remember() error {
	path := filepath.Join(h.home, attemptFile)
	raw, err := h.box.ReadFile(path, maxAttempt)
	switch {
	case err == nil:
		if err := json.Unmarshal(raw, &h.attempt); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if h.o.Owner != "" && h.o.Owner != h.attempt.Owner {
			return said.Error("begun-for", "this folder was begun for \"{first}\": use another --home for \"{owner}\"", "first", h.attempt.Owner, "owner", h.o.Owner)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case h.o.Owner == "":
		return said.Error("whose-helpers", "whom do the helpers know you as? Say --owner NAME, the name of your lost machine")
	default:
		h.attempt = attempt{Owner: h.o.Owner, Seed: make([]byte, 32)}
		rand.Read(h.attempt.Seed) // never fails
		raw, err := json.Marshal(h.attempt)
		if err != nil {
			return err
		}
		if err := h.box.Replace(path, raw); err != nil {
			return err
		}
	}
	h.key, err = hpke.MLKEM768X25519().NewPrivateKey(h.attempt.Seed)
	return err
}

func (h *helping) join(ctx context.Context, code string) error {
	inv, err := circle.ParseInvite(strings.TrimSpace(code))
	if known, ok := h.book.Peer(inv.Device); err == nil && ok {
		// A new code of a helper that is known tells where it is now.
		known.Addresses = inv.Addresses
		return h.book.Put(known)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, knockTime)
	defer cancel()
	p, err := h.net.Join(ctx, inv)
	if err != nil {
		return err
	}
	w, err := circle.NewPairing(inv.Device, h.id, inv.Token)
	if err != nil {
		return err
	}
	if h.o.Joined != nil {
		h.o.Joined(p.Name, words(w))
		return nil
	}
	h.o.Recover.Note(fmt.Sprintf("Joined %s. Its screen shows these words when nobody stands between: %s (%s)", p.Name, strings.Join(w.In("en"), " "), strings.Join(w.In("fr"), " ")))
	return nil
}

// one asks one helper, and takes its share when it may be had.
func (h *helping) one(ctx context.Context, p circle.Peer, out *Help) (Asked, *helpers.Released) {
	ctx, cancel := context.WithTimeout(ctx, knockTime)
	defer cancel()
	a := Asked{Name: p.Name, Device: p.Device}
	fail := func(err error) (Asked, *helpers.Released) {
		a.Why = said.By(err)
		return a, nil
	}
	c, err := h.net.Peer(p.Device)
	if err != nil {
		return fail(err)
	}
	raw, err := custody.Marshal(helper.Ask{Owner: h.attempt.Owner, Name: h.settings.Name, KEM: h.key.PublicKey().Bytes()})
	if err != nil {
		return fail(err)
	}
	pr, err := progressFrom(c.Helper(ctx, helper.VerbAsk, raw))
	if err != nil {
		return fail(err)
	}
	a.State = string(pr.State)
	switch pr.State {
	case helper.Unknown:
		return fail(said.Error("helps-nobody", "helps nobody called \"{owner}\"", "owner", h.attempt.Owner))
	case helper.Unclear:
		return fail(said.Error("helps-several", "helps several called \"{owner}\": their key's first letters tell them apart", "owner", h.attempt.Owner))
	}
	a.ID = pr.ID.Short()
	out.Need, out.Of = max(out.Need, int(pr.K)), max(out.Of, int(pr.N))
	if pr.Until != 0 {
		a.Until = time.Unix(pr.Until, 0)
	}
	switch pr.State {
	case helper.Asked:
		w, err := helper.Words(p.Device, h.id, pr.ID, pr.Nonce)
		if err != nil {
			return fail(err)
		}
		a.Words = words(w)
	case helper.Agreed, helper.Given:
		return h.fetch(ctx, c, pr, a, out)
	}
	return a, nil
}

func progressFrom(raw []byte, err error) (*helper.Progress, error) {
	if err != nil {
		return nil, err
	}
	return helper.DecodeProgress(raw)
}

func (h *helping) fetch(ctx context.Context, c *rpc.Client, asked *helper.Progress, a Asked, out *Help) (Asked, *helpers.Released) {
	raw, err := helper.EncodeFetch(asked.ID)
	if err != nil {
		a.Why = said.By(err)
		return a, nil
	}
	pr, err := progressFrom(c.Helper(ctx, helper.VerbFetch, raw))
	if err != nil {
		a.Why = said.By(err)
		return a, nil
	}
	a.State = string(pr.State)
	if pr.State != helper.Given {
		return a, nil
	}
	doc, err := helpers.ParseShare(pr.Doc)
	if err == nil && (doc.Owner != asked.Owner || doc.Me().Device != c.Device()) {
		err = helpers.ErrBadShare
	}
	if err == nil {
		var v [32]byte
		if v, err = doc.OpenReleased(h.key, pr.Sealed); err == nil {
			return a, &helpers.Released{Doc: doc, Value: v}
		}
	}
	a.Why = said.Because(err, "share-refused", "its share is refused: {why}")
	out.Bad = append(out.Bad, a.Name)
	return a, nil
}
