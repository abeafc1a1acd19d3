// SPDX-License-Identifier: MPL-2.0

package consent

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers/said"
)

// The prefixes let a person and a program tell what a line of text is.
const (
	RequestPrefix = "preezm-request1-"
	ConsentPrefix = "preezm-consent1-"
	RefusalPrefix = "preezm-refusal1-"

	maxLine = 256 << 10
)

// Errors a caller decides on.
var (
	// ErrText: a text is not what it should be, or was damaged.
	ErrText = said.Error("consent-text", "is not that kind of text, or was damaged")
	// ErrExpired: nobody waits for an answer any more.
	ErrExpired = said.Error("request-expired", "the request has expired: the company has to ask again")
	// ErrMore: an answer gives more than was asked for.
	ErrMore = said.Error("consent-more", "that is more than the company asked for: shorten it, or grant it without the request")
)

// Asked is a request as it arrives: with the card that says whose key it is.
type Asked struct {
	Card    *custody.Signed[custody.Card]
	CardRaw string
	Request *custody.Signed[AccessRequest]
}

type asked struct {
	Card    string `cbor:"1,keyasint"`
	Request []byte `cbor:"2,keyasint"`
}

// Text writes a request as one line.
func Text(card string, r *custody.Signed[AccessRequest]) (string, error) {
	b, err := custody.Marshal(asked{card, r.Raw})
	if err != nil {
		return "", err
	}
	return line(RequestPrefix, b), nil
}

// Parse reads what Text wrote. Whether it has expired is the caller's to ask:
// records stay.
func Parse(text string) (*Asked, error) {
	b, err := unline(RequestPrefix, text)
	if err != nil {
		return nil, err
	}
	var a asked
	if err := custody.Unmarshal(b, &a); err != nil {
		return nil, err
	}
	out := &Asked{CardRaw: a.Card}
	if out.Card, err = custody.ParseCard(a.Card); err != nil {
		return nil, err
	}
	if out.Request, err = CheckRequest(a.Request); err != nil {
		return nil, err
	}
	if out.Request.Body.Controller.Root != out.Card.Body.Root {
		return nil, fmt.Errorf("%w: a request with another company's card", custody.ErrMalformed)
	}
	return out, nil
}

// AnswerText writes a signed answer as one line.
func AnswerText(prefix string, raw []byte) string { return line(prefix, raw) }

// AnswerBytes reads what AnswerText wrote, for CheckConsent or CheckRefusal.
func AnswerBytes(prefix, text string) ([]byte, error) { return unline(prefix, text) }

func line(prefix string, b []byte) string {
	return prefix + base64.RawURLEncoding.EncodeToString(b)
}

func unline(prefix, text string) ([]byte, error) {
	if len(text) > maxLine {
		return nil, fmt.Errorf("this text of %d bytes %w", len(text), ErrText)
	}
	body, ok := strings.CutPrefix(strings.Join(strings.Fields(text), ""), prefix)
	if !ok {
		return nil, fmt.Errorf("this text %w: it does not begin with %s", ErrText, prefix)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return nil, fmt.Errorf("this text %w", ErrText)
	}
	return b, nil
}
