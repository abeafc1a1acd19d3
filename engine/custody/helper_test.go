// SPDX-License-Identifier: MPL-2.0

package custody

import (
	"crypto/ed25519"
	"testing"
)

// rawSignedOr signs any payload as a type, or gives nil when it is too long.
func rawSignedOr(key ed25519.PrivateKey, kind string, payload []byte) []byte {
	e := envelope{Type: kind, Payload: payload, Signer: KeyOf(key)}
	copy(e.Sig[:], ed25519.Sign(key, signedBytes(kind, payload)))
	b, err := Marshal(e)
	if err != nil {
		return nil
	}
	return b
}

// nested is a good request with any grant and package, all rightly signed.
func nested(member ed25519.PrivateKey, req OpenRequest, device ed25519.PrivateKey, grant, pkg []byte) []byte {
	req.Grant = rawSignedOr(device, Grant{}.Type(), grant)
	req.Package = rawSignedOr(device, KeyPackage{}.Type(), pkg)
	b, err := Marshal(req)
	if err != nil {
		return nil
	}
	return rawSignedOr(member, OpenRequest{}.Type(), b)
}

// Any k-1 shares fit any secret at all: they tell nothing about it.
func TestSharesBelowKFitEverySecret(t *testing.T) {
	secret, shares, err := split(3, 5)
	if err != nil {
		t.Fatal(err)
	}
	got, err := join(3, map[int][32]byte{4: shares[4], 1: shares[1], 2: shares[2]})
	if err != nil || string(got) != string(secret) {
		t.Fatal("three shares do not give the secret: ", err)
	}
	all, err := join(3, map[int][32]byte{0: shares[0], 1: shares[1], 2: shares[2], 3: shares[3], 4: shares[4]})
	if err != nil || string(all) != string(secret) {
		t.Fatal("more than k shares do not give the secret: ", err)
	}
	if _, err := join(3, map[int][32]byte{0: shares[0], 1: shares[1]}); err == nil {
		t.Fatal("two shares give a secret")
	}
	// With two real shares, each guess of the third gives another secret, so
	// each secret belongs to some guess.
	seen := map[string]bool{}
	for range 20 {
		_, guess, err := split(1, 1)
		if err != nil {
			t.Fatal(err)
		}
		s, err := join(3, map[int][32]byte{0: shares[0], 1: shares[1], 2: guess[0]})
		if err != nil {
			t.Fatal(err)
		}
		seen[string(s)] = true
	}
	if len(seen) != 20 || seen[string(secret)] {
		t.Fatal("two shares narrow the secret down")
	}
	// A share that is no canonical scalar is an error, not another number.
	var big [32]byte
	for i := range big {
		big[i] = 0xff
	}
	if _, err := join(1, map[int][32]byte{0: big}); err == nil {
		t.Fatal("a number beyond the group's order is a share")
	}
}

func TestOversizeIsRefused(t *testing.T) {
	if _, err := Parse[Grant](make([]byte, MaxDocument+1)); err == nil {
		t.Fatal("more than 1 MiB is read")
	}
	if _, err := Marshal(envelope{Payload: make([]byte, MaxDocument)}); err == nil {
		t.Fatal("more than 1 MiB is written")
	}
}
