// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// Opening is one request that custodians answered, as their logs tell it.
type Opening struct {
	At         time.Time `json:"at"`
	Device     string    `json:"device"` // label of the brand's device
	Who        string    `json:"who"`    // the brand and that label
	DeviceKey  string    `json:"device_key"`
	Path       string    `json:"path"`
	Version    uint64    `json:"version"`
	Custodians int       `json:"custodians"` // whose logs tell of it
	Enough     bool      `json:"enough"`     // the brand can have had the key
}

// Info is a grant as its owner sees it.
type Info struct {
	ID         string    `json:"id"`
	Hash       string    `json:"hash"`
	Brand      string    `json:"brand"`
	BrandKey   string    `json:"brand_key"`
	State      string    `json:"state"` // waiting, open, ended, revoked, unreadable
	Issued     time.Time `json:"issued"`
	NotBefore  time.Time `json:"not_before"`
	NotAfter   time.Time `json:"not_after"`
	Purpose    string    `json:"purpose,omitempty"`
	MaxOpens   uint32    `json:"max_opens,omitempty"`
	StatusAge  int64     `json:"status_max_age,omitempty"` // seconds of silence of the owner that close it
	Need       int       `json:"need"`                     // custodians that must agree
	Custodians int       `json:"custodians"`
	Follow     bool      `json:"follow,omitempty"` // Refresh may replace the files by newer versions
	Files      []string  `json:"files"`
	Openings   []Opening `json:"openings"`
	Refusals   int       `json:"refusals"`
	Told       int       `json:"told"`       // custodians that know of the withdrawal
	Quorum     int       `json:"quorum"`     // that must, for it to be certain
	Reported   int       `json:"reported"`   // custodians whose logs were received since the grant was made
	Unopened   bool      `json:"unopened"`   // enough of them did, and none tells of an opening
	LogsUpTo   time.Time `json:"logs_up_to"` // oldest of the newest log heads received
	Ticket     string    `json:"ticket,omitempty"`
	Notice     string    `json:"notice"`              // what the grant says it cannot prevent
	Successor  string    `json:"successor,omitempty"` // the grant that took its place
	Problem    string    `json:"problem,omitempty"`   // why an unreadable one cannot be read
}

// The states of a grant.
const (
	Waiting = "waiting" // for its beginning
	Open    = "open"
	Ended   = "ended"
	Revoked = "revoked"
	// Unreadable: its document is damaged in the catalog. It may be open all the
	// same, as its custodians have their own, and can be withdrawn.
	Unreadable = "unreadable"
)

// List lists the grants, newest first.
func (d *Desk) List(ctx context.Context) ([]Info, error) {
	all, err := d.cat.Grants(ctx)
	if err != nil {
		return nil, err
	}
	book, err := d.Ledger(ctx)
	if err != nil {
		return nil, err
	}
	brands, err := d.cat.Brands(ctx)
	if err != nil {
		return nil, err
	}
	next, err := d.cat.Successors(ctx)
	if err != nil {
		return nil, err
	}
	ids := map[[32]byte][16]byte{}
	for i := range all {
		ids[all[i].Hash] = all[i].ID
	}
	out := []Info{}
	for i := range all {
		g := &all[i]
		in, err := d.info(ctx, g, book)
		if err != nil {
			return nil, err
		}
		if by, ok := next[g.Hash]; ok {
			in.Successor = ticket.ShortID(ids[by])
		}
		for _, b := range brands {
			if b.Root == g.Brand {
				in.Brand = b.Name
			}
		}
		out = append(out, *in)
	}
	return out, nil
}

func (d *Desk) info(ctx context.Context, row *catalog.Grant, book *Ledger) (*Info, error) {
	g, err := custody.CheckGrant(row.Doc)
	if err != nil {
		return d.unreadable(ctx, row, err)
	}
	b := &g.Body
	now := d.cfg.Now().Unix()
	in := &Info{
		ID: ticket.ShortID(b.ID), Hash: g.Hash.String(), BrandKey: b.Grantee.String(),
		Issued: time.Unix(b.IssuedAt, 0), NotBefore: time.Unix(b.NotBefore, 0), NotAfter: time.Unix(b.NotAfter, 0),
		Purpose: b.Purpose, MaxOpens: b.MaxOpens, StatusAge: b.StatusMaxAge, Follow: b.Follow, Need: int(b.K), Custodians: len(b.Custodians),
		Quorum: custody.RevocationQuorum(b), Openings: []Opening{}, Files: []string{}, Ticket: row.Ticket,
		Notice: b.Notice,
	}
	switch {
	case len(row.Revocation) > 0:
		in.State = Revoked
	case now >= b.NotAfter:
		in.State = Ended
	case now < b.NotBefore:
		in.State = Waiting
	default:
		in.State = Open
	}
	for _, f := range row.Files {
		in.Files = append(in.Files, f.Path)
	}
	if in.Told, err = d.toldOf(ctx, row); err != nil {
		return nil, err
	}
	in.Openings, in.Refusals = book.about(row, int(b.K))
	for _, s := range row.Seats {
		at := book.heads[s]
		if in.LogsUpTo.IsZero() || at.Before(in.LogsUpTo) {
			in.LogsUpTo = at
		}
		// One that lost its log since the grant was made cannot say.
		if !at.IsZero() && at.Unix() >= b.IssuedAt && book.begun[s].Unix() <= b.IssuedAt {
			in.Reported++
		}
	}
	// Too few are left to have let anybody open it.
	in.Unopened = len(in.Openings) == 0 && in.Reported > len(row.Seats)-int(b.K)
	return in, nil
}

// unreadable is what can be said of a grant whose document is damaged. The
// quorum that makes its withdrawal certain is not known: it takes everybody.
func (d *Desk) unreadable(ctx context.Context, row *catalog.Grant, why error) (*Info, error) {
	in := &Info{
		ID: ticket.ShortID(row.ID), Hash: custody.Hash(row.Hash).String(), BrandKey: custody.Key(row.Brand).String(), State: Unreadable,
		Issued: time.Unix(row.Made, 0), Custodians: len(row.Seats), Quorum: len(row.Seats), Openings: []Opening{}, Files: []string{},
		Problem: why.Error(),
	}
	if len(row.Revocation) > 0 {
		in.State = Revoked
	}
	for _, f := range row.Files {
		in.Files = append(in.Files, f.Path)
	}
	var err error
	in.Told, err = d.toldOf(ctx, row)
	return in, err
}

// toldOf counts the custodians of a grant that know of its withdrawal.
func (d *Desk) toldOf(ctx context.Context, row *catalog.Grant) (n int, err error) {
	told, err := d.cat.ToldOf(ctx, row.Hash)
	for _, t := range told {
		if slices.Contains(row.Seats, t) {
			n++
		}
	}
	return n, err
}

// find gives a grant by the beginning of its ID.
func (d *Desk) find(ctx context.Context, id string) (*catalog.Grant, *custody.Signed[custody.Grant], error) {
	row, err := d.row(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	g, err := custody.CheckGrant(row.Doc)
	if err != nil {
		return nil, nil, fmt.Errorf("the grant %s is damaged in the catalog; it can only be withdrawn: %w", ticket.ShortID(row.ID), err)
	}
	return row, g, nil
}

// row is find without reading the document.
func (d *Desk) row(ctx context.Context, id string) (*catalog.Grant, error) {
	all, err := d.cat.Grants(ctx)
	if err != nil {
		return nil, err
	}
	want := strings.TrimPrefix(strings.ToLower(id), "g-")
	var found []*catalog.Grant
	for i := range all {
		if len(want) >= 4 && strings.HasPrefix(fmt.Sprintf("%x", all[i].ID), want) {
			found = append(found, &all[i])
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("the grant %q %w: 'preezm grants' lists yours", id, ErrUnknown)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("several grants begin with %q: give more of it", id)
}

// ended says whether a grant has ended by itself; false for one that is damaged.
func (d *Desk) ended(row *catalog.Grant) bool {
	g, err := custody.CheckGrant(row.Doc)
	return err == nil && d.cfg.Now().Unix() >= g.Body.NotAfter
}

// over says whether a grant is withdrawn or has ended.
func (d *Desk) over(row *catalog.Grant, g *custody.Signed[custody.Grant]) bool {
	return len(row.Revocation) > 0 || d.cfg.Now().Unix() >= g.Body.NotAfter
}

// issued is a grant as it is written down, with its document.
type issued struct {
	*catalog.Grant
	doc *custody.Signed[custody.Grant]
}

// lasting goes through the grants that are not over. An error is the last. One
// that is damaged is passed over: List names it, and nothing of it is let go of.
func (d *Desk) lasting(ctx context.Context) iter.Seq2[issued, error] {
	return func(yield func(issued, error) bool) {
		all, err := d.cat.Grants(ctx)
		if err != nil {
			yield(issued{}, err)
			return
		}
		for i := range all {
			g, err := custody.CheckGrant(all[i].Doc)
			if err == nil && !d.over(&all[i], g) && !yield(issued{&all[i], g}, nil) {
				return
			}
		}
	}
}

// Revoke writes a revocation down and gives it with the grant's custodians, to
// be carried to them. A grant that is revoked already gives its revocation.
func (d *Desk) Revoke(ctx context.Context, id, reason string) (*Errand, error) {
	row, err := d.row(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(row.Revocation) == 0 {
		// A damaged one is withdrawn by its hash: nobody can tell that it is over.
		if d.ended(row) {
			return nil, fmt.Errorf("the grant %s %w", ticket.ShortID(row.ID), ErrOver)
		}
		r, err := d.owner.Revoke(row.Hash, d.cfg.Now().Unix(), reason)
		if err != nil {
			return nil, err
		}
		if err := d.cat.Revoke(ctx, row.Hash, r.Raw); err != nil {
			return nil, err
		}
		row.Revocation = r.Raw
	}
	return d.errand(ctx, row)
}

// Errand is a revocation and who has not acknowledged it yet.
type Errand struct {
	Grant      custody.Hash
	Revocation []byte
	Untold     []peers.DeviceID // custodians, whose no counts
	Serving    []peers.DeviceID // machines of the circle that may still serve its pieces
}

// closed is under what the catalog notes that a device serves nothing of a
// grant any more.
func closed(grant custody.Hash) string { return "closed/" + grant.String() }

func (d *Desk) errand(ctx context.Context, row *catalog.Grant) (*Errand, error) {
	told, err := d.cat.ToldOf(ctx, row.Hash)
	if err != nil {
		return nil, err
	}
	heard, err := d.cat.Heard(ctx, closed(row.Hash))
	if err != nil {
		return nil, err
	}
	e := &Errand{Grant: row.Hash, Revocation: row.Revocation}
	for _, s := range row.Seats {
		if !slices.Contains(told, s) {
			e.Untold = append(e.Untold, s)
		}
	}
	for _, m := range d.cfg.Members() {
		if heard[m.Device] == 0 {
			e.Serving = append(e.Serving, m.Device)
		}
	}
	return e, nil
}

// Errands are the revocations that some custodian or keeper has not
// acknowledged and whose grants have not ended by themselves.
func (d *Desk) Errands(ctx context.Context) ([]*Errand, error) {
	all, err := d.cat.Grants(ctx)
	if err != nil {
		return nil, err
	}
	var out []*Errand
	for i := range all {
		if len(all[i].Revocation) == 0 || d.ended(&all[i]) {
			continue
		}
		e, err := d.errand(ctx, &all[i])
		if err != nil {
			return nil, err
		}
		if len(e.Untold)+len(e.Serving) > 0 {
			out = append(out, e)
		}
	}
	return out, nil
}

// Told notes that a custodian has a revocation on its disk.
func (d *Desk) Told(ctx context.Context, grant custody.Hash, by peers.DeviceID) error {
	return d.cat.Told(ctx, grant, by)
}

// Closed notes that a machine serves nothing of a revoked grant any more.
func (d *Desk) Closed(ctx context.Context, grant custody.Hash, by peers.DeviceID) error {
	return d.cat.Hear(ctx, by, closed(grant), 1)
}

// Find gives one grant as List does.
func (d *Desk) Find(ctx context.Context, id string) (*Info, error) {
	row, err := d.row(ctx, id)
	if err != nil {
		return nil, err
	}
	all, err := d.List(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Hash == custody.Hash(row.Hash).String() {
			return &all[i], nil
		}
	}
	return nil, fmt.Errorf("the grant %q %w", id, ErrUnknown)
}

// Extend makes a new grant on the terms of an old one that ends later. The old
// one ends as it was going to; the brand needs the new ticket.
func (d *Desk) Extend(ctx context.Context, id string, until time.Time) (*Made, error) {
	row, old, err := d.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(row.Revocation) > 0 {
		return nil, said.Wrap(ErrOver, "grant-withdrawn", "the grant {id} {why}: it was withdrawn; make a new one", "id", ticket.ShortID(old.Body.ID))
	}
	if until.Unix() <= old.Body.NotAfter {
		return nil, said.Error("grant-ends-later", "the grant {id} ends at {at} already: name a later time", "id", ticket.ShortID(old.Body.ID), "at", time.Unix(old.Body.NotAfter, 0).Format(time.RFC3339))
	}
	made, next, err := d.again(ctx, row, old, old.Body.MaxOpens, until.Unix())
	if err != nil {
		return nil, err
	}
	return made, d.cat.AddGrant(ctx, next, made.Package, made.saying())
}

// again makes a grant on the terms of an old one, for those who decide now, and
// gives it as it is written down.
func (d *Desk) again(ctx context.Context, row *catalog.Grant, old *custody.Signed[custody.Grant], opens uint32, until int64) (*Made, *catalog.Grant, error) {
	brand, card, err := d.Brand(ctx, custody.Key(row.Brand).String())
	if err != nil {
		return nil, nil, err
	}
	seats, err := d.seats(ctx)
	if err != nil {
		return nil, nil, err
	}
	via, err := d.gatewaysOf(ctx, &old.Body)
	if err != nil {
		return nil, nil, err
	}
	generation, err := d.generation(ctx)
	if err != nil {
		return nil, nil, err
	}
	terms := *old
	terms.Body.MaxOpens, terms.Body.Gateways = opens, visible(via)
	g, err := d.owner.Extend(d.cfg.Now().Unix(), &terms, card.Body.KEM, seats, generation, until)
	if err != nil {
		return nil, nil, err
	}
	return d.prepare(ctx, g, brand, card.Body.KEM, seats, row.Files)
}

// Release lets go of the chunks of grants that are over.
func (d *Desk) Release(ctx context.Context) error {
	all, err := d.cat.Grants(ctx)
	if err != nil {
		return err
	}
	var over [][32]byte
	for i := range all {
		if len(all[i].Revocation) > 0 || d.ended(&all[i]) {
			over = append(over, all[i].Hash)
		}
	}
	if len(over) == 0 {
		return nil
	}
	return d.cat.ReleaseGrants(ctx, over)
}

// Covering names the grants that last and cover one of these files, or one in
// these folders. What a grant covers is held for it, also when its owner keeps
// it no longer.
func (d *Desk) Covering(ctx context.Context, paths []string) ([]string, error) {
	named := func(f catalog.Granted) bool {
		return slices.ContainsFunc(paths, func(p string) bool {
			return f.Path == p || strings.HasPrefix(f.Path, p+"/")
		})
	}
	var out []string
	for g, err := range d.lasting(ctx) {
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(g.Files, named) {
			out = append(out, ticket.ShortID(g.ID))
		}
	}
	return out, nil
}
