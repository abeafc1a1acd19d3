// SPDX-License-Identifier: MPL-2.0

// Package brand is the other side of a grant: an organisation that was handed
// a ticket and opens files with it for as long as the custodians agree. One of
// its machines is its office and holds its keys; others are its members, certified
// for thirty days at a time, who open files themselves and ask the office only
// for the second lock of what they open. No machine keeps the key of a file: it
// is put together anew for each opening and forgotten after it.
package brand

import (
	"context"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
	"github.com/preezm/preezm/peers/vault"
)

// Errors a caller decides on.
var (
	// ErrNoBrand: this home is no brand's.
	ErrNoBrand = said.Error("no-brand", "this home is not a brand's")
	// ErrExists: it is one already.
	ErrExists = said.Error("brand-exists", "this home is a brand's already")
	// ErrNotOurs: the ticket is for somebody else.
	ErrNotOurs = said.Error("not-ours", "is for another brand")
	// ErrUnknown: no such ticket or file.
	ErrUnknown = said.Error("not-received", "is not among what was received")
)

const (
	keyFile    = "brand.json"
	received   = "received"
	maxKeyFile = 64 << 10
	maxTicket  = ticket.MaxText
	// certLife is how long a device of the brand is certified, in seconds.
	certLife = 30 * 86400
)

type keys struct {
	Format int    `json:"format"`
	Name   string `json:"name"`
	Label  string `json:"label"` // of this device, for owners
	Root   []byte `json:"root"`  // Ed25519 seed
	KEM    []byte `json:"kem"`   // X-Wing seed
}

// Brand is one device of an organisation: its office, which has its keys, or a
// member.
type Brand struct {
	Name  string // the organisation's
	Label string // this device's role, as owners see it
	// Reach prepares a connection to the office of a member.
	Reach func(device peers.DeviceID, addresses []string) Line

	box    *vault.Box // nil: plain
	dir    string
	org    custody.Key
	root   ed25519.PrivateKey // of the office
	kem    hpke.PrivateKey    // of the office
	member *membership        // of a member
	sign   ed25519.PrivateKey
	device peers.DeviceID
	now    func() time.Time
	step   func(string) // tests die at named points

	mu   sync.Mutex // guards line, and what member points to
	line Line       // to the office, while it is kept
}

func (b *Brand) at(point string) {
	if b.step != nil {
		b.step(point)
	}
}

// Office reports whether this is the organisation's office.
func (b *Brand) Office() bool { return b.member == nil }

// Key is the organisation's key.
func (b *Brand) Key() custody.Key { return b.org }

// Create makes a brand's keys in dir, which must not hold any.
func Create(dir, name, label string) error { return CreateIn(nil, dir, name, label) }

// CreateIn is Create with the files in box.
func CreateIn(box *vault.Box, dir, name, label string) error {
	k, err := custody.NewKEM()
	if err != nil {
		return err
	}
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	kem, err := k.Bytes()
	if err != nil {
		return fmt.Errorf("make the brand's key: %w", err)
	}
	if _, err := custody.NewCard(ed25519.NewKeyFromSeed(seed), name, k.PublicKey(), 0); err != nil {
		return err
	}
	b, err := json.MarshalIndent(keys{1, name, label, seed, kem}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, received), 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, memberFile)); err == nil {
		return ErrExists
	}
	err = box.WriteNew(filepath.Join(dir, keyFile), append(b, '\n'))
	if errors.Is(err, fs.ErrExist) {
		return ErrExists
	}
	return err
}

// Open reads a brand's keys in dir; ErrNoBrand when there are none. Sign and
// device are this machine's.
func Open(dir string, sign ed25519.PrivateKey, device peers.DeviceID, now func() time.Time) (*Brand, error) {
	return OpenIn(nil, dir, sign, device, now)
}

// OpenIn is Open with the files in box.
func OpenIn(box *vault.Box, dir string, sign ed25519.PrivateKey, device peers.DeviceID, now func() time.Time) (*Brand, error) {
	b := &Brand{box: box, dir: dir, sign: sign, device: device, now: now}
	raw, err := box.ReadFile(filepath.Join(dir, keyFile), maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		if err := b.openMember(); err != nil {
			return nil, err
		}
		return b, nil
	}
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	var k keys
	if err := json.Unmarshal(raw, &k); err != nil || k.Format != 1 || len(k.Root) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s is damaged", filepath.Join(dir, keyFile))
	}
	b.Name, b.Label, b.root = k.Name, k.Label, ed25519.NewKeyFromSeed(k.Root)
	b.org = custody.KeyOf(b.root)
	if b.kem, err = hpke.MLKEM768X25519().NewPrivateKey(k.KEM); err != nil {
		return nil, fmt.Errorf("%s is damaged", filepath.Join(dir, keyFile))
	}
	return b, nil
}

// Card is the brand's card as one line of text, and its key.
func (b *Brand) Card() (string, custody.Key, error) {
	if b.member != nil {
		return b.known().Card, b.org, nil
	}
	text, err := custody.NewCard(b.root, b.Name, b.kem.PublicKey(), b.now().Unix())
	return text, b.org, err
}

// asking is this machine with a certificate that is valid now, and the list of
// those that were shut out. A member renews both first when it is time.
func (b *Brand) asking(ctx context.Context) (*custody.Member, error) {
	if b.member != nil {
		return b.asMember(ctx)
	}
	c, err := b.certify(custody.KeyOf(b.sign), b.Label)
	if err != nil {
		return nil, err
	}
	return b.asker(c)
}

// asker is this machine with its certificate and the list that is here.
func (b *Brand) asker(c *custody.Signed[custody.DeviceCert]) (*custody.Member, error) {
	list, err := b.revoked()
	if err != nil {
		return nil, err
	}
	m := &custody.Member{Device: b.sign, Cert: c.Raw}
	if list != nil {
		m.Revoked = list.Raw
	}
	return m, nil
}

// certify makes a device a member for thirty days.
func (b *Brand) certify(device custody.Key, label string) (*custody.Signed[custody.DeviceCert], error) {
	from := b.now().Add(-time.Hour).Unix()
	return custody.Sign(b.root, custody.DeviceCert{
		Root: b.org, Device: device, Role: custody.OrgMember, Label: label, NotBefore: from, NotAfter: b.now().Unix() + certLife,
	})
}

// secondLock is the organisation's part of an entry's key.
func (b *Brand) secondLock(ctx context.Context, t *custody.Ticket, e *custody.Entry) ([]byte, error) {
	if b.member != nil {
		return b.askSecondLock(ctx, t, e)
	}
	return custody.SecondLock(b.kem, t.Grant, t.Package.Body.Enc, e.File, e.Version)
}

// Received is a grant that was handed to this brand.
type Received struct {
	Ticket *ticket.Ticket
	Names  *ticket.Names

	rawNames []byte // signed
}

// Receive keeps a ticket. The same one again does no harm, a newer one of the
// same grant replaces it; for an older one it gives the newer that is here.
//
// A member cannot read the names of the files itself: it hands the ticket to
// the office, and so to all others.
func (b *Brand) Receive(ctx context.Context, text string) (*Received, error) {
	if b.member != nil {
		return b.handIn(ctx, text)
	}
	r, err := b.read(text, nil)
	if err != nil {
		return nil, err
	}
	return b.receive(text, r)
}

func (b *Brand) receive(text string, r *Received) (*Received, error) {
	path := b.path(r.Ticket.Grant.Body.ID)
	// One that cannot be read any more is replaced.
	if kept, err := b.load(path); err == nil {
		switch was, is := kept.Ticket, r.Ticket; {
		case was.Grant.Hash != is.Grant.Hash:
			return nil, fmt.Errorf("the ticket %s %w", ticket.ShortID(is.Grant.Body.ID), errSameID)
		case was.Package.Body.Seq > is.Package.Body.Seq:
			return kept, nil
		}
	} else if errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	line := strings.Join(strings.Fields(text), "") + "\n"
	if b.member != nil {
		if err := b.box.Replace(namesPath(path), r.rawNames); err != nil {
			return nil, err
		}
	}
	return r, b.box.Replace(path, []byte(line))
}

// errSameID is no accident: IDs are 16 random bytes.
var errSameID = said.Error("ticket-same-id", "has the ID of another grant that was received before")

func (b *Brand) load(path string) (*Received, error) {
	raw, err := b.box.ReadFile(path, maxTicket)
	if err != nil {
		return nil, err
	}
	var names []byte
	if b.member != nil {
		if names, err = b.box.ReadFile(namesPath(path), custody.MaxDocument); err != nil {
			return nil, err
		}
	}
	return b.read(string(raw), names)
}

func (b *Brand) path(id [16]byte) string {
	return filepath.Join(b.dir, received, fmt.Sprintf("%x.ticket", id))
}

// namesPath is where a member keeps the names of a ticket, opened.
func namesPath(ticket string) string { return strings.TrimSuffix(ticket, ".ticket") + ".names" }

// read checks a ticket for this organisation. Names are given where its own key
// is not at hand to open them.
func (b *Brand) read(text string, rawNames []byte) (*Received, error) {
	t, err := ticket.Parse(text)
	if err != nil {
		return nil, err
	}
	if t.Grant.Body.Grantee != b.org {
		return nil, fmt.Errorf("the ticket %s %w", ticket.ShortID(t.Grant.Body.ID), ErrNotOurs)
	}
	if b.kem != nil {
		if rawNames, err = t.UnsealNames(b.kem); err != nil {
			return nil, err
		}
	}
	names, err := t.ReadNames(rawNames)
	if err != nil {
		return nil, err
	}
	return &Received{Ticket: t, Names: names, rawNames: rawNames}, nil
}

// All lists what was received, and what is wrong with the files that cannot be
// read.
func (b *Brand) All() (out []*Received, bad []error, err error) {
	entries, err := os.ReadDir(filepath.Join(b.dir, received))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".ticket") {
			continue
		}
		r, err := b.load(filepath.Join(b.dir, received, e.Name()))
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", e.Name(), err))
			continue
		}
		out = append(out, r)
	}
	return out, bad, nil
}

// Find gives a received grant by the beginning of its ID.
func (b *Brand) Find(id string) (*Received, error) {
	all, _, err := b.All()
	if err != nil {
		return nil, err
	}
	want := strings.TrimPrefix(strings.ToLower(id), "g-")
	var found []*Received
	for _, r := range all {
		if len(want) >= 4 && strings.HasPrefix(fmt.Sprintf("%x", r.Ticket.Grant.Body.ID), want) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("the grant %q %w", id, ErrUnknown)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("several grants begin with %q: give more of it", id)
}
