// SPDX-License-Identifier: MPL-2.0

package consent

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers/said"
)

// Limits.
const (
	MaxLife    = 30 * 86400 // seconds a request may stand
	maxPurpose = 140        // bytes of a purpose, so that it is read
	maxText    = 512
	maxParts   = 16 // purposes, recipients, kinds of data
	maxFiles   = 1024
	maxCert    = 2048
)

// Basis is a legal basis of Article 6(1) GDPR. Only ByConsent is an agreement
// that can be taken back: under the others the person is told, not asked.
type Basis string

// The legal bases.
const (
	ByConsent    Basis = "consent"    // 6(1)(a)
	ByContract   Basis = "contract"   // 6(1)(b)
	ByObligation Basis = "obligation" // 6(1)(c); Why names the law
	ByInterest   Basis = "interest"   // 6(1)(f); Why says whose and which
)

// Controller is who answers for what happens to the data (13(1)(a) and (b)).
type Controller struct {
	Root         custody.Key `cbor:"1,keyasint"` // of the brand card
	LegalName    string      `cbor:"2,keyasint"`
	Registration string      `cbor:"3,keyasint"` // such as a SIREN; may be empty
	Country      string      `cbor:"4,keyasint"`
	Address      string      `cbor:"5,keyasint"`
	Contact      string      `cbor:"6,keyasint"` // where a person can write to
	Protection   string      `cbor:"7,keyasint"` // the data protection officer; may be empty
}

// Purpose is one thing that the data is wanted for, to be answered by itself.
type Purpose struct {
	Text      string `cbor:"1,keyasint"`
	IRI       string `cbor:"2,keyasint"` // of the Data Privacy Vocabulary; may be empty
	Necessary bool   `cbor:"3,keyasint"` // without it there is no contract or service
}

// Recipient is somebody else who gets the data (13(1)(e) and (f)).
type Recipient struct {
	Name      string `cbor:"1,keyasint"`
	Country   string `cbor:"2,keyasint"`
	Why       string `cbor:"3,keyasint"`
	Safeguard string `cbor:"4,keyasint"` // outside the EEA; else empty
}

// Kind is a kind of document or data that is wanted.
type Kind struct {
	Text    string `cbor:"1,keyasint"`
	IRI     string `cbor:"2,keyasint"`
	Special bool   `cbor:"3,keyasint"` // of Article 9: health, beliefs and the like
}

// Access is how the files may be opened.
type Access struct {
	Seconds  int64  `cbor:"1,keyasint"`
	MaxOpens uint32 `cbor:"2,keyasint"` // of each file; 0: any number
	Follow   bool   `cbor:"3,keyasint"` // later versions too
}

// AccessRequest asks a person for files. Signed by a device of the brand.
type AccessRequest struct {
	ID          [16]byte    `cbor:"1,keyasint"`
	Controller  Controller  `cbor:"2,keyasint"`
	Purposes    []Purpose   `cbor:"3,keyasint"`
	Basis       Basis       `cbor:"4,keyasint"`
	BasisWhy    string      `cbor:"5,keyasint"` // the law, or the interest
	Kinds       []Kind      `cbor:"6,keyasint"`
	Access      Access      `cbor:"7,keyasint"`
	Retention   string      `cbor:"8,keyasint"`  // how long copies are kept, and until which event
	RetainedFor string      `cbor:"9,keyasint"`  // the law that wants that; may be empty
	Recipients  []Recipient `cbor:"10,keyasint"` // beside the controller
	Automated   string      `cbor:"11,keyasint"` // decisions by machine, profiling; empty: none
	IfRefused   string      `cbor:"12,keyasint"` // what follows from a no
	Policy      string      `cbor:"13,keyasint"` // where more is said
	Language    string      `cbor:"14,keyasint"` // of the texts
	At          int64       `cbor:"15,keyasint"`
	Expires     int64       `cbor:"16,keyasint"`
	Cert        []byte      `cbor:"17,keyasint"` // of the signing device
}

// Type implements custody.Document.
func (AccessRequest) Type() string { return "preezm/v1/access-request" }

// Check implements custody.Document. A request without a legal name, purpose,
// legal basis, retention or contact cannot be made.
func (r AccessRequest) Check() error {
	for _, must := range [][2]string{
		{"the company's legal name", r.Controller.LegalName}, {"a contact", r.Controller.Contact}, {"a legal basis", string(r.Basis)},
		{"how long copies are kept", r.Retention},
	} {
		if strings.TrimSpace(must[1]) == "" {
			return said.Error("request-must", "a request must say {what}", "what", must[0])
		}
	}
	if len(r.Purposes) == 0 || len(r.Kinds) == 0 {
		return said.Error("request-wanted", "a request must say what is wanted, and what for")
	}
	if len(r.Purposes) > maxParts || len(r.Kinds) > maxParts || len(r.Recipients) > maxParts || len(r.Cert) > maxCert {
		return errors.New("too many parts")
	}
	switch r.Basis {
	case ByConsent, ByContract:
	case ByObligation, ByInterest:
		if r.BasisWhy == "" {
			return said.Error("request-basis", "the basis must be explained: which law obliges, or which interest it is")
		}
	default:
		return fmt.Errorf("the legal basis %q is none", r.Basis)
	}
	c := &r.Controller
	texts := []string{
		c.LegalName, c.Registration, c.Country, c.Address, c.Contact, c.Protection, r.BasisWhy, r.Retention, r.RetainedFor,
		r.Automated, r.IfRefused, r.Policy, r.Language,
	}
	for _, p := range r.Purposes {
		if strings.TrimSpace(p.Text) == "" || len(p.Text) > maxPurpose {
			return said.Error("purpose-long", "a purpose has 1 to {most} bytes of text", "most", strconv.Itoa(maxPurpose))
		}
		texts = append(texts, p.IRI)
	}
	for _, k := range r.Kinds {
		if strings.TrimSpace(k.Text) == "" {
			return errors.New("a kind of data without a name")
		}
		texts = append(texts, k.Text, k.IRI)
	}
	for _, x := range r.Recipients {
		if x.Name == "" || x.Why == "" {
			return errors.New("a recipient must have a name and a reason")
		}
		texts = append(texts, x.Name, x.Country, x.Why, x.Safeguard)
	}
	if slices.ContainsFunc(texts, func(s string) bool { return len(s) > maxText }) {
		return said.Error("text-long", "a text is longer than {most} bytes", "most", strconv.Itoa(maxText))
	}
	if r.At < 0 || r.Expires <= r.At || r.Expires > r.At+MaxLife || r.Access.Seconds <= 0 || r.Access.Seconds > custody.MaxGrantTime {
		return errors.New("times that cannot be")
	}
	return nil
}

// CheckRequest reads a request by a device that its controller had certified.
func CheckRequest(raw []byte) (*custody.Signed[AccessRequest], error) {
	r, err := custody.Parse[AccessRequest](raw)
	if err != nil {
		return nil, err
	}
	if _, err := custody.Certified(r.Body.Cert, r.Body.Controller.Root, r.Signer, custody.OrgMember, r.Body.At); err != nil {
		return nil, fmt.Errorf("%w: the request: %w", custody.ErrMalformed, err)
	}
	return r, nil
}

// Decision is a person's answer to one part of a request.
type Decision string

// The decisions.
const (
	Given   Decision = "given"
	Reduced Decision = "reduced" // less than was asked for
	Refused Decision = "refused"
)

// Displayed is what the person had before their eyes (7(1)).
type Displayed struct {
	Hash     custody.Hash `cbor:"1,keyasint"` // SHA-256 of the text of Display
	Language string       `cbor:"2,keyasint"`
	Program  string       `cbor:"3,keyasint"` // and its version
}

// Consent is a person's yes to a request, whole or reduced. Its hash is in the
// grant that follows. Signed by an owner device.
type Consent struct {
	ID        [16]byte     `cbor:"1,keyasint"`
	Request   custody.Hash `cbor:"2,keyasint"`
	Person    custody.Key  `cbor:"3,keyasint"` // their key towards this controller alone
	Purposes  []Decision   `cbor:"4,keyasint"` // in the order of the request
	Files     []string     `cbor:"5,keyasint"` // names, without folders
	NotBefore int64        `cbor:"6,keyasint"`
	NotAfter  int64        `cbor:"7,keyasint"`
	MaxOpens  uint32       `cbor:"8,keyasint"`
	Follow    bool         `cbor:"9,keyasint"`
	Decision  Decision     `cbor:"10,keyasint"` // given or reduced
	Displayed Displayed    `cbor:"11,keyasint"`
	At        int64        `cbor:"12,keyasint"`
	Cert      []byte       `cbor:"13,keyasint"`
}

// Type implements custody.Document.
func (Consent) Type() string { return "preezm/v1/consent" }

// Check implements custody.Document.
func (c Consent) Check() error {
	switch {
	case len(c.Purposes) == 0 || len(c.Purposes) > maxParts || len(c.Files) == 0 || len(c.Files) > maxFiles || len(c.Cert) > maxCert:
		return errors.New("too few or too many parts")
	case c.Decision != Given && c.Decision != Reduced:
		return errors.New("neither given nor reduced")
	case c.At < 0 || c.NotBefore < 0 || c.NotAfter <= c.NotBefore:
		return errors.New("times that cannot be")
	case slices.ContainsFunc(c.Purposes, func(d Decision) bool { return d != Given && d != Refused }):
		return errors.New("a purpose is given or refused")
	case !slices.Contains(c.Purposes, Given):
		return errors.New("no purpose is given: that is a refusal")
	case slices.ContainsFunc(c.Files, func(f string) bool { return f == "" || len(f) > 4096 }):
		return errors.New("a file without a name")
	case len(c.Displayed.Language) > maxText || len(c.Displayed.Program) > maxText:
		return errors.New("a text is too long")
	}
	return nil
}

// Refusal is a person's no. Signed by the person's key towards this controller
// alone, which tells it nothing else of them.
type Refusal struct {
	ID      [16]byte     `cbor:"1,keyasint"`
	Request custody.Hash `cbor:"2,keyasint"`
	Person  custody.Key  `cbor:"3,keyasint"`
	Reason  string       `cbor:"4,keyasint"` // may be empty: nobody has to give one
	At      int64        `cbor:"5,keyasint"`
}

// Type implements custody.Document.
func (Refusal) Type() string { return "preezm/v1/refusal" }

// Check implements custody.Document.
func (r Refusal) Check() error {
	if len(r.Reason) > maxText || r.At < 0 {
		return errors.New("a field is out of its range")
	}
	return nil
}

// CheckConsent reads a yes to a request.
func CheckConsent(raw []byte, r *custody.Signed[AccessRequest], owner custody.Key) (*custody.Signed[Consent], error) {
	c, err := custody.Parse[Consent](raw)
	if err != nil {
		return nil, err
	}
	if c.Body.Request != r.Hash || len(c.Body.Purposes) != len(r.Body.Purposes) {
		return nil, fmt.Errorf("%w: a consent to another request", custody.ErrMalformed)
	}
	if _, err := custody.Certified(c.Body.Cert, owner, c.Signer, custody.OwnerDevice, c.Body.At); err != nil {
		return nil, fmt.Errorf("%w: the consent: %w", custody.ErrMalformed, err)
	}
	return c, nil
}

// CheckRefusal reads a no to a request.
func CheckRefusal(raw []byte, r *custody.Signed[AccessRequest]) (*custody.Signed[Refusal], error) {
	n, err := custody.Parse[Refusal](raw)
	if err != nil {
		return nil, err
	}
	if n.Body.Request != r.Hash || n.Signer != n.Body.Person {
		return nil, fmt.Errorf("%w: a refusal of another request", custody.ErrMalformed)
	}
	return n, nil
}
