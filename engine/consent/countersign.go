// SPDX-License-Identifier: MPL-2.0

package consent

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/preezm/preezm/engine/custody"
)

// CountersignPrefix begins the text of a countersignature.
const CountersignPrefix = "preezm-countersign1-"

// Countersignature is a company's word that it holds an answer to its request.
// With it the record is a joint one: neither side can deny the other's part, or
// show another answer later. Signed by a device of the brand.
type Countersignature struct {
	Request custody.Hash `cbor:"1,keyasint"`
	Answer  custody.Hash `cbor:"2,keyasint"` // of the consent or the refusal
	Grant   custody.Hash `cbor:"3,keyasint"` // that came with a consent; zero with a refusal
	At      int64        `cbor:"4,keyasint"`
	Cert    []byte       `cbor:"5,keyasint"` // of the signing device
}

// Type implements custody.Document.
func (Countersignature) Type() string { return "preezm/v1/countersignature" }

// Check implements custody.Document.
func (c Countersignature) Check() error {
	if c.At < 0 || len(c.Cert) > maxCert {
		return errors.New("a field is out of its range")
	}
	return nil
}

// Countersign makes one. Grant is zero with a refusal.
func Countersign(device ed25519.PrivateKey, cert []byte, request, answer, grant custody.Hash, now int64) (*custody.Signed[Countersignature], error) {
	return custody.Sign(device, Countersignature{Request: request, Answer: answer, Grant: grant, At: now, Cert: cert})
}

// CheckCountersignature reads the company's word about an answer to a request,
// with which a grant came or, with a refusal, none.
func CheckCountersignature(raw []byte, r *custody.Signed[AccessRequest], answer custody.Hash, granted bool) (*custody.Signed[Countersignature], error) {
	c, err := custody.Parse[Countersignature](raw)
	if err != nil {
		return nil, err
	}
	if c.Body.Request != r.Hash || c.Body.Answer != answer || (c.Body.Grant != custody.Hash{}) != granted {
		return nil, fmt.Errorf("%w: a countersignature of another answer", custody.ErrMalformed)
	}
	if _, err := custody.Certified(c.Body.Cert, r.Body.Controller.Root, c.Signer, custody.OrgMember, c.Body.At); err != nil {
		return nil, fmt.Errorf("%w: the countersignature: %w", custody.ErrMalformed, err)
	}
	return c, nil
}
