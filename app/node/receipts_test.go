// SPDX-License-Identifier: MPL-2.0

package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/preezm/preezm/engine"
	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/receipt"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/account"
	"github.com/preezm/preezm/peers/circle"
)

// One machine stores some megabytes with another for two days: both see the
// same, and so they do after one lost its receipts' last answer.
func TestReceipts(t *testing.T) {
	ctx := testContext(t)
	clock := &testClock{at: time.Now()}
	laptop, desk := pairOfNodes(t, clock.now)
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, noise(3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := laptop.Put(ctx, engine.PutOptions{Sources: []string{name}}, nil); err != nil {
		t.Fatal(err)
	}
	for range 97 {
		if err := laptop.receiptsDue(ctx); err != nil {
			t.Fatal(err)
		}
		clock.add(30 * time.Minute)
	}
	took, gave := balanceOf(t, laptop, desk), balanceOf(t, desk, laptop)
	if took.Took == 0 || took.Took != gave.Gave {
		t.Fatalf("one took %v GB-days, the other gave %v", took.Took, gave.Gave)
	}
	use, err := desk.depot.Usage(ctx, laptop.device)
	if err != nil {
		t.Fatal(err)
	}
	if want := float64(use.Used) / 1e9 * 2; math.Abs(took.Took-want) > want/100 {
		t.Errorf("%v GB-days, want %v", took.Took, want)
	}
	// The laptop's catalog comes from a backup that lacks the last ones.
	own := laptop.person()
	last, err := laptop.lastReceipt(ctx, desk.device, own)
	if err != nil {
		t.Fatal(err)
	}
	older, err := laptop.engine.Catalog().Receipts(ctx, desk.device, own, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := laptop.engine.Catalog().AddReceipt(ctx, desk.device, own, last.Seq, older[2], 1000); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		clock.add(30 * time.Minute)
		if err := laptop.receiptsDue(ctx); err != nil {
			t.Error(err)
		}
	}
	if took, gave := balanceOf(t, laptop, desk), balanceOf(t, desk, laptop); took.Took != gave.Gave {
		t.Errorf("afterwards one took %v GB-days, the other gave %v", took.Took, gave.Gave)
	}
}

// receiptRow is a pair whose row of receipts a test puts back to what it was.
type receiptRow struct {
	*testing.T
	clock        *testClock
	laptop, desk *Node
}

// due makes so many receipts, one each half hour.
func (r *receiptRow) due(n int) {
	r.Helper()
	for range n {
		r.clock.add(receiptEvery)
		if err := r.laptop.receiptsDue(testContext(r.T)); err != nil {
			r.Fatal(err)
		}
	}
}

// last is the newest receipt that a side has.
func (r *receiptRow) last(n *Node) *receipt.Pair {
	r.Helper()
	p, err := n.lastReceipt(testContext(r.T), r.desk.device, r.laptop.person())
	if err != nil || p == nil {
		r.Fatalf("%v, %v", p, err)
	}
	return p
}

// back puts a side back to where it had this receipt; nil: none.
func (r *receiptRow) back(n *Node, to *receipt.Pair) {
	r.Helper()
	ctx, c := testContext(r.T), n.engine.Catalog()
	last := r.last(n)
	// With nothing kept all of them go.
	if err := c.AddReceipt(ctx, last.Giver, last.Taker, last.Seq, last.Raw, 0); err != nil {
		r.Fatal(err)
	}
	if to == nil {
		return
	}
	if err := n.keepReceipt(ctx, to); err != nil {
		r.Fatal(err)
	}
}

// A keeper, or the one it keeps for, or both are put back from an older copy, and
// may have signed on from there: they find together, and what counts is what was
// stored all the time.
func TestReceiptsFromOlderCopies(t *testing.T) {
	ctx := testContext(t)
	r := &receiptRow{T: t, clock: &testClock{at: time.Now()}}
	r.laptop, r.desk = pairOfNodes(t, r.clock.now)
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, noise(3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.laptop.Put(ctx, engine.PutOptions{Sources: []string{name}}, nil); err != nil {
		t.Fatal(err)
	}
	r.due(1)
	began := r.clock.now() // what was before the first is not counted
	use, err := r.desk.depot.Usage(ctx, r.laptop.device)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		why    string
		change func()
	}{
		{"the keeper's copy is older", func() {
			old := r.last(r.desk)
			r.due(4)
			r.back(r.desk, old)
		}},
		{"the keeper has none left", func() { r.back(r.desk, nil) }},
		{"the owner's copy is older", func() {
			old := r.last(r.laptop)
			r.due(4)
			r.back(r.laptop, old)
		}},
		{"both are, the keeper's more", func() {
			older := r.last(r.desk)
			r.due(2)
			old := r.last(r.laptop)
			r.due(2)
			r.back(r.desk, older)
			r.back(r.laptop, old)
		}},
		{"another machine of the owner went on from there, for less long", func() { r.part(5, 2) }},
		{"for longer", func() { r.part(2, 5) }},
		{"for as long", func() { r.part(3, 3) }},
	} {
		c.change()
		most := max(balanceOf(t, r.laptop, r.desk).Took, balanceOf(t, r.desk, r.laptop).Gave)
		r.due(2)
		took, gave := balanceOf(t, r.laptop, r.desk), balanceOf(t, r.desk, r.laptop)
		if took.Took != gave.Gave || !took.Note.IsZero() {
			t.Errorf("%s: one took %v GB-days, the other gave %v: %s", c.why, took.Took, gave.Gave, took.Note.Text)
		}
		want := float64(use.Used) / 1e9 * r.clock.now().Sub(began).Hours() / 24
		if took.Took < most || math.Abs(took.Took-want) > want/20 {
			t.Errorf("%s: %v GB-days, want %v and no less than %v", c.why, took.Took, want, most)
		}
		if a, b := r.last(r.laptop), r.last(r.desk); a.Statement != b.Statement {
			t.Errorf("%s: they go on from %+v and %+v", c.why, a.Statement, b.Statement)
		}
	}
}

// part lets the row part: it goes on, then both sides are put back and go on
// from there, and the owner's machine that went on first is there again.
func (r *receiptRow) part(first, then int) {
	r.Helper()
	old := r.last(r.desk)
	r.due(first)
	mine := r.last(r.laptop)
	r.back(r.desk, old)
	r.back(r.laptop, old)
	r.due(then)
	r.back(r.laptop, mine)
}

// A keeper signs for the person that a machine belongs to, what that person
// signed, about itself, and what it sees itself.
func TestReceiptsThatAreRefused(t *testing.T) {
	ctx := testContext(t)
	clock := &testClock{at: time.Now()}
	laptop, desk := pairOfNodes(t, clock.now)
	now := clock.now().Unix()
	root, stranger := laptop.backups.secrets.RootKey(), ed25519.NewKeyFromSeed(make([]byte, 32))
	good, err := receipt.Next(nil, desk.device, laptop.person(), 0, now)
	if err != nil {
		t.Fatal(err)
	}
	for why, c := range map[string]struct {
		key    ed25519.PrivateKey
		from   peers.DeviceID
		change func(*receipt.Statement)
		want   error
	}{
		"by another person":          {stranger, laptop.device, func(s *receipt.Statement) {}, peers.ErrRefused},
		"of another person":          {stranger, laptop.device, func(s *receipt.Statement) { s.Taker = custody.KeyOf(stranger) }, peers.ErrRefused},
		"by the machine":             {laptop.keys.Sign, laptop.device, func(s *receipt.Statement) {}, peers.ErrRefused},
		"about another keeper":       {root, laptop.device, func(s *receipt.Statement) { s.Giver[0] ^= 1 }, peers.ErrRefused},
		"by who is not here":         {root, peers.DeviceID{9}, func(s *receipt.Statement) {}, peers.ErrRefused},
		"with a sum from nowhere":    {root, laptop.device, func(s *receipt.Statement) { s.Total = 1 << 40 }, nil},
		"with what is not stored":    {root, laptop.device, func(s *receipt.Statement) { s.Bytes = 1 << 32 }, nil},
		"numbered from the middle":   {root, laptop.device, func(s *receipt.Statement) { s.Seq = 7 }, nil},
		"of an hour that is to come": {root, laptop.device, func(s *receipt.Statement) { s.From, s.To = s.To+3600, s.To+3600 }, nil},
	} {
		s := good
		c.change(&s)
		signed, err := receipt.Sign(c.key, s)
		if err != nil {
			t.Fatal(err)
		}
		own, last, err := desk.Countersign(ctx, c.from, signed, [][]byte{})
		if !errors.Is(err, c.want) || c.want == nil && err != nil || len(own)+len(last) > 0 {
			t.Errorf("%s: %x, %x, %v", why, own, last, err)
		}
	}
	signed, err := receipt.Sign(root, good)
	if err != nil {
		t.Fatal(err)
	}
	own, _, err := desk.Countersign(ctx, laptop.device, signed, [][]byte{})
	if err != nil || len(own) == 0 {
		t.Fatalf("what is right is not signed: %v", err)
	}
	// A second one of the same number, and none: the first is shown.
	for _, signed := range [][]byte{signed, {}} {
		own, last, err := desk.Countersign(ctx, laptop.device, signed, [][]byte{})
		if p, perr := receipt.ReadPair(last, desk.keys.Sign.Public().(ed25519.PublicKey)); err != nil || perr != nil || len(own) > 0 || p.Statement != good {
			t.Errorf("%x, %v, %v", own, err, perr)
		}
	}
	// One that follows too soon is none either: they would push out all that is kept.
	for _, want := range []bool{false, true} {
		clock.add(receiptGap - time.Minute)
		next, err := receipt.Next(&good, desk.device, laptop.person(), 0, clock.now().Unix())
		if err != nil {
			t.Fatal(err)
		}
		signed, err := receipt.Sign(root, next)
		if err != nil {
			t.Fatal(err)
		}
		if own, _, err := desk.Countersign(ctx, laptop.device, signed, [][]byte{}); err != nil || (len(own) > 0) != want {
			t.Errorf("%s after the one before: %x, %v", time.Duration(next.To-next.From)*time.Second, own, err)
		}
	}
}

// A person's machine hears from those it keeps for what its person's other
// machines signed with them, and believes nothing that these did not sign.
func TestReceiptsOfOtherMachines(t *testing.T) {
	ctx := testContext(t)
	clock := &testClock{at: time.Now()}
	laptop, desk := pairOfNodes(t, clock.now)
	attic, key := peers.DeviceID{7}, ed25519.NewKeyFromSeed(make([]byte, 32))
	m := catalog.Machine{Device: attic, Name: "attic", Sign: custody.KeyOf(key)}
	if err := desk.engine.Catalog().PutMachine(ctx, m); err != nil {
		t.Fatal(err)
	}
	say := func(taker ed25519.PrivateKey, giver peers.DeviceID, sign ed25519.PrivateKey, seq, days uint64) []byte {
		t.Helper()
		s := receipt.Statement{Giver: giver, Taker: custody.KeyOf(taker), Seq: seq, From: 100, To: 200, Bytes: 1, Total: days * 24e9}
		a, err := receipt.Sign(taker, s)
		if err != nil {
			t.Fatal(err)
		}
		b, err := receipt.Sign(sign, s)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := receipt.Join(a, b)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	root, stranger := laptop.backups.secrets.RootKey(), ed25519.NewKeyFromSeed(append(make([]byte, 31), 1))
	for _, c := range []struct {
		why    string
		told   []byte
		gave   float64
		refuse bool
	}{
		{"what both signed", say(root, attic, key, 5, 3), 3, false},
		{"an older one", say(root, attic, key, 4, 2), 3, false},
		{"one that the machine did not sign", say(root, attic, stranger, 6, 9), 3, true},
		{"of a machine that is nobody's here", say(root, peers.DeviceID{8}, stranger, 6, 9), 3, false},
		{"of another person", say(stranger, attic, key, 6, 9), 3, false},
		{"of this machine itself, which it did not sign", say(root, desk.device, key, 6, 9), 3, true},
		{"no receipt", []byte("x"), 3, true},
		{"a newer one", say(root, attic, key, 7, 4), 4, false},
	} {
		_, _, err := desk.Countersign(ctx, laptop.device, []byte{}, [][]byte{c.told})
		if errors.Is(err, peers.ErrRefused) != c.refuse || err != nil && !c.refuse {
			t.Errorf("%s: %v", c.why, err)
		}
		if b := balanceOf(t, desk, laptop); b.Gave != c.gave || b.Took != 0 {
			t.Errorf("%s: %+v, want %v", c.why, b, c.gave)
		}
	}
}

// A further machine of this person that is in its circle is no taker: what this
// person stores with others is not given to it.
func TestBalanceWithAnOwnMachine(t *testing.T) {
	ctx := testContext(t)
	clock := &testClock{at: time.Now()}
	laptop, desk := pairOfNodes(t, clock.now)
	attic := peers.DeviceID{7}
	root := laptop.backups.secrets.RootKey()
	list, err := account.Next(root, nil, []peers.DeviceID{laptop.device, attic}, clock.now().Unix())
	if err != nil {
		t.Fatal(err)
	}
	if err := laptop.book.Put(circle.Peer{Device: attic, Name: "attic"}); err != nil {
		t.Fatal(err)
	}
	if _, err := laptop.book.Introduce(attic, list.Raw); err != nil {
		t.Fatal(err)
	}
	s := receipt.Statement{Giver: desk.device, Taker: laptop.person(), Seq: 1, From: 100, To: 200, Bytes: 1, Total: 24e9}
	ours, err := receipt.Sign(root, s)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := receipt.Sign(desk.keys.Sign, s)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := receipt.Join(ours, theirs)
	if err != nil {
		t.Fatal(err)
	}
	if err := laptop.keepReceipt(ctx, &receipt.Pair{Statement: s, Raw: raw}); err != nil {
		t.Fatal(err)
	}
	p, ok := laptop.book.Peer(attic)
	if !ok {
		t.Fatal("not in the circle")
	}
	if b, err := laptop.balance(ctx, p); err != nil || b.Gave != 0 || b.Took != 0 {
		t.Errorf("%+v, %v", b, err)
	}
	if b := balanceOf(t, laptop, desk); b.Took != 1 {
		t.Errorf("%+v with the one that keeps", b)
	}
}

func balanceOf(t *testing.T, n, other *Node) Balance {
	t.Helper()
	b, err := n.balance(testContext(t), mustPeer(t, n, other))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustPeer(t *testing.T, n, other *Node) circle.Peer {
	t.Helper()
	p, ok := n.book.Peer(other.device)
	if !ok {
		t.Fatal("not in the circle")
	}
	return p
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// testClock is a clock that a test moves.
type testClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *testClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// pairOfNodes serves two homes of one circle by one clock.
func pairOfNodes(t *testing.T, now func() time.Time) (laptop, desk *Node) {
	t.Helper()
	ctx := testContext(t)
	laptop, _ = serveHomeBy(t, testHome(t, "laptop"), now)
	desk, _ = serveHomeBy(t, testHome(t, "desk"), now)
	inv, err := laptop.Invite(ctx, InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := desk.Join(ctx, inv.Code); err != nil {
		t.Fatal(err)
	}
	return laptop, desk
}
