// SPDX-License-Identifier: MPL-2.0

// Package custodytest is a world in memory for tests: an owner, custodians with
// clocks that can be set wrong and wills that can be bad, and a brand. The
// custodians keep real logs and decide by custody.Decide; only their state is
// a few maps.
package custodytest

import (
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ledger"
)

// Start is when a world begins: 15 January 2027, 08:00:00 UTC.
const Start = 1_800_000_000

// Day is a day in seconds.
const Day = 86400

// World is everybody. Now is the true time, which tests set.
type World struct {
	TB         testing.TB
	Now        int64
	Root       ed25519.PrivateKey
	Owner      custody.Owner
	Custodians []*Custodian
	Brand      *Brand
	Gateway    custody.Gateway
}

// Custodian is one device that says yes or no.
type Custodian struct {
	Seat    custody.Seat
	KEM     hpke.PrivateKey
	LogKey  ed25519.PrivateKey
	Log     ledger.Log
	Records []ledger.Record

	Skew  int64 // its clock less the true time
	Alone bool  // it hears no other custodian
	Off   bool  // it does not run: no ratchet, no answers
	Mark  custody.Clock
	Kept  custody.Chain
	Hoard []custody.Chain // a cheat's copies of what it should have erased
	Cheat *int64          // it pretends that this is the time and that nothing was revoked
	Lie   bool            // it hands out a wrong pad

	world    *World
	root     custody.Key
	set      *custody.DeviceSet
	revoked  map[custody.Hash]bool
	statusAt int64
	status   uint64
	newest   map[custody.Hash]newest
	answered map[custody.Hash]bool
	opens    map[use]uint32
	members  map[custody.Key]*custody.MemberRevocations
	refusals ledger.Refusals
}

type newest struct {
	seq  uint64
	hash custody.Hash
}

type use struct {
	grant   custody.Hash
	file    custody.FileID
	version uint64
}

// Brand is an organisation with one device.
type Brand struct {
	Root   ed25519.PrivateKey
	KEM    hpke.PrivateKey
	Member custody.Member
}

// Key makes an Ed25519 key.
func Key(tb testing.TB) ed25519.PrivateKey {
	tb.Helper()
	_, k, err := ed25519.GenerateKey(nil)
	must(tb, err)
	return k
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// NewKEM makes an X-Wing key.
func NewKEM(tb testing.TB) hpke.PrivateKey {
	tb.Helper()
	k, err := custody.NewKEM()
	must(tb, err)
	return k
}

// New makes a world with n custodians.
func New(tb testing.TB, n int) *World {
	tb.Helper()
	w := &World{TB: tb, Now: Start, Root: Key(tb)}
	rand.Read(w.Gateway.Device[:])
	w.Gateway.Addresses = []string{"192.0.2.1:24930"}
	rand.Read(w.Owner.Custody[:])
	w.Owner.Device, w.Owner.Cert = w.Device("laptop")
	for range n {
		c := &Custodian{
			KEM: NewKEM(tb), LogKey: Key(tb), world: w,
			root: custody.KeyOf(w.Root), revoked: map[custody.Hash]bool{}, newest: map[custody.Hash]newest{},
			answered: map[custody.Hash]bool{}, opens: map[use]uint32{}, members: map[custody.Key]*custody.MemberRevocations{}, Mark: custody.Clock{High: w.Now},
		}
		rand.Read(c.Seat[:])
		c.Log = ledger.New(c.root, custody.KeyOf(c.LogKey))
		a, err := custody.Appoint(w.Root, w.Owner.Custody, c.Seat, c.KEM.PublicKey().Bytes(), 0, w.Now)
		must(tb, err)
		_, c.Kept, err = custody.AcceptAppointment(a.Raw, c.Seat, c.KEM)
		must(tb, err)
		c.Hoard = append(c.Hoard, c.Kept)
		w.Custodians = append(w.Custodians, c)
	}
	w.Devices(1, []custody.Key{custody.KeyOf(w.Owner.Device)}, nil)
	w.Brand = w.NewBrand()
	return w
}

// Device makes and certifies a device of the owner, and leaves the set as it is.
func (w *World) Device(label string) (ed25519.PrivateKey, []byte) {
	w.TB.Helper()
	k := Key(w.TB)
	return k, w.Certify(w.Root, custody.KeyOf(k), custody.OwnerDevice, label, 10*365*Day)
}

// Certify makes a certificate that begins a day ago and ends after so many
// seconds from now.
func (w *World) Certify(root ed25519.PrivateKey, device custody.Key, role custody.Role, label string, seconds int64) []byte {
	w.TB.Helper()
	s, err := custody.Sign(root, custody.DeviceCert{
		Root: custody.KeyOf(root), Device: device, Role: role, Label: label,
		NotBefore: w.Now - Day, NotAfter: w.Now + seconds,
	})
	must(w.TB, err)
	return s.Raw
}

// NewBrand makes an organisation with one certified device.
func (w *World) NewBrand() *Brand {
	w.TB.Helper()
	b := &Brand{Root: Key(w.TB), KEM: NewKEM(w.TB), Member: custody.Member{Device: Key(w.TB)}}
	b.Member.Cert = w.Certify(b.Root, custody.KeyOf(b.Member.Device), custody.OrgMember, "claims desk 2", 30*Day)
	return b
}

// Devices gives all custodians a new device set.
func (w *World) Devices(epoch uint64, devices []custody.Key, kept []custody.Hash) {
	w.TB.Helper()
	s, err := custody.Sign(w.Root, custody.DeviceSet{
		Root: custody.KeyOf(w.Root), Epoch: epoch, Devices: devices, Kept: kept, At: w.Now,
	})
	must(w.TB, err)
	for _, c := range w.Custodians {
		known := uint64(0)
		if c.set != nil {
			known = c.set.Epoch
		}
		s, err := custody.CheckDeviceSet(s.Raw, c.root, known)
		must(w.TB, err)
		c.set = &s.Body
	}
}

// Seats are all custodians.
func (w *World) Seats() []custody.Seat {
	var out []custody.Seat
	for _, c := range w.Custodians {
		out = append(out, c.Seat)
	}
	return out
}

// Terms are those of a grant for seconds from now, of files named by bytes.
func (w *World) Terms(seconds int64, files ...byte) custody.Terms {
	t := custody.Terms{
		Grantee: custody.KeyOf(w.Brand.Root), GranteeKEM: w.Brand.KEM.PublicKey().Bytes(),
		NotBefore: w.Now, NotAfter: w.Now + seconds, Custodians: w.Seats(),
		Purpose: "https://w3id.org/dpv#ServiceProvision", Gateways: []custody.Gateway{w.Gateway},
	}
	for _, f := range files {
		t.Files = append(t.Files, File(f))
	}
	return t
}

// File, Item and Secret name the parts of a made-up file.
func File(b byte) custody.FileID { return custody.FileID{b} }

// Secret is the key of a version.
func Secret(file byte, version uint64) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "file %d version %d", file, version))
}

// Item is a version to be granted.
func Item(file byte, version uint64) custody.Item {
	return custody.Item{File: File(file), Version: version, Manifest: custody.Hash{file, byte(version)}, Key: Secret(file, version)}
}

// Grant makes a grant and its first package.
func (w *World) Grant(t custody.Terms, items ...custody.Item) *custody.Ticket {
	w.TB.Helper()
	g, err := w.Owner.Grant(w.Now, t)
	must(w.TB, err)
	return w.Package(g, 1, items...)
}

// Package makes a ticket with a package of the given number.
func (w *World) Package(g *custody.Signed[custody.Grant], seq uint64, items ...custody.Item) *custody.Ticket {
	w.TB.Helper()
	p, err := w.Owner.Package(g, w.Seats(), w.Brand.KEM.PublicKey().Bytes(), seq, items)
	must(w.TB, err)
	t, err := custody.ReadTicket(g.Raw, p.Raw)
	must(w.TB, err)
	return t
}

// Tick lets every running custodian look at its clock and step its chain.
func (w *World) Tick() {
	for _, c := range w.Custodians {
		if c.Off {
			continue
		}
		v, mark := c.judge()
		c.Mark = mark
		if next, moved := c.Kept.Settle(v); moved {
			c.Hoard = append(c.Hoard, next)
			c.Kept = next
		}
	}
}

// Open asks every running custodian and gives the key.
func (w *World) Open(t *custody.Ticket, file byte) ([32]byte, error) {
	w.TB.Helper()
	o, err := w.Brand.Member.Request(t, File(file), w.Now)
	must(w.TB, err)
	_, refused := w.Ask(o, w.Custodians...)
	key, err := o.Key(w.Brand.KEM)
	if err != nil && refused != nil {
		err = fmt.Errorf("%w: %w", err, refused)
	}
	return key, err
}

// Ask asks some custodians and adds what they release; refused is the last no.
func (w *World) Ask(o *custody.Opening, cs ...*Custodian) (releases [][]byte, refused error) {
	for _, c := range cs {
		if c.Off {
			continue
		}
		r, err := c.Answer(o.Request.Raw, w.Gateway.Device)
		if err != nil {
			refused = err
			continue
		}
		releases = append(releases, r)
		if err := o.Add(r); err != nil {
			refused = err
		}
	}
	return releases, refused
}

// Answer does what a custodian's service does: decide, log, count, release.
func (c *Custodian) Answer(raw []byte, via [32]byte) ([]byte, error) {
	d, err := custody.Decide(raw, via, c)
	if err != nil {
		if r, ok := err.(*custody.Refusal); ok {
			c.learn(r.Members)
			for _, e := range c.refusals.Add(r) {
				c.Write(e)
			}
		}
		return nil, err
	}
	c.learn(d.Members)
	c.Write(ledger.Released(d))
	c.newest[d.Subject.Grant] = newest{d.Package.Body.Seq, d.Package.Hash}
	c.answered[d.Subject.Request] = true
	c.opens[use{d.Subject.Grant, d.Subject.File, d.Subject.Version}]++
	r, err := d.Release(c.Log.Seq, c.Log.Head)
	if err != nil {
		return nil, err
	}
	if c.Lie {
		return c.lie(r, d)
	}
	return r.Raw, nil
}

// learn keeps an organisation's list of revoked members.
func (c *Custodian) learn(l *custody.Signed[custody.MemberRevocations]) {
	if l != nil {
		c.members[l.Body.Root] = &l.Body
	}
}

// lie is a release, rightly signed, of a pad that is not the custodian's.
func (c *Custodian) lie(r *custody.Signed[custody.Release], d *custody.Decision) ([]byte, error) {
	pk, err := hpke.MLKEM768X25519().NewPublicKey(d.Request.Body.Ephemeral)
	must(c.world.TB, err)
	info := append([]byte("preezm/v1/release"), r.Body.Request[:]...)
	b := r.Body
	b.Sealed, err = hpke.Seal(pk, hpke.HKDFSHA256(), hpke.AES256GCM(), append(info, b.Index), make([]byte, 32))
	must(c.world.TB, err)
	key, err := c.Kept.Pseudonym(&d.Grant.Body)
	must(c.world.TB, err)
	s, err := custody.Sign(key, b)
	must(c.world.TB, err)
	return s.Raw, nil
}

// Write appends to the custodian's log.
func (c *Custodian) Write(e ledger.Entry) {
	next, s, err := c.Log.Append(c.LogKey, e)
	must(c.world.TB, err)
	c.Log, c.Records = next, append(c.Records, ledger.NewRecord(s))
}

// Revoke brings a revocation to a custodian.
func (c *Custodian) Revoke(raw []byte) error {
	r, err := custody.CheckRevocation(raw, c.root)
	if err == nil {
		c.revoked[r.Body.Grant] = true
	}
	return err
}

// Learn brings a newer package to a custodian.
func (c *Custodian) Learn(grant, pkg []byte) error {
	t, err := custody.CheckUpdate(grant, pkg, c)
	if err != nil {
		return err
	}
	if h := t.Grant.Hash; t.Package.Body.Seq > c.newest[h].seq {
		c.newest[h] = newest{t.Package.Body.Seq, t.Package.Hash}
	}
	return nil
}

// Hear brings a heartbeat to a custodian.
func (c *Custodian) Hear(raw []byte) error {
	s, err := custody.CheckStatus(raw, c.root, c.set, c.status, c.world.Now)
	if err == nil {
		c.statusAt, c.status = s.Body.At, s.Body.Seq
	}
	return err
}

func (c *Custodian) judge() (custody.Verdict, custody.Clock) {
	own := c.world.Now + c.Skew
	var offsets []int64
	for _, p := range c.world.Custodians {
		if p != c && !c.Alone && !p.Off && !p.Alone {
			offsets = append(offsets, p.Skew-c.Skew)
		}
	}
	return c.Mark.Judge(own, offsets)
}

// Clock implements custody.State.
func (c *Custodian) Clock() custody.Verdict {
	if c.Cheat != nil {
		return custody.Verdict{Now: *c.Cheat}
	}
	v, mark := c.judge()
	c.Mark = mark
	return v
}

// Root implements custody.State.
func (c *Custodian) Root() custody.Key { return c.root }

// Devices implements custody.State.
func (c *Custodian) Devices() *custody.DeviceSet { return c.set }

// Chain implements custody.State.
func (c *Custodian) Chain(generation uint32) (custody.Chain, bool) {
	if c.Cheat != nil {
		return c.Hoard[0], true
	}
	return c.Kept, generation == c.Kept.Generation
}

// Revoked implements custody.State.
func (c *Custodian) Revoked(g custody.Hash) bool { return c.Cheat == nil && c.revoked[g] }

// StatusAt implements custody.State.
func (c *Custodian) StatusAt() int64 { return c.statusAt }

// NewestPackage implements custody.State.
func (c *Custodian) NewestPackage(g custody.Hash) (uint64, custody.Hash) {
	n := c.newest[g]
	return n.seq, n.hash
}

// Answered implements custody.State.
func (c *Custodian) Answered(r custody.Hash) bool { return c.answered[r] }

// Members implements custody.State.
func (c *Custodian) Members(org custody.Key) *custody.MemberRevocations { return c.members[org] }

// Since implements custody.State.
func (c *Custodian) Since() int64 { return 0 }

// Opens implements custody.State.
func (c *Custodian) Opens(g custody.Hash, f custody.FileID, v uint64) uint32 {
	return c.opens[use{g, f, v}]
}
