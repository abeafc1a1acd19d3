// SPDX-License-Identifier: MPL-2.0

package consent

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers/said"
)

// MaxReceipt bounds a receipt, in bytes.
const MaxReceipt = 4 << 20

// ErrReceipt: a text is no receipt, or was changed.
var ErrReceipt = said.Error("receipt", "the receipt does not hold")

// Receipt is a request with all that both sides signed about it. Consent or
// Refusal is there.
type Receipt struct {
	Request       *custody.Signed[AccessRequest]
	Consent       *custody.Signed[Consent]
	Refusal       *custody.Signed[Refusal]
	Countersigned *custody.Signed[Countersignature] // nil: by the person alone
	// Revocation takes the grant back that the countersignature names; or nil.
	Revocation *custody.Signed[custody.Revocation]
	// Displayed is the text that the person had before their eyes. It counts only
	// when it is the one that the consent names.
	Displayed string
}

// documents are a receipt's signed bytes, from which the rest of it follows.
type documents struct {
	Request    string `json:"preezm:accessRequest"`
	Consent    string `json:"preezm:consent,omitempty"`
	Refusal    string `json:"preezm:refusal,omitempty"`
	Counter    string `json:"preezm:countersignature,omitempty"`
	Revocation string `json:"preezm:revocation,omitempty"`
}

// JSON writes the receipt as JSON-LD in the words of the Data Privacy Vocabulary,
// as it puts ISO/IEC TS 27560 into practice. The same receipt is always the same
// text. The signed documents are part of it: ReadReceipt holds all the rest
// against them.
func (r *Receipt) JSON() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	d := documents{Request: b64(r.Request.Raw)}
	switch {
	case r.Consent != nil:
		d.Consent = b64(r.Consent.Raw)
	default:
		d.Refusal = b64(r.Refusal.Raw)
	}
	if r.Countersigned != nil {
		d.Counter = b64(r.Countersigned.Raw)
	}
	if r.Revocation != nil {
		d.Revocation = b64(r.Revocation.Raw)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r.linked(d)); err != nil {
		return nil, fmt.Errorf("write a receipt: %w", err)
	}
	return b.Bytes(), nil
}

// check holds the documents against each other.
func (r *Receipt) check() error {
	if (r.Consent == nil) == (r.Refusal == nil) {
		return errors.New("a receipt is of one answer")
	}
	if r.Revocation != nil && (r.Countersigned == nil || r.Revocation.Body.Grant != r.Countersigned.Body.Grant) {
		return errors.New("the withdrawal is of another grant")
	}
	return nil
}

// answer is the hash of the consent or the refusal.
func (r *Receipt) answer() custody.Hash {
	if r.Consent != nil {
		return r.Consent.Hash
	}
	return r.Refusal.Hash
}

// ReadReceipt reads what JSON wrote, with nothing but its bytes: each document's
// signature, that they belong together, and that the readable part says what they
// say. White space may have changed. The error wraps ErrReceipt. Whether company
// and person are who they should be, the reader decides by their keys.
func ReadReceipt(raw []byte) (*Receipt, error) {
	r, err := readReceipt(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	return r, nil
}

func readReceipt(raw []byte) (*Receipt, error) {
	if len(raw) > MaxReceipt {
		return nil, errors.New("it is too long")
	}
	var in struct {
		Documents *documents `json:"preezm:documents"`
		Record    struct {
			Notices []struct {
				Text string `json:"skos:definition"`
			} `json:"dpv:hasNotice"`
		} `json:"dpv:hasRecordOfActivity"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	if in.Documents == nil {
		return nil, errors.New("it has no signed documents")
	}
	d := in.Documents
	request, err := unb64(d.Request)
	if err != nil {
		return nil, err
	}
	r := &Receipt{}
	if n := in.Record.Notices; len(n) > 0 {
		r.Displayed = n[0].Text
	}
	if r.Request, err = CheckRequest(request); err != nil {
		return nil, fmt.Errorf("the request: %w", err)
	}
	if d.Consent != "" {
		if r.Consent, err = readConsent(d.Consent, r.Request); err != nil {
			return nil, fmt.Errorf("the consent: %w", err)
		}
	}
	if d.Refusal != "" {
		no, err := unb64(d.Refusal)
		if err == nil {
			r.Refusal, err = CheckRefusal(no, r.Request)
		}
		if err != nil {
			return nil, fmt.Errorf("the refusal: %w", err)
		}
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	if d.Counter != "" {
		c, err := unb64(d.Counter)
		if err == nil {
			r.Countersigned, err = CheckCountersignature(c, r.Request, r.answer(), r.Consent != nil)
		}
		if err != nil {
			return nil, err
		}
	}
	if d.Revocation != "" {
		if r.Revocation, err = readRevocation(d.Revocation, r.Consent); err != nil {
			return nil, fmt.Errorf("the withdrawal: %w", err)
		}
	}
	again, err := r.JSON()
	if err != nil {
		return nil, err
	}
	// Compacted, and not decoded: of two members of one name each program takes
	// the one it likes.
	var got, want bytes.Buffer
	if err := errors.Join(json.Compact(&got, raw), json.Compact(&want, again)); err != nil {
		return nil, err
	}
	if !bytes.Equal(got.Bytes(), want.Bytes()) {
		return nil, errors.New("what it says is not what was signed")
	}
	return r, nil
}

// readConsent reads a yes whose person is known by its own certificate alone.
func readConsent(text string, r *custody.Signed[AccessRequest]) (*custody.Signed[Consent], error) {
	raw, err := unb64(text)
	if err != nil {
		return nil, err
	}
	root, err := ownerOf(raw)
	if err != nil {
		return nil, err
	}
	return CheckConsent(raw, r, root)
}

// ownerOf is whom a consent's certificate says that it is by.
func ownerOf(raw []byte) (custody.Key, error) {
	c, err := custody.Parse[Consent](raw)
	if err != nil {
		return custody.Key{}, err
	}
	cert, err := custody.Parse[custody.DeviceCert](c.Body.Cert)
	if err != nil {
		return custody.Key{}, err
	}
	return cert.Body.Root, nil
}

func readRevocation(text string, yes *custody.Signed[Consent]) (*custody.Signed[custody.Revocation], error) {
	raw, err := unb64(text)
	if err != nil {
		return nil, err
	}
	if yes == nil {
		return nil, errors.New("of a refusal")
	}
	root, err := ownerOf(yes.Raw)
	if err != nil {
		return nil, err
	}
	return custody.CheckRevocation(raw, root)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func unb64(s string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("a document is damaged: %w", err)
	}
	return b, nil
}
