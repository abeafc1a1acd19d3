// SPDX-License-Identifier: MPL-2.0

package helpers

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/secretsharing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// Errors a caller decides on.
var (
	// ErrBadShare: a share does not fit what its owner committed to.
	ErrBadShare = said.Error("bad-share", "the share is not the one its owner made")
	// ErrTooFew: there are not enough good shares.
	ErrTooFew = said.Error("few-shares", "too few helpers gave their share")
	// ErrMixed: the documents are not of one set.
	ErrMixed = said.Error("mixed-shares", "the shares are not of one set")
)

// Plan is a set to be made.
type Plan struct {
	Name    string // the owner's, for people
	Number  uint64
	Kind    uint8
	Secret  [32]byte
	K       int
	Helpers []Helper
	Keys    [][]byte // X-Wing, of the helpers in order
	Devices []peers.DeviceID
	Delay   int64
	At      int64
}

// Split makes one signed document for each helper, in order.
func Split(root ed25519.PrivateKey, p *Plan) ([][]byte, error) {
	n := len(p.Helpers)
	if len(p.Keys) != n || p.K < 2 || p.K > n || n > MaxHelpers {
		return nil, fmt.Errorf("cannot share among %d of %d helpers", p.K, n)
	}
	s := Share{
		Owner: custody.KeyOf(root), Name: p.Name, Number: p.Number, Kind: p.Kind, K: uint8(p.K),
		Helpers: p.Helpers, Devices: p.Devices, Delay: p.Delay, At: p.At,
	}
	rand.Read(s.Set[:]) // never fails
	scalar := group.Ristretto255.RandomNonZeroScalar(nil)
	sharing := secretsharing.New(nil, uint(p.K-1), scalar)
	for _, e := range sharing.CommitSecret() {
		b, err := e.MarshalBinaryCompress()
		if err != nil || len(b) != 32 {
			return nil, fmt.Errorf("encode a commitment: %w", err)
		}
		s.Commits = append(s.Commits, [32]byte(b))
	}
	aead, err := s.wrapping(scalar)
	if err != nil {
		return nil, err
	}
	copy(s.Wrapped[:], aead.Seal(nil, make([]byte, aead.NonceSize()), p.Secret[:], s.context()))
	var out [][]byte
	for i, share := range sharing.Share(uint(n)) {
		v, err := share.Value.MarshalBinary()
		if err != nil {
			return nil, fmt.Errorf("encode a share: %w", err)
		}
		s.Index = uint8(i + 1)
		if s.Sealed, err = seal(p.Keys[i], s.info(labelShare), v); err != nil {
			return nil, fmt.Errorf("seal the share of %s: %w", p.Helpers[i].Name, err)
		}
		clear(v)
		doc, err := custody.Sign(root, s)
		if err != nil {
			return nil, err
		}
		out = append(out, doc.Raw)
	}
	return out, nil
}

// context binds what is wrapped and sealed to one set.
func (s *Share) context() []byte {
	b := append([]byte(label), 0)
	b = append(append(b, s.Owner[:]...), s.Set[:]...)
	return append(binary.BigEndian.AppendUint64(b, s.Number), s.Kind, s.K, uint8(len(s.Helpers)))
}

func (s *Share) info(purpose string) []byte {
	return append(append(append([]byte(purpose), 0), s.context()...), s.Index)
}

// wrapping is used for one message: its scalar is fresh, so the nonce is fixed.
func (s *Share) wrapping(scalar group.Scalar) (cipher.AEAD, error) {
	b, err := scalar.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("encode a secret: %w", err)
	}
	key, err := hkdf.Key(sha256.New, b, []byte(label), "wrap"+string(s.context()), 32)
	clear(b)
	if err != nil {
		return nil, fmt.Errorf("derive the wrapping key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("AES-256: %w", err)
	}
	return cipher.NewGCM(block)
}

func seal(pub, info, plain []byte) ([]byte, error) {
	pk, err := hpke.MLKEM768X25519().NewPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("an X-Wing public key: %w", err)
	}
	return hpke.Seal(pk, hpke.HKDFSHA256(), hpke.AES256GCM(), info, plain)
}

// Good tells whether a share is the one that its owner committed to.
func (s *Share) Good(value [32]byte) bool {
	v := group.Ristretto255.NewScalar()
	if v.UnmarshalBinary(value[:]) != nil {
		return false
	}
	var commits secretsharing.SecretCommitment
	for _, c := range s.Commits {
		e := group.Ristretto255.NewElement()
		if e.UnmarshalBinary(c[:]) != nil {
			return false
		}
		commits = append(commits, e)
	}
	return secretsharing.Verify(uint(s.K-1), secretsharing.Share{ID: s.id(), Value: v}, commits)
}

func (s *Share) id() group.Scalar { return group.Ristretto255.NewScalar().SetUint64(uint64(s.Index)) }

// Open gives the share to the helper that it is for. ErrBadShare when it does not
// open with the key, or does not fit the commitments.
func (s *Share) Open(key hpke.PrivateKey) ([32]byte, error) {
	return s.open(key, labelShare, s.Sealed)
}

// Reseal seals a share to the newcomer's key.
func (s *Share) Reseal(value [32]byte, newcomer []byte) ([]byte, error) {
	return seal(newcomer, s.info(labelRelease), value[:])
}

// OpenReleased is the newcomer's end of Reseal.
func (s *Share) OpenReleased(key hpke.PrivateKey, sealed []byte) ([32]byte, error) {
	return s.open(key, labelRelease, sealed)
}

func (s *Share) open(key hpke.PrivateKey, purpose string, sealed []byte) (out [32]byte, err error) {
	b, err := hpke.Open(key, hpke.HKDFSHA256(), hpke.AES256GCM(), s.info(purpose), sealed)
	if err != nil || len(b) != len(out) {
		return out, fmt.Errorf("%w: it does not open", ErrBadShare)
	}
	copy(out[:], b)
	clear(b)
	if !s.Good(out) {
		return out, ErrBadShare
	}
	return out, nil
}

// Released is what one helper gave: its document, and its share.
type Released struct {
	Doc   *Share
	Value [32]byte
}

// Combine gives the secret back. bad names the helpers whose share is not the one
// that was made; they are passed over.
func Combine(all []Released) (secret [32]byte, bad []string, err error) {
	if len(all) == 0 {
		return secret, nil, ErrTooFew
	}
	first := all[0].Doc
	var shares []secretsharing.Share
	used := map[uint8]bool{} // circl panics on one number twice
	for _, r := range all {
		d := r.Doc
		if string(d.context()) != string(first.context()) || d.Wrapped != first.Wrapped || !slices.Equal(d.Commits, first.Commits) {
			return secret, nil, ErrMixed
		}
		if !d.Good(r.Value) {
			bad = append(bad, d.Me().Name)
			continue
		}
		if used[d.Index] {
			continue
		}
		used[d.Index] = true
		v := group.Ristretto255.NewScalar()
		if err := v.UnmarshalBinary(r.Value[:]); err != nil {
			return secret, bad, ErrBadShare
		}
		shares = append(shares, secretsharing.Share{ID: d.id(), Value: v})
	}
	if len(shares) < int(first.K) {
		err := fmt.Errorf("%w: %d good of %d needed", ErrTooFew, len(shares), first.K)
		if len(bad) > 0 {
			err = fmt.Errorf("%w; %s gave a bad one", err, strings.Join(bad, ", "))
		}
		return secret, bad, err
	}
	scalar, err := secretsharing.Recover(uint(first.K-1), shares[:first.K])
	if err != nil {
		return secret, bad, fmt.Errorf("join shares: %w", err)
	}
	aead, err := first.wrapping(scalar)
	if err != nil {
		return secret, bad, err
	}
	b, err := aead.Open(nil, make([]byte, aead.NonceSize()), first.Wrapped[:], first.context())
	if err != nil {
		return secret, bad, fmt.Errorf("what the helpers keep does not open: %w", ErrBadShare)
	}
	copy(secret[:], b)
	clear(b)
	return secret, bad, nil
}
