// SPDX-License-Identifier: MPL-2.0

package gateway

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/erasure"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/rpc"
)

var (
	self   = peers.DeviceID{1}
	owner  = peers.DeviceID{2}
	guest  = peers.DeviceID{3}
	other  = peers.DeviceID{4}
	shard  = peers.ShardID{5}
	member = map[peers.DeviceID]bool{owner: true}
)

// scene is a gateway and one grant that goes through it.
type scene struct {
	*testing.T
	w     *ct.World
	g     *Gateway
	kem   hpke.PrivateKey
	grant *custody.Signed[custody.Grant]
	path  string
	depot *shelf
}

func newScene(t *testing.T) *scene {
	s := &scene{T: t, w: ct.New(t, 3), kem: ct.NewKEM(t), path: filepath.Join(t.TempDir(), "gateway.json"), depot: &shelf{}}
	s.open()
	t.Cleanup(func() { s.must(s.g.Close()) })
	terms := s.w.Terms(3600, 1)
	terms.Gateways[0].Device = self
	var err error
	s.grant, err = s.w.Owner.Grant(s.w.Now, terms)
	s.must(err)
	return s
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *scene) open() {
	s.Helper()
	if s.g != nil {
		s.must(s.g.Close())
	}
	var err error
	s.g, err = Open(s.Context(), Config{
		Path: s.path, Device: self, KEM: s.kem, Member: func(d peers.DeviceID) bool { return member[d] },
		Depot: s.depot, Now: func() time.Time { return time.Unix(s.w.Now, 0) },
		Visit: func(peers.DeviceID, string, []string, []byte) *rpc.Visit {
			s.Error("another device is asked")
			return nil
		},
	})
	s.must(err)
}

func (s *scene) introduce() {
	s.Helper()
	in, err := custody.Sign(s.w.Root, ticket.Intro{Root: custody.KeyOf(s.w.Root), Device: owner, At: s.w.Now})
	s.must(err)
	s.must(s.g.Statement(s.Context(), owner, in.Raw))
}

func (s *scene) plan(change func(*ticket.Plan)) []byte {
	s.Helper()
	p := ticket.Plan{Grant: s.grant.Hash, Gateway: self, Owner: owner, Seq: 1, Cert: s.w.Owner.Cert}
	if change != nil {
		change(&p)
	}
	signed, err := custody.Sign(s.w.Owner.Device, p)
	s.must(err)
	b, err := ticket.SealPlan(signed, s.kem.PublicKey().Bytes())
	s.must(err)
	return b
}

func (s *scene) pass(key ed25519.PrivateKey, plan []byte, change func(*ticket.Pass)) []byte {
	s.Helper()
	p := ticket.Pass{Grant: s.grant.Raw, Plan: plan, Gateway: self, Guest: guest, At: s.w.Now, Cert: s.w.Brand.Member.Cert}
	if change != nil {
		change(&p)
	}
	signed, err := custody.Sign(key, p)
	s.must(err)
	return signed.Raw
}

func (s *scene) permit(key ed25519.PrivateKey, change func(*ticket.Permit)) []byte {
	s.Helper()
	p := ticket.Permit{
		Grant: s.grant.Hash, Root: custody.KeyOf(s.w.Root), Owner: owner, Gateway: guest, Holder: self,
		IssuedAt: s.w.Now, NotAfter: s.w.Now + 3600, Shards: shard[:], Cert: s.w.Owner.Cert,
	}
	if change != nil {
		change(&p)
	}
	signed, err := custody.Sign(key, p)
	s.must(err)
	return signed.Raw
}

func (s *scene) refused(what string, err error) {
	s.Helper()
	if !errors.Is(err, peers.ErrRefused) {
		s.Errorf("%s: %v, want a refusal", what, err)
	}
}

func TestIntroductions(t *testing.T) {
	s := newScene(t)
	if s.g.Open() {
		t.Error("open to strangers before anybody was introduced")
	}
	in, err := custody.Sign(ct.Key(t), ticket.Intro{Root: custody.KeyOf(s.w.Root), Device: owner})
	s.must(err)
	s.refused("an introduction by somebody else", s.g.Statement(t.Context(), owner, in.Raw))
	in, err = custody.Sign(s.w.Root, ticket.Intro{Root: custody.KeyOf(s.w.Root), Device: owner})
	s.must(err)
	s.refused("an introduction brought by another device", s.g.Statement(t.Context(), other, in.Raw))
	s.refused("nonsense", s.g.Statement(t.Context(), owner, []byte("x")))
	s.introduce()
	s.open() // it is remembered
	if !s.g.Open() {
		t.Error("not open after an introduction")
	}
	member[owner] = false
	defer func() { member[owner] = true }()
	if s.g.Open() {
		t.Error("open for one who left the circle")
	}
}

func TestPassesThatDoNotHold(t *testing.T) {
	s := newScene(t)
	ctx := t.Context()
	key, plan := s.w.Brand.Member.Device, s.plan(nil)
	s.refused("a pass of a person nobody introduced", s.g.Present(ctx, guest, s.pass(key, plan, nil)))
	s.introduce()
	thief := s.w.NewBrand()
	s.refused("another device's", s.g.Present(ctx, other, s.pass(key, plan, nil)))
	for name, raw := range map[string][]byte{
		"nonsense":          []byte("x"),
		"for another":       s.pass(key, plan, func(p *ticket.Pass) { p.Gateway = other }),
		"old":               s.pass(key, plan, func(p *ticket.Pass) { p.At -= 3600 }),
		"of the future":     s.pass(key, plan, func(p *ticket.Pass) { p.At += 3600 }),
		"another brand's":   s.pass(thief.Member.Device, plan, func(p *ticket.Pass) { p.Cert = thief.Member.Cert }),
		"borrowed":          s.pass(thief.Member.Device, plan, nil),
		"without a plan":    s.pass(key, nil, nil),
		"plan of another":   s.pass(key, s.plan(func(p *ticket.Plan) { p.Grant[0]++ }), nil),
		"owner who is not":  s.pass(key, s.plan(func(p *ticket.Plan) { p.Owner = other }), nil),
		"grant with a flaw": s.pass(key, plan, func(p *ticket.Pass) { p.Grant = append([]byte{}, p.Grant...); p.Grant[len(p.Grant)/2] ^= 1 }),
	} {
		s.refused(name, s.g.Present(ctx, guest, raw))
	}
	if s.g.Known(guest) {
		t.Fatal("the guest is known after refusals")
	}
	good := s.pass(key, plan, nil)
	s.must(s.g.Present(ctx, guest, good))
	if !s.g.Known(guest) || s.g.Known(other) || s.g.Courier(guest) {
		t.Fatal("a pass lets in who it should not, or not who it should")
	}
	s.w.Now += 3600 + afterwards
	if s.g.Known(guest) {
		t.Fatal("the guest is known long after the end")
	}
}

func TestPermits(t *testing.T) {
	s := newScene(t)
	ctx := t.Context()
	key := s.w.Owner.Device
	s.refused("a permit of a person nobody introduced", s.g.Present(ctx, guest, s.permit(key, nil)))
	s.introduce()
	for name, raw := range map[string][]byte{
		"for another gateway": s.permit(key, func(p *ticket.Permit) { p.Gateway = other }),
		"for another holder":  s.permit(key, func(p *ticket.Permit) { p.Holder = other }),
		"by somebody else":    s.permit(ct.Key(t), nil),
		"of another owner":    s.permit(key, func(p *ticket.Permit) { p.Owner = other }),
		"over":                s.permit(key, func(p *ticket.Permit) { p.IssuedAt, p.NotAfter = 0, 1 }),
	} {
		s.refused(name, s.g.Present(ctx, guest, raw))
	}
	s.must(s.g.Present(ctx, guest, s.permit(key, nil)))
	if got, err := s.g.Lender(guest, shard); err != nil || got != owner {
		t.Fatalf("%v, %v", got, err)
	}
	if !s.g.Courier(guest) || s.g.Courier(other) {
		t.Error("the wrong device brings letters")
	}
	_, err := s.g.Lender(guest, peers.ShardID{6})
	s.refused("another shard", err)
	_, err = s.g.Lender(other, shard)
	s.refused("another device", err)
	// A withdrawal ends it, and is remembered.
	r, err := s.w.Owner.Revoke(s.grant.Hash, s.w.Now, "")
	s.must(err)
	s.refused("a withdrawal brought by a stranger", s.g.Statement(ctx, other, r.Raw))
	s.must(s.g.Statement(ctx, owner, r.Raw))
	_, err = s.g.Lender(guest, shard)
	s.refused("a withdrawn grant", err)
	s.open()
	s.must(s.g.Present(ctx, guest, s.permit(key, nil)))
	_, err = s.g.Lender(guest, shard)
	s.refused("a withdrawn grant after a restart", err)
}

// Another owner of the circle can sign what it likes about a grant that is not
// its own: it is served and lent on.
func TestOwnersDoNotWithdrawEachOthersGrants(t *testing.T) {
	s, ctx := newScene(t), t.Context()
	s.introduce()
	rival := ct.New(t, 3)
	member[other] = true
	defer delete(member, other)
	in, err := custody.Sign(rival.Root, ticket.Intro{Root: custody.KeyOf(rival.Root), Device: other, At: s.w.Now})
	s.must(err)
	s.must(s.g.Statement(ctx, other, in.Raw))
	s.must(s.g.Present(ctx, guest, s.pass(s.w.Brand.Member.Device, s.plan(nil), nil)))
	s.must(s.g.Present(ctx, guest, s.permit(s.w.Owner.Device, nil)))
	r, err := rival.Owner.Revoke(s.grant.Hash, rival.Now, "")
	s.must(err)
	s.must(s.g.Statement(ctx, other, r.Raw))
	rivals := s.permit(rival.Owner.Device, func(p *ticket.Permit) {
		p.Root, p.Owner, p.Cert, p.Shards = custody.KeyOf(rival.Root), other, rival.Owner.Cert, nil
	})
	s.must(s.g.Present(ctx, guest, rivals))
	serves := func() bool {
		st, err := s.g.stay(guest, func(*stay) bool { return true })
		s.must(err)
		return s.g.serves(st)
	}
	if _, err := s.g.Lender(guest, shard); err != nil || !serves() {
		t.Fatalf("another owner stopped the grant: %v", err)
	}
	r, err = s.w.Owner.Revoke(s.grant.Hash, s.w.Now, "")
	s.must(err)
	s.must(s.g.Statement(ctx, owner, r.Raw))
	if _, err := s.g.Lender(guest, shard); err == nil || serves() {
		t.Fatal("the owner did not stop the grant")
	}
}

func TestPermitEndsToTheSecond(t *testing.T) {
	s := newScene(t)
	s.introduce()
	s.must(s.g.Present(t.Context(), guest, s.permit(s.w.Owner.Device, nil)))
	s.w.Now += 3599
	if _, err := s.g.Lender(guest, shard); err != nil {
		t.Error("before the end: ", err)
	}
	s.w.Now++
	_, err := s.g.Lender(guest, shard)
	s.refused("at the end", err)
}

// shelf is a depot with the shards of one segment, some of them gone or wrong.
type shelf struct {
	rpc.Depot
	shards map[peers.ShardID][]byte
}

type slab struct{ *bytes.Reader }

func (slab) Close() error { return nil }

func (d *shelf) Get(_ context.Context, who peers.DeviceID, id peers.ShardID) (peers.Shard, error) {
	b, ok := d.shards[id]
	if !ok || who != owner {
		return nil, peers.ErrNotFound
	}
	return slab{bytes.NewReader(b)}, nil
}

func TestChunksAreRebuilt(t *testing.T) {
	s := newScene(t)
	s.introduce()
	const k, n, size = 3, 5, 4096
	codec, err := erasure.New(erasure.Geometry{K: k, N: n})
	s.must(err)
	shards := make([][]byte, n)
	var data []byte
	for i := range shards {
		shards[i] = make([]byte, size)
		if i < k {
			rand.Read(shards[i])
			data = append(data, shards[i]...)
		}
	}
	s.must(codec.Encode(shards))
	seg := ticket.Segment{K: k, ShardLen: size, DataLen: k * size}
	s.depot.shards = map[peers.ShardID][]byte{}
	for i := range shards {
		id := peers.ShardID{byte(i + 1)}
		s.depot.shards[id] = shards[i]
		seg.Shards = append(seg.Shards, ticket.Place{ID: id, Root: erasure.ShardRoot(shards[i])})
	}
	span := ticket.Span{Off: 1000, Len: 2 * size} // over three shards
	plan := s.plan(func(p *ticket.Plan) {
		p.Contacts = []ticket.Contact{{Device: self}}
		p.Segments = []ticket.Segment{seg}
		p.Files = []ticket.PlanFile{{File: ct.File(1), Version: 1, Spans: []ticket.Span{span}}}
	})
	s.must(s.g.Present(t.Context(), guest, s.pass(s.w.Brand.Member.Device, plan, nil)))
	ask := func(who peers.DeviceID, a Ask) ([]byte, error) {
		t.Helper()
		raw, err := custody.Marshal(a)
		s.must(err)
		return s.g.Answer(t.Context(), VerbChunk, who, raw)
	}
	good := Ask{Grant: s.grant.Hash, File: ct.File(1), Version: 1}
	want := data[span.Off : span.Off+span.Len]
	check := func(a Ask) {
		t.Helper()
		got, err := ask(guest, a)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	check(good)
	delete(s.depot.shards, peers.ShardID{2})
	delete(s.depot.shards, peers.ShardID{4})
	check(good)
	s.depot.shards[peers.ShardID{2}] = make([]byte, size) // a lie
	if got, err := ask(guest, good); err != nil || bytes.Equal(got, want) {
		t.Fatalf("the lie should pass the first time: %v", err)
	}
	checked := good
	checked.Check = true
	check(checked)
	delete(s.depot.shards, peers.ShardID{1})
	if _, err := ask(guest, checked); !errors.Is(err, peers.ErrUnreachable) {
		t.Errorf("too few shards: %v", err)
	}
	for name, change := range map[string]func(*Ask){
		"another grant":   func(a *Ask) { a.Grant[0]++ },
		"another file":    func(a *Ask) { a.File[5]++ },
		"another version": func(a *Ask) { a.Version++ },
		"another chunk":   func(a *Ask) { a.Index++ },
	} {
		a := good
		change(&a)
		_, err := ask(guest, a)
		s.refused(name, err)
	}
	_, err = ask(other, good)
	s.refused("another guest", err)
	_, err = s.g.Answer(t.Context(), "list", guest, nil)
	s.refused("an unknown verb", err)
	s.w.Now = s.grant.Body.NotAfter
	_, err = ask(guest, good)
	s.refused("after the end", err)
}

// mute is a custodian that sleeps until it is woken.
type mute struct {
	rpc.Witness
	awake   bool
	letters int
}

func (m *mute) Answer(context.Context, string, peers.DeviceID, []byte) ([]byte, error) {
	if !m.awake {
		return nil, peers.ErrUnreachable
	}
	m.letters++
	return []byte("reply"), nil
}

// TestLettersWaitOnlyForWhoAsks: what is released when the brand has gone would
// count as an opening that nobody has.
func TestLettersWaitOnlyForWhoAsks(t *testing.T) {
	for name, c := range map[string]struct {
		verbs []string
		later int64 // seconds
		want  int
	}{
		"does not wait": {[]string{VerbLetter}, 1, 0},
		"waits":         {[]string{VerbWait}, 1, 1},
		"gave up":       {[]string{VerbWait, VerbLetter}, 1, 0},
		"went away":     {[]string{VerbWait}, 60, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.introduce()
			w := &mute{}
			s.g.cfg.Witness = w
			plan := s.plan(func(p *ticket.Plan) {
				p.Contacts = []ticket.Contact{{Device: self, Mailbox: s.grant.Body.Mailboxes[0]}}
			})
			s.must(s.g.Present(t.Context(), guest, s.pass(s.w.Brand.Member.Device, plan, nil)))
			raw, err := custody.SealLetter([]byte("request"), s.grant, 0)
			s.must(err)
			for _, verb := range c.verbs {
				_, err := s.g.Answer(t.Context(), verb, guest, raw)
				s.must(err)
			}
			w.awake = true
			s.w.Now += c.later
			s.must(s.g.Tick(t.Context()))
			if w.letters != c.want {
				t.Errorf("%d letters came to the custodian later, want %d", w.letters, c.want)
			}
		})
	}
}
