// SPDX-License-Identifier: MPL-2.0

package consent

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/preezm/preezm/engine/custody"
)

// Pairwise is a person's key towards one controller: two controllers cannot
// tell by it that they deal with the same person. Secret is one that only the
// person's machines have.
func Pairwise(secret [32]byte, controller custody.Key) (ed25519.PrivateKey, error) {
	seed, err := hkdf.Expand(sha256.New, secret[:], "preezm/v1/pairwise"+string(controller[:]), ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// Answer is what a person decides about a request.
type Answer struct {
	Files     []string
	Without   []int // purposes that are refused, from 0
	NotBefore int64
	NotAfter  int64
	MaxOpens  uint32
	Follow    bool
	Displayed Displayed
}

// Agree makes a consent. It says by itself whether less is given than was asked.
func Agree(device ed25519.PrivateKey, cert []byte, person custody.Key, r *custody.Signed[AccessRequest], a Answer, now int64) (*custody.Signed[Consent], error) {
	if now >= r.Body.Expires {
		return nil, ErrExpired
	}
	c := Consent{
		Request: r.Hash, Person: person, Files: a.Files, NotBefore: a.NotBefore, NotAfter: a.NotAfter, MaxOpens: a.MaxOpens, Follow: a.Follow,
		Decision: Given, Displayed: a.Displayed, At: now, Cert: cert,
	}
	rand.Read(c.ID[:])
	for i := range r.Body.Purposes {
		d := Given
		if slices.Contains(a.Without, i) {
			d, c.Decision = Refused, Reduced
		}
		c.Purposes = append(c.Purposes, d)
	}
	want := r.Body.Access
	switch {
	case a.NotAfter-a.NotBefore > want.Seconds || a.Follow && !want.Follow ||
		want.MaxOpens > 0 && (a.MaxOpens == 0 || a.MaxOpens > want.MaxOpens):
		return nil, ErrMore
	case a.NotAfter-a.NotBefore < want.Seconds || want.Follow && !a.Follow || a.MaxOpens > 0 && a.MaxOpens != want.MaxOpens:
		c.Decision = Reduced
	}
	return custody.Sign(device, c)
}

// Decline makes a refusal.
func Decline(person ed25519.PrivateKey, r *custody.Signed[AccessRequest], reason string, now int64) (*custody.Signed[Refusal], error) {
	n := Refusal{Request: r.Hash, Person: custody.KeyOf(person), Reason: reason, At: now}
	rand.Read(n.ID[:])
	return custody.Sign(person, n)
}
