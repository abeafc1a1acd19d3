// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"cmp"
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

// Report is what a bundle proves.
type Report struct {
	Grant     *custody.Signed[custody.Grant]
	At        int64     // when the owner put it together
	Openings  []Opening // by time
	Refusals  int       // entries in the logs
	RevokedAt int64     // 0: not in this bundle
	Logs      int       // custodians whose logs are part of it
}

// VerifyProof checks a bundle with nothing but its bytes. An error, which wraps
// ErrProof, says what is wrong with it first. Whether owner and brand are who
// they should be, the reader decides by their keys in the report's grant.
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
	r := &Report{Grant: g, At: index.Body.At, Logs: len(b.Logs)}
	for i, p := range b.Packages {
		if _, err := custody.CheckPackage(p, g); err != nil {
			return nil, fmt.Errorf("package %d: %w", i+1, err)
		}
	}
	for i, d := range b.Revocations {
		v, err := custody.CheckRevocation(d, g.Body.Owner)
		if err != nil || v.Body.Grant != g.Hash {
			return nil, fmt.Errorf("revocation %d is not of this grant", i+1)
		}
		if r.RevokedAt == 0 || v.Body.At < r.RevokedAt {
			r.RevokedAt = v.Body.At
		}
	}
	openings := map[custody.Hash]*Opening{}
	for i, d := range b.Requests {
		q, label, err := custody.CheckRequest(d, g)
		if err != nil {
			return nil, fmt.Errorf("request %d: %w", i+1, err)
		}
		openings[q.Hash] = &Opening{Device: q.Signer, Label: label, File: q.Body.File, Version: q.Body.Version}
	}
	witnessed := make([]Witness, len(b.Releases))
	for i, d := range b.Releases {
		l, err := custody.CheckRelease(d, g)
		if err != nil {
			return nil, fmt.Errorf("release %d: %w", i+1, err)
		}
		if openings[l.Body.Request] == nil {
			return nil, fmt.Errorf("release %d: its request is missing", i+1)
		}
		witnessed[i] = Witness{l.Body.LogSeq, l.Body.LogHead}
	}
	if err := r.logs(b.Logs, g, openings, witnessed); err != nil {
		return nil, err
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

// logs verifies the extracts, fills in what they tell, and looks for every
// released head in one of them.
func (r *Report) logs(extracts []Extract, g *custody.Signed[custody.Grant], openings map[custody.Hash]*Opening, witnessed []Witness) error {
	heads := map[Witness]bool{}
	seen := map[custody.Key]bool{}
	for i, x := range extracts {
		h, err := custody.Parse[Head](x.Head)
		if err != nil {
			return fmt.Errorf("log %d: %w", i+1, err)
		}
		if h.Body.Owner != g.Body.Owner || seen[h.Signer] {
			return fmt.Errorf("log %d: of another owner, or a second time", i+1)
		}
		seen[h.Signer] = true
		if _, err := Verify(h.Body.Owner, h.Signer, x.Records, Witness{h.Body.Seq, h.Body.Head}); err != nil {
			return fmt.Errorf("log %d: %w", i+1, err)
		}
		if uint64(len(x.Records)) != h.Body.Seq {
			return fmt.Errorf("log %d: goes on after its head", i+1)
		}
		l := New(h.Body.Owner, h.Signer)
		told := map[custody.Hash]bool{}
		for _, rec := range x.Records {
			e, err := check(l, rec)
			if err != nil {
				return fmt.Errorf("log %d: %w", i+1, bad(l.Seq+1, "%v", err))
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
					return fmt.Errorf("log %d: %w", i+1, bad(e.Seq, "its request is missing"))
				}
				if told[e.Request] {
					continue
				}
				told[e.Request] = true
				if o.Custodians++; o.At == 0 || e.At < o.At {
					o.At = e.At
				}
			}
		}
	}
	for i, w := range witnessed {
		if !heads[w] {
			return fmt.Errorf("release %d: no log has the entry it tells of (number %d)", i+1, w.Seq)
		}
	}
	return nil
}
