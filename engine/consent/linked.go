// SPDX-License-Identifier: MPL-2.0

package consent

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/preezm/preezm/engine/custody"
)

// JSON-LD writes many things as objects with a type; the maps below are written
// in the order of their names.
type (
	object = map[string]any
	list   = []any
)

// The entities of a receipt.
const (
	theCompany = "preezm:company"
	thePerson  = "preezm:person"
)

var prefixes = object{
	"dct":       "http://purl.org/dc/terms/",
	"dpv":       "https://w3id.org/dpv#",
	"dpv-27560": "https://w3id.org/dpv/schema/dpv-27560#",
	"eu-gdpr":   "https://w3id.org/dpv/legal/eu/gdpr#",
	"preezm":    "https://github.com/preezm/preezm/ns/v1#",
	"rdf":       "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
	"schema":    "https://schema.org/",
	"skos":      "http://www.w3.org/2004/02/skos/core#",
}

// linked is a receipt as it is written.
func (r *Receipt) linked(d documents) object {
	out := object{
		"@context": prefixes, "@type": "dpv:ConsentReceipt", "dct:conformsTo": "dpv-27560:receipt", "preezm:format": "preezm/v1/consent-receipt",
		"dct:publisher": thePerson, "schema:recipient": theCompany,
		"dpv:hasRecordOfActivity": r.record(), "preezm:documents": d, "preezm:countersigned": r.Countersigned != nil,
	}
	if c := r.Countersigned; c != nil {
		out["dct:publisher"], out["schema:recipient"] = theCompany, thePerson
		out["dct:issued"], out["preezm:grant"] = at(c.Body.At), c.Body.Grant.String()
		if r.Consent == nil {
			delete(out, "preezm:grant")
		}
	}
	return out
}

// record is the consent record that a receipt gives a copy of.
func (r *Receipt) record() object {
	b := &r.Request.Body
	out := object{
		"@type": list{"dpv:ConsentRecord"}, "dct:conformsTo": "dpv-27560:record", "dct:creator": thePerson,
		"dpv:hasNotice": list{r.notice()}, "dpv:hasEntity": r.entities(), "dpv:hasApplicableLaw": "eu-gdpr:GDPR",
		"preezm:request": object{
			"dpv:hasIdentifier": hex.EncodeToString(b.ID[:]), "dct:created": at(b.At), "dct:valid": at(b.Expires),
			"preezm:hash": r.Request.Hash.String(), "preezm:seconds": b.Access.Seconds, "preezm:maxOpens": b.Access.MaxOpens, "preezm:follow": b.Access.Follow,
			"preezm:ifRefused": b.IfRefused, "preezm:retainedFor": b.RetainedFor, "preezm:automated": b.Automated, "preezm:policy": b.Policy,
		},
	}
	if len(b.Language) == 2 {
		out["dct:language"] = b.Language
	}
	var person custody.Key
	switch {
	case r.Consent != nil:
		c := &r.Consent.Body
		person = c.Person
		out["dpv:hasIdentifier"], out["dct:created"] = hex.EncodeToString(c.ID[:]), at(c.At)
		out["preezm:answer"] = object{
			"preezm:decision": c.Decision, "preezm:hash": r.Consent.Hash.String(), "preezm:files": c.Files, "preezm:notBefore": at(c.NotBefore),
			"preezm:notAfter": at(c.NotAfter), "preezm:maxOpens": c.MaxOpens, "preezm:follow": c.Follow, "preezm:program": c.Displayed.Program,
		}
	default:
		n := &r.Refusal.Body
		person = n.Person
		out["dpv:hasIdentifier"], out["dct:created"] = hex.EncodeToString(n.ID[:]), at(n.At)
		out["preezm:answer"] = object{"preezm:decision": Refused, "preezm:hash": r.Refusal.Hash.String(), "preezm:reason": n.Reason}
	}
	out["dpv:hasDataSubject"] = object{"@type": list{"dpv:DataSubject"}, "dpv:hasIdentifier": person.String()}
	var all list
	for i := range b.Purposes {
		all = append(all, r.process(i))
	}
	out["dpv:hasProcess"] = all
	return out
}

// notice is what the person had before their eyes, as far as it is known.
func (r *Receipt) notice() object {
	out := object{"@type": list{"dpv:ConsentNotice"}, "dpv:hasIdentifier": "sha256:" + r.Request.Hash.String(), "dct:date": at(r.Request.Body.At)}
	if r.Consent == nil {
		return out // a refusal does not say what was shown
	}
	d := &r.Consent.Body.Displayed
	out["dpv:hasIdentifier"], out["dct:language"] = "sha256:"+d.Hash.String(), d.Language
	// Another program may have shown it in other words, which are not known here.
	if DisplayHash(r.Displayed) == d.Hash {
		out["skos:definition"] = r.Displayed
	}
	return out
}

// process is one purpose with the answer to it.
func (r *Receipt) process(i int) object {
	b := &r.Request.Body
	p := &b.Purposes[i]
	recipients := list{theCompany}
	for j := range b.Recipients {
		recipients = append(recipients, recipient(j))
	}
	necessity := "dpv:Optional"
	if p.Necessary {
		necessity = "dpv:Required"
	}
	var kinds list
	for _, k := range b.Kinds {
		kind := "dpv:PersonalData"
		if k.Special {
			kind = "dpv:SpecialCategoryPersonalData"
		}
		kinds = append(kinds, object{"@type": list{kind}, "skos:broader": list{or(k.IRI, "dpv:PersonalData")}, "skos:prefLabel": k.Text})
	}
	return object{
		"@type":                   list{"dpv:Process"},
		"dpv:hasPurpose":          list{object{"@type": list{"dpv:Purpose"}, "skos:broader": or(p.IRI, "dpv:Purpose"), "skos:prefLabel": p.Text}},
		"dpv:hasNecessity":        necessity,
		"dpv:hasPersonalData":     kinds,
		"dpv:hasProcessing":       list{"dpv:Access", "dpv:Store"},
		"dpv:hasDataController":   list{theCompany},
		"dpv:hasDataSource":       list{"dpv:DataSubjectDataSource"},
		"dpv:hasRecipient":        recipients,
		"dpv:hasLegalBasis":       list{r.basis()},
		"dpv:hasStorageCondition": list{object{"@type": list{"dpv:StorageDuration"}, "dpv:hasDuration": object{"@type": "dpv:UntilEventDuration", "rdf:value": b.Retention}}},
		"dpv:hasConsentStatus":    r.status(i),
	}
}

func (r *Receipt) basis() object {
	b := &r.Request.Body
	iri := map[Basis]string{ByConsent: "eu-gdpr:A6-1-a", ByContract: "eu-gdpr:A6-1-b", ByObligation: "eu-gdpr:A6-1-c", ByInterest: "eu-gdpr:A6-1-f"}[b.Basis]
	out := object{"@type": "dpv:LegalBasis", "skos:broader": list{iri}}
	if b.BasisWhy != "" {
		out["skos:definition"] = b.BasisWhy
	}
	return out
}

// status is what became of one purpose, the latest last.
func (r *Receipt) status(i int) list {
	if r.Refusal != nil {
		return list{object{"@type": list{"dpv:ConsentRefused"}, "dpv:isIndicatedAtTime": at(r.Refusal.Body.At), "dpv:isIndicatedBy": thePerson}}
	}
	c := &r.Consent.Body
	one := object{"@type": list{"dpv:ConsentRefused"}, "dpv:isIndicatedAtTime": at(c.At), "dpv:isIndicatedBy": thePerson, "dpv:isExercisedAt": c.Displayed.Program}
	if c.Purposes[i] != Given {
		return list{one}
	}
	one["@type"] = list{"dpv:ConsentGiven", "dpv:ExpressedConsent"}
	one["dpv:hasDuration"] = object{"@type": list{"dpv:UntilTimeDuration"}, "rdf:value": at(c.NotAfter)}
	all := list{one}
	if v := r.Revocation; v != nil {
		all = append(all, object{"@type": list{"dpv:ConsentWithdrawn"}, "dpv:isIndicatedAtTime": at(v.Body.At), "dpv:isIndicatedBy": thePerson, "skos:note": v.Body.Reason})
	}
	return all
}

// entities are those that a receipt names.
func (r *Receipt) entities() object {
	b := &r.Request.Body
	c := &b.Controller
	company := object{
		"@type": list{"dpv:Organisation", "dpv:DataController"}, "dpv:hasName": c.LegalName, "dpv:hasContact": c.Contact, "dpv:hasIdentifier": c.Root.String(),
	}
	for name, text := range map[string]string{
		"dpv:hasAddress": c.Address, "schema:addressCountry": c.Country, "schema:identifier": c.Registration, "preezm:dataProtectionOfficer": c.Protection,
	} {
		if text != "" {
			company[name] = text
		}
	}
	out := object{theCompany: company, thePerson: object{"@type": list{"dpv:DataSubject"}}}
	for i, x := range b.Recipients {
		e := object{"@type": list{"dpv:Recipient"}, "dpv:hasName": x.Name, "skos:definition": x.Why}
		if x.Country != "" {
			e["schema:addressCountry"] = x.Country
		}
		if x.Safeguard != "" {
			e["preezm:safeguard"] = x.Safeguard
		}
		out[recipient(i)] = e
	}
	return out
}

func recipient(i int) string { return fmt.Sprintf("preezm:recipient%d", i+1) }

func at(t int64) string { return time.Unix(t, 0).UTC().Format(time.RFC3339) }

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
