// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/secretsharing"
)

// The suite: HPKE (RFC 9180) with MLKEM768-X25519 (X-Wing), HKDF-SHA-256 and
// AES-256-GCM or export only; Shamir over the scalars of ristretto255, for
// which circl takes its randomness from crypto/rand whatever reader it is given.

// errDamaged: documents that were signed do not lead to a key.
var errDamaged = errors.New("the package does not open")

// NewKEM makes an X-Wing key pair: a brand's own, or a request's ephemeral one.
func NewKEM() (hpke.PrivateKey, error) {
	k, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("make an X-Wing key: %w", err)
	}
	return k, nil
}

// openKEM reads an X-Wing private key.
func openKEM(seed []byte) (hpke.PrivateKey, error) {
	k, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	if err != nil {
		return nil, malformed("an X-Wing private key: %w", err)
	}
	return k, nil
}

// sealTo seals 32 bytes under info to an X-Wing public key.
func sealTo(pub []byte, info []byte, plain [32]byte) ([]byte, error) {
	pk, err := hpke.MLKEM768X25519().NewPublicKey(pub)
	if err != nil {
		return nil, malformed("an X-Wing public key: %w", err)
	}
	return seal32(pk, info, plain)
}

func seal32(pk hpke.PublicKey, info []byte, plain [32]byte) ([]byte, error) {
	b, err := hpke.Seal(pk, hpke.HKDFSHA256(), hpke.AES256GCM(), info, plain[:])
	if err != nil {
		return nil, fmt.Errorf("seal to an X-Wing key: %w", err)
	}
	return b, nil
}

func openWith(key hpke.PrivateKey, info, sealed []byte) (out [32]byte, err error) {
	b, err := hpke.Open(key, hpke.HKDFSHA256(), hpke.AES256GCM(), info, sealed)
	if err != nil || len(b) != len(out) {
		return out, malformed("sealed for another key or purpose")
	}
	copy(out[:], b)
	clear(b)
	return out, nil
}

// exporter is either end of an HPKE context.
type exporter interface {
	Export(context string, length int) ([]byte, error)
}

// export is one version's part of an HPKE context: the second lock.
func export(hp exporter, f FileID, version uint64) ([]byte, error) {
	second, err := hp.Export("file/"+string(f[:])+"/"+string(be64(version)), 32)
	if err != nil {
		return nil, fmt.Errorf("export from the package: %w", err)
	}
	return second, nil
}

// kek derives the key that wraps one version's key from both locks: the secret
// of the custodians and the one shared with the brand.
func kek(secret, second []byte, grant Hash, e *Entry) (out [32]byte, err error) {
	ikm := append(append(make([]byte, 0, 64), secret...), second...)
	prk, err := hkdf.Extract(sha256.New, ikm, []byte("preezm/v1/kek"))
	clear(ikm)
	if err != nil {
		return out, fmt.Errorf("derive a wrapping key: %w", err)
	}
	out = expand(prk, "custody/kek", grant[:], e.File[:], be64(e.Version), e.Salt[:])
	clear(prk)
	return out, nil
}

// wrap and unwrap use a fixed nonce: each wrapping key comes from a fresh
// secret and a fresh salt and seals one message.
func wrap(kek, key [32]byte, grant Hash) (out [48]byte, err error) {
	g, err := gcm(kek)
	if err != nil {
		return out, err
	}
	copy(out[:], g.Seal(nil, make([]byte, g.NonceSize()), key[:], grant[:]))
	return out, nil
}

func unwrap(kek [32]byte, wrapped [48]byte, grant Hash) (out [32]byte, err error) {
	g, err := gcm(kek)
	if err != nil {
		return out, err
	}
	b, err := g.Open(nil, make([]byte, g.NonceSize()), wrapped[:], grant[:])
	if err != nil {
		return out, errDamaged
	}
	copy(out[:], b)
	clear(b)
	return out, nil
}

func gcm(key [32]byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("AES-256: %w", err)
	}
	g, err := cipher.NewGCM(b)
	if err != nil {
		return nil, fmt.Errorf("AES-GCM: %w", err)
	}
	return g, nil
}

// split draws a secret and cuts it into n shares, any k of which give it back;
// share i (from 0) is the polynomial at i+1.
func split(k, n int) (secret []byte, shares [][32]byte, err error) {
	s := group.Ristretto255.RandomNonZeroScalar(nil)
	if secret, err = s.MarshalBinary(); err != nil {
		return nil, nil, fmt.Errorf("encode a secret: %w", err)
	}
	shares = make([][32]byte, n)
	for i, sh := range secretsharing.New(nil, uint(k-1), s).Share(uint(n)) {
		b, err := sh.Value.MarshalBinary()
		if err != nil {
			return nil, nil, fmt.Errorf("encode a share: %w", err)
		}
		copy(shares[i][:], b)
	}
	return secret, shares, nil
}

// join gives the secret back from k shares by index; a map cannot hold one
// twice, on which circl's Recover would panic.
func join(k int, shares map[int][32]byte) ([]byte, error) {
	list := make([]secretsharing.Share, 0, len(shares))
	for i, b := range shares {
		v := group.Ristretto255.NewScalar()
		if err := v.UnmarshalBinary(b[:]); err != nil {
			return nil, errDamaged // not a canonical scalar
		}
		id := group.Ristretto255.NewScalar().SetUint64(uint64(i) + 1)
		list = append(list, secretsharing.Share{ID: id, Value: v})
	}
	s, err := secretsharing.Recover(uint(k-1), list)
	if err != nil {
		return nil, fmt.Errorf("join shares: %w", err)
	}
	return s.MarshalBinary()
}

// sealX25519 and openX25519 carry requests past a gateway. What they hide is
// who asks for what, not keys, so that 32 bytes for each custodian suffice.
func sealX25519(pub Key, info, plain []byte) ([]byte, error) {
	p, err := ecdh.X25519().NewPublicKey(pub[:])
	if err != nil {
		return nil, malformed("a mailbox key: %w", err)
	}
	pk, err := hpke.NewDHKEMPublicKey(p)
	if err != nil {
		return nil, malformed("a mailbox key: %w", err)
	}
	b, err := hpke.Seal(pk, hpke.HKDFSHA256(), hpke.AES256GCM(), info, plain)
	if err != nil {
		return nil, fmt.Errorf("seal to a mailbox: %w", err)
	}
	return b, nil
}

func openX25519(key *ecdh.PrivateKey, info, sealed []byte) ([]byte, error) {
	sk, err := hpke.NewDHKEMPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("open a letter: %w", err)
	}
	b, err := hpke.Open(sk, hpke.HKDFSHA256(), hpke.AES256GCM(), info, sealed)
	if err != nil {
		return nil, malformed("sealed for another mailbox")
	}
	return b, nil
}

func xor(a, b [32]byte) (out [32]byte) {
	for i := range out {
		out[i] = a[i] ^ b[i]
	}
	return out
}
