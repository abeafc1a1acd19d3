// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/preezm/preezm/engine/custody"
)

// maxKinds bounds how many different refusals are told apart in one hour.
const maxKinds = 256

// Refusals keeps a log short when somebody asks again and again. In each hour
// the first refusal of a device, a grant and a reason is an entry of its own;
// the others are counted, and the count is one entry at the hour's end, its
// detail "reason xN". The zero value is ready; not for concurrent use. What is
// counted but not written is lost in a crash: up to an hour's repetitions.
type Refusals struct {
	hour int64
	kind map[kind]*tally
}

type kind struct {
	grant  custody.Hash
	device custody.Key
	reason custody.Reason
}

type tally struct {
	more int
	last Entry
}

// other gathers what goes beyond maxKinds.
var other = kind{reason: "other"}

// Add takes in a refusal and returns the entries to write now, in order.
func (r *Refusals) Add(f *custody.Refusal) []Entry {
	out := r.Flush(f.At)
	if r.kind == nil {
		r.kind = map[kind]*tally{}
	}
	k := kind{f.Subject.Grant, f.Subject.Device, f.Reason}
	e := about(f.Subject)
	e.At, e.Kind, e.Detail = f.At, Refuse, string(f.Reason)
	t, known := r.kind[k]
	switch {
	case known:
	case len(r.kind) < maxKinds:
		r.kind[k] = &tally{}
		return append(out, e)
	default:
		if t = r.kind[other]; t == nil {
			t = &tally{}
			r.kind[other] = t
		}
		e = Entry{At: f.At, Kind: Refuse, Detail: string(other.reason)}
	}
	t.more++
	t.last = e
	return out
}

// Flush returns the counts of a past hour, to be called when a new one may have
// begun and, with a later time, before stopping.
func (r *Refusals) Flush(now int64) []Entry {
	hour := now / 3600
	if hour == r.hour {
		return nil
	}
	var out []Entry
	for _, t := range slices.Collect(maps.Values(r.kind)) {
		if t.more > 0 {
			t.last.Detail = fmt.Sprintf("%s x%d", t.last.Detail, t.more)
			out = append(out, t.last)
		}
	}
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.At, b.At), slices.Compare(a.Request[:], b.Request[:]), cmp.Compare(a.Detail, b.Detail))
	})
	r.hour, r.kind = hour, nil
	return out
}
