// SPDX-License-Identifier: MPL-2.0

package brand

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/preezm/preezm/engine/custody"
	ct "github.com/preezm/preezm/engine/custody/custodytest"
	"github.com/preezm/preezm/engine/seal"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/gateway"
	"github.com/preezm/preezm/peers/witness"
)

// scene is an owner's circle in memory with gateways that lead to it, and a
// brand's home on the disk.
type scene struct {
	*testing.T
	w   *ct.World
	dir string
	b   *Brand

	mu       sync.Mutex
	releases map[custody.Hash]map[int][]byte // what custodians gave, to be given again
	chunks   map[custody.FileID][]byte       // sealed, one for each file
	asleep   map[int]bool                    // custodians
	down     map[peers.DeviceID]error        // gateways
	asked    map[peers.DeviceID]int
	letters  int
	away     int              // times that a chunk cannot be had
	mail     map[int][][]byte // requests that wait for a custodian
	replies  [][]byte         // that wait for the brand
}

func newScene(t *testing.T, custodians int) *scene {
	s := &scene{
		T: t, w: ct.New(t, custodians), dir: filepath.Join(t.TempDir(), "brand"), releases: map[custody.Hash]map[int][]byte{},
		chunks: map[custody.FileID][]byte{}, asleep: map[int]bool{}, down: map[peers.DeviceID]error{}, asked: map[peers.DeviceID]int{},
		mail: map[int][][]byte{},
	}
	s.must(Create(s.dir, "ACME", "claims desk 1"))
	s.b = s.open()
	return s
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *scene) now() time.Time { return time.Unix(s.w.Now, 0) }

// open opens the brand's home with the same device each time.
func (s *scene) open() *Brand {
	s.Helper()
	b, err := Open(s.dir, s.w.Brand.Member.Device, peers.DeviceID{1}, s.now)
	s.must(err)
	return b
}

// text is what a file has in it.
func text(file byte) []byte { return bytes.Repeat([]byte{file, '\n'}, 5000) }

// grant makes a ticket for files, through the gateways with the given numbers.
func (s *scene) grant(opens uint32, gateways int, files ...byte) string {
	s.Helper()
	terms := s.w.Terms(3600, files...)
	terms.Grantee, terms.GranteeKEM, terms.MaxOpens = s.b.org, s.b.kem.PublicKey().Bytes(), opens
	terms.Gateways = nil
	for i := range gateways {
		g := s.w.Gateway
		g.Device[31] = byte(i)
		terms.Gateways = append(terms.Gateways, g)
	}
	g, err := s.w.Owner.Grant(s.w.Now, terms)
	s.must(err)
	var items []custody.Item
	sealed := map[custody.FileID][]byte{}
	for _, f := range files {
		it := ct.Item(f, 1)
		plain := text(f)
		p := ticket.Piece{Name: sha256.Sum256(plain), Key: ct.Secret(f, 99), Plain: len(plain)}
		ad := append([]byte("preezm/v1/chunk"), 0)
		ad = append(binary.LittleEndian.AppendUint64(ad, uint64(p.Plain)), p.Name[:]...)
		s.chunks[it.File] = seal.Seal(nil, p.Key, ad, plain)
		m := &ticket.Manifest{Name: fmt.Sprintf("file %d.txt", f), Size: int64(len(plain)) + 10, Pieces: []ticket.Piece{p, {Hole: 10}}}
		sealed[it.File], err = ticket.SealManifest(m, it.Key, it.File, it.Version)
		s.must(err)
		it.Manifest = sha256.Sum256(sealed[it.File])
		items = append(items, it)
	}
	pkg, err := s.w.Owner.Package(g, s.w.Seats(), s.b.kem.PublicKey().Bytes(), 1, items)
	s.must(err)
	all := ticket.Ticket{Ticket: &custody.Ticket{Grant: g, Package: pkg}}
	names := ticket.Names{Grant: g.Hash}
	for _, e := range pkg.Body.Entries {
		all.Manifests = append(all.Manifests, sealed[e.File])
		names.Names = append(names.Names, fmt.Sprintf("file %d.txt", e.File[0]))
		names.Sizes = append(names.Sizes, int64(len(text(e.File[0])))+10)
	}
	signed, err := custody.Sign(s.w.Owner.Device, names)
	s.must(err)
	all.Names, err = ticket.SealNames(signed, s.b.kem.PublicKey().Bytes())
	s.must(err)
	for range gateways {
		all.Plans = append(all.Plans, []byte("plan"))
	}
	line, err := all.Text()
	s.must(err)
	return line
}

// dial leads to a gateway of the scene.
func (s *scene) dial(d peers.DeviceID, name string, _ []string, pass []byte) Gateway {
	return &door{s, d, name, pass}
}

type door struct {
	s    *scene
	d    peers.DeviceID
	name string
	pass []byte
}

func (*door) Close() {}

func (g *door) Show(context.Context) error { return nil }

func (g *door) Ask(ctx context.Context, verb string, raw []byte) ([]byte, error) {
	s := g.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[g.d]++
	if err := s.down[g.d]; err != nil {
		return nil, fmt.Errorf("%s: %w", g.name, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if verb == gateway.VerbChunk {
		var a gateway.Ask
		if err := custody.Unmarshal(raw, &a); err != nil {
			return nil, err
		}
		if s.away > 0 {
			s.away--
			return nil, fmt.Errorf("%s: %w", g.name, peers.ErrUnreachable)
		}
		return s.chunks[a.File], nil
	}
	if verb == gateway.VerbCollect {
		out := gateway.Collected{Replies: s.replies}
		s.replies = nil
		return custody.Marshal(out)
	}
	s.letters++
	l, err := custody.ReadLetter(raw)
	if err != nil {
		return nil, err
	}
	for i, c := range s.w.Custodians {
		request, err := l.Open(c.Kept)
		if err != nil {
			continue
		}
		if s.asleep[i] && verb == gateway.VerbKeep {
			s.mail[i] = append(s.mail[i], request)
		}
		if s.asleep[i] {
			return custody.Marshal(gateway.Delivery{Waiting: true, Reply: []byte{}})
		}
		reply, err := s.answer(i, c, g.d, request)
		if err != nil {
			return nil, err
		}
		return custody.Marshal(gateway.Delivery{Reply: reply})
	}
	return nil, errors.New("a letter for nobody")
}

// waits returns once a letter lies at the gateway for a custodian that sleeps:
// they travel side by side.
func (s *scene) waits(i int) {
	s.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(60 * time.Second); ; <-tick.C {
		s.mu.Lock()
		n := len(s.mail[i])
		s.mu.Unlock()
		if n > 0 {
			return
		}
		if time.Now().After(end) {
			s.Fatalf("no letter waits for custodian %d", i)
		}
	}
}

// wakes lets a custodian answer what waits for it, and sleep again.
func (s *scene) wakes(i int) {
	s.Helper()
	via := s.w.Gateway.Device
	via[31] = 0 // the first gateway of a grant
	for _, request := range s.mail[i] {
		reply, err := s.answer(i, s.w.Custodians[i], via, request)
		s.must(err)
		s.replies = append(s.replies, reply)
	}
	s.mail[i] = nil
}

// answer is a custodian's service: the same request gets the same release.
func (s *scene) answer(i int, c *ct.Custodian, via peers.DeviceID, request []byte) ([]byte, error) {
	raw, err := c.Answer(request, via)
	var no *custody.Refusal
	if errors.As(err, &no) {
		if no.Reason == custody.Replay {
			return custody.Marshal(witness.Reply{Release: s.releases[no.Subject.Request][i]})
		}
		d, err := no.Deny()
		if err != nil || d == nil {
			return custody.Marshal(witness.Reply{Reason: no.Reason})
		}
		return custody.Marshal(witness.Reply{Denial: d.Raw})
	}
	if err != nil {
		return nil, err
	}
	q, err := custody.Parse[custody.OpenRequest](request)
	if err != nil {
		return nil, err
	}
	if s.releases[q.Hash] == nil {
		s.releases[q.Hash] = map[int][]byte{}
	}
	s.releases[q.Hash][i] = raw
	return custody.Marshal(witness.Reply{Release: raw})
}

// counted is how many openings of a file the custodian that counts most counts.
func (s *scene) counted(g custody.Hash, file byte) (n uint32) {
	s.mu.Lock() // letters of an opening that died may be on their way
	defer s.mu.Unlock()
	for _, c := range s.w.Custodians {
		n = max(n, c.Opens(g, ct.File(file), 1))
	}
	return n
}
