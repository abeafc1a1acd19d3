// SPDX-License-Identifier: MPL-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/brand"
	"github.com/preezm/preezm/engine/grants"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers/said"
)

func (n *Node) openBrand() (*brand.Brand, error) {
	b, err := brand.OpenIn(n.ownerBox, filepath.Join(n.home, brandFolder), n.keys.Sign, n.device, n.now)
	if err != nil {
		return nil, err
	}
	b.Reach = n.reach
	return b, nil
}

// BrandInit makes this home a brand's.
func (n *Node) BrandInit(ctx context.Context, o BrandOptions) (BrandInfo, error) {
	if o.Label == "" {
		o.Label = n.settings.Name
	}
	if err := checkName(o.Name); err != nil {
		return BrandInfo{}, err
	}
	if err := brand.CreateIn(n.ownerBox, filepath.Join(n.home, brandFolder), o.Name, o.Label); err != nil {
		return BrandInfo{}, err
	}
	return n.Brand(ctx)
}

// Brand is the brand and its card.
func (n *Node) Brand(context.Context) (BrandInfo, error) {
	b, err := n.openBrand()
	if err != nil {
		return BrandInfo{}, err
	}
	defer b.Close()
	card, key, err := b.Card()
	if err != nil {
		return BrandInfo{}, err
	}
	until, err := b.Until()
	return BrandInfo{Name: b.Name, Label: b.Label, Key: key.String(), Card: card, Office: b.Office(), Until: until}, err
}

// Receive keeps a ticket.
func (n *Node) Receive(ctx context.Context, text string) (Received, error) {
	b, err := n.openBrand()
	if err != nil {
		return Received{}, err
	}
	defer b.Close()
	r, err := b.Receive(ctx, text)
	if err != nil {
		return Received{}, err
	}
	return n.received(r), nil
}

// Received lists the tickets.
func (n *Node) Received(ctx context.Context) ([]Received, error) {
	b, err := n.openBrand()
	if err != nil {
		return nil, err
	}
	defer b.Close()
	// What the office has and this machine not, if it answers at once.
	inner, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if _, err := b.Sync(inner); err != nil {
		n.log.Debug("ask the office what is new", "err", err)
	}
	all, bad, err := b.All()
	out := []Received{}
	for _, r := range all {
		out = append(out, n.received(r))
	}
	for _, why := range bad {
		out = append(out, Received{State: Unreadable, Problem: said.By(why), Files: []ReceivedFile{}})
	}
	return out, err
}

func (n *Node) received(r *brand.Received) Received {
	g := &r.Ticket.Grant.Body
	out := Received{
		ID: ticket.ShortID(g.ID), Owner: g.Owner.String(), NotBefore: time.Unix(g.NotBefore, 0),
		NotAfter: time.Unix(g.NotAfter, 0), Purpose: g.Purpose, Opens: g.MaxOpens, Notice: g.Notice, State: grants.Open,
	}
	switch now := n.now().Unix(); {
	case now >= g.NotAfter:
		out.State = grants.Ended
	case now < g.NotBefore:
		out.State = grants.Waiting
	}
	for i, name := range r.Names.Names {
		out.Files = append(out.Files, ReceivedFile{name, r.Names.Sizes[i]})
	}
	return out
}

// find looks for a grant here and, on a member, at the office.
func (n *Node) find(ctx context.Context, b *brand.Brand, id string) (*brand.Received, error) {
	r, err := b.Find(id)
	if !errors.Is(err, brand.ErrUnknown) || b.Office() {
		return r, err
	}
	if _, serr := b.Sync(ctx); serr != nil {
		return nil, errors.Join(err, serr)
	}
	return b.Find(id)
}

// asking tells a progress function how many custodians have agreed.
func asking(progress func(engine.Progress)) brand.Told {
	if progress == nil {
		return nil
	}
	started := time.Now()
	return func(name string, have, need int) {
		progress(engine.Progress{Stage: engine.StageAsk, Now: name, Files: int64(have), TotalFiles: int64(need), Started: started})
	}
}

// OpenGrant opens files of a received grant. Whether it may is decided by the
// custodians each time, not here: this machine's clock proves nothing.
func (n *Node) OpenGrant(ctx context.Context, o OpenOrder, progress func(engine.Progress)) (*OpenReport, error) {
	b, err := n.openBrand()
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if !filepath.IsAbs(o.To) {
		return nil, fmt.Errorf("%w: %q is not an absolute path", ErrBadRequest, o.To)
	}
	var r *brand.Received
	if strings.HasPrefix(strings.TrimSpace(o.Grant), ticket.Prefix) {
		r, err = b.Receive(ctx, o.Grant)
	} else {
		r, err = n.find(ctx, b, o.Grant)
	}
	if err != nil {
		return nil, err
	}
	done, err := b.Open(ctx, r, o.Files, o.To, o.Wait, n.dialGateway, asking(progress))
	report := &OpenReport{Grant: ticket.ShortID(r.Ticket.Grant.Body.ID), NotAfter: time.Unix(r.Ticket.Grant.Body.NotAfter, 0), Files: []OpenedFile{}}
	for _, f := range done {
		report.Files = append(report.Files, OpenedFile(f))
		report.Liars = append(report.Liars, f.Liars...)
	}
	var no *brand.RefusedError
	var few *brand.WaitingError
	switch {
	case errors.As(err, &no):
		report.Refused, report.Signed = string(no.Reason), no.Signed
		report.Liars = append(report.Liars, no.Liars...)
		err = fmt.Errorf("%w: %w", ErrGrantRefused, err)
	case errors.As(err, &few):
		report.Liars = append(report.Liars, few.Liars...)
		err = fmt.Errorf("%w: %w", ErrWaiting, err)
	}
	slices.Sort(report.Liars)
	report.Liars = slices.Compact(report.Liars)
	return report, err
}
