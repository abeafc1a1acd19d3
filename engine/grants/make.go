// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// Order is what an owner decides.
type Order struct {
	Brand     string   // card, name or key
	Paths     []string // files and folders of the catalog
	NotBefore time.Time
	NotAfter  time.Time
	Purpose   string
	Opens     uint32   // of each file; 0: no limit
	Follow    bool     // Refresh may replace the files by newer versions
	Via       []string // gateways; none: those of the newest grant
	// StatusMaxAge closes the grant while custodians have not heard of the
	// owner for so long; 0: they need not.
	StatusMaxAge time.Duration
	Consent      custody.Hash // that the grant follows from; zero: none
}

// Made is a new grant.
type Made struct {
	Grant   *custody.Signed[custody.Grant]
	Package []byte // signed
	Brand   string
	Files   []string
	Ticket  string
	Via     []string // names of the gateways

	plan   uint64 // number of the plans in the ticket
	digest []byte // of what they say
}

// Make makes a grant and its ticket. Nobody is asked.
func (d *Desk) Make(ctx context.Context, o Order) (*Made, error) {
	brand, card, err := d.Brand(ctx, o.Brand)
	if err != nil {
		return nil, err
	}
	via, err := d.gateways(ctx, o.Via)
	if err != nil {
		return nil, err
	}
	seats, err := d.seats(ctx)
	if err != nil {
		return nil, err
	}
	files, err := d.files(ctx, o.Paths)
	if err != nil {
		return nil, err
	}
	terms := custody.Terms{
		Grantee: card.Body.Root, GranteeKEM: card.Body.KEM,
		NotBefore: o.NotBefore.Unix(), NotAfter: o.NotAfter.Unix(), Custodians: seats,
		MaxOpens: o.Opens, Follow: o.Follow, Purpose: o.Purpose, Gateways: visible(via),
		StatusMaxAge: int64(o.StatusMaxAge / time.Second), Consent: o.Consent,
	}
	if o.StatusMaxAge != 0 && o.StatusMaxAge < MinStatusAge {
		return nil, fmt.Errorf("a silence of %v is too short to be kept up: at least %v", o.StatusMaxAge, MinStatusAge)
	}
	if terms.Generation, err = d.generation(ctx); err != nil {
		return nil, err
	}
	for _, f := range files {
		terms.Files = append(terms.Files, custody.FileID(f.File))
	}
	g, err := d.owner.Grant(d.cfg.Now().Unix(), terms)
	if err != nil {
		return nil, err
	}
	made, row, err := d.prepare(ctx, g, brand, card.Body.KEM, seats, files)
	if err != nil {
		return nil, err
	}
	return made, d.cat.AddGrant(ctx, row, made.Package, made.saying())
}

// saying is what the catalog notes of the plans in a ticket.
func (m *Made) saying() catalog.Saying {
	return catalog.Saying{What: saidPlan(m.Grant.Hash), Number: m.plan, Doc: m.digest}
}

// prepare locks the files for a new grant and gives it as it is written down.
func (d *Desk) prepare(ctx context.Context, g *custody.Signed[custody.Grant], brand catalog.Brand, kem []byte, seats []custody.Seat, files []catalog.Granted) (*Made, *catalog.Grant, error) {
	made, err := d.lock(ctx, g, 1, 1, brand, kem, seats, files, nil)
	if err != nil {
		return nil, nil, err
	}
	row := &catalog.Grant{Hash: g.Hash, ID: g.Body.ID, Doc: g.Raw, Brand: brand.Root, Ticket: made.Ticket, Made: g.Body.IssuedAt, Files: files}
	for _, s := range seats {
		row.Seats = append(row.Seats, peers.DeviceID(s))
	}
	return made, row, nil
}

// seatsOf are the custodians of a grant as it is written down.
func seatsOf(row *catalog.Grant) []custody.Seat {
	seats := make([]custody.Seat, len(row.Seats))
	for i, s := range row.Seats {
		seats[i] = custody.Seat(s)
	}
	return seats
}

// lock makes the package with a number, and the ticket with it. A gateway that
// has left the circle keeps its plan of those before.
func (d *Desk) lock(ctx context.Context, g *custody.Signed[custody.Grant], seq, plan uint64, brand catalog.Brand, kem []byte, seats []custody.Seat, files []catalog.Granted, before [][]byte) (*Made, error) {
	p := newPlanner(d, g)
	p.plan.Seq = plan
	items := make([]custody.Item, len(files))
	sealed := map[custody.FileID][]byte{}
	sizes := map[custody.FileID]int64{}
	names := map[custody.FileID]string{}
	for i, f := range files {
		it := custody.Item{File: f.File, Version: f.Version}
		// A key of this grant alone: nothing another grant opens opens this.
		rand.Read(it.Key[:])
		m, err := p.add(ctx, f)
		if err != nil {
			return nil, err
		}
		if sealed[it.File], err = ticket.SealManifest(m, it.Key, it.File, it.Version); err != nil {
			return nil, err
		}
		names[it.File], sizes[it.File] = m.Name, m.Size
		it.Manifest = sha256.Sum256(sealed[it.File])
		items[i] = it
	}
	pkg, err := d.owner.Package(g, seats, kem, seq, items)
	for i := range items {
		clear(items[i].Key[:])
	}
	if err != nil {
		return nil, err
	}
	t := ticket.Ticket{Ticket: &custody.Ticket{Grant: g, Package: pkg}}
	list := ticket.Names{Grant: g.Hash}
	for _, e := range pkg.Body.Entries {
		t.Manifests = append(t.Manifests, sealed[e.File])
		list.Names, list.Sizes = append(list.Names, names[e.File]), append(list.Sizes, sizes[e.File])
	}
	signed, err := custody.Sign(d.owner.Device, list)
	if err != nil {
		return nil, err
	}
	if t.Names, err = ticket.SealNames(signed, kem); err != nil {
		return nil, err
	}
	if err := p.custodians(seats); err != nil {
		return nil, err
	}
	made := &Made{Grant: g, Package: pkg.Raw, Brand: brand.Name, plan: plan}
	if made.digest, err = p.digest(ctx); err != nil {
		return nil, err
	}
	if t.Plans, made.Via, err = p.sealPlans(&g.Body, before); err != nil {
		return nil, err
	}
	if made.Ticket, err = t.Text(); err != nil {
		return nil, err
	}
	for _, f := range files {
		made.Files = append(made.Files, f.Path)
	}
	return made, nil
}

// gateways finds the machines that the brand may see.
func (d *Desk) gateways(ctx context.Context, names []string) ([]Member, error) {
	var out []Member
	if len(names) == 0 {
		all, err := d.cat.Grants(ctx)
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			return nil, ErrNoGateway
		}
		g, err := custody.CheckGrant(all[0].Doc)
		if err != nil {
			return nil, ErrNoGateway // they have to be named
		}
		for _, gw := range g.Body.Gateways {
			names = append(names, peers.DeviceID(gw.Device).String())
		}
	}
	for _, n := range names {
		m, err := d.member(n)
		if err != nil {
			return nil, err
		}
		if len(m.KEM) == 0 {
			return nil, said.Error("gateway-keys", "{name} has not told its keys yet: it must answer once before it can be a gateway", "name", m.Name)
		}
		out = append(out, m)
	}
	return out, nil
}

// gatewaysOf finds a grant's gateways, as far as they are still in the circle.
func (d *Desk) gatewaysOf(ctx context.Context, g *custody.Grant) ([]Member, error) {
	var names []string
	for _, gw := range g.Gateways {
		name := peers.DeviceID(gw.Device).String()
		if _, err := d.member(name); err == nil {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("the machine that %s could see has left your circle: make a new grant with --via: %w", ticket.ShortID(g.ID), ErrNoGateway)
	}
	return d.gateways(ctx, names)
}

func visible(via []Member) []custody.Gateway {
	var out []custody.Gateway
	for _, m := range via {
		a := m.Addresses
		out = append(out, custody.Gateway{Device: m.Device, Addresses: a[:min(len(a), 16)]})
	}
	return out
}

// files finds what the paths name at this moment: a folder is its files now.
func (d *Desk) files(ctx context.Context, paths []string) ([]catalog.Granted, error) {
	var out []catalog.Granted
	add := func(v *catalog.Version) error {
		if v.Kind != catalog.File {
			return nil
		}
		if len(out) == custody.MaxFiles {
			return said.Error("files-many", "more than {most} files: grant fewer at once", "most", strconv.Itoa(custody.MaxFiles))
		}
		id, version, err := d.cat.Name(ctx, v.Path, v.Parts)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(out, func(g catalog.Granted) bool { return g.File == id }) {
			out = append(out, catalog.Granted{File: id, Version: version, Path: v.Path, Parts: v.Parts})
		}
		return nil
	}
	for _, p := range paths {
		v, err := d.cat.Version(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("%q %w", p, err)
		}
		if v.Kind == catalog.Folder {
			err = d.cat.Below(ctx, p, add)
		} else {
			err = add(&v)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, said.Error("no-file-named", "there is no file in what you named")
	}
	return out, nil
}

// planner gathers where the chunks of a grant lie.
type planner struct {
	d        *Desk
	g        *custody.Signed[custody.Grant]
	plan     ticket.Plan
	contacts map[peers.DeviceID]int
	segments map[int64]int
	shards   map[peers.DeviceID][]peers.ShardID
}

func newPlanner(d *Desk, g *custody.Signed[custody.Grant]) *planner {
	return &planner{
		d: d, g: g, plan: ticket.Plan{Grant: g.Hash, Owner: d.cfg.Device, Cert: d.owner.Cert},
		contacts: map[peers.DeviceID]int{}, segments: map[int64]int{}, shards: map[peers.DeviceID][]peers.ShardID{},
	}
}

// add puts a version into the plan and gives its manifest.
func (p *planner) add(ctx context.Context, f catalog.Granted) (*ticket.Manifest, error) {
	at, err := p.modTime(ctx, &f)
	if err != nil {
		return nil, fmt.Errorf("%q %w", f.Path, err)
	}
	m := &ticket.Manifest{Name: path.Base(f.Path), ModTime: at}
	pf := ticket.PlanFile{File: f.File, Version: f.Version, Spans: []ticket.Span{}}
	var ids []int64
	for _, part := range f.Parts {
		if part.Chunk > 0 {
			ids = append(ids, part.Chunk)
		}
	}
	chunks, err := p.d.cat.Chunks(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("%q %w", f.Path, err)
	}
	for _, part := range f.Parts {
		if part.Hole > 0 {
			m.Size += part.Hole
			m.Pieces = append(m.Pieces, ticket.Piece{Hole: part.Hole})
			continue
		}
		c := chunks[part.Chunk]
		m.Size += int64(c.Plain)
		m.Pieces = append(m.Pieces, ticket.Piece{Name: c.Name, Key: c.Key, Plain: c.Plain, Zstd: c.Zstd})
		seg, err := p.segment(ctx, c.Segment)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", f.Path, err)
		}
		pf.Spans = append(pf.Spans, ticket.Span{Segment: seg, Off: c.Off, Len: c.Sealed})
	}
	p.plan.Files = append(p.plan.Files, pf)
	return m, nil
}

// modTime is when a version was changed last, in nanoseconds. An older grant may
// cover one that is replaced or removed by now: only its content is held, and
// the grant's own time stands for it.
func (p *planner) modTime(ctx context.Context, f *catalog.Granted) (int64, error) {
	v, err := p.d.cat.Version(ctx, f.Path)
	switch {
	case err == nil && slices.Equal(v.Parts, f.Parts):
		return v.ModTime, nil
	case err == nil || errors.Is(err, catalog.ErrNotFound):
		return time.Unix(p.g.Body.IssuedAt, 0).UnixNano(), nil
	}
	return 0, err
}

func (p *planner) segment(ctx context.Context, id int64) (int, error) {
	if i, ok := p.segments[id]; ok {
		return i, nil
	}
	s, err := p.d.cat.Segment(ctx, id)
	if err != nil {
		return 0, err
	}
	seg := ticket.Segment{K: s.K, ShardLen: s.ShardLen, DataLen: s.DataLen}
	for _, sh := range s.Shards {
		seg.Shards = append(seg.Shards, ticket.Place{Contact: uint64(p.contact(sh.Keeper)), ID: sh.ID, Root: sh.Root})
		p.shards[sh.Keeper] = append(p.shards[sh.Keeper], sh.ID)
	}
	i := len(p.plan.Segments)
	p.plan.Segments = append(p.plan.Segments, seg)
	p.segments[id] = i
	return i, nil
}

func (p *planner) contact(dev peers.DeviceID) int {
	if i, ok := p.contacts[dev]; ok {
		return i
	}
	c := ticket.Contact{Device: dev, Addresses: []string{}}
	for _, m := range p.d.cfg.Members() {
		if m.Device == dev {
			c.Addresses = m.Addresses
		}
	}
	i := len(p.plan.Contacts)
	p.plan.Contacts = append(p.plan.Contacts, c)
	p.contacts[dev] = i
	return i
}

// custodians says which mailbox of the grant is whose.
func (p *planner) custodians(seats []custody.Seat) error {
	for _, s := range seats {
		key, err := custody.NewChain(p.d.cfg.Secrets.Custody, s, p.g.Body.Generation).Pseudonym(&p.g.Body)
		if err != nil {
			return err
		}
		i := slices.Index(p.g.Body.Custodians, custody.KeyOf(key))
		if i < 0 {
			return errors.New("a custodian is not in its own grant")
		}
		p.plan.Contacts[p.contact(peers.DeviceID(s))].Mailbox = p.g.Body.Mailboxes[i]
	}
	return nil
}

// seal signs the permits and the plan for one gateway and seals it.
func (p *planner) seal(gateway Member) ([]byte, error) {
	plan := p.plan
	plan.Gateway = gateway.Device
	plan.Contacts = slices.Clone(plan.Contacts)
	for i := range plan.Contacts {
		c := &plan.Contacts[i]
		ids := slices.Clone(p.shards[c.Device])
		slices.SortFunc(ids, func(a, b peers.ShardID) int { return bytes.Compare(a[:], b[:]) })
		permit := ticket.Permit{
			Grant: p.g.Hash, Root: p.g.Body.Owner, Owner: plan.Owner, Gateway: gateway.Device, Holder: c.Device,
			IssuedAt: p.g.Body.IssuedAt, NotAfter: p.g.Body.NotAfter, Cert: p.d.owner.Cert, Shards: []byte{},
		}
		for _, id := range ids {
			permit.Shards = append(permit.Shards, id[:]...)
		}
		s, err := custody.Sign(p.d.owner.Device, permit)
		if err != nil {
			return nil, err
		}
		c.Permit = s.Raw
	}
	s, err := custody.Sign(p.d.owner.Device, plan)
	if err != nil {
		return nil, err
	}
	return ticket.SealPlan(s, gateway.KEM)
}
