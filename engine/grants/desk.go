// SPDX-License-Identifier: MPL-2.0

package grants

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/preezm/preezm/engine/catalog"
	"github.com/preezm/preezm/engine/custody"
	"github.com/preezm/preezm/engine/identity"
	"github.com/preezm/preezm/engine/ticket"
	"github.com/preezm/preezm/peers"
	"github.com/preezm/preezm/peers/said"
)

// Errors a caller decides on.
var (
	// ErrNoCustodians: nobody has been asked to decide for this owner.
	ErrNoCustodians = said.Error("no-custodians", "nobody is your custodian yet")
	// ErrNoGateway: no machine was named that the brand may see.
	ErrNoGateway = said.Error("no-gateway", "no gateway was named")
	// ErrUnknown: no grant, brand or machine of that name.
	ErrUnknown = said.Error("grant-unknown", "is not known here")
	// ErrOver: the grant is revoked or has ended.
	ErrOver = said.Error("grant-over", "is over")
)

// deviceCertLife is how long the certificate of an owner's device lasts.
const deviceCertLife = 10 * 365 * 86400

// Member is a device of the circle as a grant needs it.
type Member struct {
	Device    peers.DeviceID
	Name      string
	Addresses []string
	KEM       []byte // its X-Wing public key; empty: not told yet
}

// Config is what a Desk needs.
type Config struct {
	Catalog *catalog.Catalog
	Secrets identity.Secrets
	Sign    ed25519.PrivateKey // of this device
	Device  peers.DeviceID     // this device, as peers know it
	Label   string             // of this device in its certificate
	Members func() []Member
	Now     func() time.Time
}

// Desk is where an owner makes, watches and withdraws grants. It is safe for
// concurrent use and calls nobody: its caller carries what it makes.
type Desk struct {
	cfg   Config
	cat   *catalog.Catalog
	root  ed25519.PrivateKey
	owner custody.Owner

	setMu sync.Mutex // one device set is made at a time
}

// NewDesk certifies this device, deterministically but for the dates, and
// opens the desk.
func NewDesk(cfg Config) (*Desk, error) {
	d := &Desk{cfg: cfg, cat: cfg.Catalog, root: cfg.Secrets.RootKey()}
	// The certificate begins with the month, so that documents of one device
	// do not tell by it when each program was started.
	now := cfg.Now().UTC()
	from := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC).Unix()
	cert, err := custody.Sign(d.root, custody.DeviceCert{
		Root: custody.KeyOf(d.root), Device: custody.KeyOf(cfg.Sign), Role: custody.OwnerDevice,
		Label: "owner", NotBefore: from, NotAfter: from + deviceCertLife,
	})
	if err != nil {
		return nil, fmt.Errorf("certify this device: %w", err)
	}
	d.owner = custody.Owner{Custody: cfg.Secrets.Custody, Device: cfg.Sign, Cert: cert.Raw}
	return d, nil
}

// Root is the person's key.
func (d *Desk) Root() custody.Key { return custody.KeyOf(d.root) }

// Cert is the certificate with which this device signs for the person.
func (d *Desk) Cert() []byte { return d.owner.Cert }

// Intro introduces this device's person to a device of the circle.
func (d *Desk) Intro() ([]byte, error) {
	s, err := custody.Sign(d.root, ticket.Intro{Root: d.Root(), Device: d.cfg.Device, At: d.cfg.Now().Unix()})
	if err != nil {
		return nil, err
	}
	return s.Raw, nil
}

// Brand gives a brand by its card's text, its name or the beginning of its
// key. A card is remembered.
func (d *Desk) Brand(ctx context.Context, who string) (catalog.Brand, *custody.Signed[custody.Card], error) {
	if card, err := custody.ParseCard(who); err == nil {
		b := catalog.Brand{Root: card.Body.Root, Name: card.Body.Name, Card: who}
		return b, card, d.cat.PutBrand(ctx, b)
	}
	all, err := d.cat.Brands(ctx)
	if err != nil {
		return catalog.Brand{}, nil, err
	}
	var found []catalog.Brand
	for _, b := range all {
		key := custody.Key(b.Root).String()
		if strings.EqualFold(b.Name, who) || len(who) >= 8 && strings.HasPrefix(key, who) {
			found = append(found, b)
		}
	}
	switch len(found) {
	case 0:
		return catalog.Brand{}, nil, said.Wrap(ErrUnknown, "brand-unknown", "the brand \"{name}\" {why}: give its card, as 'preezm brand card' prints it there", "name", who)
	case 1:
		card, err := custody.ParseCard(found[0].Card)
		return found[0], card, err
	}
	return catalog.Brand{}, nil, said.Error("brands-several", "\"{name}\" are several brands: give the first digits of the key instead", "name", who)
}

// member finds a device of the circle by its name or device ID.
func (d *Desk) member(who string) (Member, error) {
	var found []Member
	for _, m := range d.cfg.Members() {
		if strings.EqualFold(m.Name, who) || strings.EqualFold(m.Device.Short(), who) || m.Device.String() == who {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return Member{}, said.Wrap(ErrUnknown, "machine-unknown", "\"{name}\" {why}: 'preezm circle' shows the machines of your circle", "name", who)
	case 1:
		return found[0], nil
	}
	return Member{}, fmt.Errorf("%q are several machines: give the device instead ('preezm circle')", who)
}

// Member finds a device of the circle by its name or device ID; ErrUnknown.
func (d *Desk) Member(who string) (Member, error) { return d.member(who) }
