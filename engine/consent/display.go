// SPDX-License-Identifier: MPL-2.0

package consent

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/preezm/preezm/engine/custody"
)

// Display is a request in plain words, as a person must see it before they
// answer; a consent names it by its hash. It is the same for the same request,
// wherever and whenever it is shown.
func Display(r *AccessRequest) string {
	var b strings.Builder
	say := func(what, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%-14s %s\n", what+":", clean(text))
		}
	}
	c := &r.Controller
	say("Who asks", strings.Join(filled(c.LegalName, c.Registration, c.Address, c.Country), ", "))
	say("Key", c.Root.String())
	say("Write to", c.Contact)
	say("Data officer", c.Protection)
	for i, k := range r.Kinds {
		text := k.Text
		if k.Special {
			text += " (sensitive: Article 9)"
		}
		say(fmt.Sprintf("Wants %d", i+1), text)
	}
	for i, p := range r.Purposes {
		text := p.Text
		if p.Necessary {
			text += " (necessary)"
		}
		say(fmt.Sprintf("What for %d", i+1), text)
	}
	say("Legal basis", basisText(r.Basis, r.BasisWhy))
	opens := "any number of times"
	if r.Access.MaxOpens > 0 {
		opens = fmt.Sprintf("at most %d times each", r.Access.MaxOpens)
	}
	if r.Access.Follow {
		opens += ", later versions too"
	}
	say("Opens here", fmt.Sprintf("for %s, %s", span(r.Access.Seconds), opens))
	say("Keeps copies", r.Retention)
	say("Because of", r.RetainedFor)
	for _, x := range r.Recipients {
		text := strings.Join(filled(x.Name, x.Country), ", ") + ": " + x.Why
		if x.Safeguard != "" {
			text += " (" + x.Safeguard + ")"
		}
		say("Passes it to", text)
	}
	say("By machine", r.Automated)
	say("If you refuse", r.IfRefused)
	say("More", r.Policy)
	say("Answer by", time.Unix(r.Expires, 0).UTC().Format("2006-01-02 15:04 UTC"))
	b.WriteString("You may refuse, or give less: other files, fewer purposes, a shorter time. You can take it back at any time; what was opened before may have been copied.\n")
	return b.String()
}

// DisplayHash names a displayed text.
func DisplayHash(text string) custody.Hash { return sha256.Sum256([]byte(text)) }

func filled(parts ...string) (out []string) {
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return out
}

// clean keeps a foreign text on its line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, s)
}

func basisText(b Basis, why string) string {
	text := map[Basis]string{
		ByConsent:    "your consent (6(1)(a)), which you can take back",
		ByContract:   "a contract with you (6(1)(b))",
		ByObligation: "a legal obligation (6(1)(c))",
		ByInterest:   "a legitimate interest (6(1)(f)), to which you can object",
	}[b]
	if why != "" {
		text += ": " + why
	}
	return text
}

func span(seconds int64) string {
	if seconds%86400 == 0 {
		return fmt.Sprintf("%d days", seconds/86400)
	}
	return (time.Duration(seconds) * time.Second).String()
}

// Export is a record as other programs read it: what was asked and answered,
// with the hashes by which the signed documents are known.
type Export struct {
	Format      string         `json:"format"`
	Request     map[string]any `json:"request"`
	RequestHash string         `json:"request_hash"`
	Answer      map[string]any `json:"answer,omitempty"`
	AnswerHash  string         `json:"answer_hash,omitempty"`
	Grant       string         `json:"grant,omitempty"` // hash
	Displayed   string         `json:"displayed"`
}

// NewExport makes a record for JSON. One of yes and no may be given.
func NewExport(r *custody.Signed[AccessRequest], yes *custody.Signed[Consent], no *custody.Signed[Refusal]) *Export {
	b := &r.Body
	out := &Export{Format: "preezm/v1/consent-record", RequestHash: r.Hash.String(), Displayed: Display(b)}
	var purposes, kinds, recipients []map[string]any
	for _, p := range b.Purposes {
		purposes = append(purposes, map[string]any{"text": p.Text, "dpv:hasPurpose": p.IRI, "dpv:hasNecessity": p.Necessary})
	}
	for _, k := range b.Kinds {
		kinds = append(kinds, map[string]any{"text": k.Text, "dpv:hasPersonalData": k.IRI, "special": k.Special})
	}
	for _, x := range b.Recipients {
		recipients = append(recipients, map[string]any{"name": x.Name, "country": x.Country, "why": x.Why, "safeguard": x.Safeguard})
	}
	out.Request = map[string]any{
		"id": hex.EncodeToString(b.ID[:]), "at": at(b.At), "expires": at(b.Expires),
		"dpv:hasDataController": map[string]any{
			"legal_name": b.Controller.LegalName, "registration": b.Controller.Registration, "country": b.Controller.Country,
			"address": b.Controller.Address, "contact": b.Controller.Contact, "dpo": b.Controller.Protection, "key": b.Controller.Root.String(),
		},
		"purposes": purposes, "kinds": kinds, "recipients": recipients, "legal_basis": string(b.Basis), "legal_basis_why": b.BasisWhy,
		"access":    map[string]any{"seconds": b.Access.Seconds, "max_opens": b.Access.MaxOpens, "follow": b.Access.Follow},
		"retention": b.Retention, "retained_for": b.RetainedFor, "automated": b.Automated, "if_refused": b.IfRefused, "policy": b.Policy, "language": b.Language,
	}
	switch {
	case yes != nil:
		c := &yes.Body
		out.AnswerHash = yes.Hash.String()
		out.Answer = map[string]any{
			"status": string(c.Decision), "id": hex.EncodeToString(c.ID[:]), "at": at(c.At), "person": c.Person.String(), "purposes": c.Purposes,
			"files": c.Files, "not_before": at(c.NotBefore), "not_after": at(c.NotAfter), "max_opens": c.MaxOpens, "follow": c.Follow,
			"displayed_hash": c.Displayed.Hash.String(), "language": c.Displayed.Language, "program": c.Displayed.Program,
		}
	case no != nil:
		n := &no.Body
		out.AnswerHash = no.Hash.String()
		out.Answer = map[string]any{"status": string(Refused), "id": hex.EncodeToString(n.ID[:]), "at": at(n.At), "person": n.Person.String(), "reason": n.Reason}
	}
	return out
}
