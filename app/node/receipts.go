// SPDX-License-Identifier: MPL-2.0

package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/receipt"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/circle"
	"github.com/preezm/preezm/peers/said"
)

const (
	// receiptEvery is how often a pair signs what one keeps for the other.
	receiptEvery = 30 * time.Minute
	// receiptGap is the least time between two that this machine signs: each is
	// written down, and pushes an older one out.
	receiptGap = receiptEvery / 2
	// receiptsKept is how many of a pair stay, for whoever wants to see them.
	receiptsKept = 1000
	// othersTold is how many receipts with other machines of a person go with
	// one.
	othersTold = 32
)

// Balance is what two persons have given each other, by the receipts that both
// signed, in gigabytes times days.
type Balance struct {
	Gave  float64   `json:"gave_gb_days"`
	Took  float64   `json:"took_gb_days"`
	Until time.Time `json:"until,omitzero"` // of the newest receipt
	// Note says why the two do not agree, if so.
	Note said.Note `json:"note,omitzero"`
}

// receipting is what this process knows of receipts.
type receipting struct {
	// One at a time each way; two locks, or two machines that ask each other
	// would wait for each other.
	taking, giving sync.Mutex

	mu       sync.Mutex
	asked    map[peers.DeviceID]time.Time // when a keeper was asked for the last one
	told     map[peers.DeviceID]string    // which of others a keeper was told
	disputes map[peers.DeviceID]said.Note // why one was not signed
	again    chan struct{}                // a machine has come; holds one
}

// come says that a machine has come.
func (r *receipting) come() {
	select {
	case r.again <- struct{}{}:
	default:
	}
}

// dispute notes why a receipt with a machine was not signed; nil: it was.
func (r *receipting) dispute(d peers.DeviceID, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.disputes == nil {
		r.disputes = map[peers.DeviceID]said.Note{}
	}
	r.disputes[d] = said.By(why)
}

func (r *receipting) disputed(d peers.DeviceID) said.Note {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.disputes[d]
}

// tell says whether a keeper has yet to be told those of others; with done it
// was.
func (r *receipting) tell(d peers.DeviceID, others [][]byte, done bool) bool {
	var all []byte
	for _, o := range others {
		h := sha256.Sum256(o)
		all = append(all, h[:]...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if done {
		if r.told == nil {
			r.told = map[peers.DeviceID]string{}
		}
		r.told[d] = string(all)
	}
	return r.told[d] != string(all)
}

// askedWithin says whether a keeper was asked lately, and notes that it is now.
func (r *receipting) askedWithin(d peers.DeviceID, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if age := now.Sub(r.asked[d]); age >= 0 && age < receiptEvery {
		return true
	}
	if r.asked == nil {
		r.asked = map[peers.DeviceID]time.Time{}
	}
	r.asked[d] = now
	return false
}

// person is the root by which this home's person signs.
func (n *Node) person() custody.Key { return custody.KeyOf(n.backups.secrets.RootKey()) }

// lastReceipt is the newest receipt of what a device keeps for a person, nil
// when there is none.
func (n *Node) lastReceipt(ctx context.Context, giver peers.DeviceID, taker custody.Key) (*receipt.Pair, error) {
	docs, err := n.engine.Catalog().Receipts(ctx, giver, taker, 1)
	if err != nil || len(docs) == 0 {
		return nil, err
	}
	return receipt.Reread(docs[0])
}

func (n *Node) keepReceipt(ctx context.Context, p *receipt.Pair) error {
	return n.engine.Catalog().AddReceipt(ctx, p.Giver, p.Taker, p.Seq, p.Raw, receiptsKept)
}

// balance sums up what this person and that of a machine have kept for each
// other: with all their machines, past ones too.
func (n *Node) balance(ctx context.Context, p circle.Peer) (b Balance, err error) {
	b.Note = n.receipts.disputed(p.Device)
	add := func(sum *float64, taker custody.Key, givers []peers.DeviceID) error {
		all, err := n.engine.Catalog().ReceiptsOf(ctx, taker)
		if err != nil {
			return err
		}
		for d, doc := range all {
			if givers != nil && !slices.Contains(givers, d) {
				continue
			}
			last, err := receipt.Reread(doc)
			if err != nil {
				return err
			}
			*sum += last.GBDays()
			if at := time.Unix(last.To, 0); at.After(b.Until) {
				b.Until = at
			}
		}
		return nil
	}
	if err := add(&b.Took, n.person(), n.book.Machines(p.Device)); err != nil {
		return b, err
	}
	// Of another machine of this person, which is no giver to itself, it is nothing.
	if who, ok := n.book.Person(p.Device); ok && who != n.person() {
		// Whoever keeps for others by the receipts in this catalog is of this person.
		err = add(&b.Gave, who, nil)
	}
	return b, err
}

// makeReceipts goes on with receipts until ctx ends: each minute, and when a
// machine has come, which may not stay for long.
func (n *Node) makeReceipts(ctx context.Context) {
	tick := time.NewTicker(careEvery)
	defer tick.Stop()
	for {
		if err := n.receiptsDue(ctx); err != nil && ctx.Err() == nil {
			n.log.Info("a receipt waits", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-n.receipts.again:
		}
	}
}

// receiptsDue makes receipts with those that keep for this person.
func (n *Node) receiptsDue(ctx context.Context) error {
	own := n.person()
	var errs []error
	for _, p := range n.book.Peers() {
		if who, ok := n.book.Person(p.Device); !p.Keeper || len(p.Sign) == 0 || ok && who == own {
			continue
		}
		err := n.makeReceipt(ctx, p, own)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, peers.ErrUnreachable), errors.Is(err, peers.ErrUnknown):
			continue // as it stood before
		case err == nil:
			n.receipts.dispute(p.Device, nil)
			continue
		case errors.Is(err, receipt.ErrDiffers):
			n.receipts.dispute(p.Device, err)
		}
		errs = append(errs, fmt.Errorf("%s: %w", p.Name, err))
	}
	return errors.Join(errs...)
}

// due says whether a receipt is to follow that one.
func due(last *receipt.Pair, now time.Time) bool {
	if last == nil {
		return true
	}
	age := now.Sub(time.Unix(last.To, 0))
	// Another machine's clock may be a little ahead of this one's.
	return age >= receiptEvery || age < -receipt.Skew
}

// makeReceipt goes on with the receipts of what a machine keeps for this
// person, wherever another machine of this person has brought them.
func (n *Node) makeReceipt(ctx context.Context, p circle.Peer, own custody.Key) error {
	n.receipts.taking.Lock()
	defer n.receipts.taking.Unlock()
	last, err := n.lastReceipt(ctx, p.Device, own)
	if err != nil {
		return err
	}
	others, err := n.othersOf(ctx, p.Device, own)
	if err != nil {
		return err
	}
	now, news := n.now(), n.receipts.tell(p.Device, others, false)
	if !due(last, now) && !news {
		return nil
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
	nothing := info.Used == 0 && (last == nil || last.Bytes == 0)
	if lately := n.receipts.askedWithin(p.Device, now); nothing && lately && !news {
		return nil
	}
	// Another machine of this person may have gone on, or this one before it lost
	// that.
	_, known, err := c.Receipt(ask, []byte{}, others)
	if err != nil {
		return err
	}
	n.receipts.tell(p.Device, others, true)
	if last, err = n.adopt(ctx, p, own, last, known); err != nil {
		return err
	}
	if last != nil && !bytes.Equal(known, last.Raw) {
		// It was put back from an older copy: what both signed is shown to it.
		if _, _, err := c.Receipt(ask, []byte{}, [][]byte{last.Raw}); err != nil {
			return err
		}
	}
	if !due(last, now) || info.Used == 0 && (last == nil || last.Bytes == 0) {
		return nil
	}
	var before *receipt.Statement
	if last != nil {
		before = &last.Statement
	}
	next, err := receipt.Next(before, p.Device, own, uint64(info.Used), now.Unix())
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
	signed, err := receipt.Sign(n.backups.secrets.RootKey(), next)
	if err != nil {
		return err
	}
	theirs, known, err := c.Receipt(ask, signed, [][]byte{})
	if err != nil {
		return err
	}
	if len(theirs) == 0 {
		// Another machine of this person was faster, or it counts otherwise.
		newer, err := n.adopt(ctx, p, own, last, known)
		if err == nil && newer == last {
			err = receipt.ErrDiffers
		}
		return err
	}
	raw, err := receipt.Join(signed, theirs)
	if err != nil {
		return err
	}
	pair, err := receipt.ReadPair(raw, p.Sign)
	if err != nil {
		return err
	}
	return n.keepReceipt(ctx, pair)
}

// othersOf are the last receipts with the other machines of a keeper's person.
func (n *Node) othersOf(ctx context.Context, d peers.DeviceID, own custody.Key) ([][]byte, error) {
	out := [][]byte{}
	machines := n.book.Machines(d)
	if len(machines) < 2 {
		return out, nil
	}
	all, err := n.engine.Catalog().ReceiptsOf(ctx, own)
	if err != nil {
		return nil, err
	}
	for _, m := range machines {
		if doc := all[m]; doc != nil && m != d && len(out) < othersTold {
			out = append(out, doc)
		}
	}
	return out, nil
}

// adopt takes a receipt over that a keeper has and this machine has not. It
// bears this person's signature. It gives the newer of it and last.
func (n *Node) adopt(ctx context.Context, p circle.Peer, own custody.Key, last *receipt.Pair, raw []byte) (*receipt.Pair, error) {
	if len(raw) == 0 {
		return last, nil
	}
	theirs, err := receipt.ReadPair(raw, p.Sign)
	if err != nil {
		return nil, err
	}
	if theirs.Taker != own || theirs.Giver != p.Device {
		return nil, fmt.Errorf("%w: of others", receipt.ErrFormat)
	}
	if !receipt.Newer(theirs, last) {
		return last, nil
	}
	return theirs, n.keepReceipt(ctx, theirs)
}

// Countersign signs what a person says that all their machines store here, when
// that is so.
func (n *Node) Countersign(ctx context.Context, from peers.DeviceID, signed []byte, others [][]byte) (own, last []byte, err error) {
	n.receipts.giving.Lock()
	defer n.receipts.giving.Unlock()
	if n.shut {
		return nil, nil, peers.ErrRefused
	}
	who, ok := n.book.Person(from)
	p, in := n.book.Peer(from)
	if !ok || !in || who == n.person() {
		return nil, nil, peers.ErrRefused
	}
	if err := n.takeOthers(ctx, who, others); err != nil {
		return nil, nil, err
	}
	have, err := n.lastReceipt(ctx, n.device, who)
	if err != nil {
		return nil, nil, err
	}
	last = []byte{}
	var before *receipt.Statement
	if have != nil {
		last, before = have.Raw, &have.Statement
	}
	if len(signed) == 0 {
		return []byte{}, last, nil
	}
	s, err := receipt.Read(signed)
	if err != nil || s.Taker != who || s.Giver != n.device {
		return nil, nil, peers.ErrRefused
	}
	if have != nil && s.To-have.To < int64(receiptGap/time.Second) {
		return []byte{}, last, nil
	}
	use, err := n.depot.Usage(ctx, from)
	if err != nil {
		return nil, nil, err
	}
	if err := receipt.Agree(s, before, uint64(use.Used), n.now().Unix()); err != nil {
		n.log.Info("a receipt was not signed", "machine", p.Name, "err", err)
		return []byte{}, last, nil
	}
	if own, err = receipt.Sign(n.keys.Sign, *s); err != nil {
		return nil, nil, err
	}
	raw, err := receipt.Join(signed, own)
	if err != nil {
		return nil, nil, err
	}
	// On disk before it is handed out.
	if err := n.keepReceipt(ctx, &receipt.Pair{Statement: *s, Raw: raw}); err != nil {
		return nil, nil, err
	}
	return own, []byte{}, nil
}

// takeOthers takes over what machines of this person have signed with that one:
// others of them, and this one, if it was put back from an older copy. Who asks
// has it from them, and cannot have made it up.
func (n *Node) takeOthers(ctx context.Context, who custody.Key, others [][]byte) error {
	if len(others) == 0 {
		return nil
	}
	machines, err := n.engine.Catalog().Machines(ctx)
	if err != nil {
		return err
	}
	sign := map[peers.DeviceID]ed25519.PublicKey{}
	for _, m := range machines {
		sign[m.Device] = m.Sign[:]
	}
	own := custody.KeyOf(n.keys.Sign)
	sign[n.device] = own[:]
	for _, raw := range others[:min(len(others), othersTold)] {
		about, err := receipt.Reread(raw)
		if err != nil {
			return fmt.Errorf("%w: %w", peers.ErrRefused, err)
		}
		key, ok := sign[about.Giver]
		if !ok || about.Taker != who {
			continue // not known here yet, or not theirs to tell
		}
		have, err := n.lastReceipt(ctx, about.Giver, who)
		if err != nil {
			return err
		}
		if !receipt.Newer(about, have) {
			continue
		}
		pair, err := receipt.ReadPair(raw, key)
		if err != nil {
			return fmt.Errorf("%w: %w", peers.ErrRefused, err)
		}
		if err := n.keepReceipt(ctx, pair); err != nil {
			return err
		}
	}
	return nil
}
