// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/preezm/preezm/engine/custody"
)

// Opening is one request that custodians answered with their shares.
type Opening struct {
	At         int64 // of the first release, by that custodian's clock
	Device     custody.Key
	Label      string // by the brand's certificate
	File       custody.FileID
	Version    uint64
	Custodians int  // whose logs tell of it
	Enough     bool // as many as the grant needs: the brand can have had the key
}

// Report is what a bundle proves, and what in it proves nothing.
type Report struct {
	Grant     *custody.Signed[custody.Grant]
	At        int64     // when the owner put it together
	Openings  []Opening // by time
	Refusals  int       // entries in the logs
	RevokedAt int64     // 0: not in this bundle
	Logs      int       // custodians whose logs are part of it
	Findings  []Finding // in the order of the parts
}

// Finding is a statement in a bundle that is not what it should be. It takes
// nothing from the others: each is signed by who made it.
type Finding struct {
	Part      string      // as in "package 2" or "log 3"
	Custodian custody.Key // of a log: the key that signs it
	Entry     uint64      // of a log: the first entry in question; 0: none
	Text      string
}

func (r *Report) find(kind string, i int, err error) {
	f := Finding{Part: fmt.Sprintf("%s %d", kind, i+1), Text: err.Error()}
	var entry *BadEntry
	if errors.As(err, &entry) {
		f.Entry = entry.First
	}
	r.Findings = append(r.Findings, f)
}

// VerifyProof checks a bundle with nothing but its bytes. An error, which wraps
// ErrProof, means that it is not what the owner put together: a byte was changed,
// or its frame is wrong. What one custodian or brand got wrong is a finding in the
// report, beside all that holds. Whether owner and brand are who they should be,
// the reader decides by their keys in the report's grant.
func VerifyProof(bundle []byte) (*Report, error) {
	r, err := verifyProof(bundle)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	return r, nil
}

func verifyProof(raw []byte) (*Report, error) {
	list, err := unpack(raw)
	if err != nil {
		return nil, err
	}
	b, index, err := load(list)
	if err != nil {
		return nil, err
	}
	g, err := custody.CheckGrant(b.Grant)
	if err != nil {
		return nil, err
	}
	if index.Body.Grant != g.Hash {
		return nil, fmt.Errorf("the index is of another grant")
	}
	if _, err := custody.Certified(index.Body.Cert, g.Body.Owner, index.Signer, custody.OwnerDevice, index.Body.At); err != nil {
		return nil, fmt.Errorf("the index: %w", err)
	}
	r := &Report{Grant: g, At: index.Body.At}
	for i, p := range b.Packages {
		if _, err := custody.CheckPackage(p, g); err != nil {
			r.find("package", i, err)
		}
	}
	for i, d := range b.Revocations {
		v, err := custody.CheckRevocation(d, g.Body.Owner)
		if err == nil && v.Body.Grant != g.Hash {
			err = errors.New("it is of another grant")
		}
		if err != nil {
			r.find("revocation", i, err)
			continue
		}
		if r.RevokedAt == 0 || v.Body.At < r.RevokedAt {
			r.RevokedAt = v.Body.At
		}
	}
	openings := map[custody.Hash]*Opening{}
	for i, d := range b.Requests {
		q, label, err := custody.CheckRequest(d, g)
		if err != nil {
			r.find("request", i, err)
			continue
		}
		openings[q.Hash] = &Opening{Device: q.Signer, Label: label, File: q.Body.File, Version: q.Body.Version}
	}
	heads := r.logs(b.Logs, g, openings)
	for i, d := range b.Releases {
		l, err := custody.CheckRelease(d, g)
		switch {
		case err != nil:
		case openings[l.Body.Request] == nil:
			err = fmt.Errorf("the request that custodian %d of the grant answered is missing", l.Body.Index+1)
		case !heads[Witness{l.Body.LogSeq, l.Body.LogHead}]:
			err = fmt.Errorf("custodian %d of the grant told of entry %d in its log, and none of the logs has it", l.Body.Index+1, l.Body.LogSeq)
		}
		if err != nil {
			r.find("release", i, err)
		}
	}
	for _, o := range openings {
		if o.Custodians > 0 {
			o.Enough = o.Custodians >= int(g.Body.K)
			r.Openings = append(r.Openings, *o)
		}
	}
	slices.SortFunc(r.Openings, func(a, b Opening) int {
		return cmp.Or(cmp.Compare(a.At, b.At), slices.Compare(a.File[:], b.File[:]), slices.Compare(a.Device[:], b.Device[:]))
	})
	return r, nil
}

// told is who told of a request in its log.
type told struct{ custodian, request custody.Key }

// logs verifies the extracts and fills in what they tell, each as far as it is
// in order, and gives the heads that they went through.
func (r *Report) logs(extracts []Extract, g *custody.Signed[custody.Grant], openings map[custody.Hash]*Opening) map[Witness]bool {
	heads := map[Witness]bool{}
	begins := map[custody.Key]int{} // logs of one custodian that do not say they took another's place
	seen := map[told]bool{}
	counted := map[custody.Key]bool{}
	for i, x := range extracts {
		h, err := custody.Parse[Head](x.Head)
		if err == nil && h.Body.Owner != g.Body.Owner {
			err = errors.New("it is of another owner")
		}
		if err == nil && !Begins(x.Records) {
			if begins[h.Signer]++; begins[h.Signer] > 1 {
				err = errors.New("a second log of one custodian, which does not say that it lost one")
			}
		}
		if err != nil {
			r.find("log", i, err)
			continue
		}
		if !counted[h.Signer] {
			counted[h.Signer] = true
			r.Logs++
		}
		before := len(r.Findings)
		if _, err := Verify(h.Body.Owner, h.Signer, x.Records, Witness{h.Body.Seq, h.Body.Head}); err != nil {
			r.find("log", i, err)
		} else if uint64(len(x.Records)) != h.Body.Seq {
			r.find("log", i, bad(h.Body.Seq+1, "goes on after the head"))
		}
		r.entries(i, New(h.Body.Owner, h.Signer), x.Records, g, openings, seen, heads)
		for j := range r.Findings[before:] {
			r.Findings[before+j].Custodian = h.Signer
		}
	}
	return heads
}

// entries takes in what one log tells, up to the first entry that is not in order.
func (r *Report) entries(i int, l Log, records []Record, g *custody.Signed[custody.Grant], openings map[custody.Hash]*Opening, seen map[told]bool, heads map[Witness]bool) {
	for _, rec := range records {
		e, err := check(l, rec)
		if err != nil {
			return // it is a finding already
		}
		l.Seq, l.Head = l.Seq+1, link(l.Head, rec.Hash)
		heads[Witness{l.Seq, l.Head}] = true
		if e == nil || e.Grant != g.Hash {
			continue
		}
		switch e.Kind {
		case Refuse:
			r.Refusals++
		case Release:
			o := openings[e.Request]
			if o == nil || o.Device != e.Device || o.File != e.File || o.Version != e.Version {
				r.find("log", i, bad(e.Seq, "the request that it says it answered is missing"))
				continue
			}
			key := told{l.Custodian, custody.Key(e.Request)}
			if seen[key] {
				continue
			}
			seen[key] = true
			if o.Custodians++; o.At == 0 || e.At < o.At {
				o.At = e.At
			}
		}
	}
}
