// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"context"
	"io"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
)

// Stream opens one file of a received grant, by its place from 0, and writes
// it to whom begin gives, once the custodians have agreed. Nothing of it is
// kept: neither bytes on the disk nor keys after the end.
func (b *Brand) Stream(ctx context.Context, r *Received, i int, dial Dial, begin func(*ticket.Manifest) (io.Writer, error)) error {
	if i < 0 || i >= len(r.Names.Names) {
		return ErrUnknown
	}
	v, err := b.visit(r, 0, dial)
	if err != nil {
		return err
	}
	defer v.close()
	m, _, err := v.manifest(ctx, i)
	if err != nil {
		return err
	}
	defer clear(m.Pieces) // the keys
	w, err := begin(m)
	if err != nil {
		return err
	}
	var buf []byte
	defer func() { clear(buf) }()
	index := uint64(0)
	for j := range m.Pieces {
		p := &m.Pieces[j]
		if p.Hole > 0 {
			if _, err := io.CopyN(w, zeros{}, p.Hole); err != nil {
				return err
			}
			continue
		}
		if buf, err = v.chunk(ctx, buf[:0], p, &r.Ticket.Package.Body.Entries[i], index); err != nil {
			return err
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
		index++
	}
	return nil
}

// zeros reads as zero bytes for ever.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Explain says a custodian's reason in plain words.
func Explain(r custody.Reason) string {
	switch r {
	case custody.Expired:
		return "the grant has ended"
	case custody.TooEarly:
		return "the grant has not begun yet"
	case custody.Revoked:
		return "the owner has withdrawn the grant"
	case custody.UsedUp:
		return "it was opened as often as the owner allowed"
	case custody.WrongBrand:
		return "this machine is not certified by the company the grant is for"
	case custody.MemberExpired:
		return "this machine's certificate has run out; its company's office renews it when it can be reached"
	case custody.MemberRevoked:
		return "this machine's company has shut it out"
	case custody.ClockDoubt:
		return "they do not trust their clocks at present; try again later"
	case custody.Stale:
		return "the request is too old, or this machine's clock is wrong"
	case custody.Superseded:
		return "the owner has sent a newer ticket; use that one"
	case custody.BadDevice:
		return "the device that made the grant is no longer the owner's"
	case custody.OwnerSilent:
		return "they have not heard from the owner for longer than the owner allows"
	case custody.Erased:
		return "the key of that day does not exist any more"
	case custody.Busy:
		return "too many requests of this machine; wait a minute"
	}
	return "the ticket or the request is not in order (" + string(r) + ")"
}
