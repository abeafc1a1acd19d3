// SPDX-License-Identifier: MPL-2.0

package grants_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/preezm/preezm/app/internal/e2e"
	"github.com/preezm/preezm/app/node"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/engine/ledger"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/gateway"
	"github.com/preezm/preezm/peers/rpc"
	"github.com/preezm/preezm/peers/transport"
	"github.com/preezm/preezm/peers/vault"
	"github.com/preezm/preezm/peers/witness"
)

// hostileKind, in the environment, makes this test binary a custodian that
// cheats. It has the home of a machine that was appointed in good faith, with all
// its keys: what a person with a changed program has.
const hostileKind = "PREEZM_TEST_HOSTILE"

// What a hostile custodian does.
const (
	lies   = "lies"   // signs wrong shares
	silent = "silent" // takes everything and answers nothing
	forks  = "forks"  // tells the others of another log than its owner
)

// program is the one under test: $PREEZM_BIN, else built once.
var program string

func TestMain(m *testing.M) {
	if kind := os.Getenv(hostileKind); kind != "" {
		// As 'preezm serve' is called: the home is the last word.
		if err := beHostile(kind, os.Args[len(os.Args)-1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	os.Exit(e2e.Main(&program, testing.Short(), m.Run))
}

// turn runs a hostile custodian in the place of a keeper's own process.
func (w *world) turn(k *e2e.Home, kind string) *e2e.Home {
	w.Helper()
	exe, err := os.Executable()
	w.must(err)
	w.must(k.Kill())
	h := &e2e.Home{Binary: exe, Dir: k.Dir, Env: append(os.Environ(), hostileKind+"="+kind)}
	w.must(h.Start(w.ctx))
	w.Cleanup(func() {
		if err := h.Kill(); err != nil {
			w.Error(err)
		}
	})
	return h
}

// beHostile serves a keeper's home as a cheat until it is interrupted.
func beHostile(kind, home string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	v, err := vault.Open(home, nil)
	if err != nil {
		return err
	}
	boxes, err := v.Unlock(nil, vault.Parts...)
	if err != nil {
		return err
	}
	box := boxes[vault.Machine]
	settings, err := node.ReadSettings(home)
	if err != nil {
		return err
	}
	cert, err := os.ReadFile(filepath.Join(home, "device.crt"))
	if err != nil {
		return err
	}
	key, err := box.ReadFile(filepath.Join(home, "device.key"), 1<<16)
	if err != nil {
		return err
	}
	id, err := transport.ParseIdentity(cert, key)
	if err != nil {
		return err
	}
	book, err := circle.OpenIn(box, filepath.Join(home, "circle.json"))
	if err != nil {
		return err
	}
	keys, err := identity.OpenDevice(box, home)
	if err != nil {
		return err
	}
	chains, err := chainsIn(home)
	if err != nil {
		return err
	}
	honest, err := witness.Open(ctx, home, witness.Options{Device: id.Device(), Sign: keys.Sign, KEM: keys.KEM, Box: box, Person: book.Person})
	if err != nil {
		return err
	}
	cheat := &cheat{kind: kind, honest: honest, keys: keys, chains: chains}
	// It lets gateways of its owner in, as its person's program does.
	door, err := gateway.Open(ctx, gateway.Config{
		Path: filepath.Join(home, "gateway.json"), Box: box, Device: id.Device(), KEM: keys.KEM, Member: book.Has, Witness: cheat,
		Now: time.Now,
	})
	if err != nil {
		return err
	}
	service, err := rpc.New(rpc.Config{
		Identity: id, Book: book, Name: func() string { return settings.Name }, Version: "hostile", Listen: settings.Bound,
		Witness: cheat, Guests: door,
		Keys: rpc.Keys{Sign: keys.Sign[32:], KEM: keys.KEM.PublicKey().Bytes()},
	})
	if err != nil {
		return err
	}
	if err := service.Listen(ctx); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(node.About{Device: id.Device(), Name: settings.Name, Addresses: service.Addresses()}); err != nil {
		return err
	}
	err = service.Serve(ctx)
	return errors.Join(err, service.Close(), door.Close(), honest.Close())
}

// cheat is a custodian by its person's own rules.
type cheat struct {
	kind   string
	honest *witness.Service
	keys   identity.Device
	chains []custody.Chain
}

func (c *cheat) Fellow(d peers.DeviceID) bool { return c.honest.Fellow(d) }

func (c *cheat) Answer(ctx context.Context, verb string, from peers.DeviceID, raw []byte) ([]byte, error) {
	switch {
	case c.kind == silent:
		<-ctx.Done()
		return nil, ctx.Err()
	case c.kind == lies && verb == "letter":
		return c.wrongShare(raw)
	case c.kind == forks && verb == "gossip":
		return c.otherLog(ctx, from, raw)
	}
	return c.honest.Answer(ctx, verb, from, raw)
}

// wrongShare answers as a custodian that agrees, under its own name in the grant,
// with bytes that are no share.
func (c *cheat) wrongShare(letter []byte) ([]byte, error) {
	l, err := custody.ReadLetter(letter)
	if err != nil {
		return nil, err
	}
	for _, chain := range c.chains {
		request, err := l.Open(chain)
		if err != nil {
			continue
		}
		q, err := custody.Parse[custody.OpenRequest](request)
		if err != nil {
			return nil, err
		}
		g, err := custody.CheckGrant(q.Body.Grant)
		if err != nil {
			return nil, err
		}
		name, err := chain.Pseudonym(&g.Body)
		if err != nil {
			return nil, err
		}
		i := slices.Index(g.Body.Custodians, custody.KeyOf(name))
		pk, err := hpke.MLKEM768X25519().NewPublicKey(q.Body.Ephemeral)
		if err != nil {
			return nil, err
		}
		wrong := make([]byte, 32)
		rand.Read(wrong)
		info := append(append([]byte("preezm/v1/release"), q.Hash[:]...), byte(i))
		sealed, err := hpke.Seal(pk, hpke.HKDFSHA256(), hpke.AES256GCM(), info, wrong)
		if err != nil {
			return nil, err
		}
		r, err := custody.Sign(name, custody.Release{Request: q.Hash, Index: uint8(i), Sealed: sealed, At: q.Body.At, LogSeq: 1})
		if err != nil {
			return nil, err
		}
		return custody.Marshal(witness.Reply{Release: r.Raw})
	}
	return nil, errors.New("a letter for somebody else")
}

// otherLog answers a fellow as the honest program does, with a head of its log
// that the owner is never shown.
func (c *cheat) otherLog(ctx context.Context, from peers.DeviceID, raw []byte) ([]byte, error) {
	answer, err := c.honest.Answer(ctx, "gossip", from, raw)
	if err != nil {
		return nil, err
	}
	var told witness.Whispers
	if err := custody.Unmarshal(answer, &told); err != nil {
		return nil, err
	}
	sign := custody.LogKey(c.keys.Sign, told.News.Owner)
	for i, raw := range told.News.Heads {
		h, err := custody.Parse[ledger.Head](raw)
		if err != nil || h.Signer != custody.KeyOf(sign) {
			continue
		}
		h.Body.Head[0] ^= 1
		other, err := custody.Sign(sign, h.Body)
		if err != nil {
			return nil, err
		}
		told.News.Heads[i] = other.Raw
	}
	return custody.Marshal(told)
}

// chainsIn opens the sealed place of a custodian's chains with all that lies in
// its home, as docs/formats.md has it.
func chainsIn(home string) ([]custody.Chain, error) {
	v, err := vault.Open(home, nil)
	if err != nil {
		return nil, err
	}
	parts, err := v.Unlock(nil, vault.Parts...)
	if err != nil {
		return nil, err
	}
	box := parts[vault.Machine]
	boxes, err := filepath.Glob(filepath.Join(home, witness.Folder, "*.box"))
	if err != nil {
		return nil, err
	}
	var out []custody.Chain
	for _, path := range boxes {
		key, err := box.ReadFile(strings.TrimSuffix(path, ".box")+".key", 1<<16)
		if err != nil {
			return nil, err
		}
		sealed, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if plain, err := box.Open(path, sealed); err == nil {
			sealed = plain
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		raw, err := gcm.Open(nil, make([]byte, 12), sealed, []byte("preezm/v1/ratchet"))
		if err != nil {
			return nil, err
		}
		var state struct {
			Number uint64 `cbor:"1,keyasint"`
			Chains []struct {
				Owner      custody.Key `cbor:"1,keyasint"`
				Generation uint32      `cbor:"2,keyasint"`
				Day        uint32      `cbor:"3,keyasint"`
				Key        [32]byte    `cbor:"4,keyasint"`
			} `cbor:"2,keyasint"`
		}
		if err := custody.Unmarshal(raw, &state); err != nil {
			return nil, err
		}
		for _, c := range state.Chains {
			out = append(out, custody.Chain{Generation: c.Generation, Day: c.Day, Key: c.Key})
		}
	}
	return out, nil
}
