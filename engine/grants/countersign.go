// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"context"
	"fmt"
	"slices"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/consent"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/peers/said"
)

// ErrUnanswered: a request has no answer yet.
var ErrUnanswered = said.Error("unanswered", "has no answer yet")

// countersigned takes in the company's word about the answer: to a consent it
// must name the grant that followed.
func (a *Asked) countersigned(raw []byte) error {
	if a.Consent != nil && a.Grant != nil {
		c, err := consent.CheckCountersignature(raw, a.Request, a.Consent.Hash, true)
		if err == nil && c.Body.Grant != custody.Hash(a.Grant) {
			err = fmt.Errorf("%w: a countersignature that names another grant", custody.ErrMalformed)
		}
		if err == nil {
			a.Countersigned = c
		}
		if err == nil || a.Refusal == nil {
			return err
		}
	}
	if a.Refusal == nil {
		return fmt.Errorf("the request %s %w", RequestID(a.Request.Body.ID), ErrUnanswered)
	}
	// Of two machines of this person that answered apart, the company may have
	// got the other's.
	c, err := consent.CheckCountersignature(raw, a.Request, a.Refusal.Hash, false)
	if err == nil {
		a.Countersigned = c
	}
	return err
}

// TakeCountersignature keeps a company's word that it holds an answer.
func (d *Desk) TakeCountersignature(ctx context.Context, text string) (*Asked, error) {
	raw, err := consent.AnswerBytes(consent.CountersignPrefix, text)
	if err != nil {
		return nil, err
	}
	c, err := custody.Parse[consent.Countersignature](raw)
	if err != nil {
		return nil, err
	}
	a, err := d.request(ctx, c.Body.Request)
	if err != nil {
		return nil, err
	}
	if a.Countersigned != nil {
		return a, nil
	}
	if err := a.countersigned(raw); err != nil {
		return nil, err
	}
	return a, d.cat.Countersigned(ctx, a.Hash, raw)
}

// Receipt writes the record of a request and its answer, as far as it is signed,
// for whoever wants to see it.
func (d *Desk) Receipt(ctx context.Context, id string) ([]byte, error) {
	a, err := d.FindRequest(ctx, id)
	if err != nil {
		return nil, err
	}
	r := &consent.Receipt{Request: a.Request, Countersigned: a.Countersigned, Displayed: consent.Display(&a.Request.Body)}
	forConsent := a.Consent != nil && a.Grant != nil
	if a.Countersigned != nil && forConsent {
		forConsent = a.Countersigned.Body.Answer == a.Consent.Hash
	}
	switch {
	case forConsent:
		r.Consent = a.Consent
	case a.Refusal != nil:
		r.Refusal = a.Refusal
	default:
		return nil, fmt.Errorf("the request %s %w", a.Name, ErrUnanswered)
	}
	if r.Consent != nil && r.Countersigned != nil {
		if r.Revocation, err = d.revocationOf(ctx, custody.Hash(a.Grant)); err != nil {
			return nil, err
		}
	}
	return r.JSON()
}

// revocationOf gives a grant's withdrawal, or nil.
func (d *Desk) revocationOf(ctx context.Context, grant custody.Hash) (*custody.Signed[custody.Revocation], error) {
	all, err := d.cat.Grants(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(g catalog.Grant) bool { return g.Hash == grant })
	if i < 0 || len(all[i].Revocation) == 0 {
		return nil, nil
	}
	return custody.CheckRevocation(all[i].Revocation, d.Root())
}
