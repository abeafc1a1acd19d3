// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/preezm/preezm/engine/receipt"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
)

const (
	// receiptEvery is how often a pair signs what one keeps for the other.
	receiptEvery = 30 * time.Minute
	// receiptsKept is how many of a pair stay, for whoever wants to see them.
	receiptsKept = 1000
)

// Balance is what a pair has given each other, by the receipts both signed, in
// gigabytes times days.
type Balance struct {
	Gave  float64   `json:"gave_gb_days"`
	Took  float64   `json:"took_gb_days"`
	Until time.Time `json:"until,omitzero"` // of the newest receipt
	// Note says why the two do not agree, if so.
	Note string `json:"note,omitempty"`
}

// lastReceipt is the newest receipt of a pair, nil when there is none.
func (n *Node) lastReceipt(ctx context.Context, p circle.Peer, giver bool) (*receipt.Pair, error) {
	docs, err := n.engine.Catalog().Receipts(ctx, p.Device, giver, 1)
	if err != nil || len(docs) == 0 {
		return nil, err
	}
	return n.readPair(docs[0], p, giver)
}

func (n *Node) readPair(raw []byte, p circle.Peer, giver bool) (*receipt.Pair, error) {
	own := []byte(n.keys.Sign.Public().(ed25519.PublicKey))
	taker, giverKey, of := own, p.Sign, receipt.Statement{Taker: n.device, Giver: p.Device}
	if giver {
		taker, giverKey, of = p.Sign, own, receipt.Statement{Taker: p.Device, Giver: n.device}
	}
	pair, err := receipt.ReadPair(raw, taker, giverKey)
	if err == nil && (pair.Taker != of.Taker || pair.Giver != of.Giver) {
		err = fmt.Errorf("%w: of other machines", receipt.ErrFormat)
	}
	if err != nil {
		return nil, err
	}
	return pair, nil
}

// balance sums a pair up.
func (n *Node) balance(ctx context.Context, p circle.Peer) (b Balance) {
	for _, giver := range [...]bool{true, false} {
		last, err := n.lastReceipt(ctx, p, giver)
		if err != nil {
			b.Note = err.Error()
			continue
		}
		if last == nil {
			continue
		}
		if giver {
			b.Gave = last.GBDays()
		} else {
			b.Took = last.GBDays()
		}
		if at := time.Unix(last.To, 0); at.After(b.Until) {
			b.Until = at
		}
	}
	return b
}

// receiptsDue makes receipts with those that keep for this machine.
func (n *Node) receiptsDue(ctx context.Context) error {
	var errs []error
	for _, p := range n.book.Peers() {
		if !p.Keeper || len(p.Sign) == 0 {
			continue
		}
		if err := n.makeReceipt(ctx, p); err != nil && !errors.Is(err, peers.ErrUnreachable) && !errors.Is(err, peers.ErrUnknown) {
			errs = append(errs, fmt.Errorf("%s: %w", p.Name, err))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.Join(errs...)
}

func (n *Node) makeReceipt(ctx context.Context, p circle.Peer) error {
	n.taking.Lock()
	defer n.taking.Unlock()
	last, err := n.lastReceipt(ctx, p, false)
	if err != nil {
		return err
	}
	now := n.now()
	if last != nil {
		if age := now.Sub(time.Unix(last.To, 0)); age < receiptEvery && age >= 0 {
			return nil
		}
	}
	c, err := n.peer(p.Device)
	if err != nil {
		return err
	}
	ask, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	info, err := c.Info(ask)
	if err != nil {
		return err
	}
	if info.Used == 0 && (last == nil || last.Bytes == 0) {
		return nil
	}
	var before *receipt.Statement
	if last != nil {
		before = &last.Statement
	}
	next, err := receipt.Next(before, p.Device, n.device, uint64(info.Used), now.Unix())
	if err != nil {
		return err
	}
	mine, err := n.engine.Catalog().Takes(ctx, p.Device)
	if err != nil {
		return err
	}
	if err := receipt.Agree(&next, before, uint64(mine), now.Unix()); err != nil {
		return err
	}
	signed, err := receipt.Sign(n.keys.Sign, next)
	if err != nil {
		return err
	}
	theirs, known, err := c.Receipt(ask, signed)
	if err != nil {
		return err
	}
	if len(theirs) == 0 {
		return n.adopt(ctx, p, last, known)
	}
	pair, err := receipt.Join(signed, theirs)
	if err != nil {
		return err
	}
	if _, err := n.readPair(pair, p, false); err != nil {
		return err
	}
	return n.engine.Catalog().AddReceipt(ctx, p.Device, false, next.Seq, pair, receiptsKept)
}

// adopt takes over a receipt that the other side has and this one lost, such
// as when the answer to it never came. It bears this machine's signature.
func (n *Node) adopt(ctx context.Context, p circle.Peer, last *receipt.Pair, raw []byte) error {
	if len(raw) == 0 {
		return receipt.ErrDiffers
	}
	theirs, err := n.readPair(raw, p, false)
	if err != nil {
		return err
	}
	if last != nil && theirs.Seq <= last.Seq {
		return receipt.ErrDiffers
	}
	return n.engine.Catalog().AddReceipt(ctx, p.Device, false, theirs.Seq, raw, receiptsKept)
}

// Countersign signs what a machine says that it stores here, when that is so.
func (n *Node) Countersign(ctx context.Context, from peers.DeviceID, signed []byte) (own, last []byte, err error) {
	n.giving.Lock()
	defer n.giving.Unlock()
	p, ok := n.book.Peer(from)
	if !ok || len(p.Sign) == 0 || n.engine == nil {
		return nil, nil, peers.ErrRefused
	}
	s, err := receipt.Read(signed, p.Sign)
	if err != nil || s.Taker != from || s.Giver != n.device {
		return nil, nil, peers.ErrRefused
	}
	have, err := n.lastReceipt(ctx, p, true)
	if err != nil {
		return nil, nil, err
	}
	use, err := n.depot.Usage(ctx, from)
	if err != nil {
		return nil, nil, err
	}
	var before *receipt.Statement
	if have != nil {
		before = &have.Statement
	}
	if err := receipt.Agree(s, before, uint64(use.Used), n.now().Unix()); err != nil {
		n.log.Info("a receipt was not signed", "machine", p.Name, "err", err)
		if have == nil {
			return []byte{}, []byte{}, nil
		}
		return []byte{}, have.Raw, nil
	}
	if own, err = receipt.Sign(n.keys.Sign, *s); err != nil {
		return nil, nil, err
	}
	pair, err := receipt.Join(signed, own)
	if err != nil {
		return nil, nil, err
	}
	// On disk before it is handed out.
	if err := n.engine.Catalog().AddReceipt(ctx, from, true, s.Seq, pair, receiptsKept); err != nil {
		return nil, nil, err
	}
	return own, []byte{}, nil
}
