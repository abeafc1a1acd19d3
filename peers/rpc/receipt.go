// SPDX-License-Identifier: MPL-2.0

package rpc

import (
	"context"
	"net/http"

	"github.com/preezm/preezm/peers"
)

const (
	pathReceipt = "/v1/receipt"
	// maxReceipt bounds one receipt, maxReceipts a message of them, in bytes.
	maxReceipt  = 4 << 10
	maxReceipts = 40 << 10
)

// Receipts answers for a device that keeps for others: it signs what they
// signed, when it agrees. rpc carries the documents and knows only their size.
type Receipts interface {
	// Countersign gives the signature, or none and the last receipt of the
	// pair, when there is one; signed may be empty, to ask for that. others are
	// the last receipts of machines of this device's person.
	Countersign(ctx context.Context, from peers.DeviceID, signed []byte, others [][]byte) (own, last []byte, err error)
}

// receiptMsg holds a statement that its sender signed, and what it signed before
// with machines of the receiver's person.
type receiptMsg struct {
	Signed []byte   `cbor:"1,keyasint"`
	Others [][]byte `cbor:"2,keyasint"`
}

// receiptAnswer holds it signed by the other side, or the last receipt.
type receiptAnswer struct {
	Signed []byte `cbor:"1,keyasint"`
	Last   []byte `cbor:"2,keyasint"`
}

func (v *server) receipt(w http.ResponseWriter, r *http.Request, from peers.DeviceID) error {
	var in receiptMsg
	if err := v.read(w, r, maxReceipts, &in); err != nil {
		return err
	}
	if v.s.cfg.Receipts == nil {
		return errPath
	}
	signed, last, err := v.s.cfg.Receipts.Countersign(r.Context(), from, in.Signed, in.Others)
	if err != nil {
		return err
	}
	v.answer(w, http.StatusOK, receiptAnswer{Signed: signed, Last: last})
	return nil
}

// Receipt asks the device to sign what this one signed about what its person
// stores there. It gives the signed statement, or the last receipt that the
// device has; that also when signed is empty. others are the last receipts with
// machines of the device's person.
func (c *Client) Receipt(ctx context.Context, signed []byte, others [][]byte) (own, last []byte, err error) {
	var a receiptAnswer
	if err := c.call(ctx, pathReceipt, receiptMsg{signed, others}, 2*maxReceipt, &a); err != nil {
		return nil, nil, c.wrap(err)
	}
	return a.Signed, a.Last, c.wrap(nil)
}
